"""Executors that subscribe: containers, calls, events, ends."""

from __future__ import annotations

import signal
from uuid import UUID

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    AbandonSandbox,
    AcceptExecutor,
    Action,
    AnswerExecutor,
    CloseExecutor,
    DestroyContainer,
    ForgetContainer,
    LaunchContainer,
    Limits,
    SendToExecutor,
    SendToMaster,
    UpdateContainer,
)
from tepui.agent.core.validation import executor_call_error
from tepui.wire import executor, link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    SETTINGS,
    Agent,
    duration,
    executor_events,
    executor_info,
    messages,
    only,
    run_tasks,
    states,
    statuses,
    task_info,
    without_notes,
)

State = mesos.TaskState
Reason = mesos.TaskStatus.Reason
Call = executor.Call
Event = executor.Event
MIB = 1 << 20
UUIDS = [UUID(int=number, version=4).bytes for number in range(1, 10)]


def subscribe(
    connection: int, updates: tuple[Call.Update, ...] = (), executor_id: str = "ex"
) -> events.ExecutorSubscribed:
    call = Call(
        type=Call.Type.SUBSCRIBE,
        executor_id=mesos.ExecutorID(executor_id),
        framework_id=mesos.FrameworkID("F"),
        subscribe=Call.Subscribe(unacknowledged_updates=updates),
    )
    return events.ExecutorSubscribed(connection, call)


def called(request: int, **parts: object) -> events.ExecutorCalled:
    call = Call(
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        **parts,  # type: ignore[arg-type]  # the test's own
    )
    return events.ExecutorCalled(request, call)


def status(state: State, uuid: bytes, task_id: str = "t") -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=state,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        executor_id=mesos.ExecutorID("ex"),
        uuid=uuid,
    )


def update(request: int, one: mesos.TaskStatus) -> events.ExecutorCalled:
    return called(request, type=Call.Type.UPDATE, update=Call.Update(status=one))


def event(kind: Event.Type, **parts: object) -> Event:
    return Event(type=kind, **parts)  # type: ignore[arg-type]  # the test's own


def task(task_id: str = "t", info: mesos.ExecutorInfo | None = None) -> mesos.TaskInfo:
    return task_info(task_id, executor_info=info or executor_info())


def launched(agent: Agent, *tasks: mesos.TaskInfo) -> str:
    """The executor's process runs, and has not subscribed."""
    agent.hear(run_tasks(*(tasks or (task(),))))
    container = agent.container("ex")
    agent.put(events.SandboxPrepared(container))
    agent.put(events.ContainerStarted(container, 99))
    return container


def test_tasks_wait_until_the_executor_has_subscribed() -> None:
    agent = Agent()
    agent.hear(run_tasks(task("t"), task("u")))
    container = agent.container("ex")
    launch = only(agent.put(events.SandboxPrepared(container)), LaunchContainer)
    assert launch.limits == Limits(1_100, None, 96 * MIB, 96 * MIB, 0)
    assert "MESOS_ALLOCATION_ROLE" not in launch.environment
    assert launch.environment["MESOS_EXECUTOR_ID"] == "ex"
    assert agent.put(events.ContainerStarted(container, 99)) == []

    done = agent.put(subscribe(5))
    info = structs.replace(executor_info(), framework_id=mesos.FrameworkID("F"))
    subscribed = Event.Subscribed(
        executor_info=info,
        framework_info=FRAMEWORK,
        agent_info=agent.state.info,
        container_id=mesos.ContainerID(value=container),
    )
    assert done == [
        AcceptExecutor(5),
        SendToExecutor(5, event(Event.Type.SUBSCRIBED, subscribed=subscribed)),
        SendToExecutor(5, event(Event.Type.LAUNCH, launch=Event.Launch(task=task("t")))),
        SendToExecutor(5, event(Event.Type.LAUNCH, launch=Event.Launch(task=task("u")))),
    ]


def test_a_later_task_makes_the_container_larger_and_its_end_leaves_the_memory_limit() -> None:
    agent = Agent()
    container = launched(agent)
    agent.put(subscribe(5))
    done = agent.hear(run_tasks(task("u")))
    two = Limits(1_100, None, 96 * MIB, 96 * MIB, 0)
    assert done == [
        UpdateContainer(container, two),
        SendToExecutor(5, event(Event.Type.LAUNCH, launch=Event.Launch(task=task("u")))),
    ]
    done = agent.put(update(1, status(State.TASK_FINISHED, UUIDS[0])))
    one = Limits(600, None, 64 * MIB, 96 * MIB, 0)
    assert only(done, UpdateContainer) == UpdateContainer(container, one)


