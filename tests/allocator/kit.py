"""Short names for small clusters."""

from __future__ import annotations

from collections.abc import Mapping

from tepui.allocator import AgentTerms, Allocator, FrameworkTerms, Grant, check
from tepui.allocator.terms import Minimums
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources, parse_resources
from tepui.wire import mesos, scheduler

EVERYTHING = 1_000_000
AGENT = "cpus:4;mem:4096"

Constraint = scheduler.AttributeConstraint
Selector = scheduler.AttributeConstraint.Selector
Predicate = scheduler.AttributeConstraint.Predicate
RoleConstraints = scheduler.OfferConstraints.RoleConstraints
Shown = tuple[str, str, str, str]


def framework(
    allocator: Allocator,
    name: str,
    *roles: str,
    capabilities: tuple[str, ...] = (),
    suppressed: tuple[str, ...] = (),
    min_allocatable: Mapping[str, Minimums] | None = None,
    constraints: scheduler.OfferConstraints | None = None,
) -> FrameworkId:
    """A framework in `roles`, or in role 'ads'."""
    framework_id = FrameworkId(name)
    allocator.add_framework(
        framework_id,
        terms(
            *roles,
            capabilities=capabilities,
            suppressed=suppressed,
            min_allocatable=min_allocatable,
            constraints=constraints,
        ),
    )
    return framework_id


def terms(
    *roles: str,
    capabilities: tuple[str, ...] = (),
    suppressed: tuple[str, ...] = (),
    min_allocatable: Mapping[str, Minimums] | None = None,
    constraints: scheduler.OfferConstraints | None = None,
) -> FrameworkTerms:
    """Terms of a framework in `roles`, or in role 'ads'."""
    return FrameworkTerms(
        roles=tuple(map(Role, roles or ("ads",))),
        capabilities=frozenset(capabilities),
        suppressed=frozenset(map(Role, suppressed)),
        min_allocatable={
            Role(role): minimums for role, minimums in (min_allocatable or {}).items()
        },
        constraints=constraints,
    )


def agent(
    allocator: Allocator,
    name: str,
    resources: str = AGENT,
    *,
    attributes: tuple[mesos.Attribute, ...] = (),
    domain: mesos.DomainInfo | None = None,
    used: Mapping[tuple[str, str], str] | None = None,
) -> AgentId:
    """An agent with `resources`, some of them used by (framework, role)."""
    agent_id = AgentId(name)
    allocator.add_agent(
        agent_id,
        AgentTerms(hostname=f"{name}.example", attributes=attributes, domain=domain),
        parse_resources(resources),
        {(FrameworkId(f), Role(r)): parse_resources(text) for (f, r), text in (used or {}).items()},
    )
    return agent_id


def domain(region: str, zone: str = "z") -> mesos.DomainInfo:
    """A fault domain."""
    fault = mesos.DomainInfo.FaultDomain
    return mesos.DomainInfo(
        fault_domain=fault(region=fault.RegionInfo(name=region), zone=fault.ZoneInfo(name=zone))
    )


def grants(allocator: Allocator, now_ms: int = 0) -> list[Grant]:
    """All that is granted now."""
    found = allocator.allocate(now_ms, EVERYTHING)
    assert not allocator.pending()
    check(allocator)
    return found


def offered(allocator: Allocator, now_ms: int = 0) -> list[tuple[str, str]]:
    """Who is offered which agent now."""
    return [(grant.framework_id, grant.agent_id) for grant in grants(allocator, now_ms)]


def give_back(
    allocator: Allocator,
    grant: Grant,
    *,
    refuse_ms: int | None = None,
    now_ms: int = 0,
    part: str | None = None,
) -> None:
    """The offer, or `part` of it, is free again."""
    allocator.recover(
        grant.framework_id,
        grant.role,
        grant.agent_id,
        grant.resources if part is None else parse_resources(part),
        refuse_ms=refuse_ms,
        now_ms=now_ms,
    )
    check(allocator)


def of_scalars(cpus: int, mem: int) -> Resources:
    """Whole cpus and MiB."""
    return Resources.of_scalars(cpus=cpus * 1000, mem=mem * 1000)
