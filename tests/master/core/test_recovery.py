"""A new master begins with what the registry holds, and waits for its agents."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tepui.base.names import Role
from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    Effects,
    EpochBegan,
    SendToAgent,
    WeightSet,
)
from tepui.master.core.events import LinkId, LinkOpened, LinkReceived
from tepui.master.core.recovery import recover
from tepui.master.core.registry import Registered, entry, key_of_agent
from tepui.master.core.settings import Settings
from tepui.master.core.state import ids_given, new
from tepui.wire import link, master, mesos, scheduler
from tepui.wire.mesos import TaskState
from tests.master.world import START_MS, Scheduler, World, wire_resources

FIRST = LinkId(901)
INFO = mesos.AgentInfo(hostname="h", resources=wire_resources("cpus:1;mem:64"))
HOUR_MS = 3_600_000
TEN_MINUTES_MS = 600_000
DAY_MS = 24 * HOUR_MS


def info_of(agent_id: str) -> mesos.AgentInfo:
    return replace(INFO, id=mesos.AgentID(agent_id))


def recovered(*registered: Registered, settings: Settings | None = None) -> World:
    world = World(settings=settings) if settings is not None else World()
    recover(world.state, registered, world.now_ms)
    return world


def come_back(world: World, agent_id: str, link_id: LinkId = FIRST) -> Effects:
    message = link.Reregister(info_of(agent_id), "1.0.0", "127.0.0.1:5051", (), (), ())
    world.put(LinkOpened(link_id, "127.0.0.1"))
    return world.put(LinkReceived(link_id, message))


def reconciled(owner: Scheduler, agent_id: str | None) -> list[TaskState]:
    """What the scheduler is told of a task that the master does not know."""
    owner.events()
    agent = None if agent_id is None else mesos.AgentID(agent_id)
    wanted = scheduler.Call.Reconcile.Task(task_id=mesos.TaskID("t"), agent_id=agent)
    owner.call(scheduler.Call.Type.RECONCILE, reconcile=scheduler.Call.Reconcile(tasks=(wanted,)))
    return [one.state for one in owner.updates()]


def test_an_agent_that_comes_back_in_time_is_not_written_again() -> None:
    world = recovered(AgentAdmitted(info_of("a")))
    come_back(world, "a")
    assert world.saved == []
    assert list(world.state.agents) == ["a"]
    assert world.state.recovered_agents == {}


def test_an_agent_that_comes_back_as_another_is_written() -> None:
    before = replace(info_of("a"), hostname="before")
    world = recovered(AgentAdmitted(before))
    come_back(world, "a")
    assert world.saved == [AgentAdmitted(info_of("a"))]


def test_an_agent_that_does_not_come_back_is_unreachable_after_the_timeout() -> None:
    world = recovered(AgentAdmitted(info_of("a")))
    owner = world.subscribe(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    world.advance(TEN_MINUTES_MS - 1)
    owner.events()
    assert world.saved == []
    world.advance(1)
    assert world.saved == [AgentUnreachable(info_of("a"), START_MS + TEN_MINUTES_MS)]
    failures = [event.failure for event in owner.events() if event.failure is not None]
    assert [one.agent_id and one.agent_id.value for one in failures] == ["a"]
    assert owner.updates() == []


def test_agents_are_marked_unreachable_no_faster_than_allowed() -> None:
    settings = Settings(agent_removal_interval_ms=60_000)
    ids = ("a", "b", "c")
    world = recovered(*(AgentAdmitted(info_of(one)) for one in ids), settings=settings)
    world.advance(TEN_MINUTES_MS)
    assert len(world.saved) == 1
    world.advance(59_999)
    assert len(world.saved) == 1
    world.advance(1)
    assert len(world.saved) == 2
    come_back(world, "c")
    world.advance(HOUR_MS)
    marked = [one.info.id for one in world.saved if isinstance(one, AgentUnreachable)]
    assert [one and one.value for one in marked[:2]] == ["a", "b"]


def test_a_deactivated_agent_is_deactivated_when_it_comes_back() -> None:
    world = recovered(AgentAdmitted(info_of("a"), deactivated=True))
    come_back(world, "a")
    assert world.state.agents[next(iter(world.state.agents))].deactivated
    assert world.subscribe().framework.offers == {}


def test_an_unreachable_agent_that_comes_back_is_admitted_again() -> None:
    world = recovered(AgentUnreachable(info_of("a"), START_MS - 1))
    come_back(world, "a")
    assert world.saved == [AgentAdmitted(info_of("a"))]
    assert world.state.unreachable_agents == {}


def test_an_agent_that_was_marked_gone_is_sent_away_by_the_next_master() -> None:
    world = recovered(AgentGone(info_of("a"), START_MS - 1))
    world.put(LinkOpened(FIRST, "127.0.0.1"))
    message = link.Reregister(info_of("a"), "1.0.0", "127.0.0.1:5051", (), (), ())
    effects = world.put(LinkReceived(FIRST, message))
    assert SendToAgent(FIRST, link.Shutdown("Agent has been marked gone")) in effects.then
    assert world.state.agents == {}


def test_weights_of_the_registry_come_before_those_of_the_flags() -> None:
    world = World()
    world.state.weights[Role("ads")] = 1.0
    recover(world.state, [WeightSet(Role("ads"), 3.0)], world.now_ms)
    assert world.state.weights == {"ads": 3.0}


def test_nothing_is_said_of_a_task_that_an_expected_agent_may_have() -> None:
    world = recovered(AgentAdmitted(info_of("a")))
    come_back(world, "b")
    owner = world.subscribe(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    assert reconciled(owner, "a") == []
    assert reconciled(owner, None) == []
    assert reconciled(owner, "b") == [TaskState.TASK_GONE]
    assert reconciled(owner, "c") == [TaskState.TASK_UNKNOWN]
    world.advance(TEN_MINUTES_MS)
    assert reconciled(owner, "a") == [TaskState.TASK_UNREACHABLE]
    assert reconciled(owner, None) == [TaskState.TASK_UNKNOWN]


def test_an_expected_agent_can_be_marked_gone() -> None:
    world = recovered(AgentAdmitted(info_of("a")))
    named = master.Call.MarkAgentGone(agent_id=mesos.AgentID("a"))
    world.call(master.Call(type=master.Call.Type.MARK_AGENT_GONE, mark_agent_gone=named))
    assert world.saved == [AgentGone(info_of("a"), world.now_ms)]
    assert world.state.recovered_agents == {}


def test_a_new_agent_gets_no_id_of_an_expected_one() -> None:
    world = World()
    taken = f"{world.state.info.id}-S0"
    recover(world.state, [AgentAdmitted(info_of(taken))], world.now_ms)
    agent = world.add_agent()
    assert agent.id != taken


def test_agents_that_are_away_for_two_weeks_are_forgotten() -> None:
    old, young = START_MS - 14 * DAY_MS - 1, START_MS - 14 * DAY_MS + HOUR_MS
    world = recovered(
        AgentUnreachable(info_of("young"), young),
        AgentUnreachable(info_of("old"), old),
        AgentGone(info_of("old and gone"), old),
    )
    assert list(world.state.unreachable_agents) == ["old", "young"]
    world.advance(900_000)
    assert world.saved == [AgentRemoved("old"), AgentRemoved("old and gone")]
    world.advance(HOUR_MS)
    assert world.saved[2:] == [AgentRemoved("young")]


def test_each_epoch_is_greater_than_the_last_and_saved_before_anything_else() -> None:
    world = World()
    future = world.now_ms // 1000 + 5
    effects = recover(world.state, [EpochBegan(future)], world.now_ms)
    assert effects.save == [EpochBegan(future + 1)]
    assert effects.then == []
    assert world.state.epoch == future + 1


@pytest.mark.parametrize("registered", [(), (EpochBegan(7),)])
def test_who_finds_no_greater_epoch_takes_the_time_in_seconds(
    registered: tuple[Registered, ...],
) -> None:
    world = World()
    effects = recover(world.state, registered, 1_700_000_000_999)
    assert effects.save == [EpochBegan(1_700_000_000)]


def test_agents_are_told_the_epoch_when_they_register() -> None:
    world = recovered(AgentAdmitted(info_of("a")), EpochBegan(START_MS))
    effects = come_back(world, "a")
    assert SendToAgent(FIRST, link.Registered("a", 75_000, START_MS + 1)) in effects.then


@pytest.mark.parametrize("agent_id", ["a", "a b/c", "ü", "."])
def test_each_agent_has_an_object_of_its_own(agent_id: str) -> None:
    record = AgentAdmitted(info_of(agent_id))
    key, registered = entry(record)
    assert (key, registered) == (key_of_agent(agent_id), record)
    assert entry(AgentRemoved(agent_id)) == (key, None)
    assert key.count("/") == 1


def test_the_epoch_is_one_object() -> None:
    assert entry(EpochBegan(3)) == ("epoch", EpochBegan(3))


def test_a_master_that_leads_again_gives_no_id_a_second_time() -> None:
    before = World()
    agent, owner = before.add_agent(), before.subscribe()
    assert before.state.offers_made > 0
    world = World()
    world.state = new(before.state.info, now_ms=0, seed=b"again", given=ids_given(before.state))
    assert world.add_agent().id != agent.id
    assert world.subscribe().framework_id != owner.framework_id
    assert not before.state.offers.keys() & world.state.offers.keys()
