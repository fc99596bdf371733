"""Fair sharing: who is offered what now."""

from tepui.allocator.allocator import Allocator
from tepui.allocator.constraints import validate_constraints
from tepui.allocator.explain import Dropped, Funnel, Shortage, explain, explain_role
from tepui.allocator.invariants import check
from tepui.allocator.matching import Reason
from tepui.allocator.terms import MIN_ALLOCATABLE, AgentTerms, FrameworkTerms, Grant

__all__ = [
    "MIN_ALLOCATABLE",
    "AgentTerms",
    "Allocator",
    "Dropped",
    "FrameworkTerms",
    "Funnel",
    "Grant",
    "Reason",
    "Shortage",
    "check",
    "explain",
    "explain_role",
    "validate_constraints",
]
