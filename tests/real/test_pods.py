"""Pods from end to end: groups of containers that share a network, files and an end."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from tepui.sdk import resources
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.real.container_lab import Lab, Scheduler, container

pytestmark = pytest.mark.real

BRIDGE = "mesos-bridge"
Reason = mesos.TaskStatus.Reason
SandboxPath = mesos.Volume.Source.SandboxPath
OWN_LIMITS = container(linux_info=mesos.LinuxInfo(share_cgroups=False))
SLEEP = "sleep 1000"


def pod(executor_id: str, info: mesos.ContainerInfo | None = None) -> mesos.ExecutorInfo:
    return mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.DEFAULT,
        executor_id=mesos.ExecutorID(executor_id),
        container=info,
        resources=resources(cpus=0.1, mem_mib=32, disk_mib=32),
    )


def shared_files(path: str) -> mesos.Volume:
    """A directory of the pod's sandbox."""
    source = mesos.Volume.Source(
        type=mesos.Volume.Source.Type.SANDBOX_PATH,
        sandbox_path=SandboxPath(type=SandboxPath.Type.PARENT, path="shared"),
    )
    return mesos.Volume(mode=mesos.Volume.Mode.RW, container_path=path, source=source)


def test_containers_of_a_pod_share_its_network_and_its_files(lab: Lab) -> None:
    network = container(network_infos=(mesos.NetworkInfo(name=BRIDGE),))
    files = container(volumes=(shared_files("/shared"),))
    serve = "echo from the other >/shared/index.html; exec httpd -f -p 127.0.0.1:80 -h /shared"
    ask = "until wget -qO- http://127.0.0.1/ 2>/dev/null; do usleep 20000; done; ls /shared"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.start_group(
            pod("pod", network),
            lab.task("serves", serve, lab.images.plain, container=files),
            lab.task("asks", ask, lab.images.plain, container=files),
        )
        addresses = set()
        for name in ("serves", "asks"):
            status = (await scheduler.runs(name)).container_status
            assert status is not None
            assert status.container_id is not None
            assert status.container_id.parent is not None
            assert status.container_id.parent.parent is None
            [joined] = status.network_infos
            addresses |= {one.ip_address for one in joined.ip_addresses}
        assert len(addresses) == 1
        parents = {scheduler.container_id(name).parent for name in ("serves", "asks")}
        assert len(parents) == 1
        assert (await scheduler.ended("asks")).state is TaskState.TASK_FINISHED
        assert scheduler.output("asks") == "from the other\nindex.html\n"
        assert TaskState.TASK_KILLED not in scheduler.states("serves")
        assert (await scheduler.kill("serves")).state is TaskState.TASK_KILLED
        shared = scheduler.sandbox("serves").parent.parent / "shared/index.html"
        assert shared.read_text() == "from the other\n"

    lab.play(story)


@pytest.mark.parametrize("image", [True, False], ids=["image", "processes"])
def test_a_task_that_fails_takes_its_group_with_it(lab: Lab, *, image: bool) -> None:
    used = lab.images.plain if image else None

    async def story(scheduler: Scheduler) -> None:
        fails = lab.task("fails", "until test -e go; do sleep 0.05; done; exit 3", used)
        await scheduler.start_group(pod("pod"), fails, lab.task("other", SLEEP, used))
        await scheduler.runs("other")
        await scheduler.runs("fails")
        (scheduler.sandbox("fails") / "go").touch()
        end = await scheduler.ended("fails")
        assert end.state is TaskState.TASK_FAILED
        assert "3" in (end.message or "")
        other = await scheduler.ended("other")
        assert other.state is TaskState.TASK_KILLED, other
        for name in ("fails", "other"):
            assert scheduler.states(name)[:2] == [TaskState.TASK_STARTING, TaskState.TASK_RUNNING]

    lab.play(story)


