"""Task groups on the default executor, which the agent itself is.

Names in brackets are those of tests of Mesos that check the same.
"""

from __future__ import annotations

import signal

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import (
    NO_LIMITS,
    AbandonSandbox,
    AnswerClassic,
    AnswerOperator,
    CommandProbe,
    DestroyContainer,
    EndAgent,
    ForgetContainer,
    HttpProbe,
    LaunchContainer,
    Limits,
    PrepareSandbox,
    ProvisionContainer,
    SignalContainer,
    TcpProbe,
    UpdateContainer,
)
from tepui.agent.core.state import Phase
from tepui.wire import agent as agent_api
from tepui.wire import executor as executor_api
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    Agent,
    duration,
    executor_events,
    executor_info,
    messages,
    only,
    run_tasks,
    statuses,
    task_info,
    without_notes,
)
from tests.agent.core.groups import (
    IMAGE,
    OWN_LIMITS,
    Pods,
    destroyed,
    group_of,
    launched,
    pod_info,
    signalled,
)

State = mesos.TaskState
Reason = mesos.TaskStatus.Reason
Source = mesos.TaskStatus.Source
Capability = mesos.FrameworkInfo.Capability.Type
MIB = 1 << 20
RUNS = ["TASK_STARTING", "TASK_RUNNING"]
BEFORE_DELIVERY = "Killed before delivery to the executor"


def with_capability(*names: str) -> mesos.FrameworkInfo:
    given = tuple(mesos.FrameworkInfo.Capability(type=getattr(Capability, one)) for one in names)
    return structs.replace(FRAMEWORK, capabilities=given)


def kill(task_id: str, grace_ms: int | None = None) -> link.KillTask:
    policy = None if grace_ms is None else mesos.KillPolicy(grace_period=duration(grace_ms))
    return link.KillTask("F", task_id, policy)


# The way to the start


def test_a_group_gets_a_pod_then_sandboxes_then_containers_within_it() -> None:
    """[DefaultExecutorTest.TaskRunning, SlaveTest.RunTaskGroup]"""
    agent = Agent()
    uri = mesos.CommandInfo.URI(value="/file")
    command = mesos.CommandInfo(value="run", uris=(uri,))
    done = agent.hear(group_of(task_info("a", command), "b"))
    pod = agent.container("pod")
    directory = f"/work_dir/slaves/A/frameworks/F/executors/pod/runs/{pod}"
    path = "/frameworks/F/executors/pod/runs/latest"
    assert done == [PrepareSandbox(pod, directory, "root", (), path)]
    done = agent.put(events.SandboxPrepared(pod))
    limits = Limits(1_100, None, 96 * MIB, 96 * MIB, 32 * MIB)
    assert done == [LaunchContainer(pod, directory, None, None, {}, "root", limits)]

    done = agent.put(events.ContainerStarted(pod, 0))
    first, second = done
    assert isinstance(first, PrepareSandbox)
    name = first.container_id.removeprefix(f"{pod}.")
    sandbox = f"{directory}/containers/{name}"
    link_to_it = f"{directory}/tasks/a"
    assert first == PrepareSandbox(f"{pod}.{name}", sandbox, "root", (uri,), "", link_to_it)
    assert isinstance(second, PrepareSandbox)

    assert agent.put(events.SandboxPrepared(second.container_id)) == []  # it waits for the first
    one, other = agent.put(events.SandboxPrepared(first.container_id))
    assert one == LaunchContainer(
        first.container_id,
        sandbox,
        command,
        None,
        {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "MESOS_SANDBOX": sandbox,
            "MESOS_CONTAINER_IP": "127.0.0.1",
            "MESOS_ALLOCATION_ROLE": "*",
        },
        "root",
        NO_LIMITS,
        pod,
    )
    assert isinstance(other, LaunchContainer)
    assert (other.container_id, other.parent) == (second.container_id, pod)

    done = agent.put(events.ContainerStarted(first.container_id, 4711))
    (starting,) = statuses(done)
    assert starting == mesos.TaskStatus(
        task_id=mesos.TaskID("a"),
        state=State.TASK_STARTING,
        source=Source.SOURCE_EXECUTOR,
        agent_id=mesos.AgentID("A"),
        executor_id=mesos.ExecutorID("pod"),
        timestamp=1_000.0,
        uuid=starting.uuid,
        container_status=mesos.ContainerStatus(
            container_id=mesos.ContainerID(value=name, parent=mesos.ContainerID(value=pod)),
            executor_pid=4711,
            network_infos=(
                mesos.NetworkInfo(
                    ip_addresses=(
                        mesos.NetworkInfo.IPAddress(
                            protocol=mesos.NetworkInfo.Protocol.IPv4, ip_address="127.0.0.1"
                        ),
                    )
                ),
            ),
        ),
    )
    assert [one.state.name for one in agent.acknowledge_all(done)] == RUNS


def test_updates_of_a_task_name_its_own_container_and_the_addresses_of_the_pod() -> None:
    """[DefaultExecutorTest.ContainerStatusForTask]"""
    pods = Pods()
    network = mesos.ContainerInfo(
        type=mesos.ContainerInfo.Type.MESOS, network_infos=(mesos.NetworkInfo(name="net"),)
    )
    pods.hear(group_of("a", "b", executor=pod_info(container=network)))
    pod = pods.container("pod")
    done = pods.put(events.SandboxPrepared(pod))
    assert only(done, ProvisionContainer).container == network
    pods.put(events.ContainerProvisioned(pod))
    address = mesos.NetworkInfo.IPAddress(ip_address="10.0.0.7")
    infos = (mesos.NetworkInfo(name="net", ip_addresses=(address,)),)
    done = pods.go_on(pods.put(events.ContainerStarted(pod, 0, infos)))
    found = [one for one in done if isinstance(one, LaunchContainer)]
    assert {one.environment["MESOS_CONTAINER_IP"] for one in found} == {"10.0.0.7"}
    ids = set()
    for task_id in ("a", "b"):
        status = pods.last(task_id).container_status
        assert status is not None
        assert status.network_infos == infos
        assert status.container_id is not None
        assert status.container_id.parent == mesos.ContainerID(value=pod)
        ids.add(status.container_id.value)
    assert len(ids) == 2


