"""Offers: made together, answered, rescinded, and how long nobody hears of them again."""

from __future__ import annotations

from math import inf, nan

import pytest

from tepui.base.names import AgentId
from tepui.master.core import offers
from tepui.master.core.settings import Settings
from tepui.resources import parse_resources
from tepui.wire import master, mesos, scheduler
from tests.master.world import FakeAgent, Scheduler, World

Event = scheduler.Event
Call = scheduler.Call
YEAR_MS = 365 * 24 * 3_600_000


def offered(scheduler: Scheduler) -> list[list[mesos.Offer]]:
    """The offers it was sent, event by event."""
    return [[*event.offers.offers] for event in scheduler.events() if event.offers is not None]


def rescinded(scheduler: Scheduler) -> list[str]:
    """The ids of the offers that were taken back."""
    return [event.rescind.offer_id.value for event in scheduler.events() if event.rescind]


def decline(scheduler: Scheduler, agent: FakeAgent, filters: mesos.Filters | None) -> None:
    offer_id = mesos.OfferID(scheduler.offer_of(agent, None))
    scheduler.call(Call.Type.DECLINE, decline=Call.Decline(offer_ids=(offer_id,), filters=filters))


def test_offers_of_one_slice_come_in_one_event() -> None:
    world = World()
    agents = [world.add_agent() for _ in range(3)]
    (together,) = offered(world.subscribe())
    assert sorted(offer.agent_id.value for offer in together) == sorted(one.id for one in agents)


def test_an_offer_says_whose_it_is_and_what_it_has() -> None:
    world = World()
    agent = world.add_agent(resources="cpus:2;mem:64")
    owner = world.subscribe(roles=("web",))
    ((offer,),) = offered(owner)
    assert offer == mesos.Offer(
        id=mesos.OfferID(f"{world.state.info.id}-O0"),
        framework_id=mesos.FrameworkID(owner.framework_id),
        agent_id=mesos.AgentID(agent.id),
        hostname="127.0.0.1",
        url=mesos.URL(
            scheme="http",
            address=mesos.Address(hostname="127.0.0.1", ip="127.0.0.1", port=15_051),
            path="/slave(1)",
        ),
        resources=parse_resources("cpus:2;mem:64").to_wire(role="web", refinement=False),
        allocation_info=mesos.Resource.AllocationInfo(role="web"),
    )


def test_offers_of_an_agent_that_disconnects_are_rescinded() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    offer_id = owner.offer_of(agent, None)
    owner.events()
    agent.disconnect()
    assert rescinded(owner) == [offer_id]
    assert not world.state.offers


def test_offers_of_a_framework_that_disconnects_go_to_the_next() -> None:
    world = World()
    agent, first = world.add_agent(), world.subscribe()
    second = world.subscribe()
    assert not second.framework.offers
    first.leave()
    assert second.offer_of(agent, None)


def test_an_offer_that_is_kept_too_long_is_rescinded_and_made_again() -> None:
    world = World(settings=Settings(offer_timeout_ms=5_000))
    agent, owner = world.add_agent(), world.subscribe()
    offer_id = owner.offer_of(agent, None)
    owner.events()
    world.advance(4_999)
    assert rescinded(owner) == []
    world.advance(1)
    assert rescinded(owner) == [offer_id]
    assert owner.offer_of(agent, None) != offer_id


def test_an_answered_offer_does_not_time_out() -> None:
    world = World(settings=Settings(offer_timeout_ms=5_000))
    agent, owner = world.add_agent(), world.subscribe()
    decline(owner, agent, mesos.Filters(refuse_seconds=100.0))
    owner.events()
    world.advance(6_000)
    assert rescinded(owner) == []


