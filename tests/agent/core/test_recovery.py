"""An agent is killed, and another goes on where it was: tasks, executors, updates, sandboxes."""

from __future__ import annotations

import signal
from random import Random
from uuid import UUID

import pytest
from msgspec import structs
from msgspec.msgpack import decode, encode

from tepui.agent.core import events
from tepui.agent.core.actions import (
    Action,
    AdoptContainer,
    AttachSandbox,
    CloseLink,
    DestroyContainer,
    ForgetContainer,
    LaunchContainer,
    PrepareSandbox,
    ProvisionContainer,
    RemoveSandbox,
    RunCheck,
    SignalContainer,
    UpdateContainer,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.executors import HELD_UP_MS
from tepui.agent.core.invariants import check
from tepui.agent.core.launches import under_way
from tepui.agent.core.recovery import Found, Leftovers
from tepui.agent.core.saved import Save, Saved, SavedExecutor, SavedTask, SavedUpdate
from tepui.agent.core.state import TAKEN_PER_TASK_MAX
from tepui.storage.checks import check_key
from tepui.wire import executor, link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
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
)
from tests.agent.core.test_walks import World

State = mesos.TaskState
Reason = mesos.TaskStatus.Reason
Call = executor.Call
Kind = executor.Event.Type
PARTITION_AWARE = mesos.FrameworkInfo.Capability.Type.PARTITION_AWARE
AWARE = structs.replace(
    FRAMEWORK, capabilities=(mesos.FrameworkInfo.Capability(type=PARTITION_AWARE),)
)
FORGETFUL = structs.replace(FRAMEWORK, checkpoint=False)
OTHER = structs.replace(FRAMEWORK, id=mesos.FrameworkID("G"))
UNKNOWN = "Abnormal executor termination: unknown container"
DAY_MS = 86_400_000


def left(*names: str) -> Leftovers:
    """These containers run; `left()`: none does."""
    return Leftovers(containers={name: Found(4711) for name in names})


def ended(name: str, status: int = 0, oom: str | None = None) -> Leftovers:
    """This container has exited meanwhile."""
    return Leftovers(containers={name: Found(4711, events.ContainerExited(name, status, oom))})


def back(agent: Agent) -> list[Action]:
    """The master has the agent again."""
    if agent.state.linked:
        agent.put(events.LinkLost())
    return agent.put(events.LinkOpened()) + agent.hear(link.Registered("A", PING_TIMEOUT_MS))


def running(agent: Agent, task: mesos.TaskInfo | None = None) -> str:
    """A command task runs, and the scheduler knows; its container."""
    given = task or task_info()
    agent.hear(run_tasks(given))
    name = agent.container(given.task_id.value)
    agent.put(events.SandboxPrepared(name))
    agent.acknowledge_all(agent.put(events.ContainerStarted(name, 4711)))
    return name


def own_task(task_id: str = "t", executor_id: str = "ex") -> mesos.TaskInfo:
    return task_info(task_id, executor_info=executor_info(executor_id))


def launched(
    agent: Agent, *tasks: mesos.TaskInfo, framework: mesos.FrameworkInfo = FRAMEWORK
) -> str:
    """The process of an executor of its own runs, and has not subscribed; its container."""
    given = tasks or (own_task(),)
    agent.hear(run_tasks(*given, framework=framework))
    assert given[0].executor is not None
    assert framework.id is not None
    name = agent.container(given[0].executor.executor_id.value, framework.id.value)
    agent.put(events.SandboxPrepared(name))
    agent.put(events.ContainerStarted(name, 4711))
    return name


def subscribed(
    agent: Agent, *tasks: mesos.TaskInfo, framework: mesos.FrameworkInfo = FRAMEWORK
) -> str:
    """The executor was given the tasks; its container."""
    name = launched(agent, *tasks, framework=framework)
    agent.put(subscribe())
    return name


def subscribe(
    *,
    updates: tuple[mesos.TaskStatus, ...] = (),
    tasks: tuple[mesos.TaskInfo, ...] = (),
    executor_id: str = "ex",
    connection: int = 5,
) -> events.ExecutorSubscribed:
    call = Call(
        type=Call.Type.SUBSCRIBE,
        executor_id=mesos.ExecutorID(executor_id),
        framework_id=mesos.FrameworkID("F"),
        subscribe=Call.Subscribe(
            unacknowledged_updates=tuple(Call.Update(status=one) for one in updates),
            unacknowledged_tasks=tasks,
        ),
    )
    return events.ExecutorSubscribed(connection, call)


def status(state: State, number: int, task_id: str = "t") -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=state,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        executor_id=mesos.ExecutorID("ex"),
        uuid=UUID(int=number, version=4).bytes,
    )


def updated(one: mesos.TaskStatus) -> events.ExecutorCalled:
    call = Call(
        type=Call.Type.UPDATE,
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        update=Call.Update(status=one),
    )
    return events.ExecutorCalled(7, call)


def kinds(done: list[Action]) -> list[Kind | None]:
    return [one.type for one in executor_events(done)]


def of_kind(done: list[Action], kind: type[Action]) -> list[Action]:
    return [one for one in done if isinstance(one, kind)]


# Command tasks


def test_a_running_command_is_adopted_and_nobody_is_told() -> None:
    agent = Agent()
    name = running(agent)
    container = agent.state.containers[name].container
    done = agent.restart(left(name))
    adopted = AdoptContainer(name, container.limits, container.directory)
    assert only(done, AdoptContainer) == adopted
    assert statuses(done + back(agent)) == []
    assert agent.state.containers[name].container.pid == 4711
    (end,) = statuses(agent.put(events.ContainerExited(name, 0)))
    assert end.state is State.TASK_FINISHED


def test_the_sandbox_of_a_running_command_can_be_seen_again() -> None:
    agent = Agent()
    name = running(agent)
    directory = agent.state.containers[name].directory
    attached = only(agent.restart(left(name)), AttachSandbox)
    assert attached == AttachSandbox(directory, "/frameworks/F/executors/t/runs/latest")