def test_a_later_group_joins_the_pod_that_is_there() -> None:
    """[DefaultExecutorTest.TaskUsesExecutor, MultiTaskgroupSharePidNamespace]"""
    pods = Pods()
    pods.run("a")
    pod = pods.container("pod")
    done = pods.run("b", "c")
    assert only(done, UpdateContainer).limits.cpus_milli == 1_600
    assert {one.parent for one in done if isinstance(one, LaunchContainer)} == {pod}
    assert pods.told("c") == RUNS
    pods.exit("a")
    assert pods.told("a") == [*RUNS, "TASK_FINISHED"]
    assert pods.phase("b") is Phase.RUNNING


def test_groups_that_come_before_the_pod_is_there_wait_for_it() -> None:
    """[SlaveTest.LaunchTaskGroupsUsingSameExecutorKillLaterTaskGroup]"""
    pods = Pods()
    first = pods.hear(group_of("a"))
    assert pods.hear(group_of("b", "c")) == []
    pods.hear(kill("b"))
    assert (pods.told("b"), pods.told("c")) == (["TASK_KILLED"], ["TASK_KILLED"])
    pods.go_on(first)
    assert pods.told("a") == RUNS


def test_the_first_of_two_waiting_groups_may_be_killed() -> None:
    """[SlaveTest.LaunchTaskGroupsUsingSameExecutorKillFirstTaskGroup]"""
    pods = Pods()
    first = pods.hear(group_of("a"))
    pods.hear(group_of("b"))
    assert destroyed(pods.hear(kill("a"))) == []
    pods.go_on(first)
    assert (pods.told("a"), pods.told("b")) == (["TASK_KILLED"], RUNS)


def test_a_group_with_a_container_info_is_provisioned_before_it_is_launched() -> None:
    pods = Pods()
    with_image = structs.replace(task_info("a"), container=IMAGE)
    done = pods.go_on(pods.hear(group_of(with_image, "b")), but=("pod",))
    done = pods.put(events.SandboxPrepared(pods.container("pod")))
    done = pods.put(events.ContainerStarted(pods.container("pod"), 0))
    pods.put(events.SandboxPrepared(pods.container("b")))
    assert pods.phase("b") is Phase.PROVISIONED
    name = pods.container("a")
    provision = only(pods.put(events.SandboxPrepared(name)), ProvisionContainer)
    assert provision.parent == pods.container("pod")
    assert provision.container == IMAGE
    done = pods.put(events.ContainerProvisioned(name))
    assert launched(done) == [name, pods.container("b")]


def test_the_sandbox_belongs_to_the_user_of_the_task() -> None:
    """[DefaultExecutorTest.SandboxOwnership]"""
    pods = Pods()
    task = task_info("a", mesos.CommandInfo(value="x", user="nobody"))
    done = pods.run(task)
    found = [one for one in done if isinstance(one, PrepareSandbox)]
    assert [one.user for one in found] == ["root", "nobody"]


def test_a_task_without_a_user_has_that_of_its_executor() -> None:
    pods = Pods()
    info = structs.replace(pod_info(), command=mesos.CommandInfo(user="nobody", shell=False))
    done = pods.run("a", executor=info)
    users = {one.user for one in done if isinstance(one, PrepareSandbox | LaunchContainer)}
    assert users == {"nobody"}


def test_the_role_is_in_the_environment_whatever_the_task_says() -> None:
    """[DefaultExecutorTest.AllocationRoleEnvironmentVariable]"""
    pods = Pods()
    names = ("MESOS_ALLOCATION_ROLE", "MESOS_SANDBOX", "OWN")
    own = tuple(mesos.Environment.Variable(name=name, value="x") for name in names)
    environment = mesos.Environment(variables=own)
    message = group_of(task_info("a", mesos.CommandInfo(value="x", environment=environment)))
    done = pods.go_on(pods.hear(structs.replace(message, role="ads")))
    launch = [one for one in done if isinstance(one, LaunchContainer)][-1]
    assert launch.environment["MESOS_ALLOCATION_ROLE"] == "ads"
    assert launch.environment["MESOS_SANDBOX"] == "x"
    assert launch.environment["OWN"] == "x"


def test_a_task_may_have_limits_of_its_own_under_those_of_the_pod() -> None:
    """[CgroupsIsolatorTest.CFS_TaskGroupLimits]"""
    pods = Pods()
    limits = {"cpus": mesos.Value.Scalar(1.0), "mem": mesos.Value.Scalar(64.0)}
    limited = structs.replace(task_info("a", limits=limits), container=OWN_LIMITS)
    shares = structs.replace(task_info("b"), container=OWN_LIMITS)
    done = [one for one in pods.run(limited, shares) if isinstance(one, LaunchContainer)]
    assert [one.limits for one in done] == [
        Limits(1_100, 1_600, 96 * MIB, 128 * MIB, 32 * MIB),
        Limits(500, 1_000, 32 * MIB, 64 * MIB, 0),
        Limits(500, None, 32 * MIB, 32 * MIB, 0),
    ]


def test_a_pod_shrinks_when_a_task_of_it_is_over() -> None:
    pods = Pods()
    pods.run("a", "b")
    limits = only(pods.exit("a"), UpdateContainer).limits
    assert (limits.cpus_milli, limits.mem_bytes) == (600, 64 * MIB)


