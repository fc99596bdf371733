"""A framework in one of its roles: what it holds, what it takes, what it declined."""

from __future__ import annotations

from collections.abc import Callable

from tepui.allocator.filters import Filters
from tepui.allocator.shares import Leaf, Node
from tepui.allocator.terms import AgentTerms, FrameworkTerms, Minimums
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources
from tepui.resources.kinds import Kind

Excludes = Callable[[AgentTerms], bool]  # whether an agent's offers are not wanted


class Client(Node):
    """One framework in one role, a node of the tree of shares.

    It exists while the framework has the role or still holds something in it.
    """

    __slots__ = (
        "excludes",
        "filters",
        "framework_id",
        "held",
        "is_picky",
        "is_subscribed",
        "leaf",
        "minimums",
        "role",
        "takes_gpus",
        "takes_refined",
        "takes_remote",
        "takes_revocable",
        "takes_shared",
    )

    def __init__(self, framework_id: FrameworkId, leaf: Leaf) -> None:
        super().__init__(framework_id, leaf)
        self.framework_id = framework_id
        self.role: Role = leaf.role
        self.leaf = leaf
        self.held: dict[AgentId, Resources] = {}
        self.filters = Filters()
        self.is_subscribed = False  # the framework is known and has this role
        self.excludes: Excludes | None = None
        self.minimums: Minimums | None = None  # its own, in place of the cluster's
        self.take(frozenset())

    def apply(self, terms: FrameworkTerms, excludes: Excludes | None) -> None:
        """Offers follow `terms` from now on."""
        self.is_subscribed = True
        self.excludes = excludes
        self.minimums = terms.min_allocatable.get(self.role)
        self.take(terms.capabilities)

    def take(self, capabilities: frozenset[str]) -> None:
        """Offers hold only what a framework of these capabilities understands."""
        self.takes_gpus = "GPU_RESOURCES" in capabilities
        self.takes_remote = "REGION_AWARE" in capabilities
        self.takes_shared = "SHARED_RESOURCES" in capabilities
        self.takes_revocable = "REVOCABLE_RESOURCES" in capabilities
        self.takes_refined = "RESERVATION_REFINEMENT" in capabilities
        self.is_picky = not (self.takes_shared and self.takes_revocable and self.takes_refined)

    def understands(self, kind: Kind) -> bool:
        """Whether resources of `kind` may be in an offer to this framework."""
        return (
            (self.takes_shared or not kind.shared)
            and (self.takes_revocable or not kind.revocable)
            and (self.takes_refined or len(kind.reservations) < 2)
        )
