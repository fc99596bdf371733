"""Tasks that fill the disk: what they hold counts wherever they may write, and they end before it harms others."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tepui.sdk import resources
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.real.container_lab import Lab, Scheduler, container
from tests.real.neighbour import Neighbour

pytestmark = pytest.mark.real

AGENT_FLAGS = ("--enforce_container_disk_quota", "--container_disk_watch_interval=100ms")
DISK_MIB = 8
Reason = mesos.TaskStatus.Reason
FILL = "i=0; while [ $i -lt 200 ]; do dd if=/dev/zero of={}$i bs=1M count=1 2>/dev/null; i=$((i+1)); done"
WAIT = "; until test -e go; do sleep 0.02; done"


def with_disk(task: mesos.TaskInfo) -> mesos.TaskInfo:
    return replace(task, resources=resources(cpus=0.1, mem_mib=64, disk_mib=DISK_MIB))


@pytest.mark.parametrize(
    ("where", "image"),
    [("./f", True), ("./f", False), ("/f", True), ("/tmp/f", True), ("/etc/f", True)],
    ids=["sandbox", "process", "root", "tmp", "etc"],
)
def test_a_task_that_fills_the_disk_ends_for_it(lab: Lab, where: str, *, image: bool) -> None:
    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            used = lab.images.plain if image else None
            end = await scheduler.ran(
                with_disk(lab.task("filler", FILL.format(where) + WAIT, used))
            )
            assert end.state is TaskState.TASK_FAILED
            assert end.reason is Reason.REASON_CONTAINER_LIMITATION_DISK, end
            assert f"exceeds quota ({DISK_MIB}MB)" in (end.message or "")
            assert end.limitation is not None
            assert [one.name for one in end.limitation.resources] == ["disk"]

    lab.play(story)


def test_a_volume_of_the_sandbox_counts_and_one_of_the_host_does_not(lab: Lab) -> None:
    host = lab.cluster.directory / "of-the-host"
    host.mkdir()
    kind = mesos.Volume.Source.Type
    own = mesos.Volume.Source.SandboxPath(
        type=mesos.Volume.Source.SandboxPath.Type.SELF, path="own"
    )
    given = mesos.Volume.Source.HostPath(path=str(host))
    rw = mesos.Volume.Mode.RW
    volumes = {
        "/own": mesos.Volume.Source(type=kind.SANDBOX_PATH, sandbox_path=own),
        "/host": mesos.Volume.Source(type=kind.HOST_PATH, host_path=given),
    }
    info = container(
        volumes=tuple(
            mesos.Volume(mode=rw, container_path=path, source=source)
            for path, source in volumes.items()
        )
    )

    async def story(scheduler: Scheduler) -> None:
        line = "dd if=/dev/zero of=/host/f bs=1M count=20 2>/dev/null; sleep 0.5; echo kept"
        assert (
            await scheduler.said(
                with_disk(lab.task("host", line, lab.images.plain, container=info))
            )
            == "kept\n"
        )
        task = lab.task("own", FILL.format("/own/f") + WAIT, lab.images.plain, container=info)
        end = await scheduler.ran(with_disk(task))
        assert end.reason is Reason.REASON_CONTAINER_LIMITATION_DISK, end

    lab.play(story)


def test_what_is_not_on_disk_is_bounded_by_its_own_size_and_by_memory(lab: Lab) -> None:
    """The file systems in memory of a container: /dev, /dev/shm, and those that it asks for."""
    docker = mesos.ContainerInfo.DockerInfo(
        image=lab.images.plain,
        network=mesos.ContainerInfo.DockerInfo.Network.HOST,
        parameters=(mesos.Parameter(key="tmpfs", value="/scratch:size=2m"),),
    )
    info = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.DOCKER, docker=docker)
    line = (
        "for place in /dev /dev/shm /scratch; do"
        " dd if=/dev/zero of=$place/f bs=1M count=100 2>&1 | grep -o 'No space left'; rm -f $place/f; done"
    )
    hog = "exec dd if=/dev/zero of=/dev/f bs=1M count=60"

    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            await scheduler.ran(lab.task("t", line, container=info, mem_mib=256))
            assert scheduler.output("t").count("No space left") == 3, scheduler.output("t")
            end = await scheduler.ran(lab.task("hog", hog, lab.images.plain, mem_mib=32))
            assert end.reason is Reason.REASON_CONTAINER_LIMITATION_MEMORY, end

    lab.play(story)


def test_a_pod_ends_for_what_its_containers_hold_together(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        pod = mesos.ExecutorInfo(
            type=mesos.ExecutorInfo.Type.DEFAULT,
            executor_id=mesos.ExecutorID("pod"),
            resources=resources(cpus=0.1, mem_mib=32, disk_mib=DISK_MIB),
        )
        fills = lab.task("fills", FILL.format("/f") + WAIT, lab.images.plain)
        fills = replace(fills, resources=resources(cpus=0.1, mem_mib=64, disk_mib=1))
        await scheduler.start_group(pod, fills, lab.task("other", "sleep 1000", lab.images.plain))
        for name in ("fills", "other"):
            end = await scheduler.ended(name)
            assert end.state in (TaskState.TASK_FAILED, TaskState.TASK_KILLED)
            assert end.reason is Reason.REASON_CONTAINER_LIMITATION_DISK, (name, end)

    lab.play(story)