@pytest.mark.parametrize(
    ("wait_status", "oom", "state", "reason", "message"),
    [
        (0, None, State.TASK_FINISHED, None, "Command exited with status 0"),
        (256, None, State.TASK_FAILED, None, "Command exited with status 1"),
        (9, None, State.TASK_FAILED, None, "Command terminated with signal Killed"),
        (9, "much", State.TASK_FAILED, Reason.REASON_CONTAINER_LIMITATION_MEMORY, "much"),
    ],
    ids=["zero", "other", "signal", "memory"],
)
def test_a_command_that_exited_meanwhile_ends_as_if_it_did_now(
    wait_status: int, oom: str | None, state: State, reason: Reason | None, message: str
) -> None:
    agent = Agent()
    name = running(agent)
    done = agent.restart(ended(name, wait_status, oom))
    assert of_kind(done, AdoptContainer) == []
    assert only(done, ForgetContainer) == ForgetContainer(name)
    (end,) = agent.acknowledge_all(back(agent))
    assert (end.state, end.reason, end.message) == (state, reason, message)
    agent.advance(1_000)
    assert list(agent.disk) == ["agent"]


def test_a_kill_goes_on_with_what_is_left_of_its_grace() -> None:
    agent = Agent()
    name = running(agent)
    agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(10_000))))
    agent.advance(4_000)
    done = agent.restart(left(name))
    assert only(done, SignalContainer) == SignalContainer(name, signal.SIGTERM)
    assert of_kind(agent.advance(5_999), DestroyContainer) == []
    assert of_kind(agent.advance(1), DestroyContainer) == [DestroyContainer(name)]
    back(agent)
    (end,) = statuses(agent.put(events.ContainerExited(name, 9)))
    assert end.state is State.TASK_KILLED


def test_a_kill_whose_grace_passed_meanwhile_destroys_at_once() -> None:
    agent = Agent()
    name = running(agent)
    agent.hear(link.KillTask("F", "t", None))
    agent.now_ms += 60_000
    agent.restart(left(name))
    assert of_kind(agent.advance(0), DestroyContainer) == [DestroyContainer(name)]


def test_a_second_kill_after_the_restart_makes_the_grace_shorter() -> None:
    agent = Agent()
    name = running(agent)
    agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(60_000))))
    agent.advance(5_000)
    agent.restart(left(name))
    back(agent)
    agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(6_000))))
    assert of_kind(agent.advance(1_000), DestroyContainer) == [DestroyContainer(name)]


def test_a_killed_command_that_exited_meanwhile_is_killed() -> None:
    agent = Agent()
    name = running(agent)
    agent.hear(link.KillTask("F", "t", None))
    agent.restart(ended(name, 15))
    (end,) = statuses(back(agent))
    assert (end.state, end.message) == (
        State.TASK_KILLED,
        "Command terminated with signal Terminated",
    )
    assert of_kind(agent.advance(60_000), DestroyContainer) == []


def test_a_killed_command_is_not_checked_again() -> None:
    agent = Agent()
    health = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND, command=mesos.CommandInfo(value="x")
    )
    name = running(agent, task_info(health_check=health))
    agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(DAY_MS))))
    agent.restart(left(name))
    assert of_kind(agent.advance(60_000), RunCheck) == []


def test_a_kill_works_after_a_restart() -> None:
    agent = Agent()
    name = running(agent)
    agent.restart(left(name))
    back(agent)
    done = agent.hear(link.KillTask("F", "t", None))
    assert only(done, SignalContainer) == SignalContainer(name, signal.SIGTERM)
    assert of_kind(agent.advance(3_000), DestroyContainer) == [DestroyContainer(name)]


def launching(agent: Agent) -> str:
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    only(agent.put(events.SandboxPrepared(name)), LaunchContainer)
    return name


def test_a_command_that_was_being_launched_and_runs_is_running() -> None:
    agent = Agent()
    name = launching(agent)
    done = agent.restart(left(name))
    assert only(done, AdoptContainer).container_id == name
    assert of_kind(done, LaunchContainer) == []
    came = agent.acknowledge_all(back(agent))
    assert states(came) == ["TASK_STARTING", "TASK_RUNNING"]
    assert {one.container_status.executor_pid for one in came if one.container_status} == {4711}


def test_a_command_that_was_being_launched_and_has_exited_has_run() -> None:
    agent = Agent()
    agent.restart(ended(launching(agent)))
    assert states(agent.acknowledge_all(back(agent))) == [
        "TASK_STARTING",
        "TASK_RUNNING",
        "TASK_FINISHED",
    ]


def test_a_command_that_was_being_launched_and_is_not_there_has_failed() -> None:
    agent = Agent()
    name = launching(agent)
    done = agent.restart()
    assert of_kind(done, LaunchContainer) == []
    assert only(done, DestroyContainer) == DestroyContainer(name)  # it may be about to start
    (end,) = agent.acknowledge_all(back(agent))
    assert (end.state, end.reason, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_EXECUTOR_TERMINATED,
        UNKNOWN,
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_an_agent_that_ends_now_would_fail_tasks_until_their_process_runs(
    *, own: bool, checkpoint: bool
) -> None:
    agent = Agent()
    framework = FRAMEWORK if checkpoint else FORGETFUL
    assert not under_way(agent.state)
    agent.hear(run_tasks(own_task() if own else task_info(), framework=framework))
    assert under_way(agent.state) == (not checkpoint)  # the next one would prepare it again
    name = agent.container("ex" if own else "t")
    agent.put(events.SandboxPrepared(name))
    assert under_way(agent.state)
    agent.put(events.ContainerStarted(name, 4711))
    assert not under_way(agent.state)


@pytest.mark.parametrize("own", [False, True])
def test_a_sandbox_that_was_being_prepared_is_prepared_again(*, own: bool) -> None:
    agent = Agent()
    first = only(agent.hear(run_tasks(own_task() if own else task_info())), PrepareSandbox)
    assert only(agent.restart(), PrepareSandbox) == first
    assert statuses(back(agent)) == []
    agent.put(events.SandboxPrepared(first.container_id))
    agent.put(events.ContainerStarted(first.container_id, 4711))
    if not own:
        came = agent.acknowledge_all(back(agent))
        assert states(came) == ["TASK_STARTING", "TASK_RUNNING"]


IMAGE = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS)


def test_a_container_that_was_being_provisioned_is_provisioned_again() -> None:
    agent = Agent()
    agent.hear(run_tasks(structs.replace(task_info(), container=IMAGE)))
    name = agent.container("t")
    first = only(agent.put(events.SandboxPrepared(name)), ProvisionContainer)
    done = agent.restart()
    assert only(done, ProvisionContainer) == first
    assert of_kind(done, DestroyContainer) == []
    only(agent.put(events.ContainerProvisioned(name)), LaunchContainer)
    agent.put(events.ContainerStarted(name, 4711))
    assert states(agent.acknowledge_all(back(agent))) == ["TASK_STARTING", "TASK_RUNNING"]