# The end


def test_the_pod_ends_with_its_last_task() -> None:
    """[DefaultExecutorTest.ReservedResources: the executor ends by itself]"""
    pods = Pods()
    pods.run("a", "b")
    pod = pods.container("pod")
    assert destroyed(pods.exit("a")) == []
    done = pods.exit("b")
    assert destroyed(done) == [pod]
    done = pods.end_pod()
    exited = link.ExecutorExited("F", "pod", 0, built_in=False)
    assert exited in messages(done)
    assert ForgetContainer(pod) in done
    assert pods.told("b") == [*RUNS, "TASK_FINISHED"]
    assert pods.is_over()
    assert len(pods.agent.state.completed_frameworks[0].completed_executors) == 1


def test_containers_of_tasks_are_forgotten_when_they_have_exited() -> None:
    pods = Pods()
    pods.run("a", "b")
    name = pods.container("a")
    assert only(pods.exit("a"), ForgetContainer) == ForgetContainer(name)


def test_a_task_that_fails_takes_its_group_with_it() -> None:
    """[DefaultExecutorTest.KillTaskGroupOnTaskFailure, CommitSuicideOnTaskFailure]"""
    pods = Pods()
    pods.run("a", "b", "c")
    pods.run("other")
    b, c = pods.container("b"), pods.container("c")
    done = pods.exit("a", 1 << 8)
    assert signalled(done) == [b, c]
    assert pods.last("a").message == "Command exited with status 1"
    pods.exit("b", signal.SIGTERM)
    done = pods.advance(3_000)
    assert destroyed(done) == [c]
    pods.exit("c", signal.SIGKILL)
    assert [pods.told(name)[-1] for name in "abc"] == ["TASK_FAILED", "TASK_KILLED", "TASK_KILLED"]
    assert pods.last("b").message == "Command terminated with signal Terminated"
    assert pods.told("other") == RUNS


def test_a_group_whose_tasks_fail_ends_its_pod() -> None:
    """[DefaultExecutorTest.CommitSuicideOnTaskFailure]"""
    pods = Pods()
    pods.run("a", "b")
    pods.exit("a", 9)
    assert destroyed(pods.exit("b", signal.SIGTERM)) == [pods.container("pod")]


def test_a_task_that_finishes_leaves_its_group() -> None:
    pods = Pods()
    pods.run("a", "b")
    done = pods.exit("a")
    assert signalled(done) == []
    assert pods.phase("b") is Phase.RUNNING


def test_a_kill_of_one_task_ends_its_group_and_no_other() -> None:
    """[DefaultExecutorTest.KillTask, CommitSuicideOnKillTask]"""
    pods = Pods()
    pods.run("a", "b")
    pods.run("other")
    assert signalled(pods.hear(kill("a"))) == [pods.container("a")]
    done = pods.exit("a", signal.SIGTERM)
    assert signalled(done) == [pods.container("b")]
    pods.exit("b", signal.SIGTERM)
    assert [pods.told(name)[-1] for name in "ab"] == ["TASK_KILLED"] * 2
    assert pods.told("other") == RUNS
    pods.hear(kill("other"))
    assert destroyed(pods.exit("other", signal.SIGTERM)) == [pods.container("pod")]
    pods.end_pod()
    assert pods.is_over()


def test_kills_of_several_tasks_of_a_group_are_each_done_once() -> None:
    """[DefaultExecutorTest.KillMultipleTasks]"""
    pods = Pods(with_capability("TASK_KILLING_STATE"))
    pods.run("a", "b")
    done = pods.hear(kill("a")) + pods.hear(kill("b"))
    assert signalled(done) == [pods.container("a"), pods.container("b")]
    done = pods.exit("a", signal.SIGTERM)
    assert signalled(done) == []
    pods.exit("b", signal.SIGTERM)
    for name in "ab":
        assert pods.told(name) == [*RUNS, "TASK_KILLING", "TASK_KILLED"]


def test_a_killed_task_that_exits_with_zero_is_killed() -> None:
    """[DefaultExecutorTest.NoTransitionFromKillingToFinished]"""
    pods = Pods(with_capability("TASK_KILLING_STATE"))
    pods.run("a", "b")
    pods.hear(kill("a"))
    pods.exit("a", 0)
    assert pods.told("a") == [*RUNS, "TASK_KILLING", "TASK_KILLED"]


def test_the_grace_of_a_kill_is_that_of_the_call_or_of_the_task() -> None:
    pods = Pods()
    policy = mesos.KillPolicy(grace_period=duration(7_000))
    pods.run(task_info("a", kill_policy=policy), task_info("b", kill_policy=policy))
    a, b = pods.container("a"), pods.container("b")
    pods.hear(kill("a", grace_ms=500))
    assert destroyed(pods.advance(499)) == []
    assert destroyed(pods.advance(1)) == [a]
    pods.exit("a", signal.SIGKILL)
    assert destroyed(pods.advance(6_999)) == []
    assert destroyed(pods.advance(1)) == [b]


def test_a_task_that_takes_too_long_fails_and_its_group_is_killed() -> None:
    """[DefaultExecutorTest.MaxCompletionTime]"""
    pods = Pods(with_capability("TASK_KILLING_STATE"))
    pods.run(task_info("a", max_completion_ms=5_000), "b")
    a, b = pods.container("a"), pods.container("b")
    done = pods.advance(5_000)
    assert (signalled(done), destroyed(done)) == ([a], [a])
    assert signalled(pods.exit("a", signal.SIGKILL)) == [b]
    end = pods.last("a")
    assert (end.state, end.reason, end.source) == (
        State.TASK_FAILED,
        Reason.REASON_MAX_COMPLETION_TIME_REACHED,
        Source.SOURCE_EXECUTOR,
    )
    pods.exit("b", signal.SIGTERM)
    assert pods.told("b") == [*RUNS, "TASK_KILLING", "TASK_KILLED"]


