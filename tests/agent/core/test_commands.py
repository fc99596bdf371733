"""Command tasks, from RunTasks to their terminal updates."""

from __future__ import annotations

import signal

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    AbandonSandbox,
    DestroyContainer,
    ForgetContainer,
    LaunchContainer,
    Limits,
    PrepareSandbox,
    SendToMaster,
    SignalContainer,
)
from tepui.agent.core.reports import describe_status
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    SETTINGS,
    Agent,
    duration,
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
Source = mesos.TaskStatus.Source
MIB = 1 << 20
KILLING = structs.replace(
    FRAMEWORK,
    capabilities=(
        mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.TASK_KILLING_STATE),
    ),
)


def test_a_task_gets_a_sandbox_then_a_container_then_starting_and_running() -> None:
    agent = Agent()
    uri = mesos.CommandInfo.URI(value="/file")
    command = mesos.CommandInfo(
        value="run",
        uris=(uri,),
        environment=mesos.Environment(
            variables=(mesos.Environment.Variable(name="PATH", value="/bin"),)
        ),
    )
    task = task_info("t", command)
    done = agent.hear(run_tasks(task))
    container = agent.container("t")
    directory = f"/work_dir/slaves/A/frameworks/F/executors/t/runs/{container}"
    virtual_path = "/frameworks/F/executors/t/runs/latest"
    assert done == [PrepareSandbox(container, directory, "root", (uri,), virtual_path)]

    done = agent.put(events.SandboxPrepared(container))
    assert done == [
        LaunchContainer(
            container,
            directory,
            command,
            None,
            {
                "PATH": "/bin",
                "LIBPROCESS_IP": "127.0.0.1",
                "LIBPROCESS_PORT": "0",
                "MESOS_AGENT_ENDPOINT": "127.0.0.1:5051",
                "MESOS_CHECKPOINT": "1",
                "MESOS_DIRECTORY": directory,
                "MESOS_EXECUTOR_ID": "t",
                "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
                "MESOS_FRAMEWORK_ID": "F",
                "MESOS_HTTP_COMMAND_EXECUTOR": "0",
                "MESOS_SANDBOX": directory,
                "MESOS_SLAVE_ID": "A",
                "MESOS_SLAVE_PID": "slave(1)@127.0.0.1:5051",
                "MESOS_ALLOCATION_ROLE": "*",
                "MESOS_RECOVERY_TIMEOUT": "15mins",
                "MESOS_SUBSCRIPTION_BACKOFF_MAX": "2secs",
            },
            "root",
            Limits(500, None, 32 * MIB, 32 * MIB, 0),
        )
    ]

    done = agent.put(events.ContainerStarted(container, 4711))
    (starting,) = statuses(done)
    container_status = mesos.ContainerStatus(
        container_id=mesos.ContainerID(value=container),
        network_infos=(
            mesos.NetworkInfo(
                ip_addresses=(
                    mesos.NetworkInfo.IPAddress(
                        protocol=mesos.NetworkInfo.Protocol.IPv4, ip_address="127.0.0.1"
                    ),
                )
            ),
        ),
        executor_pid=4711,
    )
    assert starting == mesos.TaskStatus(
        task_id=mesos.TaskID("t"),
        state=State.TASK_STARTING,
        source=Source.SOURCE_EXECUTOR,
        agent_id=mesos.AgentID("A"),
        executor_id=mesos.ExecutorID("t"),
        timestamp=1_000.0,
        uuid=starting.uuid,
        container_status=container_status,
    )
    assert messages(done) == [link.StatusUpdated("F", starting, State.TASK_STARTING)]
    (running,) = statuses(agent.acknowledge(done))
    assert running == structs.replace(starting, state=State.TASK_RUNNING, uuid=running.uuid)


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        (0, State.TASK_FINISHED, "Command exited with status 0"),
        (3 << 8, State.TASK_FAILED, "Command exited with status 3"),
        (signal.SIGKILL, State.TASK_FAILED, "Command terminated with signal Killed"),
    ],
)
def test_the_end_of_the_process_is_the_end_of_the_task(
    status: int, state: State, message: str
) -> None:
    agent = Agent()
    container = agent.run(task_info())
    done = agent.put(events.ContainerExited(container, status))
    assert done == [
        SendToMaster(link.ExecutorExited("F", "t", status, built_in=True)),
        ForgetContainer(container),
    ]
    came = agent.acknowledge_all(agent.advance(10_000))  # what was sent first comes again
    assert states(came) == ["TASK_STARTING", "TASK_RUNNING", state.name]
    assert came[-1].message == message
    assert came[-1].source is Source.SOURCE_EXECUTOR
    assert came[-1].reason is None


def test_what_else_is_known_of_an_end_is_told_with_it() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.put(events.ContainerExited(container, signal.SIGKILL, text="the launcher was killed"))
    end = agent.acknowledge_all(agent.advance(10_000))[-1]
    assert end.message == "Command terminated with signal Killed; the launcher was killed"


def test_core_dumps_are_told() -> None:
    assert describe_status(signal.SIGABRT | 0x80) == "terminated with signal Aborted (core dumped)"