def test_a_command_that_was_killed_while_it_was_provisioned_is_killed() -> None:
    agent = Agent()
    agent.hear(run_tasks(structs.replace(task_info(), container=IMAGE)))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    assert agent.hear(link.KillTask("F", "t", None)) == [DestroyContainer(name)]
    done = agent.restart()
    assert of_kind(done, ProvisionContainer) == []
    (end,) = agent.acknowledge_all(back(agent))
    assert end.state is State.TASK_KILLED


def test_the_addresses_of_a_container_are_known_after_a_restart() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    address = mesos.NetworkInfo.IPAddress(ip_address="10.1.2.3")
    infos = (mesos.NetworkInfo(name="net", ip_addresses=(address,)),)
    agent.acknowledge_all(agent.put(events.ContainerStarted(name, 4711, infos)))
    agent.restart(left(name))
    back(agent)
    (end,) = statuses(agent.put(events.ContainerExited(name, 0)))
    assert end.container_status is not None
    assert end.container_status.network_infos == infos


def test_what_an_agent_without_pods_has_saved_is_read() -> None:
    agent = Agent()
    name = running(agent, task_info("c"))
    own = subscribed(agent)
    agent.hear(link.KillTask("F", "c", None))
    for key in (f"executors/{name}", f"executors/{own}"):
        before = agent.disk[key]
        assert isinstance(before, SavedExecutor)
        agent.disk[key] = structs.replace(before, kind=None)
    agent.restart(left(name, own))
    kinds_found = {one.container_id: one.kind for one in agent.state.containers.values()}
    assert {name: kinds_found[name].name, own: kinds_found[own].name} == {
        name: "COMMAND",
        own: "CUSTOM",
    }


def test_a_command_that_was_killed_while_it_was_launched_is_destroyed_when_it_is_found() -> None:
    agent = Agent()
    name = launching(agent)
    agent.hear(link.KillTask("F", "t", None))
    assert only(agent.restart(left(name)), DestroyContainer) == DestroyContainer(name)
    assert statuses(back(agent)) == []
    (end,) = statuses(agent.put(events.ContainerExited(name, 9)))
    assert (end.state, end.reason) == (
        State.TASK_KILLED,
        Reason.REASON_TASK_KILLED_DURING_LAUNCH,
    )


def test_a_command_that_was_killed_while_it_was_launched_and_is_not_there_is_killed() -> None:
    agent = Agent()
    launching(agent)
    agent.hear(link.KillTask("F", "t", None))
    agent.restart()
    (end,) = agent.acknowledge_all(back(agent))
    assert end.state is State.TASK_KILLED


def test_all_commands_have_failed_once_when_the_machine_was_started_anew() -> None:
    agent = Agent()
    running(agent, task_info("a"))
    running(agent, task_info("b"))
    agent.restart()
    came = agent.acknowledge_all(back(agent))
    assert [(one.task_id.value, one.state.name, one.message) for one in came] == [
        ("a", "TASK_FAILED", UNKNOWN),
        ("b", "TASK_FAILED", UNKNOWN),
    ]
    assert agent.state.info.id == mesos.AgentID("A")
    agent.advance(1_000)
    agent.restart()
    assert statuses(back(agent)) == []
    assert list(agent.disk) == ["agent"]


def with_health(grace_s: float) -> mesos.TaskInfo:
    health = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        command=mesos.CommandInfo(value="x"),
        delay_seconds=1.0,
        interval_seconds=1.0,
        grace_period_seconds=grace_s,
        consecutive_failures=1,
    )
    return task_info(health_check=health)


def probe_fails(agent: Agent) -> list[Action]:
    run = only(agent.advance(1_000), RunCheck)
    return agent.put(events.CheckFinished(run.check_id, events.CommandExited(256)))


def test_the_grace_of_a_health_check_counts_from_the_start_of_the_task() -> None:
    agent = Agent()
    name = running(agent, with_health(10.0))
    agent.now_ms += 9_000
    agent.restart(left(name))
    assert of_kind(probe_fails(agent), SignalContainer) == []
    agent.restart(left(name))
    assert of_kind(probe_fails(agent), SignalContainer) == [SignalContainer(name, signal.SIGTERM)]


def test_a_task_that_was_healthy_has_no_grace_any_more() -> None:
    agent = Agent()
    name = running(agent, with_health(1_000.0))
    run = only(agent.advance(1_000), RunCheck)
    done = agent.put(events.CheckFinished(run.check_id, events.CommandExited(0)))
    agent.acknowledge_all(done)
    agent.restart(left(name))
    assert of_kind(probe_fails(agent), SignalContainer) == [SignalContainer(name, signal.SIGTERM)]


def test_the_completion_time_counts_from_the_start_of_the_task() -> None:
    agent = Agent()
    name = running(agent, task_info(max_completion_ms=10_000))
    agent.now_ms += 9_000
    agent.restart(left(name))
    assert of_kind(agent.advance(999), SignalContainer) == []
    done = agent.advance(1)
    assert of_kind(done, SignalContainer) == [SignalContainer(name, signal.SIGTERM)]


def test_a_completion_time_that_passed_meanwhile_ends_the_task_at_once() -> None:
    agent = Agent()
    name = running(agent, task_info(max_completion_ms=10_000))
    agent.now_ms += DAY_MS
    agent.restart(left(name))
    assert only(agent.advance(0), SignalContainer).container_id == name
    agent.restart(left(name))  # once more, before it has ended
    assert of_kind(agent.advance(0), DestroyContainer) == [DestroyContainer(name)]
    back(agent)
    (end,) = statuses(agent.put(events.ContainerExited(name, 9)))
    assert (end.state, end.reason) == (
        State.TASK_FAILED,
        Reason.REASON_MAX_COMPLETION_TIME_REACHED,
    )


def test_a_command_that_is_in_its_second_agent_outlives_that_too() -> None:
    agent = Agent()
    name = running(agent)
    before = dict(agent.disk)
    for _ in range(3):
        agent.restart(left(name))
        assert statuses(back(agent)) == []
    assert agent.disk == before


# Updates