@pytest.mark.parametrize("own", [False, True])
def test_too_much_memory_of_one_container_fails_its_task_with_the_reason(*, own: bool) -> None:
    """[DefaultExecutorTest.ResourceLimitation]"""
    pods = Pods()
    one = structs.replace(task_info("a"), container=OWN_LIMITS) if own else task_info("a")
    pods.run(one, "b")
    done = pods.exit("a", signal.SIGKILL, "Memory limit exceeded: a lot")
    end = pods.last("a")
    assert (end.state, end.reason, end.source, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_CONTAINER_LIMITATION_MEMORY,
        Source.SOURCE_EXECUTOR,
        "Command terminated with signal Killed: Memory limit exceeded: a lot",
    )
    assert end.limitation is not None
    assert end.limitation.resources[0].scalar == mesos.Value.Scalar(32.0 if own else 96.0)
    assert signalled(done) == [pods.container("b")]


def test_a_pod_that_is_killed_for_its_memory_fails_its_tasks_with_the_reason() -> None:
    pods = Pods()
    pods.run("a", "b")
    pod, a, b = (pods.container(name) for name in ("pod", "a", "b"))
    done = pods.put(events.ContainerExited(pod, signal.SIGKILL, "Memory limit exceeded"))
    assert destroyed(done) == [a, b]
    assert pods.told("a") == RUNS
    pods.exit("a", signal.SIGKILL)
    pods.exit("b", signal.SIGKILL)
    assert {pods.last(name).reason for name in "ab"} == {Reason.REASON_CONTAINER_LIMITATION_MEMORY}
    assert pods.is_over()


def test_a_pod_that_ends_takes_its_tasks_with_it() -> None:
    """[DefaultExecutorTest.SigkillExecutor]"""
    pods = Pods()
    pods.run("a", "b")
    done = pods.end_pod(status=signal.SIGKILL)
    assert len(destroyed(done)) == 2
    assert not [one for one in messages(done) if isinstance(one, link.ExecutorExited)]
    pods.exit("a", signal.SIGKILL)
    done = pods.exit("b", signal.SIGKILL)
    exited = link.ExecutorExited("F", "pod", signal.SIGKILL, built_in=False)
    assert exited in messages(done)
    assert pods.told("a") == [*RUNS, "TASK_FAILED"]
    assert pods.told("b")[-1] in ("TASK_FAILED", "TASK_KILLED")
    assert pods.is_over()


# What cannot be launched


def test_a_uri_that_is_missing_fails_the_task_and_nothing_of_its_group_runs() -> None:
    """[DefaultExecutorTest.TaskWithFileURI, the bad case]"""
    pods = Pods()
    pods.hear(group_of("a", "b", "c"))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    pods.put(events.ContainerStarted(pod, 0))
    a, b, c = (pods.container(name) for name in "abc")
    pods.put(events.SandboxPrepared(b))
    failed = events.SandboxFailed(a, events.SandboxStage.FETCH, "no '/file'")
    done = pods.put(failed)
    assert launched(pods.done) == [pod]
    assert AbandonSandbox(c) in done
    assert ForgetContainer(b) in done
    assert destroyed(done) == [pod]
    end = pods.last("a")
    assert (end.state, end.reason, end.message) == (
        State.TASK_FAILED,
        Reason.REASON_CONTAINER_LAUNCH_FAILED,
        "Failed to launch container: no '/file'",
    )
    end = pods.last("b")
    assert (end.state, end.reason, end.message) == (
        State.TASK_KILLED,
        Reason.REASON_TASK_KILLED_DURING_LAUNCH,
        "Task group failure: task 'a' of its group has ended",
    )
    pods.end_pod()
    assert pods.is_over()


def test_an_image_that_cannot_be_pulled_fails_the_task_and_its_group_never_runs() -> None:
    """[DefaultExecutorTest.LaunchGroupFailure]"""
    pods = Pods()
    tasks = [structs.replace(task_info(name), container=IMAGE) for name in "ab"]
    pods.go_on(pods.hear(group_of(*tasks)), but=("pod",))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    pods.put(events.ContainerStarted(pod, 0))
    a, b = pods.container("a"), pods.container("b")
    pods.put(events.SandboxPrepared(a), events.SandboxPrepared(b))
    pods.put(events.ContainerProvisioned(b))
    done = pods.put(events.LaunchFailed(a, "no such image"))
    assert destroyed(done) == [b]  # what was provisioned for it is given back
    assert pods.last("a").message == "Failed to launch container: no such image"
    assert destroyed(pods.put(events.LaunchFailed(b, "given up"))) == [pod]
    assert launched(pods.done) == [pod]
    assert (pods.told("a"), pods.told("b")) == (["TASK_FAILED"], ["TASK_KILLED"])


def test_a_program_that_cannot_be_executed_ends_the_group() -> None:
    """[DefaultExecutorTest.LaunchGroupFailure: one runs, one does not]"""
    pods = Pods()
    pods.go_on(pods.hear(group_of("a", "b")), but=("pod",))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    pods.put(events.ContainerStarted(pod, 0))
    a, b = pods.container("a"), pods.container("b")
    pods.put(events.SandboxPrepared(a), events.SandboxPrepared(b))
    pods.put(events.ContainerStarted(a, 7))
    assert signalled(pods.put(events.LaunchFailed(b, "no such file"))) == [a]
    pods.exit("a", signal.SIGTERM)
    assert (pods.told("a"), pods.told("b")) == ([*RUNS, "TASK_KILLED"], ["TASK_FAILED"])


