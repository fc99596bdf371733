"""Status updates and their acknowledgements; messages between schedulers and executors."""

from __future__ import annotations

from math import nan

import pytest
from msgspec.structs import replace

from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.actions import SendEvent, SendToAgent
from tepui.master.core.settings import ACKNOWLEDGED_MAX, Settings
from tepui.resources import parse_resources
from tepui.wire import link, mesos, scheduler
from tests.master.world import AGENT_RESOURCES, FakeAgent, Scheduler, TaskState, World

Call = scheduler.Call
Event = scheduler.Event
ALL = parse_resources(AGENT_RESOURCES)


def running(settings: Settings | None = None) -> tuple[World, FakeAgent, Scheduler]:
    """One task, `t1`, that runs."""
    world = World(settings=settings)
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch("t1", agent)
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    owner.events()
    agent.told()
    return world, agent, owner


def status_of(agent: FakeAgent, uuid: bytes, state: TaskState) -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID("t1"), state=state, agent_id=mesos.AgentID(agent.id), uuid=uuid
    )


def acknowledge(owner: Scheduler, agent_id: str, uuid: bytes | None, task_id: str = "t1") -> None:
    assert uuid is not None
    owner.call(
        Call.Type.ACKNOWLEDGE,
        acknowledge=Call.Acknowledge(
            agent_id=mesos.AgentID(agent_id), task_id=mesos.TaskID(task_id), uuid=uuid
        ),
    )


def reported(owner: Scheduler, task_id: str, state: TaskState, **fields: object) -> mesos.Task:
    """The task as its agent says it when it comes back."""
    task = mesos.Task(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        framework_id=mesos.FrameworkID(owner.framework_id),
        agent_id=mesos.AgentID("a"),
        state=state,
    )
    return replace(task, **fields)


def test_an_update_is_forwarded_as_it_is() -> None:
    _, agent, owner = running()
    status = status_of(agent, b"E" * 16, TaskState.TASK_RUNNING)
    effects = agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    event = Event(type=Event.Type.UPDATE, update=Event.Update(status=status))
    assert effects.then == [SendEvent(owner.stream, event)]


def test_an_update_that_waits_is_forwarded_again_when_it_is_repeated() -> None:
    _, agent, owner = running()
    status = status_of(agent, b"E" * 16, TaskState.TASK_RUNNING)
    for _ in range(2):
        agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    assert owner.updates() == [status, status]


def test_an_acknowledged_update_is_not_forwarded_again_after_a_link_loss() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_RUNNING, acknowledged=False)
    agent.disconnect()
    acknowledge(owner, agent.id, status.uuid)
    agent.reregister(
        reported(owner, "t1", TaskState.TASK_RUNNING), frameworks=[owner.framework.info]
    )
    agent.told()
    owner.events()
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    assert owner.updates() == []
    assert agent.told() == [link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid or b"")]


def test_a_task_whose_end_was_acknowledged_while_its_agent_was_away_is_over() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    agent.disconnect()
    acknowledge(owner, agent.id, status.uuid)
    assert not owner.framework.tasks
    ended = reported(
        owner,
        "t1",
        TaskState.TASK_FINISHED,
        status_update_state=TaskState.TASK_FINISHED,
        status_update_uuid=status.uuid,
    )
    agent.reregister(ended, frameworks=[owner.framework.info])
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_FINISHED))
    assert not owner.framework.tasks
    assert [task.id for task in owner.framework.completed_tasks] == ["t1"]


def test_a_task_whose_end_was_acknowledged_is_over_also_if_its_agent_started_anew() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    agent.disconnect()
    acknowledge(owner, agent.id, status.uuid)
    owner.events()
    ended = reported(  # it does not know that it has sent the end, for that is not saved
        owner,
        "t1",
        TaskState.TASK_FINISHED,
        status_update_state=TaskState.TASK_RUNNING,
        statuses=(status,),
    )
    agent.reregister(ended, frameworks=[owner.framework.info])
    agent.told()
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_FINISHED))
    assert agent.told() == [link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid or b"")]
    assert owner.updates() == []
    assert not owner.framework.tasks


def test_a_task_that_ended_out_of_sight_is_history_once_its_end_was_acknowledged() -> None:
    world, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    agent.disconnect()
    acknowledge(owner, agent.id, status.uuid)
    world.state.agents[agent.id].tasks.clear()
    world.advance(100_000)
    assert agent.id in world.state.unreachable_agents
    ended = reported(
        owner,
        "t1",
        TaskState.TASK_FINISHED,
        status_update_state=TaskState.TASK_FINISHED,
        status_update_uuid=status.uuid,
    )
    agent.reregister(ended, frameworks=[owner.framework.info])
    assert not owner.framework.tasks
    assert not owner.framework.unreachable_tasks