def test_only_the_first_update_is_sent_again_and_with_its_uuid() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    (starting,) = statuses(agent.put(events.ContainerStarted(name, 4711)))
    agent.restart(left(name))
    sent = back(agent)
    assert statuses(sent) == [starting]
    (update,) = [one for one in messages(sent) if isinstance(one, link.StatusUpdated)]
    assert update.latest_state is State.TASK_RUNNING
    (again,) = statuses(agent.advance(10_000))
    assert again.uuid == starting.uuid
    assert states(agent.acknowledge_all(sent)) == ["TASK_STARTING", "TASK_RUNNING"]


def test_an_acknowledgement_that_was_saved_is_not_forgotten() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    agent.acknowledge(agent.put(events.ContainerStarted(name, 4711)))
    agent.restart(left(name))
    assert states(statuses(back(agent))) == ["TASK_RUNNING"]


def test_an_acknowledgement_of_another_update_changes_nothing_after_a_restart() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    agent.put(events.ContainerStarted(name, 4711))
    agent.restart(left(name))
    back(agent)
    before = dict(agent.disk)
    agent.hear(link.AcknowledgeUpdate("F", "t", b"x" * 16))
    agent.hear(link.AcknowledgeUpdate("F", "u", b"x" * 16))
    assert agent.disk == before


def test_an_end_that_is_not_acknowledged_outlives_its_executor() -> None:
    agent = Agent()
    name = running(agent)
    (end,) = statuses(agent.put(events.ContainerExited(name, 0)))
    done = agent.restart()
    assert of_kind(done, DestroyContainer) == []
    sent = back(agent)
    assert statuses(sent) == [end]
    (again,) = [one for one in messages(sent) if isinstance(one, link.Reregister)]
    assert [(one.task_id.value, one.state) for one in again.tasks] == [("t", State.TASK_FINISHED)]
    assert again.executors == ()
    agent.acknowledge(sent)
    assert list(agent.disk) == ["agent"]


def test_a_task_of_an_ended_executor_of_its_own_keeps_its_end() -> None:
    agent = Agent()
    name = subscribed(agent, own_task("t"), own_task("u"))
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    agent.put(updated(status(State.TASK_FINISHED, 2)))
    agent.put(events.ContainerExited(name, 0))
    agent.restart()
    came = agent.acknowledge_all(back(agent))
    ends = [(one.task_id.value, one.state.name) for one in came]
    assert ends == [("t", "TASK_FINISHED"), ("u", "TASK_FAILED")]
    assert list(agent.disk) == ["agent"]


# Executors of their own


def test_an_executor_that_comes_back_in_time_goes_on_without_an_update() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    done = agent.restart(left(name)) + back(agent)
    done += agent.advance(14_999)
    done += agent.put(subscribe())
    done += agent.advance(60_000)
    assert statuses(done) == []
    assert of_kind(done, DestroyContainer) == []
    assert Kind.SUBSCRIBED in kinds(done)
    assert Kind.LAUNCH not in kinds(done)
    assert Kind.SHUTDOWN not in kinds(done)


@pytest.mark.parametrize(
    ("framework", "state"),
    [(AWARE, State.TASK_GONE), (FRAMEWORK, State.TASK_LOST)],
    ids=["partition aware", "other"],
)
def test_an_executor_that_does_not_come_back_is_ended(
    framework: mesos.FrameworkInfo, state: State
) -> None:
    agent = Agent()
    name = subscribed(agent, framework=framework)
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    agent.restart(left(name))
    back(agent)
    assert of_kind(agent.advance(14_999), DestroyContainer) == []
    assert of_kind(agent.advance(1), DestroyContainer) == [DestroyContainer(name)]
    assert kinds(agent.put(subscribe())) == [Kind.SHUTDOWN]  # too late
    (end,) = agent.acknowledge_all(agent.put(events.ContainerExited(name, 9)))
    assert (end.state, end.reason, end.message) == (
        state,
        Reason.REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
        "Executor did not reregister within 15secs",
    )


def test_an_agent_that_was_frozen_gives_its_executors_their_time_again() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.restart(left(name))
    agent.now_ms += 15_000 + HELD_UP_MS + 1  # its timers did not ring meanwhile
    assert of_kind(agent.put(), DestroyContainer) == []
    assert of_kind(agent.advance(14_999), DestroyContainer) == []
    assert of_kind(agent.advance(1), DestroyContainer) == [DestroyContainer(name)]


def test_an_agent_that_was_a_little_late_ends_a_silent_executor() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.restart(left(name))
    agent.now_ms += 15_000 + HELD_UP_MS
    assert of_kind(agent.put(), DestroyContainer) == [DestroyContainer(name)]


def test_the_end_of_a_silent_executor_is_the_same_after_another_restart() -> None:
    agent = Agent()
    name = subscribed(agent, framework=AWARE)
    agent.restart(left(name))
    agent.advance(15_000)
    assert only(agent.restart(left(name)), DestroyContainer) == DestroyContainer(name)
    agent.restart(ended(name, 9))
    (end,) = statuses(back(agent))
    assert end.message == "Executor did not reregister within 15secs"


def test_the_flag_says_how_long_an_executor_may_take() -> None:
    settings = structs.replace(SETTINGS, executor_reregistration_timeout_ms=2_000)
    agent = Agent(settings)
    name = subscribed(agent)
    agent.restart(left(name))
    assert of_kind(agent.advance(1_999), DestroyContainer) == []
    assert of_kind(agent.advance(1), DestroyContainer) == [DestroyContainer(name)]


def test_an_executor_that_never_subscribed_gets_its_tasks_from_the_next_agent() -> None:
    agent = Agent()
    name = launched(agent, own_task("u"), own_task("t"))
    agent.restart(left(name))
    done = back(agent) + agent.put(subscribe())
    assert kinds(done) == [Kind.SUBSCRIBED, Kind.LAUNCH, Kind.LAUNCH]
    launches = [event.launch for event in executor_events(done) if event.launch is not None]
    assert [launch.task.task_id.value for launch in launches] == ["u", "t"]  # as they came
    assert statuses(done) == []