@pytest.mark.parametrize("stage", list(events.SandboxStage))
def test_a_pod_without_a_sandbox_fails_all_its_tasks(stage: events.SandboxStage) -> None:
    """[SlaveTest.RemoveExecutorUponFailedTaskGroupLaunch]"""
    pods = Pods()
    pods.hear(group_of("a", "b"))
    done = pods.put(events.SandboxFailed(pods.container("pod"), stage, "no"))
    exited = link.ExecutorExited("F", "pod", -1, built_in=False)
    assert exited in messages(done)
    state = "TASK_FAILED" if stage is events.SandboxStage.FETCH else "TASK_LOST"
    assert (pods.told("a"), pods.told("b")) == ([state], [state])
    assert pods.is_over()


def test_a_pod_that_cannot_be_launched_fails_all_its_tasks() -> None:
    pods = Pods()
    pods.hear(group_of("a", "b"))
    pods.put(events.SandboxPrepared(pods.container("pod")))
    pods.put(events.LaunchFailed(pods.container("pod"), "no network"))
    assert {pods.last(name).message for name in "ab"} == {"Failed to launch container: no network"}
    assert pods.is_over()


# Killed on the way


def test_a_kill_before_the_pod_is_there_kills_the_group_and_the_pod() -> None:
    """[SlaveTest.KillQueuedTaskGroup, KillTaskGroupBetweenRunTaskParts]"""
    pods = Pods()
    pods.hear(group_of("a", "b"))
    pod = pods.container("pod")
    done = pods.hear(kill("b"))
    assert AbandonSandbox(pod) in done
    for name in "ab":
        end = pods.last(name)
        assert (end.state, end.reason, end.message, end.source) == (
            State.TASK_KILLED,
            Reason.REASON_TASK_KILLED_DURING_LAUNCH,
            BEFORE_DELIVERY,
            Source.SOURCE_AGENT,
        )
    assert pods.is_over()
    assert pods.put(events.SandboxPrepared(pod)) == []


@pytest.mark.parametrize("launching", [False, True])
def test_a_kill_while_the_pod_is_made_destroys_it(*, launching: bool) -> None:
    """[SlaveTest.KillQueuedTaskDuringExecutorRegistration]"""
    pods = Pods()
    container = None if launching else IMAGE
    pods.hear(group_of("a", "b", executor=pod_info(container=container)))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    assert destroyed(pods.hear(kill("a"))) == [pod]
    assert (pods.told("a"), pods.told("b")) == (["TASK_KILLED"], ["TASK_KILLED"])
    assert without_notes(pods.hear(kill("a"))) == []
    if launching:
        assert pods.put(events.ContainerStarted(pod, 0)) == []
        pods.put(events.ContainerExited(pod, 0))
    else:
        assert pods.put(events.ContainerProvisioned(pod)) == []
        pods.put(events.LaunchFailed(pod, "given up"))
    assert pods.is_over()


def test_a_group_that_is_killed_while_it_is_launched_does_not_run_in_part() -> None:
    pods = Pods()
    pods.run("other")
    with_image = structs.replace(task_info("b"), container=IMAGE)
    pods.hear(group_of("a", with_image, "c", framework=pods.framework))
    a, b, c = (pods.container(name) for name in "abc")
    pods.put(events.SandboxPrepared(a), events.SandboxPrepared(b))  # c is being fetched
    done = pods.hear(kill("a"))
    assert AbandonSandbox(c) in done
    assert ForgetContainer(a) in done  # it was ready, and had nothing
    assert destroyed(done) == [b]
    assert pods.put(events.ContainerProvisioned(b)) == []  # too late
    pods.put(events.LaunchFailed(b, "given up"))
    for name in "abc":
        assert pods.told(name) == ["TASK_KILLED"]
        assert pods.last(name).message == BEFORE_DELIVERY
    assert pods.told("other") == RUNS


def test_a_kill_while_some_of_a_group_runs_already_ends_all_of_it() -> None:
    pods = Pods()
    pods.run("other")
    pods.hear(group_of("a", "b"))
    a, b = pods.container("a"), pods.container("b")
    pods.put(events.SandboxPrepared(a), events.SandboxPrepared(b))
    pods.put(events.ContainerStarted(a, 7))
    done = pods.hear(kill("a"))
    assert (signalled(done), destroyed(done)) == ([a], [b])
    assert pods.put(events.ContainerStarted(b, 8)) == []
    pods.put(events.ContainerExited(b, signal.SIGKILL), events.ContainerExited(a, 15))
    assert (pods.told("a"), pods.told("b")) == ([*RUNS, "TASK_KILLED"], ["TASK_KILLED"])


# Shutting down


def test_a_shutdown_kills_all_tasks_and_then_the_pod() -> None:
    """[SchedulerTest.ShutdownExecutor]"""
    pods = Pods()
    pods.run("a", "b")
    pods.run("c")
    names = [pods.container(name) for name in "abc"]
    done = pods.hear(link.ShutdownExecutor("F", "pod"))
    assert signalled(done) == names
    assert destroyed(pods.advance(4_999)) == []
    assert destroyed(pods.advance(1)) == names
    for name in "abc":
        done = pods.exit(name, signal.SIGKILL)
    assert destroyed(done) == [pods.container("pod")]
    pods.end_pod()
    assert {pods.told(name)[-1] for name in "abc"} == {"TASK_KILLED"}
    assert pods.is_over()


def test_a_group_for_a_pod_that_ends_is_lost() -> None:
    pods = Pods()
    pods.run("a")
    pods.hear(link.ShutdownExecutor("F", "pod"))
    pods.hear(group_of("b", "c"))
    end = pods.last("b")
    assert (end.state, end.reason, end.message) == (
        State.TASK_LOST,
        Reason.REASON_EXECUTOR_TERMINATED,
        "Executor terminating",
    )
    assert pods.told("c") == ["TASK_LOST"]