def test_an_end_that_is_not_acknowledged_yet_is_taken_in() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_RUNNING)
    agent.disconnect()
    ended = reported(
        owner,
        "t1",
        TaskState.TASK_FINISHED,
        status_update_state=TaskState.TASK_RUNNING,
        status_update_uuid=status.uuid,
    )
    agent.reregister(ended, frameworks=[owner.framework.info])
    assert list(owner.framework.tasks) == ["t1"]
    agent.update(owner, "t1", TaskState.TASK_FINISHED)
    assert not owner.framework.tasks


def test_an_update_of_an_unknown_task_is_forwarded_and_can_be_acknowledged() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t9", TaskState.TASK_RUNNING)
    assert owner.updates() == [status]
    assert agent.told() == [link.AcknowledgeUpdate(owner.framework_id, "t9", status.uuid or b"")]


def test_an_update_of_an_unknown_framework_is_counted_and_dropped() -> None:
    world, agent, _ = running()
    status = status_of(agent, b"E" * 16, TaskState.TASK_RUNNING)
    assert agent.say(link.StatusUpdated("nobody", status, TaskState.TASK_RUNNING)).then == []
    assert world.state.counters.events["invalid_status_updates"] == 1


@pytest.mark.parametrize("uuid", [None, b"", bytes(16), b"u" * 16, b"E" * 15])
def test_an_update_that_could_not_be_acknowledged_is_dropped(uuid: bytes | None) -> None:
    world, agent, owner = running()
    status = replace(status_of(agent, b"E" * 16, TaskState.TASK_RUNNING), uuid=uuid)
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    assert owner.updates() == []
    assert world.state.counters.events["invalid_status_updates"] == 1


def test_an_update_that_no_scheduler_could_be_sent_as_json_is_dropped() -> None:
    world, agent, owner = running()
    status = replace(status_of(agent, b"E" * 16, TaskState.TASK_RUNNING), timestamp=nan)
    limitation = mesos.TaskResourceLimitation(
        resources=(
            mesos.Resource(
                name="mem", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(nan)
            ),
        )
    )
    also = replace(status, timestamp=None, limitation=limitation)
    for one in (status, also):
        agent.say(link.StatusUpdated(owner.framework_id, one, TaskState.TASK_RUNNING))
    assert owner.updates() == []
    assert world.state.counters.events["invalid_status_updates"] == 2


def test_a_task_that_has_ended_frees_its_resources_before_its_last_update_is_acknowledged() -> None:
    world, agent, owner = running()
    status = status_of(agent, b"E" * 16, TaskState.TASK_RUNNING)
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_FINISHED))
    assert world.state.allocator.allocation(owner.framework_id) == {"*": ALL}  # offered again
    assert owner.framework.tasks[TaskId("t1")].state is TaskState.TASK_FINISHED
    acknowledge(owner, agent.id, b"E" * 16)
    assert list(owner.framework.tasks) == ["t1"]  # only RUNNING was acknowledged


def test_an_end_is_an_end_even_when_the_agent_says_that_more_has_come() -> None:
    _, agent, owner = running()
    status = replace(status_of(agent, b"E" * 15 + b"\0", TaskState.TASK_FAILED))
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    acknowledge(owner, agent.id, status.uuid)
    assert [task.state for task in owner.framework.completed_tasks] == [TaskState.TASK_FAILED]


def test_a_task_that_goes_to_and_fro_is_remembered_once_for_each_state() -> None:
    _, agent, owner = running()
    for _ in range(50):
        agent.update(owner, "t1", TaskState.TASK_STARTING)
        agent.update(owner, "t1", TaskState.TASK_RUNNING)
    statuses = owner.framework.tasks[TaskId("t1")].statuses
    assert [one.state for one in statuses] == [TaskState.TASK_STARTING, TaskState.TASK_RUNNING]


# Acknowledgements


def test_an_acknowledgement_reaches_the_agent() -> None:
    world, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_RUNNING, acknowledged=False)
    assert status.uuid is not None
    acknowledge(owner, agent.id, status.uuid)
    sent = SendToAgent(agent.link, link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid))
    assert world.to_agents[agent.link] == [sent.message]


@pytest.mark.parametrize("state", [TaskState.TASK_RUNNING, TaskState.TASK_FINISHED])
def test_an_acknowledgement_counts_although_its_agent_started_anew_and_has_sent_nothing_yet(
    state: TaskState,
) -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", state, acknowledged=False)
    agent.disconnect()
    found = reported(owner, "t1", state, status_update_state=TaskState.TASK_STARTING)
    agent.reregister(found, frameworks=[owner.framework.info])
    acknowledge(owner, agent.id, status.uuid)
    owner.events()
    agent.told()
    agent.say(link.StatusUpdated(owner.framework_id, status, state))
    assert agent.told() == [link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid or b"")]
    assert owner.updates() == []
    assert ("t1" in owner.framework.tasks) == (state is TaskState.TASK_RUNNING)