def test_an_executor_that_never_subscribed_has_its_whole_time_to_do_it() -> None:
    agent = Agent()
    name = launched(agent)
    agent.advance(59_000)
    agent.restart(left(name))
    back(agent)
    assert of_kind(agent.advance(59_999), DestroyContainer) == []
    assert of_kind(agent.advance(1), DestroyContainer) == [DestroyContainer(name)]
    (end,) = statuses(agent.put(events.ContainerExited(name, 9)))
    assert (end.state, end.reason, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_EXECUTOR_REGISTRATION_TIMEOUT,
        "Executor did not register within 1mins",
    )


def test_an_executor_whose_launch_nobody_heard_of_has_its_time_to_subscribe() -> None:
    agent = Agent()
    agent.hear(run_tasks(own_task()))
    name = agent.container("ex")
    agent.put(events.SandboxPrepared(name))
    agent.restart(left(name))
    assert kinds(agent.put(subscribe())) == [Kind.SUBSCRIBED, Kind.LAUNCH]


def test_updates_that_an_executor_brings_back_are_taken_once() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.restart(left(name))
    mine = (status(State.TASK_STARTING, 1), status(State.TASK_RUNNING, 2))
    done = agent.put(subscribe(updates=mine))
    assert kinds(done) == [Kind.SUBSCRIBED, Kind.ACKNOWLEDGED, Kind.ACKNOWLEDGED]
    assert statuses(done) == []  # no master yet
    agent.put(subscribe(updates=mine, connection=6))
    assert states(agent.acknowledge_all(back(agent))) == ["TASK_STARTING", "TASK_RUNNING"]


def test_updates_that_were_acknowledged_before_the_crash_are_not_new() -> None:
    agent = Agent()
    name = subscribed(agent)
    mine = (
        status(State.TASK_STARTING, 1),
        status(State.TASK_RUNNING, 2),
        status(State.TASK_RUNNING, 3),
    )
    for one in mine:
        agent.acknowledge_all(agent.put(updated(one)))
    for _ in range(2):
        agent.restart(left(name))
        done = back(agent) + agent.put(subscribe(updates=mine))
        assert kinds(done) == [Kind.SUBSCRIBED, *[Kind.ACKNOWLEDGED] * 3]
        assert statuses(done) == []
    assert agent.state.frameworks["F"].tasks["t"].state is State.TASK_RUNNING


def test_an_update_that_is_pending_is_not_doubled_by_its_executor() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.put(updated(status(State.TASK_RUNNING, 1)))
    agent.restart(left(name))
    agent.put(subscribe(updates=(status(State.TASK_RUNNING, 1),)))
    (came,) = agent.acknowledge_all(back(agent))
    assert came.uuid == status(State.TASK_RUNNING, 1).uuid


def test_an_end_that_was_acknowledged_before_the_crash_is_not_told_again() -> None:
    agent = Agent()
    name = subscribed(agent, own_task("t"), own_task("u"))
    agent.acknowledge_all(agent.put(updated(status(State.TASK_FINISHED, 1))))
    agent.restart(left(name))
    done = back(agent) + agent.put(
        subscribe(updates=(status(State.TASK_FINISHED, 1),), tasks=(own_task("u"),))
    )
    assert statuses(done) == []
    assert kinds(done) == [Kind.SUBSCRIBED, Kind.ACKNOWLEDGED]
    assert list(agent.state.frameworks["F"].tasks) == ["u"]


def test_no_more_uuids_are_kept_than_the_limit() -> None:
    agent = Agent()
    name = subscribed(agent)
    for number in range(1, TAKEN_PER_TASK_MAX + 50):
        agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, number))))
    kept = [key for key in agent.disk if key.startswith("updates/")]
    assert len(kept) == TAKEN_PER_TASK_MAX
    agent.restart(left(name))
    assert [key for key in agent.disk if key.startswith("updates/")] == kept


@pytest.mark.parametrize(
    ("framework", "state"),
    [(AWARE, State.TASK_DROPPED), (FRAMEWORK, State.TASK_LOST)],
    ids=["partition aware", "other"],
)
def test_a_task_that_never_came_to_its_executor_is_lost(
    framework: mesos.FrameworkInfo, state: State
) -> None:
    agent = Agent()
    name = subscribed(agent, own_task("t"), own_task("u"), framework=framework)
    agent.restart(left(name))
    back(agent)
    (lost,) = statuses(agent.put(subscribe(tasks=(own_task("u"),))))
    assert (lost.task_id.value, lost.state, lost.reason, lost.message) == (
        "t",
        state,
        Reason.REASON_AGENT_RESTARTED,
        "Task launched during agent restart",
    )


def test_a_kill_that_comes_while_the_executor_is_away_reaches_it_when_it_is_back() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    agent.restart(left(name))
    back(agent)
    assert executor_events(agent.hear(link.KillTask("F", "t", None))) == []
    done = agent.put(subscribe())
    assert kinds(done) == [Kind.SUBSCRIBED, Kind.KILL]


def test_a_kill_of_a_task_that_still_waits_is_done_by_the_next_agent() -> None:
    agent = Agent()
    name = launched(agent)
    agent.restart(left(name))
    back(agent)
    done = agent.hear(link.KillTask("F", "t", None))
    (killed,) = statuses(done)
    assert (killed.state, killed.reason) == (
        State.TASK_KILLED,
        Reason.REASON_TASK_KILLED_DURING_LAUNCH,
    )
    assert of_kind(agent.advance(5_000), DestroyContainer) == [DestroyContainer(name)]


def test_a_task_that_was_killed_while_it_waited_is_killed_across_the_restart() -> None:
    agent = Agent()
    name = launched(agent)
    (killed,) = statuses(agent.hear(link.KillTask("F", "t", None)))
    assert only(agent.restart(left(name)), DestroyContainer) == DestroyContainer(name)
    assert statuses(back(agent)) == [killed]
    assert kinds(agent.put(subscribe())) == [Kind.SHUTDOWN]


def test_a_shutdown_that_was_under_way_is_brought_to_its_end() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.hear(link.ShutdownExecutor("F", "ex"))
    assert only(agent.restart(left(name)), DestroyContainer) == DestroyContainer(name)
    back(agent)
    (end,) = statuses(agent.put(events.ContainerExited(name, 9)))
    assert (end.state, end.message) == (State.TASK_FAILED, "Executor terminated")