def test_an_update_is_completed_acknowledged_and_forwarded() -> None:
    agent = Agent()
    container = launched(agent)
    agent.put(subscribe(5))
    given = structs.replace(status(State.TASK_RUNNING, UUIDS[0]), message="m", timestamp=7.0)
    done = agent.put(update(6, given))
    (sent,) = statuses(done)
    assert sent.container_status is not None
    assert sent.container_status.container_id == mesos.ContainerID(value=container)
    assert sent.container_status.executor_pid == 99
    assert sent == structs.replace(
        given, agent_id=mesos.AgentID("A"), container_status=sent.container_status
    )
    acknowledged = Event.Acknowledged(task_id=mesos.TaskID("t"), uuid=UUIDS[0])
    assert done[1:] == [
        SendToExecutor(5, event(Event.Type.ACKNOWLEDGED, acknowledged=acknowledged)),
        AnswerExecutor(6, 202, ""),
    ]


def test_an_update_that_comes_twice_is_taken_once() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.put(update(6, status(State.TASK_RUNNING, UUIDS[0])))
    done = agent.put(update(7, status(State.TASK_RUNNING, UUIDS[0])))
    assert messages(done) == []
    assert [one.type for one in executor_events(done)] == [Event.Type.ACKNOWLEDGED]


def test_a_second_end_of_a_task_is_ignored() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.put(update(6, status(State.TASK_FINISHED, UUIDS[0])))
    done = agent.put(update(7, status(State.TASK_FAILED, UUIDS[1])))
    assert messages(done) == []
    assert only(done, AnswerExecutor).status == 202
    assert agent.state.frameworks["F"].tasks["t"].state is State.TASK_FINISHED


WRONG = {
    "Expecting 'uuid' to be present": structs.replace(status(State.TASK_RUNNING, b""), uuid=None),
    "Not a valid UUID": status(State.TASK_RUNNING, b"\xff" * 16),  # of no known version
    "ExecutorID in Call: ex does not match ExecutorID in TaskStatus: other": structs.replace(
        status(State.TASK_RUNNING, UUIDS[0]), executor_id=mesos.ExecutorID("other")
    ),
    "Received Call from executor ex of framework F with invalid source, expecting"
    " 'SOURCE_EXECUTOR'": structs.replace(
        status(State.TASK_RUNNING, UUIDS[0]), source=mesos.TaskStatus.Source.SOURCE_AGENT
    ),
    "Received TASK_STAGING from executor ex of framework F which is not allowed": status(
        State.TASK_STAGING, UUIDS[0]
    ),
}


@pytest.mark.parametrize(("text", "wrong"), WRONG.items())
def test_a_wrong_update_is_refused(text: str, wrong: mesos.TaskStatus) -> None:
    assert executor_call_error(update(6, wrong).call) == text


@pytest.mark.parametrize(("text", "wrong"), WRONG.items())
def test_a_wrong_update_among_those_of_a_subscription_is_passed_over(
    text: str, wrong: mesos.TaskStatus
) -> None:
    agent = Agent()
    launched(agent)
    call = subscribe(5).call
    repeated = Call.Subscribe(unacknowledged_updates=(Call.Update(status=wrong),))
    done = agent.put(events.ExecutorSubscribed(5, structs.replace(call, subscribe=repeated)))
    assert messages(done) == []
    assert Event.Type.ACKNOWLEDGED not in [one.type for one in executor_events(done)]


def test_callers_that_are_not_known_or_not_subscribed_are_refused() -> None:
    agent = Agent()
    running = update(1, status(State.TASK_RUNNING, UUIDS[0]))
    assert agent.put(running) == [AnswerExecutor(1, 400, "Framework cannot be found")]
    assert agent.put(subscribe(2)) == [AnswerExecutor(2, 400, "Framework cannot be found")]
    launched(agent)
    assert agent.put(running) == [AnswerExecutor(1, 403, "Executor is not subscribed")]
    other = subscribe(2, executor_id="other")
    assert agent.put(other) == [AnswerExecutor(2, 400, "Executor cannot be found")]


def test_a_command_task_has_no_executor_to_subscribe() -> None:
    agent = Agent()
    agent.run(task_info("ex"))
    assert agent.put(subscribe(2)) == [AnswerExecutor(2, 400, "Executor cannot be found")]