@pytest.mark.parametrize(
    ("filters", "pause_ms"),
    [
        (None, 5_000),
        (mesos.Filters(), 5_000),
        (mesos.Filters(refuse_seconds=-1.0), 5_000),
        (mesos.Filters(refuse_seconds=nan), 5_000),
        (mesos.Filters(refuse_seconds=0.0), 100),
        (mesos.Filters(refuse_seconds=0.05), 100),
        (mesos.Filters(refuse_seconds=2.5), 2_500),
        (mesos.Filters(refuse_seconds=1e300), YEAR_MS),
        (mesos.Filters(refuse_seconds=inf), YEAR_MS),
    ],
)
def test_a_declined_offer_is_not_made_again_for_as_long_as_was_asked(
    filters: mesos.Filters | None, pause_ms: int
) -> None:
    assert offers.pause_ms(filters) == pause_ms
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    if pause_ms >= YEAR_MS:
        return
    agent.disconnect()  # so that no silence comes between
    agent.reregister()
    decline(owner, agent, filters)
    world.advance(pause_ms - 1)
    assert not owner.framework.offers
    world.advance(1)
    assert owner.framework.offers


def test_revive_ends_the_pause() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    decline(owner, agent, mesos.Filters(refuse_seconds=inf))
    assert not owner.framework.offers
    owner.call(Call.Type.REVIVE)
    assert owner.offer_of(agent, None)


def test_an_accept_without_operations_declines_with_a_pause() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.accept(owner.offer_of(agent, None))
    assert not owner.framework.offers
    world.advance(99)
    assert not owner.framework.offers
    world.advance(1)
    assert owner.framework.offers


def test_declining_what_is_not_ones_own_changes_nothing() -> None:
    world = World()
    agent, owner, other = world.add_agent(), world.subscribe(), world.subscribe()
    taken = mesos.OfferID(owner.offer_of(agent, None))
    other.call(Call.Type.DECLINE, decline=Call.Decline(offer_ids=(taken, mesos.OfferID("nothing"))))
    assert owner.offer_of(agent, None) == taken.value


def test_an_offer_declined_twice_in_a_call_is_given_back_once() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    offer_id = mesos.OfferID(owner.offer_of(agent, None))
    owner.call(Call.Type.DECLINE, decline=Call.Decline(offer_ids=(offer_id, offer_id)))
    assert not owner.framework.offers


def test_a_deactivated_agent_gets_no_offers_even_when_it_comes_back() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    deactivate = master.Call.DeactivateAgent(agent_id=mesos.AgentID(agent.id))
    world.call(master.Call(type=master.Call.Type.DEACTIVATE_AGENT, deactivate_agent=deactivate))
    assert not owner.framework.offers
    agent.disconnect()
    agent.reregister()
    assert not owner.framework.offers
    reactivate = master.Call.ReactivateAgent(agent_id=mesos.AgentID(agent.id))
    world.call(master.Call(type=master.Call.Type.REACTIVATE_AGENT, reactivate_agent=reactivate))
    assert owner.offer_of(agent, None)


def test_refined_reservations_can_be_shown_though_their_framework_forgot_the_word() -> None:
    world = World()
    kinds = mesos.Resource.ReservationInfo.Type
    reservations = (
        mesos.Resource.ReservationInfo(type=kinds.STATIC, role="web"),
        mesos.Resource.ReservationInfo(type=kinds.DYNAMIC, role="web/a"),
    )
    agent = world.add_agent(resources="cpus:1;mem:64")
    own = world.state.agents[AgentId(agent.id)].info
    refined = tuple(
        mesos.Resource(name=one.name, type=one.type, scalar=one.scalar, reservations=reservations)
        for one in own.resources
    )
    agent.reregister(info=mesos.AgentInfo(hostname="h", id=own.id, resources=refined))
    owner = world.subscribe(roles=("web/a",), capabilities=("MULTI_ROLE", "RESERVATION_REFINEMENT"))
    assert owner.offer_of(agent, None)
    info = owner.framework.info
    forgetful = mesos.FrameworkInfo(
        user=info.user,
        name=info.name,
        id=info.id,
        roles=info.roles,
        capabilities=info.capabilities[:1],
    )
    owner.call(
        Call.Type.UPDATE_FRAMEWORK,
        update_framework=Call.UpdateFramework(framework_info=forgetful),
    )
    shown = world.get(master.Call.Type.GET_FRAMEWORKS).get_frameworks
    assert shown is not None
    assert shown.frameworks[0].offers[0].resources[0].reservations == reservations
