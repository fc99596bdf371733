"""What a task sees of its walls from within, and the kernel shows of them from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.sdk import resources
from tepui.wire import mesos
from tests.real.container_lab import Lab, Scheduler, container

pytestmark = pytest.mark.real

PIDS_MAX = 32
AGENT_FLAGS = (f"--pids_limit={PIDS_MAX}",)
MIB = 1 << 20
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
BRIDGE = (mesos.NetworkInfo(name="mesos-bridge"),)
LOOK = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in KINDS)
WAIT = "; until test -e go; do usleep 20000; done"
IN_BOTH = pytest.mark.parametrize("image", [True, False], ids=["image", "process"])


def test_namespaces_are_the_containers_own_but_for_those_that_it_shares(lab: Lab) -> None:
    host = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in KINDS}

    async def differing(scheduler: Scheduler, name: str, info: mesos.ContainerInfo) -> set[str]:
        said = await scheduler.said(lab.task(name, LOOK, lab.images.plain, container=info))
        seen = dict(zip(KINDS, said.split(), strict=True))
        return {kind for kind in KINDS if seen[kind] != host[kind]}

    async def story(scheduler: Scheduler) -> None:
        usual = {"cgroup", "ipc", "mnt", "pid"}
        assert await differing(scheduler, "usual", container()) == usual
        bridged = container(network_infos=BRIDGE)
        assert await differing(scheduler, "bridged", bridged) == usual | {"net", "uts"}
        linux = mesos.LinuxInfo(share_pid_namespace=True)
        assert await differing(scheduler, "shared", container(linux_info=linux)) == usual - {"pid"}
        assert (await scheduler.said(lab.task("plain", LOOK))).split() == list(host.values())

    lab.play(story)


def test_shared_memory_queues_and_names_of_others_are_not_seen(lab: Lab) -> None:
    line = (
        "grep -c . /proc/sysvipc/shm /proc/sysvipc/msg /proc/sysvipc/sem; ls /dev/mqueue | wc -l;"
        " ls /dev/shm | wc -l; hostname; ls /sys/class/net"
    )
    left = Path(f"/dev/shm/tepui-walls-{os.getpid()}")
    left.write_text("of the host\n")

    async def story(scheduler: Scheduler) -> None:
        info = container(network_infos=BRIDGE, hostname="walled")
        said = await scheduler.said(lab.task("t", line, lab.images.plain, container=info))
        *counts, name, first, second = said.split()
        # The first line of each is its heading.
        assert [one.rpartition(":")[2] for one in counts] == ["1", "1", "1", "0", "0"]
        assert (name, {first, second}) == ("walled", {"eth0", "lo"})

    try:
        lab.play(story)
    finally:
        left.unlink()


@IN_BOTH
def test_limits_of_a_task_are_those_of_its_cgroups(lab: Lab, *, image: bool) -> None:
    """A share by its cpus, a quota and memory above them by its limits, and a number of processes."""

    async def story(scheduler: Scheduler) -> None:
        used = lab.images.plain if image else None
        task = lab.task("t", f"echo up{WAIT}", used)
        limits = {"cpus": mesos.Value.Scalar(0.75), "mem": mesos.Value.Scalar(96.0)}
        task = replace(task, resources=resources(cpus=0.5, mem_mib=64), limits=limits)
        await scheduler.running(task)
        found = cgroups_of(scheduler.process("t").pid)
        assert read(found, "cpu", "cpu.shares", "cpu.weight") in (512, 20)
        assert quota(found) == 0.75
        assert read(found, "memory", "memory.limit_in_bytes", "memory.max") == 96 * MIB
        assert read(found, "pids", "pids.max", "pids.max") == PIDS_MAX
        (scheduler.sandbox("t") / "go").touch()
        await scheduler.ended("t")

    lab.play(story)


def test_a_container_sees_its_own_cgroups_and_can_change_none(lab: Lab) -> None:
    line = (
        "cat /proc/self/cgroup | cut -d: -f3 | sort -u | xargs;"
        " for file in $(find /sys/fs/cgroup -name cgroup.procs -o -name '*limit_in_bytes' -o -name pids.max);"
        " do (echo 1 >$file) 2>/dev/null && echo written $file; done;"
        " mkdir /sys/fs/cgroup/memory/x; echo over"
    )

    async def story(scheduler: Scheduler) -> None:
        said = await scheduler.said(lab.task("t", line, lab.images.plain))
        own, over = said.splitlines()
        assert over == "over", said
        assert set(own.split()) <= {"/", "/.."}, said
        assert "Read-only file system" in scheduler.output("t", "stderr")

    lab.play(story)


def test_mounts_of_a_container_are_refused_or_stay_within_it(lab: Lab) -> None:
    """One that may mount does so in its own namespace: the host never has it, nor is it left."""
    capabilities = mesos.CapabilityInfo(capabilities=(mesos.CapabilityInfo.Capability.SYS_ADMIN,))
    may = mesos.LinuxInfo(
        effective_capabilities=capabilities,
        bounding_capabilities=capabilities,
        seccomp=mesos.SeccompInfo(unconfined=True),
    )
    line = (
        "mkdir /tmp/m; mount -t tmpfs walls-of-tepui /tmp/m && touch /tmp/m/x;"
        " mount -t tmpfs walls-of-tepui $MESOS_SANDBOX; grep -c walls-of-tepui /proc/self/mounts"
    )

    async def story(scheduler: Scheduler) -> None:
        await scheduler.ran(lab.task("may-not", line, lab.images.plain))
        assert scheduler.output("may-not") == "0\n"
        assert scheduler.output("may-not", "stderr").count("permission denied") == 2
        info = container(linux_info=may)
        task = lab.task(
            "may", f"{line}; cd /{WAIT.replace('go', '/tmp/go')}", lab.images.plain, container=info
        )
        await scheduler.running(task)
        await scheduler.wrote("may", "2\n")
        assert "walls-of-tepui" not in Path("/proc/self/mounts").read_text()
        assert "walls-of-tepui" in Path(f"/proc/{scheduler.process('may').pid}/mounts").read_text()
        await scheduler.kill("may")
        living = [place for place in Path("/proc").glob("[0-9]*/mounts") if mounted(place)]
        assert living == []

    lab.play(story)


def mounted(place: Path) -> bool:
    try:
        return "walls-of-tepui" in place.read_text()
    except OSError:
        return False


def cgroups_of(pid: int) -> dict[str, Path]:
    """The directories of a process's cgroups by controller; '' is cgroup2's."""
    mounts: dict[str, str] = {}
    for text in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = text.split()
        if kind == "cgroup2":
            mounts[""] = place
        elif kind == "cgroup":
            mounts |= dict.fromkeys(options.split(","), place)
    found = {}
    for text in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = text.split(":", 2)
        for one in controllers.split(","):
            if one in mounts:
                found[one] = Path(mounts[one] + path)
    return found


def read(found: dict[str, Path], controller: str, v1: str, v2: str) -> int:
    """A number of the task's cgroup."""
    place = found[controller] / v1 if controller in found else found[""] / v2
    return int(place.read_text())


def quota(found: dict[str, Path]) -> float:
    """How many cpus it may have."""
    if "cpu" in found:
        own = int((found["cpu"] / "cpu.cfs_quota_us").read_text())
        return own / int((found["cpu"] / "cpu.cfs_period_us").read_text())
    own_text, period = (found[""] / "cpu.max").read_text().split()
    return int(own_text) / int(period)
