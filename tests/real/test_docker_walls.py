"""What hostile tasks try in containers of Docker Engine: it stays theirs, and ends them when it is too much."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import pytest

from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.real.cluster import Cluster, wait_gone
from tests.real.container_lab import Scheduler
from tests.real.docker_engine import docker_engine, make_image
from tests.real.docker_lab import CONTAINERS, RESOURCES, WAIT, DockerLab, go
from tests.real.neighbour import LINE, NAME, Neighbour
from tests.real.test_disk_walls import DISK_MIB, FILL, with_disk
from tests.real.test_walls import sleeping

pytestmark = [pytest.mark.real, pytest.mark.apart]

PIDS_MAX = 48
FLAGS = (
    CONTAINERS,
    f"--pids_limit={PIDS_MAX}",
    "--enforce_container_disk_quota",
    "--container_disk_watch_interval=100ms",
)
VOLUME = "volume:1"  # an image with a volume at /own
HOSTS = "dd if=/dev/zero of=/etc/hosts bs=1M count=20 2>/dev/null"
Reason = mesos.TaskStatus.Reason
Mode = mesos.Volume.Mode


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    """One cluster and one Engine for all tests here."""
    with docker_engine() as engine:
        make_image(engine, VOLUME, ("VOLUME /own",))
        place = tmp_path_factory.mktemp("docker")
        flags = (*FLAGS, f"--docker_socket={engine.socket}")
        with Cluster(place / "cluster", resources=RESOURCES, agent_flags=flags) as cluster:
            yield DockerLab(cluster, engine)


@pytest.fixture
def lab(machine: DockerLab) -> Iterator[DockerLab]:
    """The module's cluster, which has no more of tasks afterwards than before."""
    before = machine.traces()
    yield machine
    machine.check_clean(before)


def neighbour(scheduler: Scheduler, lab: DockerLab) -> Neighbour:
    return Neighbour(scheduler, lab, lab.docker(NAME, LINE))


def keeps_changes_apart(lab: DockerLab) -> bool:
    """Whether the Engine's storage driver tells where the changes of a root are."""
    with contextlib.closing(lab.engine.client()) as client:
        return client.info()["Driver"] in ("overlay2", "fuse-overlayfs")


# What is taken without measure


def test_a_fork_bomb_is_stopped_by_the_number_of_processes(lab: DockerLab) -> None:
    bomb = "bomb() { bomb & bomb & wait; }; (sleep 0.5; echo more >&2) & bomb"

    async def story(scheduler: Scheduler) -> None:
        async with neighbour(scheduler, lab):
            await scheduler.running(lab.docker("bomb", bomb))
            await asyncio.to_thread(
                lab.cluster.wait_until,
                lambda: "fork" in scheduler.output("bomb", "stderr"),
                "the bomb can have no more",
            )
            assert await scheduler.said(lab.docker("after", "echo fine")) == "fine\n"
            await scheduler.kill("bomb")  # its shell may have given up before

    lab.play(story)


@pytest.mark.parametrize("where", ["$MESOS_SANDBOX/f", "/f", "/tmp/f", "/own/f", "/etc/hosts"])
def test_a_task_that_fills_the_disk_ends_for_it(lab: DockerLab, where: str) -> None:
    if where in ("/f", "/tmp/f") and not keeps_changes_apart(lab):
        pytest.skip("the Engine's storage driver here keeps no changes apart")
    line = HOSTS if where == "/etc/hosts" else FILL.format(where)

    async def story(scheduler: Scheduler) -> None:
        async with neighbour(scheduler, lab):
            filler = lab.docker("filler", f"{line}; {WAIT}", image=VOLUME)
            end = await scheduler.ran(with_disk(filler))
            assert end.state is TaskState.TASK_FAILED
            assert end.reason is Reason.REASON_CONTAINER_LIMITATION_DISK, end
            assert f"exceeds quota ({DISK_MIB}MB)" in (end.message or "")
            assert end.limitation is not None
            assert [one.name for one in end.limitation.resources] == ["disk"]

    lab.play(story)


def test_what_a_task_holds_counts_for_the_next_agent_as_well(lab: DockerLab) -> None:
    if not keeps_changes_apart(lab):
        pytest.skip("the Engine's storage driver here keeps no changes apart")

    async def story(scheduler: Scheduler) -> None:
        filler = lab.docker("filler", f"{WAIT}; {FILL.format('/f')}; sleep 1000")
        await scheduler.running(with_disk(filler))
        await asyncio.to_thread(lab.restart_agent)
        go(scheduler, "filler")
        end = await scheduler.ended("filler")
        assert end.reason is Reason.REASON_CONTAINER_LIMITATION_DISK, end

    lab.play(story)


def test_directories_of_the_host_and_volumes_with_names_do_not_count(lab: DockerLab) -> None:
    host = lab.cluster.directory / "of-the-host"
    host.mkdir()
    source = mesos.Volume.Source(
        type=mesos.Volume.Source.Type.DOCKER_VOLUME,
        docker_volume=mesos.Volume.Source.DockerVolume(name="tepui-named"),
    )
    volumes = (
        mesos.Volume(mode=Mode.RW, container_path="/host", host_path=str(host)),
        mesos.Volume(mode=Mode.RW, container_path="/named", source=source),
    )
    fill = "; ".join(
        f"dd if=/dev/zero of={place}/f bs=1M count=20 2>/dev/null" for place in ("/host", "/named")
    )

    async def story(scheduler: Scheduler) -> None:
        task = lab.docker("t", f"{fill}; sleep 0.5; echo kept", volumes=volumes)
        assert await scheduler.said(with_disk(task)) == "kept\n"

    lab.play(story)
    lab.cluster.wait_until(lambda: lab.names() == [], "no containers")
    with contextlib.closing(lab.engine.client()) as client:
        client.remove_volume("tepui-named")


# What will not end


def test_a_task_that_ignores_requests_to_end_is_killed(lab: DockerLab) -> None:
    line = "trap '' TERM INT HUP; echo ready; while true; do sleep 0.1; done"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.docker("t", line))
        await scheduler.wrote("t", "ready")
        process = scheduler.process("t")
        assert (await scheduler.kill("t", grace_ms=200)).state is TaskState.TASK_KILLED
        await asyncio.to_thread(wait_gone, process.pid)

    lab.play(story)


@pytest.mark.parametrize("pids", ["own", "host"])
def test_a_daemon_that_a_task_leaves_ends_with_the_task(lab: DockerLab, pids: str) -> None:
    """It has a session of its own, a parent that is gone, and an environment without marks."""
    seconds = f"1000.{os.getpid()}{int(pids == 'host')}"
    line = f"(setsid sh -c '(env -i /bin/sleep {seconds} </dev/null >/dev/null 2>&1 &)' &); {WAIT}"
    parameters = (("pid", "host"),) if pids == "host" else ()

    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.docker("t", line, parameters=parameters))
        await asyncio.to_thread(
            lab.cluster.wait_until, lambda: bool(sleeping(seconds)), "the daemon runs"
        )
        [daemon] = sleeping(seconds)
        go(scheduler, "t")
        assert (await scheduler.ended("t")).state is TaskState.TASK_FINISHED
        await asyncio.to_thread(wait_gone, daemon)

    lab.play(story)