def test_the_tasks_of_an_executor_that_exited_meanwhile_have_failed() -> None:
    agent = Agent()
    name = subscribed(agent, own_task("t"), own_task("u"))
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    agent.restart(ended(name, 256))
    came = agent.acknowledge_all(back(agent))
    assert [(one.task_id.value, one.state.name, one.message) for one in came] == [
        ("t", "TASK_FAILED", "Executor terminated"),
        ("u", "TASK_FAILED", "Executor terminated"),
    ]
    assert {one.reason for one in came} == {Reason.REASON_EXECUTOR_TERMINATED}


def test_an_executor_that_was_killed_for_its_memory_meanwhile_is_told_so() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.restart(ended(name, 9, "much"))
    (end,) = statuses(back(agent))
    assert (end.reason, end.message) == (Reason.REASON_CONTAINER_LIMITATION_MEMORY, "much")
    assert end.limitation is not None


def test_an_executor_keeps_the_limits_that_it_had() -> None:
    agent = Agent()
    name = subscribed(agent, own_task("t"), own_task("u"))
    limits = agent.state.containers[name].container.limits
    assert only(agent.restart(left(name)), AdoptContainer).limits == limits
    back(agent)
    agent.put(subscribe(tasks=(own_task("t"), own_task("u"))))
    done = agent.put(updated(status(State.TASK_FINISHED, 1)))
    assert only(done, UpdateContainer).limits.mem_bytes == limits.mem_bytes - (32 << 20)


def test_an_executor_takes_another_task_after_the_restart() -> None:
    agent = Agent()
    name = subscribed(agent)
    agent.acknowledge_all(agent.put(updated(status(State.TASK_RUNNING, 1))))
    agent.restart(left(name))
    back(agent)
    agent.put(subscribe())
    done = agent.hear(run_tasks(own_task("u")))
    assert kinds(done) == [Kind.LAUNCH]
    assert agent.container("ex") == name


# Frameworks


def test_frameworks_are_recovered_each_by_itself() -> None:
    agent = Agent()
    first = agent.run(task_info("t"))
    second = agent.run(task_info("t"), framework=OTHER)
    agent.restart(left(first))
    assert agent.state.containers.keys() == {first}
    came = agent.acknowledge_all(agent.put(events.LinkOpened()))
    assert came == []
    sent = messages(agent.hear(link.Registered("A", PING_TIMEOUT_MS)))
    of = [one.framework_id for one in sent if isinstance(one, link.StatusUpdated)]
    assert of == ["F", "G"]
    assert second not in agent.state.containers


@pytest.mark.parametrize("own", [False, True], ids=["command", "own executor"])
def test_a_framework_that_was_being_shut_down_is_ended(*, own: bool) -> None:
    agent = Agent()
    name = subscribed(agent) if own else running(agent)
    agent.hear(link.ShutdownFramework("F"))
    assert only(agent.restart(left(name)), DestroyContainer) == DestroyContainer(name)
    done = back(agent) + agent.put(events.ContainerExited(name, 9))
    assert statuses(done) == []
    assert agent.state.frameworks == {}
    assert list(agent.disk) == ["agent"]


def test_a_framework_that_was_being_shut_down_and_whose_containers_are_gone_is_over() -> None:
    agent = Agent()
    running(agent)
    agent.hear(link.ShutdownFramework("F"))
    agent.restart()
    assert agent.state.frameworks == {}
    assert list(agent.disk) == ["agent"]
    assert statuses(back(agent)) == []


def test_a_framework_is_known_as_it_described_itself_last() -> None:
    agent = Agent()
    name = running(agent)
    newer = structs.replace(FRAMEWORK, name="newer")
    agent.hear(link.UpdateFramework(newer))
    agent.restart(left(name))
    assert agent.state.frameworks["F"].info == newer


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_framework_cannot_change_its_mind_about_checkpointing(*, checkpoint: bool) -> None:
    agent = Agent()
    given = structs.replace(FRAMEWORK, checkpoint=checkpoint)
    agent.run(task_info("t"), framework=given)
    other = structs.replace(FRAMEWORK, checkpoint=not checkpoint)
    agent.hear(link.UpdateFramework(other))
    agent.run(task_info("u"), framework=other)
    names = tuple(agent.state.containers)
    agent.restart(left(*names))
    assert set(agent.state.containers) == (set(names) if checkpoint else set())


@pytest.mark.parametrize("own", [False, True], ids=["command", "own executor"])
def test_a_framework_without_checkpointing_leaves_nothing(*, own: bool) -> None:
    agent = Agent()
    task = own_task() if own else task_info()
    agent.hear(run_tasks(task, framework=FORGETFUL))
    name = agent.container("ex" if own else "t")
    agent.put(events.SandboxPrepared(name))
    agent.put(events.ContainerStarted(name, 4711))
    assert list(agent.disk) == ["agent"]
    done = agent.restart(left(name))
    assert only(done, DestroyContainer) == DestroyContainer(name)
    assert of_kind(done, AdoptContainer) == []
    assert statuses(back(agent)) == []
    assert agent.state.frameworks == {}


def test_an_executor_of_a_framework_that_left_nothing_is_not_known() -> None:
    agent = Agent()
    name = subscribed(agent, framework=FORGETFUL)
    agent.restart(left(name))
    done = agent.put(subscribe())
    assert executor_events(done) == []


# Containers and sandboxes of nobody


def test_a_container_of_nobody_is_destroyed_and_its_exit_forgotten() -> None:
    agent = Agent()
    assert of_kind(agent.restart(left("x")), DestroyContainer) == [DestroyContainer("x")]
    assert statuses(agent.put(events.ContainerExited("x", 9))) == []
    done = agent.restart(ended("x"))
    assert of_kind(done, DestroyContainer) == []
    assert of_kind(done, ForgetContainer) == [ForgetContainer("x")]


def test_sandboxes_of_ended_executors_are_removed_in_order_when_they_are_old() -> None:
    agent = Agent()
    delay_ms = agent.state.settings.gc_delay_ms
    agent.now_ms += delay_ms
    name = running(agent)
    alive = agent.state.containers[name].directory
    found = (("/b", agent.now_ms - 10), ("/a", agent.now_ms - 20), (alive, 0), ("/c", 0))
    agent.restart(structs.replace(left(name), sandboxes=found))
    assert of_kind(agent.advance(0), RemoveSandbox) == [RemoveSandbox("/c")]
    assert of_kind(agent.advance(delay_ms - 21), RemoveSandbox) == []
    done = agent.advance(11)
    assert of_kind(done, RemoveSandbox) == [RemoveSandbox("/a"), RemoveSandbox("/b")]
    assert of_kind(agent.advance(delay_ms), RemoveSandbox) == []


