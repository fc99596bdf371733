"""An agent says that it takes no tasks, and is offered to nobody until it does again."""

from __future__ import annotations

from tepui.master.core.actions import Note
from tepui.wire import link, master, mesos
from tests.master.world import FakeAgent, World

FULL = link.Condition(accepts_tasks=False, reason="the disk is full")
ROOM = link.Condition(accepts_tasks=True, reason="")


def is_active(agent: FakeAgent) -> bool:
    """As operators are shown."""
    answer = agent.world.get(master.Call.Type.GET_AGENTS)
    assert answer.get_agents is not None
    (shown,) = answer.get_agents.agents
    assert shown.active == agent.world.state.agents[agent.id].active
    assert not (shown.active and shown.deactivated)
    return shown.active


def deactivate(agent: FakeAgent) -> None:
    named = master.Call.DeactivateAgent(agent_id=mesos.AgentID(agent.id))
    kind = master.Call.Type.DEACTIVATE_AGENT
    agent.world.call(master.Call(type=kind, deactivate_agent=named))


def reactivate(agent: FakeAgent) -> None:
    named = master.Call.ReactivateAgent(agent_id=mesos.AgentID(agent.id))
    kind = master.Call.Type.REACTIVATE_AGENT
    agent.world.call(master.Call(type=kind, reactivate_agent=named))


def test_an_agent_that_takes_no_tasks_gets_no_offers_until_it_does() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    (offer,) = owner.framework.offers
    effects = agent.say(FULL)
    assert effects.save == []
    fields = (("agent", agent.id), ("reason", "the disk is full"))
    assert Note("agent_accepts_no_tasks", fields) in effects.then
    rescinded = [one.rescind.offer_id for one in owner.events() if one.rescind is not None]
    assert rescinded == [mesos.OfferID(offer)]
    assert not is_active(agent)
    world.advance(10_000)
    assert owner.framework.offers == {}
    agent.say(ROOM)
    assert is_active(agent)
    assert owner.offer_of(agent, None)


def test_what_is_said_twice_changes_nothing() -> None:
    agent = World().add_agent()
    assert agent.say(ROOM).then == []
    assert agent.say(FULL).then != []
    assert agent.say(FULL).then == []


def test_tasks_of_an_agent_that_takes_no_more_run_on() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch("t", agent)
    agent.say(FULL)
    assert list(owner.framework.tasks) == ["t"]
    assert owner.framework.offers == {}


def test_an_agent_that_comes_back_takes_tasks_until_it_says_otherwise() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    agent.say(FULL)
    agent.disconnect()
    assert not is_active(agent)
    agent.reregister()
    assert is_active(agent)
    assert owner.offer_of(agent, None)


def test_an_agent_that_registers_again_on_its_link_takes_tasks_again() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    agent.say(FULL)
    agent.reregister()
    assert owner.offer_of(agent, None)


def test_the_operator_and_the_agent_must_both_want_offers() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    deactivate(agent)
    agent.say(FULL)
    agent.say(ROOM)
    assert not is_active(agent)
    agent.say(FULL)
    reactivate(agent)
    assert not is_active(agent)
    assert owner.framework.offers == {}
    agent.say(ROOM)
    assert is_active(agent)
    assert owner.offer_of(agent, None)


def test_a_long_reason_is_cut_in_the_log() -> None:
    agent = World().add_agent()
    for length in (link.SAID_CHARS_MAX, link.SAID_CHARS_MAX + 1):
        (noted,) = agent.say(link.Condition(False, "x" * length)).then
        assert isinstance(noted, Note)
        assert dict(noted.fields)["reason"] == "x" * link.SAID_CHARS_MAX
        agent.say(ROOM)
