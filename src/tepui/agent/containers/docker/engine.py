"""Docker Engine's short requests, one method each: the library `docker`, in a few threads, with typed answers.

What may last (a pull, waiting for an end, streams) is not asked here: see streams.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import docker
import docker.errors
import msgspec
import requests

from tepui.agent.containers.docker.answers import Info, Inspected, InspectedExec, Listed, Version
from tepui.agent.containers.docker.body import CreateBody, builtins_of
from tepui.base.errors import HostError

THREADS_MAX = 8
CONNECT_S = 10.0
ANSWER_S = 120  # a start under load takes seconds
API_MIN = (1, 40)  # Engine 19.03
NOT_FOUND = 404
CONFLICT = 409

T = TypeVar("T")


class EngineAway(HostError):
    """The Engine does not answer; it may be back later."""


class EngineRefused(HostError):
    """The Engine answered that it does not do it: `status` is that of HTTP."""

    def __init__(self, operation: str, subject: str, cause: str, status: int) -> None:
        super().__init__(operation, subject, cause)
        self.status = status


class NewLimits(msgspec.Struct, kw_only=True):
    """Limits as the Engine counts them; 0 leaves one as it is, -1 lifts it."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0


class Engine:
    """The Engine at one socket. Its methods raise EngineAway or EngineRefused, which are HostErrors."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._client: docker.APIClient | None = None
        self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="docker")

    async def version(self) -> Version:
        """Return which Engine it is. Raises HostError for one that is too old."""
        found = await self._ask("ask", "its version", lambda client: client.version(), Version)
        if tuple(int(part) for part in found.api_version.split(".")) < API_MIN:
            oldest = ".".join(str(part) for part in API_MIN)
            cause = f"it speaks API {found.api_version}, and {oldest} is the oldest that will do"
            raise HostError("use", f"Docker Engine {found.version}", cause)
        return found

    async def info(self) -> Info:
        """Return what its machine can do."""
        return await self._ask("ask", "what it can do", lambda client: client.info(), Info)

    async def create(
        self, name: str, body: CreateBody, platform: str | None
    ) -> tuple[str, list[str]]:
        """A container is there that does not run; return the Engine's id for it, and its warnings."""
        made = await self._ask(
            "create",
            f"'{name}'",
            # The stubs leave this one method without types.
            lambda client: client.create_container_from_config(  # type: ignore[no-untyped-call]
                builtins_of(body), name, platform
            ),
            Created,
        )
        return made.id, made.warnings or []

    async def start(self, engine_id: str) -> None:
        """The container runs."""
        await self._tell("start", engine_id, lambda client: client.start(engine_id))

    async def inspect(self, engine_id: str) -> Inspected:
        """Return all about one container."""
        return await self._ask(
            "inspect", engine_id, lambda client: client.inspect_container(engine_id), Inspected
        )

    async def containers(self, label: str) -> list[str]:
        """Return the Engine's ids of all containers that have the label, also of those that ended."""
        listed = await self._ask(
            "list",
            f"the containers of '{label}'",
            lambda client: client.containers(all=True, filters={"label": label}),
            list[Listed],
        )
        return [one.id for one in listed]

    async def kill(self, engine_id: str, signum: int | str) -> None:
        """The main process was sent the signal; nothing happens when it does not run."""
        try:
            await self._tell(
                "signal", engine_id, lambda client: client.kill(engine_id, signal=signum)
            )
        except EngineRefused as error:
            if error.status not in (CONFLICT, NOT_FOUND):
                raise

    async def update(self, engine_id: str, limits: NewLimits) -> list[str]:
        """The container has the limits; return the Engine's warnings."""
        answer = await self._ask(
            "update",
            engine_id,
            lambda client: client.update_container(
                engine_id,
                cpu_shares=limits.cpu_shares,
                cpu_quota=limits.cpu_quota,
                cpu_period=limits.cpu_period,
                mem_limit=limits.memory,
                memswap_limit=limits.memory_swap,
                mem_reservation=limits.memory_reservation,
            ),
            Warned,
        )
        return answer.warnings or []

    async def rename(self, engine_id: str, name: str) -> None:
        """The container has the name."""
        await self._tell("rename", engine_id, lambda client: client.rename(engine_id, name))

    async def remove(self, engine_id: str) -> None:
        """Nothing is left of the container, also when it ran; unknown ones are no error."""
        try:
            await self._tell(
                "remove",
                engine_id,
                lambda client: client.remove_container(engine_id, v=True, force=True),
            )
        except EngineRefused as error:
            if error.status != NOT_FOUND and "already in progress" not in error.cause:
                raise

    async def create_exec(
        self,
        engine_id: str,
        command: list[str],
        environment: list[str],
        directory: str,
        user: str,
        *,
        tty: bool,
        stdin: bool,
    ) -> str:
        """A process is prepared in the container; return the Engine's id for it."""
        made = await self._ask(
            "prepare a process in",
            engine_id,
            lambda client: client.exec_create(
                engine_id,
                command,
                stdin=stdin,
                tty=tty,
                environment=environment,
                workdir=directory,
                user=user,
            ),
            Listed,
        )
        return made.id

    async def inspect_exec(self, exec_id: str) -> InspectedExec:
        """Return all about a process in a container."""
        return await self._ask(
            "inspect the process",
            exec_id,
            lambda client: client.exec_inspect(exec_id),
            InspectedExec,
        )

    async def resize(self, subject: str, rows: int, columns: int, *, is_exec: bool) -> None:
        """The terminal has the size."""

        def doing(client: docker.APIClient) -> None:
            resize = client.exec_resize if is_exec else client.resize
            resize(subject, rows, columns)

        await self._tell("resize the terminal of", subject, doing)

    async def in_thread(self, doing: Callable[[], T]) -> T:
        """Return what `doing` returns, run in one of the threads."""
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, doing)
        except RuntimeError:  # the pool is shut down
            raise EngineAway(
                "ask", f"Docker Engine at '{self.socket}'", "this agent ends"
            ) from None
        return await running

    def close(self) -> None:
        """No thread is kept; what is being asked ends by itself."""
        self._pool.shutdown(wait=False)

    async def _tell(
        self, operation: str, subject: str, doing: Callable[[docker.APIClient], object]
    ) -> None:
        await self.in_thread(lambda: self._do(operation, subject, doing))

    async def _ask(
        self,
        operation: str,
        subject: str,
        doing: Callable[[docker.APIClient], object],
        answer: type[T],
    ) -> T:
        def ask() -> T:
            found = self._do(operation, subject, doing)
            try:
                return msgspec.convert(found, answer)
            except msgspec.ValidationError as error:
                raise HostError(operation, subject, f"Docker Engine's answer: {error}") from None

        return await self.in_thread(ask)

    def _do(
        self, operation: str, subject: str, doing: Callable[[docker.APIClient], object]
    ) -> object:
        try:
            _connect(self.socket)
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=f"unix://{self.socket}", version="auto", timeout=ANSWER_S
                )
            return doing(self._client)
        except docker.errors.APIError as error:
            text = str(error.explanation or error)
            raise EngineRefused(operation, subject, text, error.status_code or 0) from None
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            raise away(self.socket, error) from None


class Created(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer to a creation."""

    id: str
    warnings: list[str] | None = None


class Warned(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer to an update."""

    warnings: list[str] | None = None


def _connect(socket: str) -> None:
    """Someone listens there. Raises OSError: the library would not close its socket then."""
    with contextlib.closing(sockets.socket(sockets.AF_UNIX)) as connection:
        connection.settimeout(CONNECT_S)
        connection.connect(socket)


def away(socket: str, error: BaseException) -> EngineAway:
    """Return what there is to say of an Engine that does not answer."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    text = str(inner) or type(inner).__name__
    if isinstance(inner, OSError) and inner.strerror:
        text = inner.strerror
    return EngineAway("ask", f"Docker Engine at '{socket}'", text)