def test_a_sandbox_from_the_future_does_not_keep_the_others() -> None:
    agent = Agent()
    delay_ms = agent.state.settings.gc_delay_ms
    found = (("/future", agent.now_ms + 100 * delay_ms), ("/now", agent.now_ms))
    name = running(agent)
    later = agent.state.containers[name].directory
    agent.restart(structs.replace(left(name), sandboxes=found))
    back(agent)
    agent.acknowledge_all(agent.put(events.ContainerExited(name, 0)))
    done = of_kind(agent.advance(delay_ms + 1_000), RemoveSandbox)
    removed = {one.directory for one in done if isinstance(one, RemoveSandbox)}
    assert removed == {"/future", "/now", later}
    assert not agent.state.sandboxes


def test_the_sandbox_of_a_running_command_stays_however_its_path_is_spelled() -> None:
    agent = Agent(structs.replace(SETTINGS, work_dir="/work_dir/"))
    name = running(agent)
    spelled = agent.state.containers[name].directory.replace("//", "/")
    agent.restart(structs.replace(left(name), sandboxes=((spelled, 0),)))
    done = agent.advance(2 * agent.state.settings.gc_delay_ms)
    assert of_kind(done, RemoveSandbox) == []


def test_the_sandbox_of_an_executor_that_ended_meanwhile_is_removed_once() -> None:
    agent = Agent()
    name = running(agent)
    directory = agent.state.containers[name].directory
    found = ((directory, agent.now_ms),)
    agent.restart(structs.replace(ended(name), sandboxes=found))
    agent.acknowledge_all(back(agent))
    done = agent.advance(2 * agent.state.settings.gc_delay_ms)
    assert of_kind(done, RemoveSandbox) == [RemoveSandbox(directory)]


# The agent


def test_the_registration_after_a_restart_names_all_there_is() -> None:
    agent = Agent()
    command = agent.run(task_info("c"))
    own = subscribed(agent)
    agent.put(updated(status(State.TASK_RUNNING, 1)))
    agent.restart(left(command, own))
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Reregister)
    assert said.info.id == mesos.AgentID("A")
    assert said.frameworks == (FRAMEWORK,)
    assert [(one.framework_id, one.info.executor_id.value) for one in said.executors] == [
        ("F", "ex")
    ]
    assert {(one.task_id.value, one.state) for one in said.tasks} == {
        ("c", State.TASK_RUNNING),
        ("t", State.TASK_RUNNING),
    }


def test_the_registration_after_a_restart_says_which_state_the_scheduler_may_know() -> None:
    agent = Agent()
    name = running(agent)
    agent.restart(left(name))
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Reregister)
    (task,) = said.tasks
    assert (task.state, task.status_update_state) == (State.TASK_RUNNING, State.TASK_RUNNING)
    assert task.status_update_uuid is None
    agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    (end,) = statuses(agent.put(events.ContainerExited(name, 0)))
    agent.put(events.LinkLost())
    agent.restart()
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Reregister)
    (task,) = said.tasks
    assert (task.state, task.status_update_state) == (State.TASK_FINISHED, State.TASK_FINISHED)
    assert task.status_update_uuid == end.uuid


def test_the_registration_after_a_restart_names_the_first_of_several_updates() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    (starting,) = statuses(agent.put(events.ContainerStarted(name, 4711)))
    agent.restart(left(name))
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Reregister)
    (task,) = said.tasks
    assert (task.state, task.status_update_state) == (State.TASK_RUNNING, State.TASK_STARTING)
    assert task.status_update_uuid == starting.uuid


def test_an_agent_that_the_master_removed_starts_as_a_new_one_and_cleans_up() -> None:
    agent = Agent()
    command = running(agent, task_info("c"))
    own = subscribed(agent)
    agent.hear(link.Shutdown("gone"))
    assert "agent" not in agent.disk
    done = agent.restart(left(command, own))
    assert {one.container_id for one in done if isinstance(one, DestroyContainer)} == {
        command,
        own,
    }
    assert agent.disk == {}
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Register)
    assert said.info.id is None
    agent.hear(link.Registered("B", PING_TIMEOUT_MS))
    agent.restart()
    assert agent.state.info.id == mesos.AgentID("B")


def test_an_agent_that_was_asked_to_stop_starts_as_a_new_one() -> None:
    agent = Agent()
    name = running(agent)
    agent.put(events.StopAsked())
    agent.restart(left(name))
    assert agent.state.info.id is None
    assert agent.disk == {}


def test_an_agent_that_never_registered_has_nothing_to_recover() -> None:
    agent = Agent(registered=False)
    assert agent.restart() == []
    assert agent.state.info.id is None


def test_an_agent_says_at_its_next_start_what_it_has_become() -> None:
    agent = Agent()
    agent.state.info = structs.replace(agent.state.info, hostname="other")
    agent.restart()
    saved = agent.disk["agent"]
    assert decode(encode(saved), type=Saved) == saved
    (said,) = messages(agent.put(events.LinkOpened()))
    assert isinstance(said, link.Reregister)
    assert said.info.hostname == "other"


# Strange disks


def _without(prefix: str) -> Agent:
    """An agent with tasks of both kinds, of whose disk everything with this prefix is gone."""
    agent = Agent()
    agent.run(task_info("c"))
    subscribed(agent)
    agent.put(updated(status(State.TASK_RUNNING, 1)))
    gone = [key for key in agent.disk if key.startswith(prefix)]
    assert gone
    for key in gone:
        del agent.disk[key]
    return agent


