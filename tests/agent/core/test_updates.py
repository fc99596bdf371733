"""Streams of updates: in order, again until acknowledged, bounded afterwards."""

from __future__ import annotations

from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import CloseLink, RemoveSandbox, SendToMaster
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    SETTINGS,
    Agent,
    messages,
    only,
    run_tasks,
    states,
    statuses,
    task_info,
    without_notes,
)

State = mesos.TaskState


def quiet(agent: Agent) -> None:
    """The master pings for ever, so that only updates are sent."""
    agent.state.timers.cancel(agent.state.ping_timer)


def test_an_update_is_sent_again_after_10_s_and_then_ever_later() -> None:
    agent = Agent()
    quiet(agent)
    agent.run(task_info())
    sent_at = []
    for second in range(1, 2_000):
        if statuses(agent.advance(1_000)):
            sent_at.append(second)
    assert sent_at == [10, 30, 70, 150, 310, 630, 1230, 1830]


def test_only_the_uuid_that_was_sent_is_acknowledged() -> None:
    agent = Agent()
    agent.run(task_info())
    assert without_notes(agent.hear(link.AcknowledgeUpdate("F", "t", b"x" * 16))) == []
    assert agent.hear(link.AcknowledgeUpdate("F", "other", b"x" * 16)) == []
    (again,) = statuses(agent.advance(10_000))
    assert again.state is State.TASK_STARTING
    assert states(agent.acknowledge_all(agent.advance(20_000))) == ["TASK_STARTING", "TASK_RUNNING"]


def test_what_is_sent_tells_the_latest_state() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.put(events.ContainerExited(container, 0))
    (again,) = messages(agent.advance(10_000))
    assert isinstance(again, link.StatusUpdated)
    assert (again.status.state, again.latest_state) == (State.TASK_STARTING, State.TASK_FINISHED)


def test_without_a_link_updates_wait_and_then_come_again() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    container = agent.container("t")
    agent.put(events.SandboxPrepared(container))
    agent.put(events.LinkLost())
    assert agent.put(events.ContainerStarted(container, 1)) == []
    assert agent.advance(3_600_000) == []

    (again,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    assert again.info.id == mesos.AgentID("A")
    assert again.frameworks == (FRAMEWORK,)
    assert again.executors == ()  # the built-in one is not the master's concern
    (task,) = again.tasks
    assert (task.task_id.value, task.state, task.executor_id) == ("t", State.TASK_RUNNING, None)
    assert states(task.statuses) == ["TASK_STARTING", "TASK_RUNNING"]

    (status,) = statuses(agent.hear(link.Registered("A", PING_TIMEOUT_MS)))
    assert status.state is State.TASK_STARTING
    assert statuses(agent.advance(10_000)) == [status]


def test_a_failed_launch_is_in_the_registration_until_it_is_acknowledged() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    failed = events.SandboxFailed(agent.container("t"), events.SandboxStage.FETCH, "no")
    sent = agent.put(failed)
    agent.put(events.LinkLost())
    (again,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    (task,) = again.tasks
    (status,) = statuses(sent)
    assert (task.state, task.status_update_state, task.status_update_uuid) == (
        State.TASK_FAILED,
        State.TASK_FAILED,
        status.uuid,
    )
    agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    agent.acknowledge(sent)
    agent.put(events.LinkLost())
    (again,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    assert again.tasks == ()


def test_an_acknowledged_end_leaves_the_task_in_the_history_alone() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.put(events.ContainerExited(container, 0))
    agent.acknowledge_all(agent.advance(10_000))
    framework = agent.state.frameworks["F"]
    assert framework.tasks == {}
    assert list(framework.executors) == ["t"]  # it lingers for those who poll
    agent.advance(SETTINGS.linger_ms)
    assert agent.state.frameworks == {}
    (completed,) = agent.state.completed_frameworks
    (executor,) = completed.completed_executors
    (task,) = executor.completed_tasks
    assert (task.state, executor.container_id) == (State.TASK_FINISHED, container)


def test_the_history_is_bounded_and_comes_back_with_its_framework() -> None:
    agent = Agent(structs.replace(SETTINGS, completed_executors_max=2))
    for number in range(4):
        container = agent.run(task_info(f"t{number}"))
        agent.put(events.ContainerExited(container, 0))
        agent.acknowledge_all(agent.advance(10_000))
        agent.advance(SETTINGS.linger_ms)
    (framework,) = agent.state.completed_frameworks
    assert [one.id for one in framework.completed_executors] == ["t2", "t3"]


def test_sandboxes_are_removed_after_a_week() -> None:
    agent = Agent()
    quiet(agent)
    container = agent.run(task_info())
    agent.put(events.ContainerExited(container, 0))
    agent.acknowledge_all(agent.advance(10_000))
    agent.advance(SETTINGS.linger_ms)
    assert agent.advance(SETTINGS.gc_delay_ms - 1) == []
    removed = only(agent.advance(1), RemoveSandbox)
    assert removed.directory.endswith(container)
    assert not agent.state.sandboxes


def test_the_first_registration_asks_for_an_id() -> None:
    agent = Agent(registered=False)
    (register,) = messages(agent.put(events.LinkOpened()))
    assert register == link.Register(agent.state.info, "1.12.0", "127.0.0.1:5051")
    agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    assert agent.state.info.id == mesos.AgentID("A")


def test_pings_are_answered_and_their_absence_closes_the_link() -> None:
    agent = Agent()
    agent.advance(PING_TIMEOUT_MS - 1)
    assert agent.hear(link.Ping(7)) == [SendToMaster(link.Pong(7))]
    assert agent.advance(PING_TIMEOUT_MS - 1) == []
    assert isinstance(only(agent.advance(1), CloseLink), CloseLink)
    agent.put(events.LinkLost())
    assert agent.advance(10 * PING_TIMEOUT_MS) == []


def test_a_framework_that_is_shut_down_is_heard_of_no_more() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.hear(run_tasks(task_info("u")))
    agent.hear(link.ShutdownFramework("F"))
    assert statuses(agent.advance(4_999)) == []
    agent.advance(1)
    done = agent.put(events.ContainerExited(container, 9))
    assert statuses(done) == []
    assert agent.state.frameworks == {}
    (framework,) = agent.state.completed_frameworks
    assert sorted(one.id for one in framework.completed_executors) == ["t", "u"]


def test_the_info_of_a_framework_may_change() -> None:
    agent = Agent()
    agent.run(task_info())
    renamed = structs.replace(FRAMEWORK, name="renamed")
    agent.hear(link.UpdateFramework(renamed))
    assert agent.state.frameworks["F"].info == renamed
    other = structs.replace(FRAMEWORK, id=mesos.FrameworkID("other"))
    assert agent.hear(link.UpdateFramework(other)) == []
