"""A container that holds more on disk than it may, and the GPUs that a container is launched with."""

from __future__ import annotations

import signal

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import AnswerContainer, DestroyContainer, LaunchContainer
from tepui.resources import parse_resources
from tepui.wire import agent as wire
from tepui.wire import link, mesos
from tests.agent.core.cluster import Agent, executor_info, only, run_tasks, states, task_info
from tests.agent.core.groups import Pods, destroyed

Reason = mesos.TaskStatus.Reason
TEXT = "Disk usage (20MB) exceeds quota (10MB)"


def resources(text: str) -> tuple[mesos.Resource, ...]:
    return parse_resources(text).to_wire(role="*", refinement=True)


def with_disk(task: mesos.TaskInfo) -> mesos.TaskInfo:
    return structs.replace(task, resources=resources("cpus:0.5;mem:32;disk:10"))


def end_of(agent: Agent) -> mesos.TaskStatus:
    return agent.acknowledge_all(agent.advance(10_000))[-1]


def disk_of(status: mesos.TaskStatus) -> float:
    assert status.limitation is not None
    (disk,) = status.limitation.resources
    assert disk.name == "disk"
    assert disk.scalar is not None
    return disk.scalar.value


def test_too_much_on_disk_fails_the_task_with_the_reason() -> None:
    agent = Agent()
    container = agent.run(with_disk(task_info()))
    assert agent.put(events.DiskExceeded(container, TEXT)) == [DestroyContainer(container)]
    assert agent.put(events.DiskExceeded(container, "again")) == []
    agent.put(events.ContainerExited(container, signal.SIGKILL))
    end = end_of(agent)
    assert (end.state, end.reason, end.message) == (
        mesos.TaskState.TASK_FAILED,
        Reason.REASON_CONTAINER_LIMITATION_DISK,
        TEXT,
    )
    assert disk_of(end) == 10.0


def test_reason_outlives_the_agent() -> None:
    agent = Agent()
    container = agent.run(with_disk(task_info()))
    agent.put(events.DiskExceeded(container, TEXT))
    agent.restart()
    agent.put(events.LinkOpened())
    agent.hear(link.Registered("A", 75_000))
    assert end_of(agent).reason is Reason.REASON_CONTAINER_LIMITATION_DISK


def test_task_that_is_being_killed_is_killed() -> None:
    agent = Agent()
    container = agent.run(with_disk(task_info()))
    agent.hear(link.KillTask("F", "t", None))
    assert agent.put(events.DiskExceeded(container, TEXT)) == []
    agent.put(events.ContainerExited(container, signal.SIGTERM))
    assert states([end_of(agent)]) == ["TASK_KILLED"]


def test_container_that_is_gone_is_of_no_interest() -> None:
    assert Agent().put(events.DiskExceeded("gone", TEXT)) == []


def test_pod_with_too_much_on_disk_fails_all_of_its_tasks() -> None:
    pods = Pods()
    pods.run(with_disk(task_info("a")), "b")
    pod = pods.container("pod")
    assert destroyed(pods.put(events.DiskExceeded(pod, TEXT))) == [pod]
    pods.put(events.ContainerExited(pod, 0))
    pods.exit("a", signal.SIGKILL)
    pods.exit("b", signal.SIGKILL)
    ends = [pods.last(name) for name in "ab"]
    assert {one.reason for one in ends} == {Reason.REASON_CONTAINER_LIMITATION_DISK}
    assert {one.message for one in ends} == {TEXT}
    assert pods.is_over()


def test_tasks_of_a_pod_with_too_much_on_disk_are_gone_before_it_and_fail_for_it() -> None:
    pods = Pods()
    pods.run(with_disk(task_info("a")), "b")
    pod = pods.container("pod")
    pods.put(events.DiskExceeded(pod, TEXT))
    pods.exit("a", signal.SIGKILL)
    pods.exit("b", signal.SIGKILL)
    pods.put(events.ContainerExited(pod, signal.SIGKILL))
    ends = [pods.last(name) for name in "ab"]
    assert {one.reason for one in ends} == {Reason.REASON_CONTAINER_LIMITATION_DISK}
    assert {one.state for one in ends} == {mesos.TaskState.TASK_FAILED}
    assert {one.message for one in ends} == {TEXT}
    assert pods.is_over()


def test_wait_says_that_the_container_held_too_much() -> None:
    agent = Agent()
    name = mesos.ContainerID(value="s1")
    launch = wire.Call.LaunchContainer(
        container_id=name,
        command=mesos.CommandInfo(value="x"),
        resources=parse_resources("cpus:1;disk:10").to_wire(role=None, refinement=True),
    )
    kinds = wire.Call.Type
    called = wire.Call(type=kinds.LAUNCH_CONTAINER, launch_container=launch)
    agent.put(events.ContainerCalled(1, called))
    agent.put(events.SandboxPrepared("s1"))
    agent.put(events.ContainerStarted("s1", 4))
    waited = wire.Call.WaitContainer(container_id=name)
    agent.put(
        events.ContainerCalled(2, wire.Call(type=kinds.WAIT_CONTAINER, wait_container=waited))
    )
    assert agent.put(events.DiskExceeded("s1", TEXT)) == [DestroyContainer("s1")]
    ended = agent.put(events.ContainerExited("s1", signal.SIGKILL))
    response = only(ended, AnswerContainer).response
    assert response is not None
    assert response.wait_container is not None
    assert response.wait_container.reason is Reason.REASON_CONTAINER_LIMITATION_DISK
    assert response.wait_container.message == TEXT


def test_operator_is_refused_gpus() -> None:
    launch = wire.Call.LaunchContainer(
        container_id=mesos.ContainerID(value="s1"),
        command=mesos.CommandInfo(value="x"),
        resources=parse_resources("gpus:1").to_wire(role=None, refinement=True),
    )
    call = wire.Call(type=wire.Call.Type.LAUNCH_CONTAINER, launch_container=launch)
    answered = only(Agent().put(events.ContainerCalled(1, call)), AnswerContainer)
    assert answered.status == 400
    assert "only tasks are given GPUs" in answered.text


def launch_of(agent: Agent, *tasks: mesos.TaskInfo, name: str) -> LaunchContainer:
    for task in tasks:
        agent.hear(run_tasks(task))
    return only(agent.put(events.SandboxPrepared(agent.container(name))), LaunchContainer)


@pytest.mark.parametrize(("text", "gpus"), [("gpus:2", 2), ("", 0)])
def test_task_is_launched_with_its_gpus(text: str, gpus: int) -> None:
    task = structs.replace(task_info(), resources=resources(f"cpus:1;mem:32;{text}".rstrip(";")))
    assert launch_of(Agent(), task, name="t").gpus == gpus


def test_executor_has_those_of_the_tasks_that_wait_for_it() -> None:
    own = executor_info()
    with_gpu = structs.replace(own, resources=resources("cpus:1;gpus:1"))
    tasks = [
        structs.replace(
            task_info(name, executor_info=with_gpu), resources=resources("cpus:1;gpus:1")
        )
        for name in "ab"
    ]
    assert launch_of(Agent(), *tasks, name="ex").gpus == 3


def test_tasks_of_a_pod_have_theirs_and_the_pod_none() -> None:
    pods = Pods()
    done = pods.run(structs.replace(task_info("a"), resources=resources("cpus:1;gpus:1")), "b")
    gpus = {one.container_id: one.gpus for one in done if isinstance(one, LaunchContainer)}
    assert gpus == {pods.container("pod"): 0, pods.container("a"): 1, pods.container("b"): 0}
