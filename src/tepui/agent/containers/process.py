"""Runs containers as processes under the launcher: the agent's side of its socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TypeVar

from msgspec import json
from msgspec.structs import replace

from tepui.agent.containers.link import Busy, Head, Hello, Link
from tepui.agent.containers.messages import (
    Launch,
    Notes,
    Nothing,
    Oci,
    Request,
    Row,
    Rows,
    encode,
    exited,
    found,
    launch_request,
)
from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.spec import (
    Capabilities,
    ContainerSpec,
    Found,
    Started,
    Stdio,
    Usage,
)
from tepui.agent.containers.starting import LauncherConfig, open_socket, start_launcher
from tepui.agent.launcher.frames import CONTAINERS_REVISION, PROTOCOL_VERSION, REVISION
from tepui.agent.launcher.terminals import set_window
from tepui.base import tasks
from tepui.base.errors import HostError

ASK_S = 30.0
LAUNCH_S = 60.0  # a working directory on a file server that hangs
END_S = 30.0  # the launcher itself takes at most 20
HELLO_S = 10.0
CONNECT_TRIES = 3  # a launcher that was ending when it was reached counts as one
PENDING_MAX = 20_000
LOST_TEXT = "the launcher was killed, and its containers were ended when a new one began"

T = TypeVar("T")


class Pending:
    """A request without its answer yet: kept whole, so that it can be sent again."""

    __slots__ = ("answer", "descriptors", "request")

    def __init__(self, request: Request | Launch, descriptors: tuple[int, ...] = ()) -> None:
        self.request = request
        self.descriptors = descriptors
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()


class ProcessRuntime:
    """A `Runtime` of plain processes, in cgroups where the machine has them.

    The launcher is started when there is none. When the connection breaks it is made anew, once, and what was
    asked is asked again where it had not happened; when that fails every waiting call raises, and the next
    call tries again. Only one agent can be connected to a launcher. When the launcher itself was killed its containers are gone: each is told as exited by
    SIGKILL.
    """

    def __init__(self, config: LauncherConfig, on_exit: OnExit) -> None:
        self._config = config
        self._on_exit = on_exit
        self._lock = asyncio.Lock()  # held while connecting
        self._link: Link | None = None
        self._hello: Hello | None = None
        self._settling: asyncio.Future[bytes] | None = None  # what a new connection waits for
        self._early: dict[str, Row] = {}  # exits heard before the list was looked at
        self._last_n = 0
        self._pending: dict[int, Pending] = {}
        self._terminals: dict[int, int] = {}  # descriptors that came, by request
        self._own_terminals: dict[str, int] = {}  # that came with a launch, and were not asked for
        self._found: dict[str, Row] | None = None  # what was there, until `recover` returns it
        self._first = True
        self._alive: set[str] = set()
        self._told: set[str] = set()  # exits told and not forgotten
        self._abandoned: dict[
            str, int
        ] = {}  # launches that took too long: nobody wants their exits
        self._restoring: asyncio.Task[None] | None = None
        self._closed = False

    # Runtime

    async def recover(self) -> list[Found]:
        """Return all containers there are."""
        await self._connected()
        rows, self._found = self._found or {}, None
        self._alive.update(name for name, row in rows.items() if not row.exited)
        self._told.update(name for name, row in rows.items() if row.exited)
        if not rows:
            await self._replace_if_old()
        return [found(row) for row in rows.values()]

    async def launch(
        self, spec: ContainerSpec, stdio: Stdio | None = None, oci: Oci | None = None
    ) -> Started:
        """Start a container; what has `isolation` needs to have `oci`."""
        await self._connected()
        name = spec.container_id
        self._refuse_news(spec, stdio, oci)
        handed = () if stdio is None else (stdio.stdin, stdio.stdout, stdio.stderr)
        request = launch_request(spec, self._next(), stdio, oci)
        try:
            answer = await self._ask(request, LAUNCH_S, handed)
        except TimeoutError:
            self._abandoned[name] = request.n
            self._send(Request(self._next(), "destroy", name))
            cause = f"its program was not reached within {LAUNCH_S:.0f} s"
            raise HostError("launch", f"'{name}'", cause) from None
        finally:
            if request.n in self._terminals:
                self._close_terminal(name)
                self._own_terminals[name] = self._terminals.pop(request.n)
        return json.decode(answer, type=Started)

    async def _replace_if_old(self) -> None:
        """A launcher of an older version that has no containers makes room for a new one."""
        link = self._link
        if self._hello is None or self._hello.revision >= REVISION or link is None:
            return
        link.send(encode(Request(self._next(), "end")))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await link.ended.wait()
        await self._connected()

    def _refuse_news(self, spec: ContainerSpec, stdio: Stdio | None, oci: Oci | None) -> None:
        """Raises HostError for what a launcher of before does not know: it would run it as a process."""
        assert self._hello is not None, "the connection is there"
        is_new = bool(oci or stdio or spec.tty or spec.inside or spec.isolation or not spec.program)
        has_users = spec.isolation is not None and spec.isolation.users is not None
        needed = REVISION if has_users else CONTAINERS_REVISION
        if is_new and self._hello.revision < needed:
            cause = (
                f"the launcher {self._hello.pid} is of an older version, which does not know of that;"
                " it is replaced when the agent is started while no task runs"
            )
            raise HostError("launch", f"'{spec.container_id}'", cause)

    async def terminal(self, container_id: str) -> int:
        """Return a descriptor of the terminal's other side."""
        if container_id in self._own_terminals:  # it came with the launch: it may have exited
            return self._own_terminals.pop(container_id)
        await self._connected()
        request = Request(self._next(), "terminal", container_id)
        try:
            await self._answer(request, Nothing)
        except BaseException:
            unwanted = self._terminals.pop(request.n, -1)
            if unwanted >= 0:
                os.close(unwanted)
            raise
        return self._terminals.pop(request.n)

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """The container's terminal has this size."""
        fd = await self.terminal(container_id)
        try:
            set_window(fd, rows, columns)
        finally:
            os.close(fd)

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal to every process of the container."""
        await self._request("signal", Nothing, container_id, signum=signum)

    async def destroy(self, container_id: str) -> None:
        """Kill every process of the container."""
        await self._request("destroy", Nothing, container_id)

    async def update(
        self,
        container_id: str,
        cpus_milli: int,
        mem_bytes: int,
        *,
        cpus_limit_milli: int = 0,
        mem_soft_bytes: int = 0,
    ) -> tuple[str, ...]:
        """Set new limits."""
        await self._connected()
        request = Request(
            self._next(),
            "update",
            container_id,
            cpus_milli=cpus_milli,
            mem_bytes=mem_bytes,
            cpus_limit_milli=cpus_limit_milli,
            mem_soft_bytes=mem_soft_bytes,
        )
        return (await self._answer(request, Notes)).notes

    async def usage(self, container_id: str) -> Usage:
        """Return what a running container uses."""
        return await self._request("usage", Usage, container_id)

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept."""
        await self._request("forget", Nothing, container_id)
        self._told.discard(container_id)
        self._close_terminal(container_id)

    def capabilities(self) -> Capabilities:
        """Return what this machine enforces; known after `recover`."""
        assert self._hello is not None, "recover is called first"
        return Capabilities(self._hello.enforced, self._hello.unenforced)

    # Ending

    @property
    def launcher_pid(self) -> int:
        """The launcher's process, for the agent's own metrics; 0 before the first connection."""
        return self._hello.pid if self._hello is not None else 0

    async def close(self) -> None:
        """Leave the launcher and its containers to the next agent."""
        self._closed = True
        if self._restoring is not None:
            self._restoring.cancel()
        link = self._link
        if link is not None:
            link.close()
            await link.ended.wait()

    async def end(self) -> None:
        """End all containers and the launcher: an agent that leaves for good leaves nothing behind.

        The exits are told as ever; what was not forgotten stays on disk.
        """
        link = await self._connected()
        self._closed = True
        link.send(json.encode(Request(self._next(), "end")))
        try:
            async with asyncio.timeout(END_S):
                await link.ended.wait()
        except TimeoutError:
            raise HostError(
                "end", "the launcher", f"it is still there after {END_S:.0f} s"
            ) from None

    def _close_terminal(self, container_id: str) -> None:
        unwanted = self._own_terminals.pop(container_id, -1)
        if unwanted >= 0:
            os.close(unwanted)

    # Asking

    def _next(self) -> int:
        self._last_n += 1
        return self._last_n

    async def _request(self, do: str, answer: type[T], container_id: str, signum: int = 0) -> T:
        await self._connected()
        return await self._answer(Request(self._next(), do, container_id, signum), answer)

    async def _answer(self, request: Request, answer: type[T]) -> T:
        try:
            return json.decode(await self._ask(request, ASK_S), type=answer)
        except TimeoutError:
            cause = f"the launcher did not answer within {ASK_S:.0f} s"
            raise HostError(request.do, f"'{request.container_id}'", cause) from None

    async def _ask(
        self, request: Request | Launch, timeout_s: float, descriptors: tuple[int, ...] = ()
    ) -> bytes:
        body = encode(request)
        if len(self._pending) >= PENDING_MAX:
            raise HostError(request.do, "the launcher", f"{PENDING_MAX} requests wait for it")
        self._pending[request.n] = pending = Pending(request, descriptors)
        if self._link is not None:  # else it goes out when the connection is there again
            self._link.send(body, descriptors)
        try:
            async with asyncio.timeout(timeout_s):
                return await pending.answer
        finally:
            del self._pending[request.n]

    def _send(self, request: Request) -> None:
        if self._link is not None:
            self._link.send(json.encode(request))

    def _received(self, head: Head, body: bytes, descriptor: int) -> None:
        if head.event:
            self._heard(head.event, body)
            return
        pending = self._pending.get(head.n)
        if pending is None or pending.answer.done():
            if descriptor >= 0:
                os.close(descriptor)
            if head.fault is not None:  # it failed after all: there will be no exit
                names = [name for name, n in self._abandoned.items() if n == head.n]
                for name in names:
                    del self._abandoned[name]
            return
        if descriptor >= 0:
            self._terminals[head.n] = descriptor
        if head.fault is not None:
            pending.answer.set_exception(HostError(*head.fault))
        else:
            if isinstance(pending.request, Launch):
                # Before its exit, which may be in the same read.
                self._alive.add(pending.request.container_id)
            pending.answer.set_result(body)

    def _heard(self, event: str, body: bytes) -> None:
        if event == "hello":
            if self._settling is not None and not self._settling.done():
                self._settling.set_result(body)
        elif event == "busy":
            cause = f"another agent, process {json.decode(body, type=Busy).pid}, is connected to it"
            if self._settling is not None and not self._settling.done():
                self._settling.set_exception(HostError("connect to", "the launcher", cause))
        elif event == "exited":
            row = json.decode(body, type=Row)
            if self._found is not None:
                self._found[row.container_id] = row  # `recover` will return it
            elif self._link is not None:
                self._tell(row)
            else:
                self._early[row.container_id] = row

    def _tell(self, row: Row) -> None:
        name = row.container_id
        self._alive.discard(name)
        if name in self._abandoned:
            del self._abandoned[name]
            self._send(Request(self._next(), "forget", name))
        elif name not in self._told:
            self._told.add(name)
            self._on_exit(exited(row))

    # Connecting

    async def _connected(self) -> Link:
        async with self._lock:
            if self._closed:
                raise HostError("ask", "the launcher", "this runtime was closed")
            if self._link is None:
                self._link = await self._connect()
            return self._link

    async def _connect(self) -> Link:
        cause = ""
        for _ in range(CONNECT_TRIES):
            try:
                connection = open_socket(self._config.runtime_directory)
            except OSError as error:
                cause = str(error)
                await start_launcher(self._config)
                continue
            loop = asyncio.get_running_loop()
            self._settling = loop.create_future()
            link = Link(self._received, self._lost)
            self._early.clear()
            link.open(connection)
            try:
                async with asyncio.timeout(HELLO_S):
                    await self._settle(link)
            except (TimeoutError, ConnectionError) as error:
                cause = str(error) or "it does not answer"
                link.close()
                continue
            except HostError:
                link.close()
                raise
            return link
        raise HostError("connect to", f"'{self._config.runtime_directory}'", cause)

    async def _settle(self, link: Link) -> None:
        """Make what is known here agree with the launcher, and ask again what it did not do."""
        assert self._settling is not None, "set before the connection was made"
        hello = json.decode(await self._settling, type=Hello)
        if hello.version != PROTOCOL_VERSION:
            cause = f"it speaks version {hello.version}, this agent {PROTOCOL_VERSION}"
            raise HostError("talk to", f"the launcher {hello.pid}", cause)
        self._hello = hello
        n = self._next()
        self._pending[n] = asked = Pending(Request(n, "list"))
        self._settling = asked.answer
        try:
            link.send(encode(asked.request))
            answer = await self._settling
        finally:
            del self._pending[n]
            self._settling = None
        rows = {row.container_id: row for row in json.decode(answer, type=Rows).containers}
        rows.update(self._early)
        self._link = link
        if self._first:
            self._first = False
            self._found = rows
        for pending in self._pending.values():
            request = pending.request
            if isinstance(request, Launch):
                request = replace(request, again=True)
            link.send(encode(request), pending.descriptors)
        if self._found is None:
            self._compare(rows)

    def _compare(self, rows: dict[str, Row]) -> None:
        """Tell the exits that happened while there was no connection."""
        for name in sorted(self._alive - rows.keys()):
            self._tell(Row(name, 0, 0, wait_status=signal.SIGKILL, text=LOST_TEXT))
        for row in rows.values():
            if row.exited:
                self._tell(row)

    def _lost(self, link: Link) -> None:
        if self._link is not link:
            if self._settling is not None and not self._settling.done():
                lost = ConnectionError("the launcher closed the connection")
                self._settling.set_exception(lost)
            return
        self._link = None
        if not self._closed:
            self._restoring = tasks.start(self._restore())
        else:
            self._fail_pending(HostError("ask", "the launcher", "this runtime was closed"))

    async def _restore(self) -> None:
        """Connect anew, once: a container's exit must be heard also when nothing is asked."""
        try:
            await self._connected()
        except HostError as error:
            self._fail_pending(error)

    def _fail_pending(self, error: HostError) -> None:
        for pending in list(self._pending.values()):
            if not pending.answer.done():
                pending.answer.set_exception(error)