PREFIXES = (
    "agent",
    "frameworks/",
    "executors/",
    "tasks/",
    "tasks/F/c",
    "tasks/F/t",
    "updates/",
    "updates/F/c/0",
    "updates/F/c/1",
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("alive", [False, True], ids=["gone", "alive"])
def test_what_belongs_to_nothing_is_dropped_and_removed(prefix: str, *, alive: bool) -> None:
    agent = _without(prefix)
    names = tuple(agent.state.containers)
    agent.restart(left(*names) if alive else Leftovers())
    agent.acknowledge_all(back(agent))
    agent.put(subscribe())
    agent.advance(60_000)
    for name in names:
        agent.put(events.ContainerExited(name, 0))
    agent.acknowledge_all(back(agent))
    agent.advance(60_000)
    agent.restart()
    assert agent.state.frameworks == {}
    assert list(agent.disk) == (["agent"] if agent.state.info.id is not None else [])


def test_a_command_without_its_task_is_destroyed() -> None:
    agent = _without("tasks/F/c")
    command, own = agent.container("c"), agent.container("ex")
    done = agent.restart(left(command, own))
    assert of_kind(done, DestroyContainer) == [DestroyContainer(command)]
    back(agent)
    done = agent.put(events.ContainerExited(command, 9))
    assert statuses(done) == []


def test_a_command_that_was_being_launched_and_lost_its_task_is_destroyed() -> None:
    agent = Agent()
    name = launching(agent)
    del agent.disk["tasks/F/t"]
    assert of_kind(agent.restart(left(name)), DestroyContainer) == [DestroyContainer(name)]


def test_a_command_that_lost_its_updates_is_running() -> None:
    agent = Agent()
    name = running(agent, with_health(0.0))
    for key in [key for key in agent.disk if key.startswith("updates/")]:
        del agent.disk[key]
    agent.restart(left(name))
    assert states(agent.acknowledge_all(back(agent))) == ["TASK_RUNNING"]
    (unhealthy, *_) = statuses(probe_fails(agent))
    assert unhealthy.healthy is False


def test_an_update_that_was_lost_between_others_leaves_the_others() -> None:
    agent = Agent()
    name = subscribed(agent)
    for number in range(1, 6):
        agent.put(updated(status(State.TASK_RUNNING, number)))
    del agent.disk["updates/F/t/2"]
    agent.restart(left(name))
    done = agent.put(subscribe(updates=(status(State.TASK_RUNNING, 4),)))
    assert Kind.ACKNOWLEDGED in kinds(done)
    came = agent.acknowledge_all(back(agent))
    assert [one.uuid for one in came] == [
        status(State.TASK_RUNNING, number).uuid for number in (1, 2, 4, 5)
    ]


def test_an_executor_that_is_there_twice_counts_once() -> None:
    agent = Agent()
    name = running(agent)
    first = agent.disk[f"executors/{name}"]
    assert isinstance(first, SavedExecutor)
    agent.disk["executors/zzz"] = structs.replace(first, container_id="zzz")
    done = agent.restart(left(name, "zzz"))
    assert of_kind(done, DestroyContainer) == [DestroyContainer("zzz")]
    assert "executors/zzz" not in agent.disk
    assert statuses(back(agent)) == []


def test_tasks_and_updates_of_nobody_are_removed() -> None:
    agent = Agent()
    running(agent)
    task = agent.disk["tasks/F/t"]
    update = agent.disk["updates/F/t/1"]
    assert isinstance(task, SavedTask)
    assert isinstance(update, SavedUpdate)
    agent.disk["tasks/X/t"] = structs.replace(task, framework_id="X")
    agent.disk["updates/F/x/0"] = structs.replace(update, task_id="x")
    agent.disk["updates/X/t/0"] = structs.replace(update, framework_id="X")
    agent.restart(left(agent.container("t")))
    assert not [key for key in agent.disk if "X" in key or "/x/" in key]


@pytest.mark.parametrize("name", [".", "..", "", "a/b", "a" * 256])
def test_a_master_is_left_that_sends_what_cannot_be_saved(name: str) -> None:
    agent = Agent()
    framework = structs.replace(FRAMEWORK, id=mesos.FrameworkID(name))
    for message in (
        run_tasks(task_info(name)),
        run_tasks(task_info(), framework=framework),
        run_tasks(own_task("t", name)),
    ):
        only(agent.hear(message), CloseLink)
    assert agent.state.frameworks == {}


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "日" * 85, "%2F", "a b", "..."])
def test_whatever_may_be_an_id_makes_a_key(name: str) -> None:
    agent = Agent()
    framework = structs.replace(FRAMEWORK, id=mesos.FrameworkID(name))
    agent.run(task_info(name), framework=framework)
    assert len(agent.disk) == 6
    for key in agent.disk:
        check_key(key)


# Crashes in the middle of a save


class Unlucky(Agent):
    """Its process dies in the middle of a save now and then: some of it is on the disk."""

    random = Random(0)
    likely = 0.0

    def _done(self, effects: Effects) -> list[Action]:
        if effects.save and self.random.random() < self.likely:
            check(self.state)
            count = self.random.randrange(len(effects.save))
            for record in effects.save[:count]:
                assert isinstance(record, Save)
                if record.saved is None:
                    self.disk.pop(record.key, None)
                else:
                    self.disk[record.key] = decode(encode(record.saved), type=Saved)
            raise Died
        return super()._done(effects)


class Died(Exception):
    """The agent's process is gone; what it decided was not done."""


class UnluckyWorld(World):
    """Whatever was asked of it before still happens, and what is there is found again."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.agent = self.unlucky = Unlucky()
        self.unlucky.random = self.random
        self.unlucky.likely = 0.05

    def happen(self, what: object) -> None:
        assert callable(what)
        try:
            what()
        except Died:
            self.come_back()

    def come_back(self) -> None:
        while True:
            self.forget()
            self.launching.clear()
            found: dict[str, Found] = {}
            for name in self.running:
                found[name] = Found(self.number())
            try:
                done = self.agent.restart(Leftovers(containers=found))
                self.doomed.clear()
                self.see(done)
                self.put(events.LinkOpened())
                self.put(events.MasterSpoke(link.Registered("A", PING_TIMEOUT_MS)))
            except Died:
                continue
            return


@pytest.mark.parametrize("seed", range(100))
def test_a_crash_in_the_middle_of_a_save_leaves_what_recovers(seed: int) -> None:
    world = UnluckyWorld(seed)
    may_happen = (
        world.launch, world.launch, world.prepare, world.prepare, world.provision,
        world.provision, world.start, world.start, world.start, world.exit, world.end_doomed, world.subscribe, world.leave, world.update, world.update,
        world.acknowledge, world.acknowledge, world.acknowledge, world.kill, world.shut_down,
        world.check, world.lose_link, world.wait, world.restart,
    )  # fmt: skip
    for _ in range(250):
        world.happen(world.random.choice(may_happen))
    world.unlucky.likely = 0.0
    world.finish()
    assert world.agent.state.frameworks == {}
    assert world.agent.state.containers == {}
    assert list(world.agent.disk) == ["agent"]
