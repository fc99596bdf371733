"""A runtime of Docker containers for one test, and that as a world of the contract's tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tepui.agent.containers.docker.runtime import DockerRuntime
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.spec import ContainerSpec, DockerOptions, Exited
from tests.agent.containers.host import DEADLINE_S, PATH, Exits, line_from
from tests.agent.containers.test_contract import World
from tests.real.docker_engine import IMAGE, DockerEngine

# The main process of a container has no default for a signal: it must want it.
TRAP = "trap 'exit 7' TERM; "


class DockerHost:
    """One machine: `runtime` is the present agent's."""

    def __init__(self, engine: DockerEngine, directory: Path, *, remove_delay_ms: int = 0) -> None:
        self.engine = engine
        self.directory = directory
        self.settings = DockerSettings(
            agent=str(directory),
            state_directory=str(directory / "state"),
            socket=engine.socket,
            remove_delay_ms=remove_delay_ms,
        )
        self.exits = Exits()
        self.runtime = DockerRuntime(self.settings, self.exits)

    def next_agent(self) -> None:
        """`runtime` is that of an agent that comes after the present one."""
        self.exits = Exits()
        self.runtime = DockerRuntime(self.settings, self.exits)

    def sandbox(self, container_id: str) -> Path:
        place = self.directory / "sandboxes" / container_id
        place.mkdir(parents=True, exist_ok=True)
        return place

    def spec(
        self,
        container_id: str,
        script: str = "",
        *,
        options: DockerOptions | None = None,
        argv: tuple[str, ...] | None = None,
        environment: dict[str, str] | None = None,
        user: str | None = None,
        mem_bytes: int = 0,
        cpus_milli: int = 0,
        output_bytes_max: int = 100 << 20,
        parent: str | None = None,
    ) -> ContainerSpec:
        return ContainerSpec(
            container_id=container_id,
            program="/bin/sh",
            argv=("sh", "-c", script) if argv is None else argv,
            environment={"PATH": PATH} if environment is None else environment,
            directory=str(self.sandbox(container_id)),
            user=user,
            mem_bytes=mem_bytes,
            cpus_milli=cpus_milli,
            output_bytes_max=output_bytes_max,
            parent=parent,
            docker=DockerOptions(image=IMAGE) if options is None else options,
        )

    async def ran(self, spec: ContainerSpec) -> Exited:
        """Return the exit of a container, from its launch on."""
        await self.runtime.launch(spec)
        return await self.exits.of(spec.container_id)

    def fifo(self, container_id: str, name: str = "go") -> int:
        """Make a FIFO in the sandbox; return a descriptor open for both sides."""
        path = self.sandbox(container_id) / name
        os.mkfifo(path, 0o666)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def output(self, container_id: str, name: str = "stdout") -> str:
        return (self.sandbox(container_id) / name).read_text()

    def names(self) -> list[str]:
        """The names of all containers that the Engine has, without their slash."""
        with contextlib.closing(self.engine.client()) as client:
            return sorted(one["Names"][0][1:] for one in client.containers(all=True))


@asynccontextmanager
async def docker_host(
    engine: DockerEngine, directory: Path, *, remove_delay_ms: int = 0
) -> AsyncIterator[DockerHost]:
    """A host whose runtime is ready."""
    one = DockerHost(engine, directory, remove_delay_ms=remove_delay_ms)
    async with asyncio.timeout(4 * DEADLINE_S):
        assert await one.runtime.recover() == []
        try:
            yield one
        finally:
            await one.runtime.close()


class DockerWorld:
    """The contract's world."""

    def __init__(self, one: DockerHost) -> None:
        self.terminated = 7 << 8
        self.host = one
        self.fifos: dict[str, int] = {}

    @property
    def exits(self) -> Exits:
        return self.host.exits

    @exits.setter
    def exits(self, exits: Exits) -> None:
        self.host.exits = exits

    @property
    def runtime(self) -> Runtime:
        return self.host.runtime

    def spec(self, container_id: str, parent: str | None = None) -> ContainerSpec:
        if container_id not in self.fifos:
            self.fifos[container_id] = self.host.fifo(container_id)
            self.fifos[f"{container_id} ready"] = self.host.fifo(container_id, "ready")
        place = "/mnt/mesos/sandbox"
        script = f"{TRAP}echo >{place}/ready; read code <>{place}/go; exit $code"
        return self.host.spec(container_id, script, parent=parent)

    async def finish(self, container_id: str, code: int) -> None:
        self.finish_now(container_id, code)
        await self.exits.of(container_id)

    def finish_now(self, container_id: str, code: int) -> None:
        os.write(self.fifos[container_id], f"{code}\n".encode())

    async def restart_agent(self, meanwhile: Callable[[], None]) -> None:
        await self.host.runtime.close()
        meanwhile()
        self.host.next_agent()

    async def settle(self, container_id: str) -> None:
        with contextlib.closing(self.host.engine.client()) as client:
            await asyncio.to_thread(client.wait, f"mesos-{container_id}", int(DEADLINE_S))

    async def heeds_signals(self, container_id: str) -> None:
        """The program of a launched container has got as far as to handle them."""
        await line_from(self.fifos[f"{container_id} ready"])

    def close(self) -> None:
        for fd in self.fifos.values():
            os.close(fd)


@asynccontextmanager
async def docker_world(engine: DockerEngine, directory: Path) -> AsyncIterator[World]:
    """A world of Docker containers."""
    async with docker_host(engine, directory) as one:
        world = DockerWorld(one)
        try:
            yield world
        finally:
            world.close()


def ended_by(exited: Exited) -> signal.Signals:
    """Return the signal that ended the container."""
    return signal.Signals(os.WTERMSIG(exited.wait_status))