def test_messages_go_both_ways() -> None:
    agent = Agent()
    launched(agent)
    to_executor = link.SchedulerMessage("F", "ex", b"hello")
    assert without_notes(agent.hear(to_executor)) == []  # nobody listens yet
    agent.put(subscribe(5))
    message = Event.Message(data=b"hello")
    assert agent.hear(to_executor) == [
        SendToExecutor(5, event(Event.Type.MESSAGE, message=message))
    ]
    done = agent.put(called(6, type=Call.Type.MESSAGE, message=Call.Message(data=b"reply")))
    assert done == [
        SendToMaster(link.ExecutorMessage("F", "ex", b"reply")),
        AnswerExecutor(6, 202, ""),
    ]
    assert agent.put(called(7, type=Call.Type.HEARTBEAT)) == [AnswerExecutor(7, 202, "")]
    assert only(agent.put(called(8, type=Call.Type.UNKNOWN)), AnswerExecutor).status == 501


def test_a_kill_is_the_executors_to_do() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    policy = mesos.KillPolicy(grace_period=duration(3_000))
    kill = Event.Kill(task_id=mesos.TaskID("t"), kill_policy=policy)
    assert agent.hear(link.KillTask("F", "t", policy)) == [
        SendToExecutor(5, event(Event.Type.KILL, kill=kill))
    ]


def test_a_queued_task_is_killed_at_once_and_its_executor_not_needed() -> None:
    agent = Agent()
    container = launched(agent)
    done = agent.hear(link.KillTask("F", "t", None))
    (killed,) = statuses(done)
    assert (killed.state, killed.reason, killed.message) == (
        State.TASK_KILLED,
        Reason.REASON_TASK_KILLED_DURING_LAUNCH,
        "Killed before delivery to the executor",
    )
    assert agent.put(subscribe(5)) == [
        AcceptExecutor(5),
        SendToExecutor(5, event(Event.Type.SHUTDOWN)),
        CloseExecutor(5),
    ]
    assert DestroyContainer(container) in agent.advance(5_000)


def test_an_executor_that_does_not_subscribe_in_time_is_destroyed() -> None:
    agent = Agent(structs.replace(SETTINGS, executor_registration_timeout_ms=5_000))
    container = launched(agent)
    assert agent.advance(4_999) == []
    assert agent.advance(1) == [DestroyContainer(container)]
    done = agent.put(events.ContainerExited(container, signal.SIGKILL))
    exited, failed = messages(done)
    assert exited == link.ExecutorExited("F", "ex", 9, built_in=False)
    assert isinstance(failed, link.StatusUpdated)
    assert (failed.status.state, failed.status.reason, failed.status.message) == (
        State.TASK_FAILED,
        Reason.REASON_EXECUTOR_REGISTRATION_TIMEOUT,
        "Executor did not register within 5secs",
    )


def test_an_executor_that_subscribed_may_take_its_time() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.state.timers.cancel(agent.state.ping_timer)
    done = agent.advance(3_600_000)
    assert {one.type for one in executor_events(done)} == {Event.Type.HEARTBEAT}
    assert len(done) == 120


def test_the_executor_is_told_gone_before_its_tasks_fail() -> None:
    agent = Agent()
    container = launched(agent, task("t"), task("u"))
    done = agent.put(events.ContainerExited(container, 256))
    first, *updates = messages(done)
    assert first == link.ExecutorExited("F", "ex", 256, built_in=False)
    assert [one.status.message for one in updates if isinstance(one, link.StatusUpdated)] == [
        "Executor terminated"
    ] * 2
    assert states(statuses(done)) == ["TASK_FAILED", "TASK_FAILED"]
    assert done[-1] == ForgetContainer(container)
    agent.acknowledge(done)
    assert agent.state.frameworks == {}


def test_tasks_that_have_ended_do_not_fail_with_their_executor() -> None:
    agent = Agent()
    container = launched(agent)
    agent.put(subscribe(5))
    sent = agent.put(update(6, status(State.TASK_FINISHED, UUIDS[0])))
    done = agent.put(events.ContainerExited(container, 0))
    assert done == [
        CloseExecutor(5),
        SendToMaster(link.ExecutorExited("F", "ex", 0, built_in=False)),
        ForgetContainer(container),
    ]
    agent.acknowledge(sent)
    assert agent.state.frameworks == {}


