"""What the allocator is told of frameworks and agents, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources
from tepui.wire import mesos, scheduler

Quantities = Mapping[str, int]  # milli-units by resource name
Minimums = tuple[Quantities, ...]  # an offer must reach all of one of them; none: any will do

# Mesos: --min_allocatable_resources, "cpus:0.01|mem:32"
MIN_ALLOCATABLE: Minimums = ({"cpus": 10}, {"mem": 32_000})


class Grant(Struct, frozen=True):
    """These resources are to be offered; they count as allocated until recovered."""

    framework_id: FrameworkId
    role: Role
    agent_id: AgentId
    resources: Resources


class FrameworkTerms(Struct, frozen=True, kw_only=True):
    """What decides which offers a framework gets.

    `capabilities` are names of `FrameworkInfo.Capability.Type`; `min_allocatable` are the
    `offer_filters` by role, where an empty tuple lets every offer through; `constraints` have
    passed `validate_constraints`.
    """

    roles: tuple[Role, ...]
    capabilities: frozenset[str] = frozenset()
    suppressed: frozenset[Role] = frozenset()
    min_allocatable: Mapping[Role, Minimums] = field(default_factory=dict)
    constraints: scheduler.OfferConstraints | None = None


class AgentTerms(Struct, frozen=True, kw_only=True):
    """What decides to whom an agent may be offered, beside its resources."""

    hostname: str
    attributes: tuple[mesos.Attribute, ...] = ()
    domain: mesos.DomainInfo | None = None


def region(domain: mesos.DomainInfo | None) -> str | None:
    """The region's name; None without a fault domain."""
    fault_domain = domain.fault_domain if domain else None
    return fault_domain.region.name if fault_domain else None


def zone(domain: mesos.DomainInfo | None) -> str | None:
    """The zone's name; None without a fault domain."""
    fault_domain = domain.fault_domain if domain else None
    return fault_domain.zone.name if fault_domain else None