def test_too_much_memory_fails_the_task_with_the_reason() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.put(events.ContainerExited(container, signal.SIGKILL, "Memory limit exceeded: a lot"))
    end = agent.acknowledge_all(agent.advance(10_000))[-1]
    assert (end.state, end.reason, end.source, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_CONTAINER_LIMITATION_MEMORY,
        Source.SOURCE_AGENT,
        "Memory limit exceeded: a lot",
    )
    assert end.limitation is not None
    (mem,) = end.limitation.resources
    assert (mem.name, mem.scalar) == ("mem", mesos.Value.Scalar(32.0))


def test_a_uri_that_is_missing_fails_the_task_without_starting_it() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    container = agent.container("t")
    failed = events.SandboxFailed(container, events.SandboxStage.FETCH, "no '/file'")
    (status,) = statuses(agent.put(failed))
    assert (status.state, status.reason, status.source, status.message) == (
        State.TASK_FAILED,
        Reason.REASON_CONTAINER_LAUNCH_FAILED,
        Source.SOURCE_AGENT,
        "Failed to launch container: no '/file'",
    )
    assert status.container_status is None


@pytest.mark.parametrize(
    ("capability", "state"),
    [
        (mesos.FrameworkInfo.Capability.Type.MULTI_ROLE, State.TASK_LOST),
        (mesos.FrameworkInfo.Capability.Type.PARTITION_AWARE, State.TASK_DROPPED),
    ],
)
def test_a_task_without_a_directory_is_lost_or_dropped(
    capability: mesos.FrameworkInfo.Capability.Type, state: State
) -> None:
    agent = Agent()
    one = mesos.FrameworkInfo.Capability(type=capability)
    framework = structs.replace(FRAMEWORK, capabilities=(one,))
    agent.hear(run_tasks(task_info(), framework=framework))
    text = "Failed to create executor directory '/d': No such user 'x'"
    failed = events.SandboxFailed(agent.container("t"), events.SandboxStage.DIRECTORY, text)
    (status,) = statuses(agent.put(failed))
    assert (status.state, status.reason, status.message) == (
        state,
        Reason.REASON_EXECUTOR_TERMINATED,
        text,
    )


def test_a_program_that_cannot_be_executed_fails_the_task() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    container = agent.container("t")
    agent.put(events.SandboxPrepared(container))
    (status,) = statuses(agent.put(events.LaunchFailed(container, "no such file")))
    assert (status.state, status.reason, status.message) == (
        State.TASK_FAILED,
        Reason.REASON_CONTAINER_LAUNCH_FAILED,
        "Failed to launch container: no such file",
    )


def test_a_kill_is_sigterm_then_sigkill_after_three_seconds() -> None:
    agent = Agent()
    container = agent.run(task_info())
    done = agent.hear(link.KillTask("F", "t", None))
    assert done == [SignalContainer(container, signal.SIGTERM)]
    assert agent.advance(2_999) == []
    assert agent.advance(1) == [DestroyContainer(container)]
    agent.put(events.ContainerExited(container, signal.SIGKILL))
    end = agent.acknowledge_all(agent.advance(10_000))[-1]
    assert end.state is State.TASK_KILLED
    assert end.message == "Command terminated with signal Killed"


def test_a_killed_task_is_killed_whatever_its_exit_code() -> None:
    agent = Agent()
    container = agent.run(task_info())
    agent.hear(link.KillTask("F", "t", None))
    agent.put(events.ContainerExited(container, 0))
    assert states(agent.acknowledge_all(agent.advance(10_000)))[-1] == "TASK_KILLED"
    assert agent.state.timers.next_ms() is not None  # only what removes sandbox and history


def test_the_policy_of_the_kill_comes_before_that_of_the_task() -> None:
    agent = Agent()
    own = mesos.KillPolicy(grace_period=duration(10_000))
    container = agent.run(task_info(kill_policy=own))
    agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(500))))
    assert without_notes(agent.advance(500)) == [DestroyContainer(container)]


def test_a_second_kill_may_shorten_the_grace_but_not_prolong_it() -> None:
    agent = Agent()
    own = mesos.KillPolicy(grace_period=duration(9_000))
    container = agent.run(task_info(kill_policy=own))
    agent.hear(link.KillTask("F", "t", None))
    agent.advance(2_000)
    assert agent.hear(link.KillTask("F", "t", None)) == []
    assert agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(3_000)))) == []
    assert (
        agent.hear(link.KillTask("F", "t", mesos.KillPolicy(grace_period=duration(60_000)))) == []
    )
    assert agent.advance(999) == []
    assert agent.advance(1) == [DestroyContainer(container)]


def test_killing_is_told_to_frameworks_that_know_the_state() -> None:
    agent = Agent()
    container = agent.run(task_info(), framework=KILLING)
    agent.hear(link.KillTask("F", "t", None))
    agent.put(events.ContainerExited(container, signal.SIGTERM))
    came = agent.acknowledge_all(agent.advance(10_000))
    assert states(came) == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]
    assert came[2].message is None


