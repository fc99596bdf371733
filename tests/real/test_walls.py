"""What hostile tasks try, from within a container and as plain processes: all of it stays theirs.

What is tried would do little harm if it succeeded: the clock is set to what it shows, files of the kernel
to what they hold, and the modules that are removed do not exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.real.cluster import wait_gone
from tests.real.container_images import MARK
from tests.real.container_lab import Lab, Scheduler, container
from tests.real.neighbour import Neighbour

pytestmark = pytest.mark.real

PIDS_MAX = 48
AGENT_FLAGS = (f"--pids_limit={PIDS_MAX}",)
BRIDGE = "mesos-bridge"
IN_BOTH = pytest.mark.parametrize("image", [True, False], ids=["image", "process"])
Capability = mesos.CapabilityInfo.Capability
Reason = mesos.TaskStatus.Reason
GO = "until test -e go; do sleep 0.02; done"
NOT_PERMITTED = "Operation not permitted"
REFUSALS = ("not permitted", "permission denied", "read-only file system")


def image_of(lab: Lab, *, image: bool) -> str | None:
    return lab.images.plain if image else None


async def errors_of(scheduler: Scheduler, lab: Lab, line: str, **parts: object) -> list[str]:
    """What a task in a container wrote to stderr, line by line, whether it failed or not."""
    info = container(**parts) if parts else None
    await scheduler.ran(lab.task("t", line, lab.images.plain, container=info))
    return scheduler.output("t", "stderr").splitlines()


# What is taken without measure


@IN_BOTH
def test_a_fork_bomb_is_stopped_by_the_number_of_processes(lab: Lab, *, image: bool) -> None:
    bomb = "bomb() { bomb & bomb & wait; }; (sleep 0.5; echo more >&2) & bomb"

    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            await scheduler.running(lab.task("bomb", bomb, image_of(lab, image=image)))
            await asyncio.to_thread(
                lab.cluster.wait_until,
                lambda: "fork" in scheduler.output("bomb", "stderr"),
                "the bomb can have no more",
            )
            said = await scheduler.said(lab.task("after", "echo fine", lab.images.plain))
            assert said == "fine\n"
            await scheduler.kill("bomb")  # its shell may have given up before

    lab.play(story)


@IN_BOTH
def test_a_task_that_takes_too_much_memory_is_told_so(lab: Lab, *, image: bool) -> None:
    hog = "dd if=/dev/zero of=/dev/null bs=300M count=1; echo survived"

    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab):
            end = await scheduler.ran(
                lab.task("hog", f"exec {hog}", image_of(lab, image=image), mem_mib=32)
            )
            assert end.state is TaskState.TASK_FAILED
            assert end.reason is Reason.REASON_CONTAINER_LIMITATION_MEMORY, end
            assert end.limitation is not None

    lab.play(story)


def test_shared_memory_is_bounded_and_counted(lab: Lab) -> None:
    line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=80"

    async def story(scheduler: Scheduler) -> None:
        errors = await errors_of(
            scheduler, lab, f"({line}) 2>&1 | tail -n 3 >&2; du -m /dev/shm >&2"
        )
        assert any("No space left" in one for one in errors) or scheduler.statuses["t"][
            -1
        ].reason is (Reason.REASON_CONTAINER_LIMITATION_MEMORY), errors
        small = lab.task("small", f"exec {line}", lab.images.plain, mem_mib=32)
        end = await scheduler.ran(small)
        assert end.reason is Reason.REASON_CONTAINER_LIMITATION_MEMORY, end

    lab.play(story)


# What will not end


@IN_BOTH
def test_a_task_that_ignores_requests_to_end_is_killed(lab: Lab, *, image: bool) -> None:
    line = "trap '' TERM INT HUP; echo ready; while true; do sleep 0.1; done"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.task("t", line, image_of(lab, image=image)))
        await scheduler.wrote("t", "ready")
        process = scheduler.process("t")
        assert (await scheduler.kill("t", grace_ms=200)).state is TaskState.TASK_KILLED
        await asyncio.to_thread(wait_gone, process.pid)

    lab.play(story)


@IN_BOTH
def test_a_daemon_that_a_task_leaves_ends_with_the_task(lab: Lab, *, image: bool) -> None:
    """It has a session of its own, a parent that is gone, and an environment without marks."""
    seconds = f"1000.{os.getpid()}{int(image)}"
    line = f"(setsid sh -c '(env -i /bin/sleep {seconds} </dev/null >/dev/null 2>&1 &)' &); {GO}"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.task("t", line, image_of(lab, image=image)))
        await asyncio.to_thread(
            lab.cluster.wait_until, lambda: bool(sleeping(seconds)), "the daemon runs"
        )
        [daemon] = sleeping(seconds)
        (scheduler.sandbox("t") / "go").touch()
        assert (await scheduler.ended("t")).state is TaskState.TASK_FINISHED
        await asyncio.to_thread(wait_gone, daemon)

    lab.play(story)


# What belongs to the machine


def test_nothing_of_the_kernel_can_be_changed_from_a_container(lab: Lab) -> None:
    tries = (
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /proc/sys",
        "cat /proc/sys/vm/swappiness >/proc/sys/vm/swappiness",
        "mkdir /sys/kernel/tried",
        "mkdir /sys/fs/tried",
        "date -s @$(date +%s)",
        "rmmod no_such_module",
        "unshare -m true",
        "unshare -U true",
        "nsenter -t 1 -m true",
        "hostname other",
        "ip link add tried0 type dummy",
        "swapoff /bin/busybox",
        "dmesg",
    )
    lines = [
        f"echo 'try {number}'; ({line}) >/dev/null 2>err; head -n 1 err"
        for number, line in enumerate(tries)
    ]

    async def story(scheduler: Scheduler) -> None:
        said = await scheduler.said(lab.task("t", "\n".join(lines), lab.images.plain))
        answers = said.split("try ")[1:]
        results = [one.partition("\n")[2].strip().lower() for one in answers]
        others = [
            (line, result)
            for line, result in zip(tries, results, strict=True)
            if not any(words in result for words in REFUSALS)
        ]
        assert others == []
        masked = await _said(scheduler, lab, "masked", "cat /proc/kcore /proc/keys | wc -c")
        assert masked == "0\n"

    lab.play(story)


def test_devices_of_the_host_can_be_named_and_not_opened(lab: Lab) -> None:
    major, minor, name = _disk()
    line = (
        f"ls /dev | grep -c '^{name}$'; mknod disk b {major} {minor} && head -c 1 disk | wc -c;"
        " mknod memory c 1 1 && head -c 1 memory | wc -c; head -c 1 /dev/zero | wc -c"
    )

    async def story(scheduler: Scheduler) -> None:
        said = await _said(scheduler, lab, "t", line)
        assert said.split() == ["0", "0", "0", "1"], said
        assert scheduler.output("t", "stderr").count(NOT_PERMITTED) == 2

    lab.play(story)


def test_a_container_sees_no_processes_and_files_but_its_own(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        async with Neighbour(scheduler, lab) as process:
            files = scheduler.sandbox("neighbour")
            line = (
                f"ls /proc | grep -c '^[0-9]'; kill -9 {process.pid} && echo killed;"
                f" kill -9 {os.getpid()} && echo killed; ls {files} {lab.work};"
                " kill -9 -1; echo over"
            )
            said = await _said(scheduler, lab, "t", line)
            count, *rest = said.split()
            assert int(count) <= 6
            assert rest in (["over"], [])
            assert process.is_running()

    lab.play(story)


def test_no_path_leads_out_of_the_root_of_a_container(lab: Lab) -> None:
    line = (
        f"ls -d /{MARK} /../../{MARK} /proc/1/root/{MARK} /proc/self/root/../{MARK};"
        f" ln -s /../../../.. up; ls -d up/{MARK}; mkdir in; cd in;"
        f" chroot . /bin/true; cd ../../../../..; ls -d ./{MARK}; ls -d {{}}"
    )

    async def story(scheduler: Scheduler) -> None:
        out = str(lab.work)
        task = lab.task("t", line.format(out), lab.images.plain)
        await scheduler.ran(task)
        assert len(scheduler.output("t").split()) == 6, scheduler.output("t")
        assert f"ls: {out}: No such file or directory" in scheduler.output("t", "stderr")

    lab.play(story)


def test_volumes_land_in_the_container_where_its_image_has_links_to_the_host(lab: Lab) -> None:
    linked = lab.cluster.directory.parent / "linked"
    host = lab.cluster.directory / "mounted"
    host.mkdir()
    (host / "file").write_text("of the host\n")
    path = mesos.Volume.Source.HostPath(path=str(host))
    source = mesos.Volume.Source(type=mesos.Volume.Source.Type.HOST_PATH, host_path=path)
    volumes = (
        mesos.Volume(mode=mesos.Volume.Mode.RW, container_path="/link/inner", source=source),
    )

    async def story(scheduler: Scheduler) -> None:
        info = container(volumes=volumes)
        task = lab.task("t", "cat /link/inner/file", lab.images.links, container=info)
        await scheduler.ran(task)
        assert list(linked.iterdir()) == []
        # A link in the sandbox is the task's: what the agent does there does not follow it.
        first = lab.task("first", f"ln -s {host} there; ls -l there >&2", lab.images.plain)
        assert (await scheduler.ran(first)).state is TaskState.TASK_FINISHED
        assert sorted(one.name for one in host.iterdir()) == ["file"]

    lab.play(story)


def test_raw_sockets_are_as_the_operator_or_the_task_says(lab: Lab) -> None:
    none = mesos.LinuxInfo(effective_capabilities=mesos.CapabilityInfo())
    bridge = (mesos.NetworkInfo(name=BRIDGE),)
    line = "ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; echo $?"

    async def story(scheduler: Scheduler) -> None:
        usual = lab.task("usual", line, lab.images.plain, container=container(network_infos=bridge))
        assert await scheduler.said(usual) == "0\n"
        info = container(network_infos=bridge, linux_info=none)
        line_of_raw = f"grep CapEff /proc/self/status; {line}"
        dropped = lab.task("dropped", line_of_raw, lab.images.plain, container=info)
        said = await scheduler.said(dropped)
        assert said.startswith("CapEff:\t0000000000000000\n")

    lab.play(story)


def test_what_listens_on_the_hosts_loopback_is_not_there_for_bridged_containers(lab: Lab) -> None:
    reached = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal reached
        reached += 1
        writer.write(b"reached\n")
        writer.close()

    async def story(scheduler: Scheduler) -> None:
        server = await asyncio.start_server(greet, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        line = (
            "ip route | awk '/default/ {print $3}' >gateway; test -s gateway || exit 1;"
            f" for host in 127.0.0.1 $(cat gateway) 127.0.0.2; do nc -w 1 $host {port} </dev/null;"
            " done; true"
        )
        async with server:
            info = container(network_infos=(mesos.NetworkInfo(name=BRIDGE),))
            said = await scheduler.said(lab.task("t", line, lab.images.plain, container=info))
            assert (said, reached) == ("", 0)
            # The wall is the network: a container on the host's own reaches it.
            host = f"nc -w 1 127.0.0.1 {port} </dev/null"
            assert await _said(scheduler, lab, "host", host) == "reached\n"

    lab.play(story)


def test_set_user_id_programs_give_nothing_to_a_user_of_a_container(lab: Lab) -> None:
    line = "grep -E 'NoNewPrivs|CapEff' /proc/self/status; cat /etc/passwd >/dev/null; touch /bin/x"

    async def story(scheduler: Scheduler) -> None:
        task = lab.task("t", line, lab.images.plain)
        command = mesos.CommandInfo(value=line, user="worker")
        await scheduler.ran(replace(task, command=command))
        said = scheduler.output("t").split()
        assert said == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]
        assert "Permission denied" in scheduler.output("t", "stderr")

    lab.play(story)


async def _said(scheduler: Scheduler, lab: Lab, task_id: str, line: str) -> str:
    """What a task in a container wrote, whether it failed or not."""
    await scheduler.ran(lab.task(task_id, line, lab.images.plain))
    return scheduler.output(task_id)


def sleeping(seconds: str) -> list[int]:
    """Processes that sleep so long."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            if words[:2] == [b"/bin/sleep", seconds.encode()]:
                found.append(int(place.name))
    return found


def _disk() -> tuple[int, int, str]:
    """Major and minor number and name of a disk of this machine."""
    for line in Path("/proc/partitions").read_text().splitlines()[2:]:
        major, minor, _, name = line.split()
        if not name.startswith(("loop", "ram", "zram")):
            return int(major), int(minor), name
    pytest.skip("this machine has no disk")