def test_a_master_counts_no_executor_for_a_group_that_a_pod_does_not_take_as_it_is_over() -> None:
    """It had heard of the pod's end when it sent the group; what the pod had is not acknowledged."""
    agent = Agent()
    agent.hear(group_of("a"))
    pod = agent.container("pod")
    agent.put(events.SandboxPrepared(pod))
    agent.put(events.LaunchFailed(pod, "no"))
    done = agent.hear(group_of("b", "c"))
    assert messages(done)[0] == link.ExecutorExited("F", "pod", -1, built_in=False)
    assert [one.state.name for one in statuses(done)] == ["TASK_LOST", "TASK_LOST"]


def test_no_pod_is_begun_for_a_group_that_joins_one_whose_end_the_master_has_not_heard_of() -> None:
    """It would be a pod that the master does not count: the end of the first frees the second."""
    pods = Pods()
    group = group_of("b", "c")
    done = pods.hear(structs.replace(group, launches_executor=False))
    assert [one.state.name for one in statuses(done)] == ["TASK_LOST", "TASK_LOST"]
    assert len(messages(done)) == 2, "no executor has exited once more"
    assert not pods.agent.state.containers
    pods.run("d")
    assert pods.told("d") == RUNS


def test_a_pod_may_come_again_under_the_same_id() -> None:
    pods = Pods()
    pods.run("a")
    first = pods.container("pod")
    pods.exit("a")
    pods.end_pod()
    pods.run("b")
    assert pods.container("pod") != first
    assert pods.told("b") == RUNS


def test_a_framework_that_is_torn_down_ends_its_pods_and_hears_nothing() -> None:
    """[MasterTest.ShutdownFrameworkWhileTaskRunning]"""
    pods = Pods()
    pods.run("a", "b")
    pods.hear(group_of("c", executor=pod_info("waits")))
    a, b, pod, waits = (pods.container(name) for name in ("a", "b", "pod", "waits"))
    pods.came.clear()
    done = pods.hear(link.ShutdownFramework("F"))
    assert signalled(done) == [a, b]
    assert AbandonSandbox(waits) in done
    assert destroyed(pods.advance(5_000)) == [a, b]
    pods.put(events.ContainerExited(a, 9))
    assert destroyed(pods.put(events.ContainerExited(b, 9))) == [pod]
    pods.put(events.ContainerExited(pod, 0))
    assert pods.came == []
    assert pods.is_over()


def test_an_agent_that_stops_destroys_pods_with_all_that_is_in_them() -> None:
    pods = Pods()
    pods.run("a")
    pods.hear(group_of("b"))
    pod, a, b = (pods.container(name) for name in ("pod", "a", "b"))
    done = pods.agent.put(events.StopAsked())
    assert destroyed(done) == [a, pod]
    assert AbandonSandbox(b) in done
    pods.agent.put(events.ContainerExited(a, 9))
    done = pods.agent.put(events.ContainerExited(pod, 0))
    assert isinstance(done[-1], EndAgent)


# Checks


def checked(task_id: str = "a", delay_seconds: float = 0.0) -> mesos.TaskInfo:
    check = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        command=mesos.CommandInfo(value="test"),
        consecutive_failures=1,
        delay_seconds=delay_seconds,
        interval_seconds=1.0,
        grace_period_seconds=0.0,
    )
    return task_info(task_id, health_check=check)


def test_a_command_check_runs_in_the_container_of_its_task() -> None:
    """[HealthCheckTest.DefaultExecutorCommandHealthCheck, CommandCheckSharesWorkDirWithTask]"""
    pods = Pods()
    own = mesos.Environment(variables=(mesos.Environment.Variable(name="A", value="1"),))
    info = structs.replace(
        checked(), command=mesos.CommandInfo(value="x", environment=own, user="u")
    )
    pods.run(info, "b")
    pods.advance(0)
    (run,) = pods.checks
    assert isinstance(run.probe, CommandProbe)
    assert run.probe.beside == pods.container("a")
    assert (
        run.probe.directory
        == pods.executor().directory + "/containers/" + (pods.container("a").rpartition(".")[2])
    )
    assert run.probe.environment["A"] == "1"  # CommandCheckSeesParentsEnv
    assert run.probe.environment["MESOS_CONTAINER_IP"] == "127.0.0.1"
    assert run.probe.user == "u"
    pods.put(events.CheckFinished(run.check_id, events.CommandExited(0)))
    assert pods.last("a").healthy is True


def test_an_unhealthy_task_is_killed_and_its_group_with_it() -> None:
    pods = Pods()
    pods.run(checked(), "b")
    pods.advance(0)
    (run,) = pods.checks
    done = pods.put(events.CheckFinished(run.check_id, events.CommandExited(256)))
    assert signalled(done) == [pods.container("a")]
    assert signalled(pods.exit("a", signal.SIGTERM)) == [pods.container("b")]
    assert (pods.last("a").state, pods.last("a").healthy) == (State.TASK_KILLED, False)
    pods.exit("b", signal.SIGTERM)
    assert pods.last("b").healthy is None


