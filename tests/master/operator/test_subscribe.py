"""What an operator that subscribed is sent."""

from __future__ import annotations

from tepui.base.names import StreamId
from tepui.master.core import operator
from tepui.master.core.events import OperatorLeft
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.wire import master, mesos, scheduler
from tepui.wire.json import encode
from tests.master.world import TaskState, World

Event = master.Event
Type = Event.Type


def events(world: World, stream: StreamId) -> list[master.Event]:
    """What the operator was sent since the last time."""
    return world.events(stream, Event)


def kinds(world: World, stream: StreamId) -> list[str]:
    """The same by type."""
    return [event.type or "" for event in events(world, stream)]


def test_stream_begins_with_the_state_and_a_heartbeat() -> None:
    world = World()
    world.add_agent()
    first, second = events(world, world.watch())
    assert first.type is Type.SUBSCRIBED
    assert first.subscribed is not None
    assert first.subscribed.heartbeat_interval_seconds == 15.0
    assert first.subscribed.get_state is not None
    assert first.subscribed.get_state.get_agents is not None
    assert len(first.subscribed.get_state.get_agents.agents) == 1
    assert encode(first).startswith(
        b'{"type":"SUBSCRIBED","subscribed":{"get_state":{"get_tasks":{"tasks":[],'
        b'"unreachable_tasks":[],"completed_tasks":[]},"get_executors":{"executors":[]},'
    )
    assert second.type is Type.HEARTBEAT


def test_heartbeats_go_on_until_the_reader_leaves() -> None:
    world = World()
    stream = world.watch()
    events(world, stream)
    world.advance(3 * HEARTBEAT_INTERVAL_MS)
    assert kinds(world, stream) == [Type.HEARTBEAT] * 3
    world.put(OperatorLeft(stream))
    world.advance(HEARTBEAT_INTERVAL_MS)
    assert kinds(world, stream) == []


def test_life_of_a_framework_and_a_task_is_told_in_order() -> None:
    world = World()
    agent = world.add_agent()
    stream = world.watch()
    events(world, stream)
    one = world.subscribe(name="ops", roles=("web",))
    one.launch("t1", agent)
    agent.update(one, "t1", TaskState.TASK_RUNNING)
    agent.update(one, "t1", TaskState.TASK_FINISHED)
    one.leave()
    world.teardown(one.framework_id)
    added, task, running, finished, away, removed = events(world, stream)
    assert added.type is Type.FRAMEWORK_ADDED
    assert added.framework_added is not None
    assert added.framework_added.framework.unregistered_time == mesos.TimeInfo(nanoseconds=0)
    assert added.framework_added.framework.offer_constraints is None
    assert task.task_added is not None
    assert task.task_added.task.state is TaskState.TASK_STAGING
    assert [e.task_updated.state for e in (running, finished) if e.task_updated] == [
        TaskState.TASK_RUNNING,
        TaskState.TASK_FINISHED,
    ]
    assert away.framework_updated is not None
    assert not away.framework_updated.framework.connected
    assert removed.type is Type.FRAMEWORK_REMOVED


def test_agents_come_and_go() -> None:
    world = World()
    stream = world.watch()
    events(world, stream)
    agent = world.add_agent()
    added, *_ = events(world, stream)
    assert added.agent_added is not None
    assert added.agent_added.agent.active
    assert added.agent_added.agent.total_resources
    agent.disconnect()
    world.advance(100_000)
    removed = [e for e in events(world, stream) if e.agent_removed]
    assert len(removed) == 1


def test_what_nobody_reads_is_not_made() -> None:
    world = World()
    world.subscribe()
    assert not [e for found in world.sent.values() for e in found if isinstance(e, Event)]


def test_the_oldest_reader_makes_room() -> None:
    world = World()
    streams = [world.watch() for _ in range(operator.OPERATORS_MAX)]
    assert world.ended == set()
    last = world.watch()
    assert world.ended == {streams[0]}
    assert len(world.state.operators) == operator.OPERATORS_MAX
    events(world, streams[0])
    world.subscribe()
    assert kinds(world, streams[0]) == []
    assert kinds(world, last)[-1] == Type.FRAMEWORK_ADDED


def test_renamed_framework_is_told() -> None:
    world = World()
    one = world.subscribe(name="before")
    stream = world.watch()
    events(world, stream)
    info = mesos.FrameworkInfo(
        user="root",
        name="after",
        id=mesos.FrameworkID(one.framework_id),
        roles=("*",),
        capabilities=one.framework.info.capabilities,
        failover_timeout=60.0,
    )
    call = scheduler.Call.UpdateFramework(framework_info=info)
    one.call(scheduler.Call.Type.UPDATE_FRAMEWORK, update_framework=call)
    (updated,) = events(world, stream)
    assert updated.framework_updated is not None
    assert updated.framework_updated.framework.framework_info.name == "after"
