"""The sessions of this agent, and the terminals of its tasks while somebody is attached to one."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Final, TypeAlias

from msgspec.structs import replace

from tepui.agent.containers.spec import ContainerSpec, Exited, Stdio
from tepui.agent.containers.specs.oci import window_of
from tepui.agent.containers.specs.programs import rlimits_of
from tepui.agent.core.actions import FoundContainer, LaunchSession
from tepui.agent.core.events import ContainerExited, ContainerStarted, LaunchFailed, SessionLeft
from tepui.agent.daemon.containers import FAULTS, Containers
from tepui.agent.daemon.following import FollowedFile
from tepui.agent.daemon.process_io import HEARTBEAT_MS, Reader, data_of
from tepui.agent.daemon.put import Put
from tepui.agent.daemon.session import READ_BYTES, Input, Output, Session
from tepui.agent.daemon.specs import SPEC_FAULTS
from tepui.base import tasks
from tepui.base.errors import HostError, Refused
from tepui.web.paced import PacedStream
from tepui.wire import media
from tepui.wire.agent import ProcessIO

SESSIONS_MAX: Final = 500  # three descriptors and a process each
PIPE_BYTES: Final = 1 << 20  # Linux gives 64 KiB by itself
UNREAD_S: Final = 30.0  # a session that has ended and that nobody came to read is given up

STDOUT: Final = ProcessIO.Data.Type.STDOUT
STDERR: Final = ProcessIO.Data.Type.STDERR

log = logging.getLogger("tepui.agent")


_Started: TypeAlias = "tuple[Session, int, asyncio.Future[Exited]]"  # and the pid


class NoTerminal(Exception):
    """The container has nothing to attach to; a sentence says so."""


class Sessions:
    """Starts sessions for the core, and knows those that are not over."""

    def __init__(self, put: Put, containers: Containers) -> None:
        self._put = put
        self._containers = containers
        self._sessions: dict[str, Session] = {}
        self._terminals: dict[str, Input] = {}  # of tasks, while somebody types there
        self._follows: set[_Follow] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._beating: asyncio.TimerHandle | None = None

    def launch(self, action: LaunchSession) -> None:
        """ContainerStarted or LaunchFailed follows, and ContainerExited after the former."""
        self._do(self._launch(action))

    def get(self, container_id: str) -> Session | None:
        """The session of that container, if it is one and not over."""
        return self._sessions.get(container_id)

    def reader(self, container_id: str, encoding: media.Media) -> Reader:
        """A new client of the session, attached to it. Raises Refused."""
        session = self._sessions.get(container_id)
        if session is None:
            raise Refused(f"Container {container_id} has ended")
        reader = Reader(PacedStream(lambda: session.detach(reader)), encoding)
        session.attach(reader)
        return reader

    async def follow(self, found: FoundContainer, encoding: media.Media) -> _Follow:
        """A new client of a task's terminal, which reads what comes from now on.

        Raises NoTerminal, Refused.
        """
        self._check_terminal(found)
        if len(self._follows) >= SESSIONS_MAX:
            raise Refused(f"{SESSIONS_MAX} clients follow terminals")
        try:
            follow = _Follow(found.directory, encoding, self._follows.discard)
        except OSError as error:
            raise NoTerminal(
                f"what container {found.container_id} writes cannot be read: {error.strerror}"
            ) from None
        self._follows.add(follow)
        self._beat_later()
        return follow

    async def stdin(self, found: FoundContainer) -> Input:
        """Where one types into the container. Raises NoTerminal, HostError."""
        session = self._sessions.get(found.container_id)
        if session is not None:
            return session.stdin
        self._check_terminal(found)
        known = self._terminals.get(found.container_id)
        if known is None:
            fd = await self._containers.runtime.terminal(found.container_id)
            known = Input(fd, is_terminal=True)
            raced = self._terminals.setdefault(found.container_id, known)
            if raced is not known:
                known.close()
                known = raced
        return known

    def left_stdin(self, container_id: str) -> None:
        """Nobody types into the container for now."""
        terminal = self._terminals.pop(container_id, None)
        if terminal is not None:
            terminal.close()

    async def close(self) -> None:
        """All sessions are over: their containers end with the connection to the launcher."""
        if self._beating is not None:
            self._beating.cancel()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        for session in list(self._sessions.values()):
            session.close()
        for follow in list(self._follows):
            follow.end()
        for terminal in self._terminals.values():
            terminal.close()
        self._terminals.clear()

    def _check_terminal(self, found: FoundContainer) -> None:
        if not found.has_terminal:
            raise NoTerminal(
                f"container {found.container_id} is no session and has no terminal to attach to"
            )

    async def _launch(self, action: LaunchSession) -> None:
        name = action.container_id
        if len(self._sessions) >= SESSIONS_MAX:
            self._put(LaunchFailed(name, f"{SESSIONS_MAX} sessions run"))
            return
        try:
            spec = self._spec(action)
            starting = self._start_on_terminal if spec.tty is not None else self._start_on_pipes
            session, pid, exiting = await starting(spec)
        except (*FAULTS, *SPEC_FAULTS) as error:
            self._put(LaunchFailed(name, str(error)))
            return
        log.info("session_started container=%s pid=%s", name, pid)
        self._sessions[name] = session
        self._beat_later()
        self._put(ContainerStarted(name, pid))
        exited = await exiting
        log.info("session_exited container=%s status=%s", name, exited.wait_status)
        session.exited()
        self._put(ContainerExited(name, exited.wait_status))
        asyncio.get_running_loop().call_later(UNREAD_S, self._give_up, name, session)

    def _give_up(self, name: str, session: Session) -> None:
        if self._sessions.get(name) is session and not session.was_read:
            session.close()

    def _spec(self, action: LaunchSession) -> ContainerSpec:
        is_docker = self._containers.runtime.is_of_docker(action.parent)
        spec = self._containers.specs.inside(
            action.container_id,
            action.parent,
            action.command,
            action.environment,
            action.directory,
            action.user,
            is_docker=is_docker,
        )
        return replace(
            spec,
            stdout=None,
            stderr=None,
            tty=window_of(action.container),
            rlimits=rlimits_of(action.container),
        )

    async def _start_on_pipes(self, spec: ContainerSpec) -> _Started:
        fds: list[int] = []
        try:
            for _ in range(3):
                fds += _wide_pipe()
            stdin_fd, to_stdin, stdout, stdout_fd, stderr, stderr_fd = fds
            stdio = Stdio(stdin_fd, stdout_fd, stderr_fd)
            pid, exiting = await self._containers.start(spec, stdio)
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise
        for fd in (stdin_fd, stdout_fd, stderr_fd):
            os.close(fd)
        outputs = [Output(stdout, STDOUT), Output(stderr, STDERR)]
        typed = Input(to_stdin, is_terminal=False)
        return self._session(spec.container_id, typed, outputs), pid, exiting

    async def _start_on_terminal(self, spec: ContainerSpec) -> _Started:
        pid, exiting = await self._containers.start(spec)
        try:
            fd = await self._containers.runtime.terminal(spec.container_id)
        except HostError:
            self._containers.destroy(spec.container_id)  # it may have ended already
            raise
        outputs = [Output(os.dup(fd), STDOUT)]
        typed = Input(fd, is_terminal=True)
        return self._session(spec.container_id, typed, outputs), pid, exiting

    def _session(self, name: str, typed: Input, outputs: list[Output]) -> Session:
        return Session(
            typed,
            outputs,
            on_left=lambda: self._put(SessionLeft(name)),
            on_over=lambda: self._over(name),
        )

    def _over(self, name: str) -> None:
        self._sessions.pop(name, None)

    def _beat_later(self) -> None:
        if self._beating is None:
            loop = asyncio.get_running_loop()
            self._beating = loop.call_later(HEARTBEAT_MS / 1000, self._beat)

    def _beat(self) -> None:
        self._beating = None
        for session in self._sessions.values():
            session.beat()
        for follow in self._follows:
            follow.reader.beat()
        if self._sessions or self._follows:
            self._beat_later()

    def _do(self, doing: Coroutine[None, None, None]) -> None:
        job = tasks.start(doing)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)


def _wide_pipe() -> tuple[int, int]:
    """One that holds much, so that a busy machine need not change between its ends all the time."""
    ends = os.pipe()
    with contextlib.suppress(OSError):  # without privileges there is a limit for all of a user's
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


class _Follow:
    """One client that reads what a task writes on its terminal."""

    def __init__(
        self, directory: str, encoding: media.Media, on_over: Callable[[_Follow], None]
    ) -> None:
        """Raises OSError."""
        self.reader = Reader(PacedStream(self._over), encoding)
        self.reader.stream.on_room = self._read
        self._on_over = on_over
        self._is_last = False
        self._file: FollowedFile | None = FollowedFile(directory, "stdout", self._read)

    def end(self) -> None:
        """The container has exited: what it wrote is read to the end."""
        self._is_last = True
        self._read()

    def _read(self) -> None:
        stream = self.reader.stream
        while self._file is not None and stream.is_writable:
            data = self._file.read(READ_BYTES)
            if data:
                self.reader.send(data_of(STDOUT, data))
                asyncio.get_running_loop().call_soon(self._read)  # what was sent is written first
            elif self._is_last:
                stream.end()
            return

    def _over(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._on_over(self)