def test_each_task_of_a_group_has_checks_of_its_own() -> None:
    """[DefaultExecutorCheckTest.MultipleTasksWithChecks, CommandCheckAndHealthCheckNoShadowing]"""
    pods = Pods()
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.COMMAND,
        command=mesos.CheckInfo.Command(command=mesos.CommandInfo(value="exit 5")),
        delay_seconds=0.0,
        interval_seconds=1.0,
    )
    both = structs.replace(checked("a", delay_seconds=9.0), check=check)
    pods.run(both, task_info("b", check_info=check))
    pods.advance(0)
    assert len(pods.checks) == 2
    for number, run in enumerate(pods.checks, 1):
        pods.put(events.CheckFinished(run.check_id, events.CommandExited(number << 8)))
    codes = []
    for name in "ab":
        status = pods.last(name).check_status
        assert status is not None
        assert status.command is not None
        codes.append(status.command.exit_code)
    assert codes == [1, 2]
    assert pods.last("a").healthy is None
    pods.hear(kill("a"))
    assert {pods.task("a").supervision.check, pods.task("a").supervision.health} == {None}  # type: ignore[union-attr]  # it runs


@pytest.mark.parametrize("has_network", [False, True])
def test_web_and_tcp_checks_are_made_from_the_network_of_the_pod(*, has_network: bool) -> None:
    """[DefaultExecutorCheckTest.HTTPCheckDelivered, TCPCheckDelivered]"""
    kind = mesos.HealthCheck
    http = kind(type=kind.Type.HTTP, delay_seconds=0.0, http=kind.HTTPCheckInfo(port=80))
    tcp = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.TCP, delay_seconds=0.0, tcp=mesos.CheckInfo.Tcp(port=81)
    )
    pods = Pods()
    pods.hear(group_of(structs.replace(task_info("a", health_check=http), check=tcp)))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    address = mesos.NetworkInfo.IPAddress(ip_address="10.0.0.7")
    infos = (mesos.NetworkInfo(name="net", ip_addresses=(address,)),) if has_network else ()
    pods.go_on(pods.put(events.ContainerStarted(pod, 0, infos)))
    pods.advance(0)
    beside = pods.container("a") if has_network else None
    assert [run.probe for run in pods.checks] == [
        HttpProbe("http://127.0.0.1:80", beside),
        TcpProbe("127.0.0.1", 81, beside),
    ]


# Progress


def test_what_a_launch_waits_for_is_told_while_it_waits_and_not_later() -> None:
    pods = Pods()
    with_image = structs.replace(task_info("a"), container=IMAGE)
    pods.hear(group_of(with_image, "b"))
    pod = pods.container("pod")
    pods.put(events.SandboxPrepared(pod))
    pods.put(events.ContainerStarted(pod, 0))
    name = pods.container("a")
    assert pods.put(events.ContainerProgressed(name, "too early")) == []
    pods.put(events.SandboxPrepared(name))
    pods.put(events.ContainerProgressed(name, "12 of 127 MB"))
    status = pods.last("a")
    assert (status.state, status.message, status.source, status.reason) == (
        State.TASK_STAGING,
        "12 of 127 MB",
        Source.SOURCE_AGENT,
        None,
    )
    done = pods.put(events.SandboxPrepared(pods.container("b")))
    pods.go_on(pods.put(events.ContainerProvisioned(name)) + done)
    assert pods.put(events.ContainerProgressed(name, "too late")) == []
    assert pods.told("a") == ["TASK_STAGING", *RUNS]


def test_all_tasks_that_wait_for_a_pod_hear_how_far_it_is_once_at_a_time() -> None:
    agent = Agent()
    agent.hear(group_of("a", "b", executor=pod_info(container=IMAGE)))
    pod = agent.container("pod")
    agent.put(events.SandboxPrepared(pod))
    done = agent.put(events.ContainerProgressed(pod, "one"))
    assert [one.message for one in statuses(done)] == ["one", "one"]
    assert agent.put(events.ContainerProgressed(pod, "two")) == []  # the first waits
    agent.acknowledge_all(done)
    assert len(statuses(agent.put(events.ContainerProgressed(pod, "three")))) == 2


def test_a_command_task_tells_how_far_it_is_too() -> None:
    agent = Agent()
    agent.hear(run_tasks(structs.replace(task_info(), container=IMAGE)))
    name = agent.container("t")
    agent.put(events.SandboxPrepared(name))
    (status,) = statuses(agent.put(events.ContainerProgressed(name, "pulling")))
    assert (status.state, status.message) == (State.TASK_STAGING, "pulling")
    agent.hear(kill("t"))
    assert agent.put(events.ContainerProgressed(name, "still")) == []


# Views


def classic(agent: Agent, view: events.Classic, *, show_nested: bool = False) -> object:
    asked = events.ClassicAsked(1, view, {}, {}, show_nested)
    return only(agent.put(asked), AnswerClassic).body


def test_views_show_pods_as_default_executors_and_what_is_in_them_when_asked() -> None:
    """[SlaveTest.GetStateTaskGroupPending, DefaultExecutorResources; AgentAPITest.GetContainers]"""
    pods = Pods()
    pods.hear(group_of("a", "b"))
    state = classic(pods.agent, events.Classic.STATE)
    assert isinstance(state, dict)
    (executor,) = state["frameworks"][0]["executors"]
    assert (executor["id"], executor["type"]) == ("pod", "DEFAULT")
    assert [one["id"] for one in executor["queued_tasks"]] == ["a", "b"]
    assert executor["resources"]["cpus"] == 1.1
    pods.go_on(pods.put(events.SandboxPrepared(pods.container("pod"))))
    state = classic(pods.agent, events.Classic.STATE)
    assert isinstance(state, dict)
    (executor,) = state["frameworks"][0]["executors"]
    assert [one["executor_id"] for one in executor["tasks"]] == ["pod", "pod"]
    assert executor["queued_tasks"] == []

    pod, a = pods.container("pod"), pods.container("a")
    entries = classic(pods.agent, events.Classic.CONTAINERS)
    assert isinstance(entries, list)
    (entry,) = entries
    assert isinstance(entry, dict)
    assert (entry["container_id"], entry["executor_id"]) == (pod, "pod")
    entries = classic(pods.agent, events.Classic.CONTAINERS, show_nested=True)
    assert isinstance(entries, list)
    assert len(entries) == 3
    own = a.rpartition(".")[2]
    nested = entries[1]
    assert isinstance(nested, dict)
    assert nested["container_id"] == own
    assert nested["status"] == {
        "container_id": {"value": own, "parent": {"value": pod}},
        "executor_pid": 4711,
    }


