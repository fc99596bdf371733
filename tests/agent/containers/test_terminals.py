"""Streams that are handed over, and terminals: what is typed, what is shown, their size, and their end."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.containers.spec import Stdio, Window
from tepui.agent.launcher import terminals
from tepui.agent.launcher.request import Fault
from tepui.base.errors import HostError
from tests.agent.containers.host import DEADLINE_S, Host, host, line_from, wait_gone

pytestmark = pytest.mark.real

WAYS = pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "proc"])


class Pipes:
    """Three pipes: `stdio` are the container's ends, to be closed when it has them."""

    def __init__(self) -> None:
        stdin_fd, self.stdin = os.pipe()
        self.stdout, stdout_fd = os.pipe()
        self.stderr, stderr_fd = os.pipe()
        self.stdio = Stdio(stdin_fd, stdout_fd, stderr_fd)

    def handed_over(self) -> None:
        for fd in (self.stdio.stdin, self.stdio.stdout, self.stdio.stderr):
            os.close(fd)

    def close(self) -> None:
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


async def until(fd: int, end: bytes) -> bytes:
    """Return what came up to `end`."""
    got = b""
    while end not in got:
        got += (await line_from(fd)).encode()
    return got


@WAYS
def test_process_has_the_streams_that_were_handed_over(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            pipes = Pipes()
            script = "read line; echo got $line; echo wrong >&2; cat; exit 3"
            await one.runtime.launch(one.spec("c", "/bin/sh", "-c", script), pipes.stdio)
            pipes.handed_over()
            os.write(pipes.stdin, b"one\n")
            assert await line_from(pipes.stdout) == "got one\n"
            assert await line_from(pipes.stderr) == "wrong\n"
            os.close(pipes.stdin)
            pipes.stdin = os.open(os.devnull, os.O_RDONLY)
            assert (await one.exits.of("c")).wait_status == 3 << 8
            assert os.read(pipes.stdout, 100) == b"", "no other process has the writing end"
            assert list(one.sandbox("c").iterdir()) == []
            pipes.close()

    asyncio.run(run())


def test_descriptors_of_many_launches_do_not_mix(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            many = [Pipes() for _ in range(40)]

            async def launch(number: int, pipes: Pipes) -> None:
                spec = one.spec(f"c{number}", "/bin/sh", "-c", f"echo {number}")
                await one.runtime.launch(spec, pipes.stdio)
                pipes.handed_over()

            plain = [one.shell(f"p{number}", "exit 0") for number in range(40)]
            handed = [launch(number, pipes) for number, pipes in enumerate(many)]
            await asyncio.gather(
                *[part for pair in zip(plain, handed, strict=True) for part in pair]
            )
            for number, pipes in enumerate(many):
                assert await line_from(pipes.stdout) == f"{number}\n"
                pipes.close()
            for number in range(40):
                await one.exits.of(f"c{number}")
                await one.exits.of(f"p{number}")

    asyncio.run(run())


def test_launch_that_fails_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            before = len(os.listdir(f"/proc/{one.runtime.launcher_pid}/fd"))
            for number in range(5):
                pipes = Pipes()
                with pytest.raises(HostError, match="no such file"):
                    await one.runtime.launch(one.spec(f"c{number}", "/no/such"), pipes.stdio)
                with pytest.raises(HostError, match="it is empty"):
                    await one.runtime.launch(one.spec(f"d{number}"), pipes.stdio)
                pipes.handed_over()
                assert os.read(pipes.stdout, 1) == b"", "the launcher holds it no more"
                pipes.close()
            assert len(os.listdir(f"/proc/{one.runtime.launcher_pid}/fd")) == before

    asyncio.run(run())


@WAYS
def test_container_with_the_agents_streams_ends_with_the_agent(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            pipes = Pipes()
            spec = one.spec("session", "/bin/sh", "-c", "echo; exec sleep 1000")
            session = await one.runtime.launch(spec, pipes.stdio)
            pipes.handed_over()
            window = structs.replace(
                one.spec("screen", "sleep", "1000"), tty=Window(), stdout=None, stderr=None
            )
            screen = await one.runtime.launch(window)
            task = await one.shell("task", "sleep 1000")
            await one.runtime.close()
            wait_gone(session.pid)
            wait_gone(screen.pid)
            agent = one.next_agent()
            found = {row.container_id: row for row in await agent.recover()}
            assert found["task"].pid == task.pid
            assert found["task"].exited is None
            await agent.destroy("task")
            await one.exits.of("task")
            pipes.close()

    asyncio.run(run())


# Terminals


async def on_terminal(one: Host, name: str, script: str, window: Window | None = None) -> int:
    spec = one.spec(name, "/bin/sh", "-c", script)
    await one.runtime.launch(structs.replace(spec, tty=window or Window(), stdout=None))
    return await one.runtime.terminal(name)


@WAYS
def test_terminal_has_its_size_and_its_program_hears_of_a_new_one(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            script = (
                "trap 'stty size; exit 0' WINCH; tty -s && stty size; echo ready;"
                " while :; do sleep 0.01; done"
            )
            fd = await on_terminal(one, "c", script, Window(33, 117))
            assert (await until(fd, b"ready\r\n")).startswith(b"33 117\r\n")
            terminals.set_window(fd, 40, 100)
            assert await until(fd, b"\r\n") == b"40 100\r\n"
            assert (await one.exits.of("c")).wait_status == 0
            os.close(fd)

    asyncio.run(run())


def test_typed_interrupt_ends_the_program_in_the_foreground(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            fd = await on_terminal(one, "c", "trap 'exit 42' INT; echo ready; while :; do :; done")
            await until(fd, b"ready\r\n")
            os.write(fd, b"\x03")
            assert (await one.exits.of("c")).wait_status == 42 << 8
            os.close(fd)

    asyncio.run(run())


def test_terminal_survives_its_agent_and_its_output_is_in_the_file(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            fifo = one.fifo("c", "ready")
            script = "exec 3>ready; echo first; echo x >&3; read line; echo got $line; exit 7"
            spec = structs.replace(one.spec("c", "/bin/sh", "-c", script), tty=Window())
            started = await one.runtime.launch(spec)
            await line_from(fifo)
            await one.runtime.close()
            agent = one.next_agent()
            assert [found.pid for found in await agent.recover()] == [started.pid]
            fd = await agent.terminal("c")
            os.write(fd, b"hello\n")
            assert (await one.exits.of("c")).wait_status == 7 << 8
            assert one.output("c").splitlines() == ["first", "hello", "got hello"]
            os.close(fd)
            os.close(fifo)

    asyncio.run(run())


def test_program_that_closed_its_streams_may_open_the_terminal_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            script = "exec <&- >&- 2>&-; sleep 0.1; echo again >/dev/tty"
            spec = structs.replace(one.spec("c", "/bin/sh", "-c", script), tty=Window())
            assert (await one.ran(spec)).wait_status == 0
            assert one.output("c") == "again\n"

    asyncio.run(run())


def test_output_of_a_terminal_is_rotated_like_any_other(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            spec = one.spec("c", "sh", "-c", "seq 1 20000", output_bytes_max=32 << 10)
            assert (await one.ran(structs.replace(spec, tty=Window()))).wait_status == 0
            last = one.output("c").splitlines()
            assert last[-1] == "20000"
            before = one.output("c", "stdout.1").splitlines()
            assert len("\r\n".join(before)) <= 32 << 10
            assert int(last[1]) == int(last[2]) - 1

    asyncio.run(run())


def test_container_without_terminal_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            await one.shell("c", "sleep 1000")
            with pytest.raises(HostError, match="find the terminal of 'c': it has none"):
                await one.runtime.terminal("c")
            with pytest.raises(HostError, match="no such container"):
                await one.runtime.terminal("nobody")

    asyncio.run(run())


def test_window_out_of_range_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            for window, wrong in ((Window(65_536, 1), "65536"), (Window(1, -1), "-1")):
                spec = structs.replace(one.spec("c", "true"), tty=window)
                with pytest.raises(HostError, match=f"'{wrong}' is not between 0 and 65535"):
                    await one.runtime.launch(spec)
            edge = structs.replace(one.spec("edge", "stty", "size"), tty=Window(65_535, 0))
            await one.ran(edge)
            assert one.output("edge") == "65535 0\n"

    asyncio.run(run())


# Passing descriptors


def test_terminal_that_a_runtime_brings_is_received(tmp_path: Path) -> None:
    console = terminals.ConsoleSocket(str(tmp_path / "console"))
    with pytest.raises(Fault, match="receive the terminal"):
        console.receive()
    master_fd, program_fd = os.openpty()
    with socket.socket(socket.AF_UNIX) as runtime:
        runtime.settimeout(DEADLINE_S)
        runtime.connect(console.path)
        socket.send_fds(runtime, [b"/dev/ptmx"], [master_fd])
    terminal = console.receive()
    os.write(terminal.program_fd, b"out\n")
    assert os.read(terminal.master_fd, 100) == b"out\r\n"
    assert not os.get_inheritable(terminal.program_fd)
    assert not os.get_inheritable(terminal.master_fd)
    terminal.close()
    console.close()
    assert not os.path.exists(console.path)
    os.close(master_fd)
    os.close(program_fd)


def test_what_a_short_program_showed_on_its_terminal_is_not_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            for number in range(20):
                spec = one.spec(f"c{number}", "/bin/echo", "shown")
                await one.ran(structs.replace(spec, tty=Window(), stdout=None))
                fd = await one.runtime.terminal(f"c{number}")
                assert await until(fd, b"\n") == b"shown\r\n"
                os.close(fd)
                await one.runtime.forget(f"c{number}")
            unread = one.spec("unread", "/bin/echo", "shown")
            await one.ran(structs.replace(unread, tty=Window(), stdout=None))
            before = len(os.listdir("/proc/self/fd"))
            await one.runtime.forget("unread")
            assert len(os.listdir("/proc/self/fd")) == before - 1

    asyncio.run(run())
