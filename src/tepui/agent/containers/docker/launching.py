"""Starts containers at Docker Engine, and sessions in them; nothing is left of a start that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from tepui.agent.containers.docker.answers import Inspected, addresses_of
from tepui.agent.containers.docker.container import Container
from tepui.agent.containers.docker.credentials import credentials_for
from tepui.agent.containers.docker.engine import NOT_FOUND, EngineRefused
from tepui.agent.containers.docker.output import Plan
from tepui.agent.containers.docker.parts import Parts
from tepui.agent.containers.docker.removing import Removing
from tepui.agent.containers.docker.request import Request, name_of, request_of
from tepui.agent.containers.docker.sessions import VARIABLE, Session
from tepui.agent.containers.docker.watching import Watching
from tepui.agent.containers.spec import ContainerSpec, InsideDocker, Started, Stdio
from tepui.base.errors import HostError


class Launching:
    """Of one agent."""

    def __init__(self, parts: Parts, watching: Watching, removing: Removing) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._watching = watching
        self._removing = removing

    async def launch(
        self, container: Container, spec: ContainerSpec, progress: Callable[[str], None] | None
    ) -> Started:
        """The container runs, its image pulled if need be: `progress` is told of that."""
        request = request_of(spec, self._parts.settings)
        if request.pull == "always":
            await self._pull(spec, request, progress)
        try:
            engine_id, warnings = await self._created(spec, request)
        except EngineRefused as error:
            if error.status != NOT_FOUND or request.pull != "missing":
                raise
            await self._pull(spec, request, progress)
            engine_id, warnings = await self._created(spec, request)
        return await self._start(container, spec, request, engine_id, warnings)

    async def _pull(
        self, spec: ContainerSpec, request: Request, progress: Callable[[str], None] | None
    ) -> None:
        image, own, sandbox = request.body.image, self._parts.settings.credentials, spec.directory
        # In a thread: a program that knows the credentials may be asked.
        header = await self._engine.in_thread(partial(credentials_for, image, own, sandbox))
        await self._parts.streams.pull(image, request.platform, header, progress or _nobody)

    async def _created(self, spec: ContainerSpec, request: Request) -> tuple[str, list[str]]:
        name = name_of(spec.container_id)
        making = asyncio.ensure_future(self._engine.create(name, request.body, request.platform))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            self._parts.start(self._undo(making))
            raise

    async def _undo(self, making: asyncio.Future[tuple[str, list[str]]]) -> None:
        """What is being made for a launch that nobody waits for is removed."""
        try:
            engine_id, _ = await making
        except HostError:
            return
        await self._removing.removed(engine_id)

    async def _start(
        self,
        container: Container,
        spec: ContainerSpec,
        request: Request,
        engine_id: str,
        warnings: list[str],
    ) -> Started:
        container.engine_id = engine_id
        notes = list(warnings)
        if not request.is_output_kept and (spec.stdout is not None or spec.stderr is not None):
            notes.append(
                "its output goes where the parameter 'log-driver' says, not to the sandbox"
            )
        starting = asyncio.ensure_future(self._reach(container, spec, request))
        try:
            one = await asyncio.shield(starting)
        except BaseException:
            self._parts.start(self._removed_after(starting, engine_id, spec.container_id))
            raise
        container.take_over(one)
        self._parts.uncounted.check(one)
        container.prints_to_terminal = spec.tty is not None and spec.stdout is None
        self._parts.start(self._watching.watch(container))
        return Started(
            spec.container_id,
            container.pid,
            container.start_time,
            tuple(notes),
            addresses=addresses_of(one),
        )

    async def _reach(
        self, container: Container, spec: ContainerSpec, request: Request
    ) -> Inspected:
        if request.is_output_kept:
            plan = Plan(
                directory=spec.directory,
                stdout=spec.stdout,
                stderr=spec.stderr,
                bytes_max=spec.output_bytes_max,
            )
            begin = partial(self._parts.following.begin, spec.container_id, plan)
            await self._engine.in_thread(begin)
        container.killed_before = await self._engine.in_thread(self._parts.kernel_log.killed)
        await self._engine.start(container.engine_id)
        one = await self._engine.inspect(container.engine_id)
        if request.is_output_kept:
            self._parts.following.follow(spec.container_id, one.log_path)
        return one

    async def _removed_after(
        self, starting: asyncio.Future[Inspected], engine_id: str, container_id: str
    ) -> None:
        await asyncio.wait([starting])
        if not starting.cancelled():
            starting.exception()  # it was told, or nobody wants to know
        await self._removing.removed(engine_id)
        await self._engine.in_thread(partial(self._parts.following.forget, container_id))

    async def launch_session(
        self, container: Container, spec: ContainerSpec, stdio: Stdio | None
    ) -> Started:
        """What the session runs was started in the container of its `parent`."""
        containers = self._parts.containers
        inside, outer = spec.inside, containers.around(containers.running(spec.parent or ""))
        assert isinstance(inside, InsideDocker), "only sessions in such containers come here"
        environment = spec.environment | {VARIABLE: spec.container_id}
        exec_id = await self._engine.create_exec(
            outer.engine_id,
            [spec.program, *spec.argv[1:]],
            [f"{name}={value}" for name, value in environment.items()],
            inside.directory,
            inside.user,
            tty=spec.tty is not None,
            stdin=stdio is not None or spec.tty is not None,
        )
        session = Session(self._engine, spec, exec_id, outer.pids)
        await session.start(stdio)
        container.session = session
        container.pid, container.start_time = session.pid, session.start_time
        container.is_running = True
        self._parts.start(self._watching.watch_session(container, session))
        return Started(spec.container_id, session.pid, session.start_time)


def _nobody(text: str) -> None:
    """Nobody wants to know of the pull."""