def test_a_kill_while_fetching_means_killed_before_delivery() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    container = agent.container("t")
    done = agent.hear(link.KillTask("F", "t", None))
    assert done[0] == AbandonSandbox(container)
    (status,) = statuses(done)
    assert (status.state, status.reason, status.source, status.message) == (
        State.TASK_KILLED,
        Reason.REASON_TASK_KILLED_DURING_LAUNCH,
        Source.SOURCE_AGENT,
        "Killed before delivery to the executor",
    )
    assert agent.put(events.SandboxPrepared(container)) == []  # too late


def test_a_kill_while_launching_waits_for_the_container_to_be_gone() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info()))
    container = agent.container("t")
    agent.put(events.SandboxPrepared(container))
    assert agent.hear(link.KillTask("F", "t", None)) == [DestroyContainer(container)]
    assert agent.hear(link.KillTask("F", "t", None)) == []
    assert agent.put(events.ContainerStarted(container, 1)) == []
    (status,) = statuses(agent.put(events.ContainerExited(container, signal.SIGKILL)))
    assert status.message == "Killed before delivery to the executor"


def test_a_kill_of_what_is_not_here_changes_nothing() -> None:
    agent = Agent()
    assert without_notes(agent.hear(link.KillTask("F", "t", None))) == []
    container = agent.run(task_info())
    assert without_notes(agent.hear(link.KillTask("F", "other", None))) == []
    agent.put(events.ContainerExited(container, 0))
    assert without_notes(agent.hear(link.KillTask("F", "t", None))) == []


def test_a_task_that_takes_too_long_fails() -> None:
    agent = Agent()
    container = agent.run(task_info(max_completion_ms=5_000), framework=KILLING)
    assert agent.advance(4_999) == []
    assert agent.advance(1) == [
        SignalContainer(container, signal.SIGTERM),
        DestroyContainer(container),
    ]
    agent.put(events.ContainerExited(container, signal.SIGKILL))
    end = agent.acknowledge_all(agent.advance(10_000))[-1]
    assert (end.state, end.reason) == (
        State.TASK_FAILED,
        Reason.REASON_MAX_COMPLETION_TIME_REACHED,
    )


def test_a_task_that_is_done_in_time_is_not_killed() -> None:
    agent = Agent()
    container = agent.run(task_info(max_completion_ms=5_000))
    agent.put(events.ContainerExited(container, 0))
    assert states(agent.acknowledge_all(agent.advance(20_000)))[-1] == "TASK_FINISHED"


def test_a_time_of_zero_is_no_limit() -> None:
    agent = Agent()
    agent.run(task_info(max_completion_ms=0))
    done = agent.advance(20_000_000)
    assert not [one for one in done if isinstance(one, SignalContainer | DestroyContainer)]


def test_infinite_limits_are_no_limits() -> None:
    agent = Agent()
    limits = {
        "cpus": mesos.Value.Scalar(2.0),
        "mem": mesos.Value.Scalar(float("inf")),
    }
    agent.hear(run_tasks(task_info(limits=limits)))
    done = agent.put(events.SandboxPrepared(agent.container("t")))
    launch = only(done, LaunchContainer)
    assert launch.limits == Limits(500, 2_000, 32 * MIB, None, 0)


def test_a_limit_of_cpus_that_no_machine_has_can_be_saved() -> None:
    agent = Agent()
    agent.run(task_info(limits={"cpus": mesos.Value.Scalar(1e300)}))
    assert (
        agent.state.containers[agent.container("t")].container.limits.cpus_limit_milli == 2**63 - 1
    )


def test_a_limit_of_memory_that_no_machine_has_stays_a_number_of_64_bits() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info(limits={"mem": mesos.Value.Scalar(9.2e15)})))
    done = agent.put(events.SandboxPrepared(agent.container("t")))
    assert only(done, LaunchContainer).limits.mem_limit_bytes == 2**63 - 1


def test_the_user_is_the_commands_or_the_frameworks_or_nobodys() -> None:
    agent = Agent()
    agent.hear(run_tasks(task_info("t", mesos.CommandInfo(value="x", user="u"))))
    launch = only(agent.put(events.SandboxPrepared(agent.container("t"))), LaunchContainer)
    assert launch.user == "u"
    agent = Agent(structs.replace(SETTINGS, switch_user=False))
    done = agent.hear(run_tasks(task_info("t", mesos.CommandInfo(value="x", user="u"))))
    assert only(done, PrepareSandbox).user is None


def test_a_task_that_is_here_already_is_not_started_again() -> None:
    agent = Agent()
    agent.run(task_info())
    assert without_notes(agent.hear(run_tasks(task_info()))) == []


def test_a_task_id_may_be_used_again_at_once() -> None:
    agent = Agent()
    first = agent.run(task_info())
    agent.put(events.ContainerExited(first, 0))
    agent.acknowledge_all(agent.advance(10_000))
    second = agent.run(task_info())
    assert second != first
    framework = agent.state.frameworks["F"]
    assert [one.container_id for one in framework.completed_executors] == [first]
    assert agent.advance(2_000) == []
    assert list(framework.executors) == ["t"]