def test_a_shutdown_is_asked_for_and_then_done() -> None:
    agent = Agent()
    container = launched(agent)
    agent.put(subscribe(5))
    shutdown = link.ShutdownExecutor("F", "ex")
    assert agent.hear(shutdown) == [SendToExecutor(5, event(Event.Type.SHUTDOWN))]
    assert agent.hear(shutdown) == []
    assert agent.advance(4_999) == []
    assert agent.advance(1) == [DestroyContainer(container)]
    assert without_notes(agent.hear(link.ShutdownExecutor("F", "other"))) == []


def test_an_executors_own_grace_comes_first() -> None:
    agent = Agent()
    info = structs.replace(executor_info(), shutdown_grace_period=duration(7_000))
    container = launched(agent, task("t", info))
    agent.put(subscribe(5))
    agent.hear(link.ShutdownFramework("F"))
    assert agent.advance(6_999) == []
    assert agent.advance(1) == [DestroyContainer(container)]
    done = agent.put(events.ContainerExited(container, 9))
    assert statuses(done) == []
    assert agent.state.frameworks == {}


def test_a_shutdown_before_the_process_runs_ends_it_at_once() -> None:
    agent = Agent()
    agent.hear(run_tasks(task()))
    container = agent.container("ex")
    done = agent.hear(link.ShutdownExecutor("F", "ex"))
    assert done[0] == AbandonSandbox(container)
    assert messages(done)[0] == link.ExecutorExited("F", "ex", -1, built_in=False)
    assert states(statuses(done)) == ["TASK_FAILED"]


def test_a_task_for_an_executor_that_ends_is_lost() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.hear(link.ShutdownExecutor("F", "ex"))
    (lost,) = statuses(agent.hear(run_tasks(task("u"))))
    assert (lost.state, lost.reason, lost.message) == (
        State.TASK_LOST,
        Reason.REASON_EXECUTOR_TERMINATED,
        "Executor terminating",
    )


def test_an_executor_may_come_back_with_what_was_not_acknowledged() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.put(update(6, status(State.TASK_STARTING, UUIDS[0])))
    assert agent.put(events.ExecutorLeft(5)) == []
    again = tuple(
        Call.Update(status=status(state, uuid))
        for state, uuid in ((State.TASK_STARTING, UUIDS[0]), (State.TASK_RUNNING, UUIDS[1]))
    )
    done = agent.put(subscribe(8, again))
    kinds = [one.type for one in executor_events(done)]
    assert kinds == [Event.Type.SUBSCRIBED, Event.Type.ACKNOWLEDGED, Event.Type.ACKNOWLEDGED]
    assert len(agent.state.frameworks["F"].tasks["t"].pending) == 2


def test_a_task_that_never_reached_the_executor_is_lost() -> None:
    agent = Agent()
    launched(agent, task("t"), task("u"), task("v"))
    agent.put(subscribe(5))
    agent.put(update(6, status(State.TASK_RUNNING, UUIDS[0], "t")))
    again = subscribe(8)
    assert again.call.subscribe is not None
    known = structs.replace(again.call.subscribe, unacknowledged_tasks=(task("u"),))
    done = agent.put(events.ExecutorSubscribed(8, structs.replace(again.call, subscribe=known)))
    (lost,) = statuses(done)
    assert (lost.task_id.value, lost.state, lost.reason) == (
        "v",
        State.TASK_LOST,
        Reason.REASON_AGENT_RESTARTED,
    )


def test_a_second_subscription_closes_the_first() -> None:
    agent = Agent()
    launched(agent)
    agent.put(subscribe(5))
    agent.put(update(7, status(State.TASK_RUNNING, UUIDS[0])))
    done: list[Action] = agent.put(subscribe(6))
    assert done[:2] == [CloseExecutor(5), AcceptExecutor(6)]
    assert agent.put(events.ExecutorLeft(5)) == []
    assert agent.state.frameworks["F"].executors["ex"].connection == 6


def test_registrations_name_executors_that_subscribe() -> None:
    agent = Agent()
    launched(agent)
    agent.put(events.LinkLost())
    (again,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    info = structs.replace(executor_info(), framework_id=mesos.FrameworkID("F"))
    assert again.executors == (link.RunningExecutor("F", info),)
    (one,) = again.tasks
    assert (one.state, one.executor_id) == (State.TASK_STAGING, mesos.ExecutorID("ex"))