def test_the_operator_sees_nested_containers_when_asked() -> None:
    """[AgentAPITest.GetContainers with show_nested]"""
    pods = Pods()
    pods.run("a", "b")
    kind = agent_api.Call.Type.GET_CONTAINERS
    for show_nested, count in ((False, 1), (True, 3)):
        asked = events.OperatorCalled(1, kind, {}, {}, show_nested)
        response = only(pods.agent.put(asked), AnswerOperator).response
        assert response.get_containers is not None
        found = response.get_containers.containers
        assert len(found) == count
        parents = [one.container_id.parent for one in found[1:]]
        assert parents == [mesos.ContainerID(value=pods.container("pod"))] * (count - 1)


def test_what_a_task_in_a_pod_asked_for_is_shown_beside_what_it_uses() -> None:
    pods = Pods()
    pods.run("a")
    name = pods.container("a")
    used = mesos.ResourceStatistics(timestamp=1.0, mem_rss_bytes=MIB)
    kind = agent_api.Call.Type.GET_CONTAINERS
    asked = events.OperatorCalled(1, kind, {name: used}, {}, show_nested=True)
    response = only(pods.agent.put(asked), AnswerOperator).response
    assert response.get_containers is not None
    shown = response.get_containers.containers[1].resource_statistics
    assert shown == structs.replace(
        used,
        cpus_limit=0.5,
        cpus_soft_limit=0.5,
        mem_limit_bytes=32 * MIB,
        mem_soft_limit_bytes=32 * MIB,
    )


def test_a_registration_names_pods_and_their_tasks() -> None:
    pods = Pods()
    pods.run("a", "b")
    pods.agent.put(events.LinkLost())
    (again,) = messages(pods.agent.put(events.LinkOpened()))
    assert isinstance(again, link.Reregister)
    info = structs.replace(pod_info(), framework_id=mesos.FrameworkID("F"))
    assert again.executors == (link.RunningExecutor("F", info),)
    assert [one.task_id.value for one in again.tasks] == ["a", "b"]
    assert {one.executor_id for one in again.tasks} == {mesos.ExecutorID("pod")}


# Executors of other kinds


def test_nobody_can_subscribe_as_a_pod() -> None:
    pods = Pods()
    pods.run("a")
    call = executor_api.Call(
        type=executor_api.Call.Type.SUBSCRIBE,
        executor_id=mesos.ExecutorID("pod"),
        framework_id=mesos.FrameworkID("F"),
        subscribe=executor_api.Call.Subscribe(),
    )
    (answer,) = pods.agent.put(events.ExecutorSubscribed(1, call))
    assert getattr(answer, "text", None) == "Executor cannot be found"


def test_a_group_on_an_executor_that_subscribes_is_given_to_it_as_one() -> None:
    agent = Agent()
    tasks = tuple(task_info(name, executor_info=executor_info()) for name in "ab")
    agent.hear(run_tasks(*tasks, group=True))
    agent.hear(run_tasks(task_info("c", executor_info=executor_info())))
    name = agent.container("ex")
    agent.put(events.SandboxPrepared(name))
    agent.put(events.ContainerStarted(name, 1))
    call = executor_api.Call(
        type=executor_api.Call.Type.SUBSCRIBE,
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        subscribe=executor_api.Call.Subscribe(),
    )
    _, group, one = executor_events(agent.put(events.ExecutorSubscribed(1, call)))
    assert group.launch_group is not None
    assert [task.task_id.value for task in group.launch_group.task_group.tasks] == ["a", "b"]
    assert one.launch is not None


def test_a_kill_of_a_queued_task_kills_its_group_on_any_executor() -> None:
    """[SlaveTest.KillQueuedTaskGroup]"""
    agent = Agent()
    tasks = tuple(task_info(name, executor_info=executor_info()) for name in "ab")
    agent.hear(run_tasks(*tasks, group=True))
    done = agent.hear(kill("b"))
    assert [one.state.name for one in statuses(done)] == ["TASK_KILLED"] * 2


def test_a_group_for_the_id_of_a_command_that_runs_is_refused() -> None:
    pods = Pods()
    name = pods.agent.run(task_info("pod"))
    done = pods.hear(group_of("a", "b"))
    assert link.ExecutorExited("F", "pod", -1, built_in=False) in messages(done)
    assert {pods.last(one).message for one in "ab"} == {"Executor 'pod' is already running"}
    assert pods.executor().container_id == name


def test_a_group_without_an_executor_cannot_be() -> None:
    agent = Agent()
    message = structs.replace(run_tasks(task_info()), group=True)
    (close,) = agent.hear(message)
    assert "without an executor" in getattr(close, "reason", "")


def test_exits_and_starts_of_containers_that_are_gone_change_nothing() -> None:
    pods = Pods()
    pods.run("a", "b")
    name = pods.container("a")
    pods.exit("a")
    for late in (
        events.ContainerExited(name, 0),
        events.ContainerStarted(name, 1),
        events.LaunchFailed(name, "x"),
        events.SandboxPrepared(name),
        events.ContainerProvisioned(name),
        events.ContainerProgressed(name, "x"),
    ):
        assert pods.put(late) == []
    assert SignalContainer(name, signal.SIGTERM) not in pods.done
    assert DestroyContainer(name) not in pods.done