def test_a_group_of_which_one_cannot_start_has_not_run(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        await scheduler.start_group(
            pod("pod"),
            lab.task("good", "echo ran", lab.images.plain),
            lab.task("bad", "true", "/no/such/image.tar"),
        )
        end = await scheduler.ended("bad")
        assert end.state is TaskState.TASK_FAILED
        assert "/no/such/image.tar" in (end.message or "")
        other = await scheduler.ended("good")
        assert other.state in (TaskState.TASK_KILLED, TaskState.TASK_FAILED)
        assert TaskState.TASK_RUNNING not in scheduler.states("good")

    lab.play(story)


def test_a_kill_of_one_ends_its_group_and_not_others_of_the_pod(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        executor = pod("pod")
        await scheduler.start_group(
            executor, lab.task("a", SLEEP, lab.images.plain), lab.task("b", SLEEP, lab.images.plain)
        )
        await scheduler.runs("a")
        await scheduler.runs("b")
        await scheduler.start_group(executor, lab.task("c", SLEEP))
        await scheduler.runs("c")
        assert scheduler.container_id("c").parent == scheduler.container_id("a").parent
        assert (await scheduler.kill("a")).state is TaskState.TASK_KILLED
        assert (await scheduler.ended("b")).state is TaskState.TASK_KILLED
        assert scheduler.process("c").is_running()
        assert (await scheduler.kill("c")).state is TaskState.TASK_KILLED

    lab.play(story)


def test_a_pod_runs_on_while_its_agent_is_dead(lab: Lab) -> None:
    network = container(network_infos=(mesos.NetworkInfo(name=BRIDGE),))
    line = "until test -e go; do usleep 20000; done; wget -qO- http://127.0.0.1/; exit 4"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.start_group(
            pod("pod", network),
            lab.task("serves", "exec httpd -f -p 127.0.0.1:80 -h /www", lab.images.plain),
            lab.task("asks", line, lab.images.plain),
        )
        for name in ("serves", "asks"):
            await scheduler.runs(name)
        processes = [scheduler.process(name) for name in ("serves", "asks")]
        await asyncio.to_thread(lab.restart_agent)
        assert all(one.is_running() for one in processes)
        (scheduler.sandbox("asks") / "go").touch()
        end = await scheduler.ended("asks")
        assert end.state is TaskState.TASK_FAILED
        assert scheduler.output("asks") == "served\n"
        assert (await scheduler.ended("serves")).state is TaskState.TASK_KILLED

    lab.play(story)


@pytest.mark.parametrize("image", [True, False], ids=["image", "processes"])
def test_a_task_with_limits_of_its_own_that_takes_too_much_is_named(
    lab: Lab, *, image: bool
) -> None:
    used = lab.images.plain if image else None
    hog = "until test -e go; do sleep 0.05; done; dd if=/dev/zero of=/dev/null bs=300M count=1"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.start_group(
            pod("pod", OWN_LIMITS),
            lab.task("hog", hog, used, container=OWN_LIMITS, mem_mib=48),
            lab.task("other", SLEEP, used, container=OWN_LIMITS),
        )
        await scheduler.runs("hog")
        await scheduler.runs("other")
        (scheduler.sandbox("hog") / "go").touch()
        end = await scheduler.ended("hog")
        assert end.state is TaskState.TASK_FAILED
        assert end.reason is Reason.REASON_CONTAINER_LIMITATION_MEMORY, end
        other = await scheduler.ended("other")
        assert other.state is TaskState.TASK_KILLED
        assert other.reason is not Reason.REASON_CONTAINER_LIMITATION_MEMORY

    lab.play(story)


def test_tasks_that_share_the_pods_limits_are_bound_by_their_sum(lab: Lab) -> None:
    """What one may have is what all have: 64 + 64 + 32 MiB of the pod."""
    takes = "dd if=/dev/zero of=/dev/null bs={}M count=1 && echo had"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.start_group(
            pod("fits"),
            lab.task("more", takes.format(100), lab.images.plain),
            lab.task("less", SLEEP, lab.images.plain),
        )
        assert (await scheduler.ended("more")).state is TaskState.TASK_FINISHED
        assert scheduler.output("more") == "had\n"
        assert (await scheduler.kill("less")).state is TaskState.TASK_KILLED

    lab.play(story)


def test_pods_of_plain_processes_share_a_place(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        first = lab.task("first", "pwd; readlink /proc/self/ns/net /proc/self/ns/mnt")
        await scheduler.start_group(pod("pod"), first, replace_id(first, "second"))
        for name in ("first", "second"):
            end = await scheduler.ended(name)
            assert end.state is TaskState.TASK_FINISHED
        place, *spaces = scheduler.output("first").split()
        assert place == str(scheduler.sandbox("first"))
        assert spaces == scheduler.output("second").split()[1:]

    lab.play(story)


def replace_id(task: mesos.TaskInfo, task_id: str) -> mesos.TaskInfo:
    """The same task under another id."""
    return replace(task, name=task_id, task_id=mesos.TaskID(task_id))
