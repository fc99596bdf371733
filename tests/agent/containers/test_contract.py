"""What every `Runtime` promises, held against the fake and against real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tepui.agent.containers.runtime import Runtime
from tepui.agent.containers.spec import ContainerSpec, Exited
from tepui.base.errors import HostError
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.containers.host import Exits, Host, host, line_from
from tests.agent.containers.oci_host import OciHost, needs_oci, oci_host


class World(Protocol):
    """A machine with a runtime on it, whose containers end when told."""

    exits: Exits
    terminated: int  # the wait status of a container that got SIGTERM

    @property
    def runtime(self) -> Runtime: ...

    def spec(self, container_id: str, parent: str | None = None) -> ContainerSpec: ...

    async def finish(self, container_id: str, code: int) -> None: ...

    async def restart_agent(self, meanwhile: Callable[[], None]) -> None: ...

    def finish_now(self, container_id: str, code: int) -> None: ...

    async def settle(self, container_id: str) -> None: ...

    async def heeds_signals(self, container_id: str) -> None: ...


class FakeWorld:
    def __init__(self, directory: Path) -> None:
        self.terminated = int(signal.SIGTERM)
        self.directory = directory
        self.machine = Machine()
        self.exits = Exits()
        self.runtime = FakeRuntime(self.machine, self.exits)

    def spec(self, container_id: str, parent: str | None = None) -> ContainerSpec:
        return ContainerSpec(
            container_id=container_id,
            program="program",
            argv=("program",),
            environment={},
            directory=str(self.directory),
            parent=parent,
        )

    async def finish(self, container_id: str, code: int) -> None:
        self.finish_now(container_id, code)

    def finish_now(self, container_id: str, code: int) -> None:
        self.runtime.finish(container_id, code << 8)

    async def restart_agent(self, meanwhile: Callable[[], None]) -> None:
        self.runtime.stop_listening()
        meanwhile()
        self.exits = Exits()
        self.runtime = FakeRuntime(self.machine, self.exits)

    async def settle(self, container_id: str) -> None:
        """Nothing is on its way in a fake."""

    async def heeds_signals(self, container_id: str) -> None:
        """A program that is none heeds them from the start."""


class RealWorld:
    def __init__(self, one: Host) -> None:
        self.terminated = int(signal.SIGTERM)
        self.host = one
        self.exits = one.exits
        self.pids: dict[str, int] = {}
        self.fifos: dict[str, int] = {}

    @property
    def runtime(self) -> Runtime:
        return self.host.runtime

    def spec(self, container_id: str, parent: str | None = None) -> ContainerSpec:
        if container_id not in self.fifos:
            self.fifos[container_id] = self.host.fifo(container_id, "go")
        script = "read code <go; exit $code"
        return self.host.spec(container_id, "/bin/sh", "-c", script, parent=parent)

    async def finish(self, container_id: str, code: int) -> None:
        self.finish_now(container_id, code)
        await self.exits.of(container_id)

    def finish_now(self, container_id: str, code: int) -> None:
        os.write(self.fifos[container_id], f"{code}\n".encode())

    async def restart_agent(self, meanwhile: Callable[[], None]) -> None:
        await self.host.runtime.close()
        meanwhile()
        self.host.next_agent()
        self.exits = self.host.exits

    async def settle(self, container_id: str) -> None:
        record = self.host.runtime_directory / "exits" / f"{container_id}.json"
        # No agent is there to hear of it; the deadline is that of `host`.
        while not record.exists():  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(0.001)

    async def heeds_signals(self, container_id: str) -> None:
        """A process that handles no signal is ended by it from the start."""

    def close(self) -> None:
        for fd in self.fifos.values():
            os.close(fd)


@asynccontextmanager
async def fake_world(directory: Path) -> AsyncIterator[World]:
    yield FakeWorld(directory)


@asynccontextmanager
async def real_world(directory: Path) -> AsyncIterator[World]:
    async with host(directory) as one:
        world = RealWorld(one)
        try:
            yield world
        finally:
            world.close()


class OciWorld(RealWorld):
    """Containers with a root and namespaces of their own."""

    def __init__(self, one: OciHost) -> None:
        super().__init__(one)
        self.terminated = 9 << 8
        self.oci_host = one

    @property
    def runtime(self) -> Runtime:
        return self.oci_host.oci

    def spec(self, container_id: str, parent: str | None = None) -> ContainerSpec:
        if container_id not in self.fifos:
            self.fifos[container_id] = self.host.fifo(container_id, "go")
            self.fifos[f"{container_id} ready"] = self.host.fifo(container_id, "ready")
        # The first process of a pid namespace gets only the signals that it handles.
        script = "trap 'exit 9' TERM; echo >ready; read code <go; exit $code"
        return self.oci_host.contained(container_id, "/bin/sh", "-c", script, parent=parent)

    async def heeds_signals(self, container_id: str) -> None:
        """The program of a launched container has got as far as to handle them."""
        await line_from(self.fifos[f"{container_id} ready"])


@asynccontextmanager
async def oci_world(directory: Path) -> AsyncIterator[World]:
    async with oci_host(directory) as one:
        world = OciWorld(one)
        try:
            yield world
        finally:
            world.close()


MakeWorld = Callable[[Path], AbstractAsyncContextManager[World]]
RUNTIMES = [
    pytest.param(fake_world, id="fake"),
    pytest.param(real_world, id="process", marks=pytest.mark.real),
    pytest.param(oci_world, id="oci", marks=[pytest.mark.real, needs_oci]),
]


@pytest.mark.parametrize("make", RUNTIMES)
def test_exit_is_told_once_with_its_status(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> list[Exited]:
        async with make(tmp_path) as world:
            started = await world.runtime.launch(world.spec("a"))
            assert started.container_id == "a"
            assert started.pid > 0
            await world.finish("a", 3)
            return world.exits.told

    (exited,) = asyncio.run(run())
    assert (exited.container_id, exited.wait_status, exited.oom) == ("a", 3 << 8, False)


@pytest.mark.parametrize("make", RUNTIMES)
def test_destroyed_container_ends_by_sigkill_and_may_be_destroyed_again(
    make: MakeWorld, tmp_path: Path
) -> None:
    async def run() -> list[Exited]:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("a"))
            await world.runtime.destroy("a")
            await world.exits.of("a")
            await world.runtime.destroy("a")
            await world.runtime.signal("a", signal.SIGTERM)
            return world.exits.told

    (exited,) = asyncio.run(run())
    assert os.WTERMSIG(exited.wait_status) == signal.SIGKILL


@pytest.mark.parametrize("make", RUNTIMES)
def test_signal_reaches_a_running_container(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("a"))
            await world.heeds_signals("a")
            await world.runtime.signal("a", signal.SIGTERM)
            assert (await world.exits.of("a")).wait_status == world.terminated

    asyncio.run(run())


@pytest.mark.parametrize("make", RUNTIMES)
def test_container_in_another_ends_with_it(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> tuple[Exited, Exited]:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("outer"))
            await world.runtime.launch(world.spec("inner", parent="outer"))
            await world.runtime.destroy("outer")
            return await world.exits.of("inner"), await world.exits.of("outer")

    inner, outer = asyncio.run(run())
    assert os.WTERMSIG(inner.wait_status) == os.WTERMSIG(outer.wait_status) == signal.SIGKILL


@pytest.mark.parametrize("make", RUNTIMES)
def test_container_in_another_ends_when_that_one_exits(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> tuple[Exited, Exited]:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("outer"))
            await world.runtime.launch(world.spec("inner", parent="outer"))
            await world.finish("outer", 0)
            return await world.exits.of("inner"), await world.exits.of("outer")

    inner, outer = asyncio.run(run())
    assert os.WTERMSIG(inner.wait_status) == signal.SIGKILL
    assert outer.wait_status == 0


@pytest.mark.parametrize("make", RUNTIMES)
def test_id_is_taken_until_the_exit_is_forgotten(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("a"))
            with pytest.raises(HostError, match="there is a container of this id"):
                await world.runtime.launch(world.spec("a"))
            with pytest.raises(HostError, match="it has not exited"):
                await world.runtime.forget("a")
            await world.finish("a", 0)
            with pytest.raises(HostError, match="there is a container of this id"):
                await world.runtime.launch(world.spec("a"))
            await world.runtime.forget("a")
            await world.runtime.forget("a")
            await world.runtime.launch(world.spec("a"))

    asyncio.run(run())


@pytest.mark.parametrize("make", RUNTIMES)
def test_unknown_container_is_refused(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            with pytest.raises(HostError, match="find 'ghost': there is no such container"):
                await world.runtime.signal("ghost", signal.SIGTERM)
            with pytest.raises(HostError, match="there is no such container"):
                await world.runtime.destroy("ghost")
            with pytest.raises(HostError, match="there is no such container"):
                await world.runtime.update("ghost", 100, 0)
            with pytest.raises(HostError, match="there is no such container"):
                await world.runtime.usage("ghost")
            with pytest.raises(HostError, match="there is no such container"):
                await world.runtime.launch(world.spec("inner", parent="ghost"))

    asyncio.run(run())


@pytest.mark.parametrize("make", RUNTIMES)
def test_limits_can_be_changed_and_are_told_with_the_usage(make: MakeWorld, tmp_path: Path) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            await world.runtime.launch(world.spec("a"))
            assert await world.runtime.update("a", 1500, 64 << 20) == ()
            assert await world.runtime.update("a", 0, 128 << 20) == ()
            usage = await world.runtime.usage("a")
            assert (usage.cpus_limit_milli, usage.mem_limit_bytes) == (1500, 128 << 20)
            assert usage.processes == 1

    asyncio.run(run())


@pytest.mark.parametrize("make", RUNTIMES)
def test_next_agent_finds_what_runs_and_what_exited_unheard(
    make: MakeWorld, tmp_path: Path
) -> None:
    async def run() -> None:
        async with make(tmp_path) as world:
            for name in ("heard", "forgotten", "unheard", "running"):
                await world.runtime.launch(world.spec(name))
            await world.finish("heard", 1)
            await world.finish("forgotten", 2)
            await world.runtime.forget("forgotten")
            await world.restart_agent(lambda: world.finish_now("unheard", 4))
            await world.settle("unheard")
            found = {one.container_id: one for one in await world.runtime.recover()}
            status = {name: one.exited and one.exited.wait_status for name, one in found.items()}
            assert status == {"heard": 1 << 8, "unheard": 4 << 8, "running": None}
            await world.finish("running", 5)
            assert [one.container_id for one in world.exits.told] == ["running"]

    asyncio.run(run())
