"""Offers: made from the allocator's grants, and ended by an answer, a rescind or their time."""

from __future__ import annotations

from math import isnan

from tepui.allocator import Grant
from tepui.allocator.expiry import REFUSE_MS_MAX
from tepui.base.names import FrameworkId, OfferId, Role
from tepui.master.core.actions import Effects, SendEvent
from tepui.master.core.events import AllocationDue, OfferTimedOut
from tepui.master.core.settings import (
    ALLOCATE_AGENTS_MAX,
    DECLINE_PAUSE_MS,
    REFUSE_MS_DEFAULT,
)
from tepui.master.core.state import Agent, Framework, Offer, State
from tepui.resources import Resources
from tepui.wire import mesos, scheduler

Event = scheduler.Event


def allocation_due(state: State, event: AllocationDue, now_ms: int, step: Effects) -> None:
    """Offer what a slice of the pending agents has; one OFFERS event for each framework."""
    state.allocation_timer = None
    made: dict[FrameworkId, list[mesos.Offer]] = {}
    for grant in state.allocator.allocate(now_ms, ALLOCATE_AGENTS_MAX):
        framework = state.frameworks[grant.framework_id]
        made.setdefault(framework.id, []).append(_make(state, framework, grant, now_ms))
    for framework_id, offers in made.items():
        framework = state.frameworks[framework_id]
        assert framework.subscription is not None  # grants go to connected frameworks only
        message = Event(type=Event.Type.OFFERS, offers=Event.Offers(offers=tuple(offers)))
        step.then.append(SendEvent(framework.subscription.stream, message))


def wake_allocation(state: State, now_ms: int) -> None:
    """Have AllocationDue happen when the allocator has something to do; called after each step."""
    if state.allocator.pending():
        due_ms: int | None = now_ms
    else:
        due_ms = state.allocator.next_due_ms()
    if due_ms is None:
        return
    if state.allocation_timer is not None:
        if state.allocation_due_ms <= due_ms:
            return
        state.timers.cancel(state.allocation_timer)
    state.allocation_due_ms = due_ms
    state.allocation_timer = state.timers.set(due_ms, AllocationDue())


def offer_timed_out(state: State, event: OfferTimedOut, now_ms: int, step: Effects) -> None:
    """Take back an offer that was kept too long (Mesos: --offer_timeout)."""
    offer = state.offers.get(event.offer_id)
    if offer is not None:
        rescind(state, offer, now_ms, step)


def rescind(state: State, offer: Offer, now_ms: int, step: Effects) -> None:
    """Take an offer back and tell its framework."""
    take_back(state, offer, None, now_ms)
    framework = state.frameworks[offer.framework_id]
    if framework.subscription is not None:
        rescinded = Event.Rescind(offer_id=mesos.OfferID(offer.id))
        message = Event(type=Event.Type.RESCIND, rescind=rescinded)
        step.then.append(SendEvent(framework.subscription.stream, message))


def take_back(state: State, offer: Offer, refuse_ms: int | None, now_ms: int) -> None:
    """End an offer; its resources may be offered again, to others for `refuse_ms`."""
    remove(state, offer)
    state.allocator.recover(
        offer.framework_id,
        offer.role,
        offer.agent_id,
        offer.resources,
        refuse_ms=refuse_ms,
        now_ms=now_ms,
    )


def remove(state: State, offer: Offer) -> None:
    """The offer is no more; its resources stay allocated to the framework."""
    del state.offers[offer.id]
    del state.frameworks[offer.framework_id].offers[offer.id]
    del state.agents[offer.agent_id].offers[offer.id]
    state.timers.cancel(offer.timer)


def pause_ms(filters: mesos.Filters | None) -> int:
    """The refusal of a declined offer: never so short that offer and decline chase each other."""
    return max(refusal_ms(filters) or 0, DECLINE_PAUSE_MS)


def refusal_ms(filters: mesos.Filters | None) -> int | None:
    """How long a framework does not want to see the same again (Mesos: master.cpp _decline).

    Absent, negative and NaN mean the default, more than a year means a year, 0 means None.
    """
    if filters is None:
        return REFUSE_MS_DEFAULT
    seconds = filters.refuse_seconds
    if isnan(seconds) or seconds < 0:
        return REFUSE_MS_DEFAULT
    return int(min(seconds * 1000, REFUSE_MS_MAX)) or None


def message_of(
    agent: Agent,
    framework: Framework,
    offer_id: OfferId,
    role: Role,
    resources: Resources,
    *,
    newest: bool = False,
) -> mesos.Offer:
    """The offer as the framework's capabilities ask for it, or in the newest form."""
    multi_role = newest or "MULTI_ROLE" in framework.capabilities
    refinement = newest or "RESERVATION_REFINEMENT" in framework.capabilities
    return mesos.Offer(
        id=mesos.OfferID(offer_id),
        framework_id=mesos.FrameworkID(framework.id),
        agent_id=mesos.AgentID(agent.id),
        hostname=agent.info.hostname,
        url=agent.url,
        domain=agent.info.domain,
        resources=resources.to_wire(role=role if multi_role else None, refinement=refinement),
        attributes=agent.info.attributes,
        executor_ids=tuple(
            executor.info.executor_id for executor in agent.executors_of(framework.id).values()
        ),
        allocation_info=mesos.Resource.AllocationInfo(role=role) if multi_role else None,
    )


def _make(state: State, framework: Framework, grant: Grant, now_ms: int) -> mesos.Offer:
    agent = state.agents[grant.agent_id]
    offer_id = OfferId(f"{state.info.id}-O{state.offers_made}")
    state.offers_made += 1
    timeout_ms = state.settings.offer_timeout_ms
    timer = (
        None
        if timeout_ms is None
        else state.timers.set(now_ms + timeout_ms, OfferTimedOut(offer_id))
    )
    offer = Offer(offer_id, framework.id, agent.id, grant.role, grant.resources, timer)
    state.offers[offer_id] = offer
    framework.offers[offer_id] = offer
    agent.offers[offer_id] = offer
    return message_of(agent, framework, offer_id, grant.role, grant.resources)
