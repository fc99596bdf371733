"""Why a framework gets no offers, or none that suffice, as a funnel over all agents.

Nothing is recorded in advance: what decides about offers is still there when somebody asks, and
every agent is put to the same questions as in a round.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tepui.allocator.agents import Agent
from tepui.allocator.allocator import Allocator
from tepui.allocator.clients import Client
from tepui.allocator.matching import Reason, bar_to, offer_to, reaches
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources

EXAMPLES_MAX = 5  # agents named for each reason


class Shortage(Struct, frozen=True):
    """Of `name` the agents lack something; in milli-units."""

    name: str
    wanted: int
    most: int  # the most any of these agents has


class Dropped(Struct, frozen=True):
    """So many agents are out for this reason."""

    reason: Reason
    agents: int
    examples: tuple[AgentId, ...]
    shortages: tuple[Shortage, ...] = ()  # of TOO_SMALL and IN_USE, when something was wanted
    until_ms: int | None = None  # of DECLINED: when the first filter ends


class Funnel(Struct, frozen=True):
    """From all agents to those that are left, which will be offered when its turn comes."""

    framework_id: FrameworkId
    role: Role
    agents: int
    dropped: tuple[Dropped, ...]
    left: int
    examples: tuple[AgentId, ...]


class _Pile:
    """The agents dropped for one reason, while they are counted."""

    def __init__(self) -> None:
        self.agents = 0
        self.examples: list[AgentId] = []
        self.most: dict[str, int] = {}
        self.until_ms: int | None = None

    def put(self, agent_id: AgentId) -> None:
        self.agents += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(agent_id)


def explain(
    allocator: Allocator, framework_id: FrameworkId, wanted: Resources | None = None
) -> tuple[Funnel, ...]:
    """A funnel for each role of the framework; one with the role '*' when it is not known.

    `wanted` is what the framework waits for; without it any offer will do.
    """
    framework = allocator.frameworks.get(framework_id)
    if framework is None:
        return (_all_dropped(allocator, framework_id, Role("*"), Reason.UNKNOWN_FRAMEWORK),)
    return tuple([explain_role(allocator, framework_id, r, wanted) for r in framework.terms.roles])


def explain_role(
    allocator: Allocator, framework_id: FrameworkId, role: Role, wanted: Resources | None = None
) -> Funnel:
    """The funnel of one role."""
    framework = allocator.frameworks.get(framework_id)
    if framework is None:
        return _all_dropped(allocator, framework_id, role, Reason.UNKNOWN_FRAMEWORK)
    if role not in framework.terms.roles:
        return _all_dropped(allocator, framework_id, role, Reason.NOT_IN_ROLE)
    if not framework.is_active:
        return _all_dropped(allocator, framework_id, role, Reason.DISCONNECTED)
    if role in framework.suppressed:
        return _all_dropped(allocator, framework_id, role, Reason.SUPPRESSED)

    client = allocator.clients[framework_id][role]
    wants = wanted.quantities() if wanted is not None else {}
    piles: dict[Reason, _Pile] = {}
    left = _Pile()
    for agent in allocator.agents.values():
        reason = _why_not(allocator, agent, client, wants)
        pile = left if reason is None else piles.setdefault(reason, _Pile())
        pile.put(agent.agent_id)
        if reason is Reason.TOO_SMALL:
            _keep_most(pile, agent.total.allocatable_to(role), wants)
        elif reason is Reason.IN_USE:
            _keep_most(pile, agent.free.allocatable_to(role), wants)
        elif reason is Reason.DECLINED:
            ends = [f.until_ms for f in client.filters.by_agent[agent.agent_id]]
            pile.until_ms = min(ends if pile.until_ms is None else [pile.until_ms, *ends])
    return Funnel(
        framework_id=framework_id,
        role=role,
        agents=len(allocator.agents),
        dropped=tuple([_dropped(r, piles[r], wants) for r in Reason if r in piles]),
        left=left.agents,
        examples=tuple(left.examples),
    )


def _why_not(
    allocator: Allocator, agent: Agent, client: Client, wants: Mapping[str, int]
) -> Reason | None:
    if not agent.is_active:
        return Reason.AGENT_INACTIVE
    if (bar := bar_to(agent, client, allocator.rules)) is not None:
        return bar
    if wants and not reaches(agent.total.allocatable_to(client.role), (wants,)):
        return Reason.TOO_SMALL
    part = agent.free.allocatable_to(client.role)
    if not part or (wants and not reaches(part, (wants,))):
        return Reason.IN_USE
    is_enough = reaches(part, allocator.rules.minimums)
    rules = allocator.rules
    offer = offer_to(agent, client, part, rules, is_plain=False, is_enough=is_enough)
    return offer if isinstance(offer, Reason) else None


def _keep_most(pile: _Pile, resources: Resources, wants: Mapping[str, int]) -> None:
    have = resources.quantities()
    for name, wanted in wants.items():
        if have.get(name, 0) < wanted:
            pile.most[name] = max(pile.most.get(name, 0), have.get(name, 0))


def _dropped(reason: Reason, pile: _Pile, wants: Mapping[str, int]) -> Dropped:
    return Dropped(
        reason=reason,
        agents=pile.agents,
        examples=tuple(pile.examples),
        shortages=tuple([Shortage(n, wants[n], most) for n, most in sorted(pile.most.items())]),
        until_ms=pile.until_ms,
    )


def _all_dropped(
    allocator: Allocator, framework_id: FrameworkId, role: Role, reason: Reason
) -> Funnel:
    agents = tuple(allocator.agents)
    dropped = Dropped(reason, len(agents), agents[:EXAMPLES_MAX])
    return Funnel(framework_id, role, len(agents), (dropped,) if agents else (), 0, ())