def test_an_acknowledgement_of_another_update_changes_nothing() -> None:
    world, agent, owner = running()
    agent.update(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    acknowledge(owner, agent.id, b"x" * 16)
    assert agent.told() == []
    assert list(owner.framework.tasks) == ["t1"]
    assert world.state.counters.events["invalid_status_update_acknowledgements"] == 1


def test_an_acknowledgement_that_names_another_agent_does_not_end_the_task() -> None:
    world, agent, owner = running()
    other = world.add_agent()
    status = agent.update(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    acknowledge(owner, other.id, status.uuid)
    acknowledge(owner, "nobody", status.uuid)
    assert list(owner.framework.tasks) == ["t1"]
    assert agent.told() == []


def test_a_task_with_an_id_that_is_used_elsewhere_can_end_as_well() -> None:
    world, agent, owner = running()
    other = world.add_agent()
    status = other.update(owner, "t1", TaskState.TASK_FAILED)  # of a life before
    assert owner.updates() == [status]
    assert other.told()[-1] == link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid or b"")
    assert list(owner.framework.tasks) == ["t1"]
    assert owner.framework.tasks[TaskId("t1")].agent_id == agent.id


def test_ended_tasks_are_remembered_up_to_a_limit() -> None:
    world = World(settings=Settings(max_completed_tasks_per_framework=2))
    agent, owner = world.add_agent(), world.subscribe()
    for number in range(4):
        owner.launch(f"t{number}", agent)
        agent.update(owner, f"t{number}", TaskState.TASK_FINISHED)
    assert not owner.framework.tasks
    assert [task.id for task in owner.framework.completed_tasks] == ["t2", "t3"]


def test_remembered_acknowledgements_are_bounded_and_forgotten_after_a_pong() -> None:
    world, agent, owner = running()
    known = world.state.agents[agent.id]
    known.acknowledged = {b"%16d" % number for number in range(ACKNOWLEDGED_MAX - 1)}
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    assert len(known.acknowledged) == ACKNOWLEDGED_MAX
    world.advance(world.state.settings.agent_ping_timeout_ms)
    assert len(known.acknowledged_before) == ACKNOWLEDGED_MAX
    agent.say(link.Pong(known.ping_sequence))
    assert not known.acknowledged
    assert not known.acknowledged_before


# Messages, SHUTDOWN and the ends of executors


def test_messages_go_both_ways() -> None:
    _, agent, owner = running()
    owner.call(
        Call.Type.MESSAGE,
        message=Call.Message(
            agent_id=mesos.AgentID(agent.id), executor_id=mesos.ExecutorID("e"), data=b"down"
        ),
    )
    assert agent.told() == [link.SchedulerMessage(owner.framework_id, "e", b"down")]
    agent.say(link.ExecutorMessage(owner.framework_id, "e", b"up"))
    (event,) = owner.events()
    assert event.message == Event.Message(
        agent_id=mesos.AgentID(agent.id), executor_id=mesos.ExecutorID("e"), data=b"up"
    )


def test_messages_to_nobody_are_counted() -> None:
    world, agent, owner = running()
    message = Call.Message(
        agent_id=mesos.AgentID("nobody"), executor_id=mesos.ExecutorID("e"), data=b""
    )
    owner.call(Call.Type.MESSAGE, message=message)
    owner.leave()
    for framework_id in (owner.framework_id, FrameworkId("nobody")):
        agent.say(link.ExecutorMessage(framework_id, "e", b""))
    counted = world.state.counters.events
    assert counted["invalid_framework_to_executor_messages"] == 1
    assert counted["invalid_executor_to_framework_messages"] == 2


def test_shutdown_reaches_an_executor_that_is_known_and_no_other() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch_group(("t1",), agent, "e")
    agent.told()
    for agent_id, executor_id in ((agent.id, "e"), (agent.id, "f"), ("nobody", "e")):
        shutdown = Call.Shutdown(
            agent_id=mesos.AgentID(agent_id), executor_id=mesos.ExecutorID(executor_id)
        )
        owner.call(Call.Type.SHUTDOWN, shutdown=shutdown)
    assert agent.told() == [link.ShutdownExecutor(owner.framework_id, "e")]


def test_the_end_of_an_executor_is_a_failure_unless_the_agent_made_it_up() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch_group(("t1",), agent, "e")
    owner.events()
    agent.say(link.ExecutorExited(owner.framework_id, "t9", 0, built_in=True))
    agent.say(link.ExecutorExited(owner.framework_id, "e", 256, built_in=False))
    failures = [event.failure for event in owner.events() if event.failure is not None]
    assert failures == [
        Event.Failure(
            agent_id=mesos.AgentID(agent.id), executor_id=mesos.ExecutorID("e"), status=256
        )
    ]
    assert not owner.framework.executors


def test_a_uuid_acknowledged_for_a_task_that_is_not_known_acknowledges_nothing() -> None:
    _, agent, owner = running()
    status = agent.update(owner, "t1", TaskState.TASK_RUNNING, acknowledged=False)
    owner.events()
    acknowledge(owner, agent.id, status.uuid, "other")
    agent.say(link.StatusUpdated(owner.framework_id, status, TaskState.TASK_RUNNING))
    assert owner.updates() == [status]
