"""Processes that are started inside a running container: `docker exec`, with streams that are handed over.

A session does not outlive the agent: the Engine keeps no exit of it, and its streams are the agent's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket as sockets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from tepui.agent.containers.docker.answers import InspectedExec, wait_status_of
from tepui.agent.containers.docker.engine import Engine
from tepui.agent.containers.docker.output import SandboxFile
from tepui.agent.containers.docker.streams import hijack
from tepui.agent.containers.docker.usage import start_time_of
from tepui.agent.containers.spec import ContainerSpec, Exited, Stdio
from tepui.agent.launcher.cgroups.files import read
from tepui.base.errors import HostError

READ_BYTES = 1 << 16
HEAD_BYTES = 8
STDERR = 2
LAST_BYTES_S = 5.0  # someone else may hold the streams open; they are cut then
ASK_AGAIN_S = 0.02
ASKS_MAX = 250
KILLS_MAX = 100  # times that we look: a process may start others while it is being killed
TEXT_BYTES_MAX = 4096
VARIABLE = "TEPUI_SESSION"  # marks the processes of sessions, so that a next agent can end them


class Session:
    """One process inside a container."""

    def __init__(
        self, engine: Engine, spec: ContainerSpec, exec_id: str, around: Callable[[], list[int]]
    ) -> None:
        """`around` gives all processes of the container."""
        self._engine = engine
        self._around = around
        self._spec = spec
        self._exec_id = exec_id
        self._connection: sockets.socket | None = None
        self._fds: list[int] = []  # ours of the streams that were handed over
        self._files: list[SandboxFile] = []
        self._reading: threading.Thread | None = None
        self._first = b""  # what came first: the Engine's words, if the program was not reached
        self.pid = 0
        self.start_time = 0

    async def start(self, stdio: Stdio | None) -> None:
        """The program was reached. Raises HostError, and nothing of it is left then."""
        spec = self._spec
        path = f"exec/{self._exec_id}/start"
        asked: dict[str, object] = {"Detach": False, "Tty": spec.tty is not None}
        try:
            self._open(stdio)
            self._connection = await self._engine.in_thread(
                partial(hijack, self._engine.socket, path, asked)
            )
            self._stream(stdio)
            found = await self._reached()
        except BaseException:
            self.close()
            raise
        self.pid, self.start_time = found.pid, start_time_of(found.pid)
        if spec.tty is not None:
            with contextlib.suppress(HostError):  # it may have ended
                await self.resize(spec.tty.rows, spec.tty.columns)

    async def ended(self) -> Exited:
        """Return how it ended, when it has, and what it printed is where it is to be."""
        if self.pid:
            await _end_of(self.pid)
        await self._engine.in_thread(self._end_rest)
        if self._reading is not None:
            await asyncio.to_thread(self._reading.join, LAST_BYTES_S)
        found = await self._not_running()
        self.close()
        return Exited(self._spec.container_id, wait_status_of(found.exit_code or 0))

    def kill(self, signum: int) -> None:
        """The process, and what it has started, was sent the signal."""
        first = [self.pid] if self.pid else []
        for pid in _with_descendants([*first, *self._marked()]):
            _signal(pid, signum)

    async def resize(self, rows: int, columns: int) -> None:
        """Its terminal has this size. Raises HostError."""
        await self._engine.resize(self._exec_id, rows, columns, is_exec=True)

    def terminal(self) -> int:
        """Return a descriptor of the terminal's other side."""
        assert self._connection is not None, "it was started"
        return os.dup(self._connection.fileno())

    def close(self) -> None:
        """Nothing is open."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(sockets.SHUT_RDWR)  # wakes the threads that use it
            self._connection.close()
        fds, self._fds = self._fds, []
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        for file in self._files:
            file.close()

    def _marked(self) -> list[int]:
        """Processes of this session, also those whose parent has ended."""
        return _marked(self._around(), f"{self._spec.container_id}\0")

    def _end_rest(self) -> None:
        """What it has left running was killed, as in any container whose first process ends."""
        for _ in range(KILLS_MAX):
            found = self._marked()
            for pid in found:
                _kill_and_wait(pid)
            if not found:
                return

    # Streams

    def _open(self, stdio: Stdio | None) -> None:
        try:
            if stdio is not None:
                for fd in (stdio.stdin, stdio.stdout, stdio.stderr):
                    self._fds.append(os.dup(fd))
                return
            for name in (self._spec.stdout, self._spec.stderr):
                if name is not None:
                    size = self._spec.output_bytes_max
                    self._files.append(SandboxFile(self._spec.directory, name, size))
        except OSError as error:
            raise HostError(
                "open the streams of", f"'{self._spec.container_id}'", str(error)
            ) from None

    def _stream(self, stdio: Stdio | None) -> None:
        assert self._connection is not None, "connected right before"
        if self._spec.tty is not None and self._spec.stdout is None and stdio is None:
            return  # whoever asks for the terminal reads it
        self._reading = threading.Thread(target=self._read, name="docker-session", daemon=True)
        self._reading.start()
        if stdio is not None:
            threading.Thread(target=self._write, name="docker-session", daemon=True).start()

    def _read(self) -> None:
        """Move what the program prints to where it is to be, until there is no more."""
        assert self._connection is not None, "connected right before"
        with contextlib.suppress(OSError), self._connection.makefile("rb") as stream:
            if self._spec.tty is not None:
                while data := stream.read1(READ_BYTES):
                    self._print(1, data)
            while len(head := stream.read(HEAD_BYTES)) == HEAD_BYTES:
                left = int.from_bytes(head[4:])
                while left and (data := stream.read(min(left, READ_BYTES))):
                    left -= len(data)
                    self._print(head[0], data)
        # The reader at the other end sees the end as soon as there is no more.
        fds, self._fds = self._fds, []
        for fd in fds[1:]:
            os.close(fd)
        self._fds = fds[:1]

    def _print(self, stream: int, data: bytes) -> None:
        if len(self._first) < TEXT_BYTES_MAX:
            self._first += data[:TEXT_BYTES_MAX]
        if self._fds:
            fd = self._fds[2 if stream == STDERR else 1]
            while data:
                data = data[os.write(fd, data) :]
        elif self._files:
            name = self._spec.stderr if stream == STDERR else self._spec.stdout
            for file in self._files:
                if file.name == name:
                    file.write(data)
                    return

    def _write(self) -> None:
        """Move what the program is to read, until there is no more or it has ended."""
        assert self._connection is not None, "connected right before"
        connection = self._connection
        poll = select.poll()
        try:
            source = os.dup(self._fds[0])
        except (OSError, IndexError):
            return
        poll.register(source, select.POLLIN)
        poll.register(connection, select.POLLRDHUP | select.POLLHUP)
        try:
            while True:
                ready = dict(poll.poll())
                if source not in ready:
                    return
                data = os.read(source, READ_BYTES)
                if not data:
                    connection.shutdown(sockets.SHUT_WR)
                    return
                connection.sendall(data)
        except (OSError, ValueError):
            return  # it has ended
        finally:
            os.close(source)

    # What the Engine says

    async def _reached(self) -> InspectedExec:
        for _ in range(ASKS_MAX):
            found = await self._engine.inspect_exec(self._exec_id)
            if found.running and found.pid:
                return found
            if found.exit_code is not None and not found.running:
                if found.pid == 0:
                    if self._reading is not None:
                        await asyncio.to_thread(self._reading.join, LAST_BYTES_S)
                    cause = self._first.decode(errors="replace").strip() or "it was not reached"
                    raise HostError("start", f"'{self._spec.program}'", cause)
                return found
            await asyncio.sleep(ASK_AGAIN_S)
        raise HostError("start", f"'{self._spec.program}'", "Docker Engine does not start it")

    async def _not_running(self) -> InspectedExec:
        for _ in range(ASKS_MAX):
            found = await self._engine.inspect_exec(self._exec_id)
            if not found.running:
                return found
            await asyncio.sleep(ASK_AGAIN_S)
        raise HostError(
            "find the end of", f"'{self._spec.container_id}'", "the Engine does not tell it"
        )


def end_left_over(pids: Iterable[int]) -> None:
    """Those of the processes that are of sessions of an earlier agent were killed."""
    for pid in _with_descendants(_marked(pids, "")):
        _signal(pid, signal.SIGKILL)


def _marked(pids: Iterable[int], value: str) -> list[int]:
    mark = f"\0{VARIABLE}={value}"
    return [pid for pid in pids if mark in f"\0{read(f'/proc/{pid}/environ')}"]


def _signal(pid: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signum)


def _kill_and_wait(pid: int) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    try:
        _signal(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(LAST_BYTES_S * 1000)
    finally:
        os.close(pidfd)


async def _end_of(pid: int) -> None:
    """Return when the process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _with_descendants(pids: list[int]) -> list[int]:
    """Return the processes, what they have started, and what that has.

    Whoever started another comes first: it has no time to see the other's end, and to go on after it.
    """
    found: dict[int, None] = {}
    waiting = deque(pids)
    while waiting:
        one = waiting.popleft()
        if one in found:
            continue
        found[one] = None
        for task in _tasks_of(one):
            waiting.extend(map(int, read(f"/proc/{one}/task/{task}/children").split()))
    return list(found)


def _tasks_of(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
