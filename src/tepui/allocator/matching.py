"""Who is offered what of one agent: the question every round of allocation asks per agent.

Frameworks are asked in the order of their shares as it was when the agent's turn came; the first
that may have it is offered everything its role may have. What is reserved to others goes on to
them. (Mesos: HierarchicalAllocatorProcess::__generateOffers, second stage)
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from tepui.allocator.agents import Agent
from tepui.allocator.clients import Client
from tepui.allocator.shares import RoleTree
from tepui.allocator.terms import Minimums
from tepui.resources import Resources

Match = tuple[Client, Resources]


class Reason(StrEnum):
    """Why a framework is not offered an agent, from what lies with itself to what changes most."""

    # Said of all agents, by `explain` alone:
    UNKNOWN_FRAMEWORK = "unknown_framework"
    NOT_IN_ROLE = "not_in_role"
    DISCONNECTED = "disconnected"
    SUPPRESSED = "suppressed"
    # Said of one agent by `explain` alone:
    AGENT_INACTIVE = "agent_inactive"  # disconnected or draining
    TOO_SMALL = "too_small"  # even if all of it were free
    IN_USE = "in_use"  # not enough is free for what is wanted, or nothing is
    # Said in every round:
    CONSTRAINT = "constraint"
    GPU = "gpu"
    REGION = "region"
    NOT_ENOUGH = "not_enough"  # less than the smallest offer
    NOT_UNDERSTOOD = "not_understood"  # less than that of what its capabilities allow
    DECLINED = "declined"


class Rules(Struct, frozen=True):
    """What holds for all offers alike."""

    minimums: Minimums
    filter_gpu_resources: bool


def match_all(agent: Agent, tree: RoleTree, rules: Rules, *, some_take_less: bool) -> list[Match]:
    """What everybody is to be offered of `agent`.

    `some_take_less`: there are frameworks with minimums of their own.
    """
    free = agent.free
    matches: list[Match] = []
    is_plain = _is_plain(free)
    is_enough = reaches(free, rules.minimums)
    if not is_enough and not some_take_less:
        return matches
    part = free
    for leaf in tree.leaves_in_order():
        if not is_plain:
            part = free.allocatable_to(leaf.role)
            if not part:
                continue
            is_enough = reaches(part, rules.minimums)
        for _, _, _, client in leaf.in_order(tree.cluster):
            assert isinstance(client, Client)
            offer = offer_to(agent, client, part, rules, is_plain=is_plain, is_enough=is_enough)
            if isinstance(offer, Resources):
                matches.append((client, offer))
                if offer is free:
                    return matches
                free = free - offer
                if not free:
                    return matches
                part = free.allocatable_to(leaf.role)
                if not part:
                    break
                is_enough = reaches(part, rules.minimums)
    return matches


def match_some(agent: Agent, clients: list[Client], tree: RoleTree, rules: Rules) -> list[Match]:
    """The same when only `clients` are to be asked."""
    active = [client for client in clients if client.is_active]
    if len(active) > 1:
        active.sort(key=tree.rank)
    free = agent.free
    matches: list[Match] = []
    for client in active:
        part = free.allocatable_to(client.role)
        is_enough = reaches(part, rules.minimums)
        offer = offer_to(agent, client, part, rules, is_plain=False, is_enough=is_enough)
        if isinstance(offer, Resources):
            matches.append((client, offer))
            free = free - offer
            if not free:
                break
    return matches


def offer_to(
    agent: Agent,
    client: Client,
    part: Resources,
    rules: Rules,
    *,
    is_plain: bool,
    is_enough: bool,
) -> Resources | Reason:
    """What `client` is offered of `part`, what is free for its role on `agent`; or why nothing.

    `is_plain`: every framework understands all of `part`. `is_enough`: it reaches the cluster's
    minimums.
    """
    if not is_enough and client.minimums is None:
        return Reason.NOT_ENOUGH
    if client.excludes is not None or agent.has_gpus or agent.is_remote:
        bar = bar_to(agent, client, rules)
        if bar is not None:
            return bar

    offer = part if is_plain or not client.is_picky else part.filter(client.understands)
    if offer is not part or client.minimums is not None:
        minimums = rules.minimums if client.minimums is None else client.minimums
        if not reaches(offer, minimums):
            return Reason.NOT_ENOUGH if offer is part else Reason.NOT_UNDERSTOOD

    for declined in client.filters.by_agent.get(agent.agent_id, ()):
        # An offer that goes from one to the next is one object all the way.
        if declined.resources is offer or declined.resources.contains(offer):
            return Reason.DECLINED
    return offer


def bar_to(agent: Agent, client: Client, rules: Rules) -> Reason | None:
    """Why `client` gets nothing of `agent`, whatever is free there; None when it may."""
    if client.excludes is not None and client.excludes(agent.terms):
        return Reason.CONSTRAINT
    if agent.has_gpus and rules.filter_gpu_resources and not client.takes_gpus:
        return Reason.GPU
    if agent.is_remote and not client.takes_remote:
        return Reason.REGION
    return None


def reaches(resources: Resources, minimums: Minimums) -> bool:
    """Whether `resources` are something, and hold all of at least one of `minimums`."""
    if not resources:
        return False
    if not minimums:
        return True
    have = resources.quantities()
    for minimum in minimums:
        for name, least in minimum.items():
            if have.get(name, 0) < least:
                break
        else:
            return True
    return False


def _is_plain(resources: Resources) -> bool:
    """Whether anybody may be offered them, in any role, whatever its capabilities."""
    for kind, _ in resources.items():
        if kind.reservations or kind.revocable or kind.shared:
            return False
    return True
