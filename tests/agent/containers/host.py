"""A runtime of real processes for one test: its directories, the exits it told, and a check that it left nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.spec import ContainerSpec, Exited, Rlimit, Started
from tepui.agent.containers.starting import LauncherConfig
from tepui.agent.launcher.rooms import PLACES
from tepui.agent.launcher.tree import MARK

DEADLINE_S = 30.0
PATH = "/usr/local/bin:/usr/bin:/bin"
LINE_BYTES_MAX = 4096


class Exits:
    """The exits told so far; `of` waits for one."""

    def __init__(self) -> None:
        self.told: list[Exited] = []
        self._waiting: dict[str, asyncio.Event] = {}

    def __call__(self, exited: Exited) -> None:
        self.told.append(exited)
        self._event(exited.container_id).set()

    def _event(self, container_id: str) -> asyncio.Event:
        return self._waiting.setdefault(container_id, asyncio.Event())

    async def of(self, container_id: str) -> Exited:
        async with asyncio.timeout(DEADLINE_S):
            await self._event(container_id).wait()
        return next(one for one in reversed(self.told) if one.container_id == container_id)


class Host:
    """One machine: `runtime` is the present agent's."""

    def __init__(self, directory: Path, *, cgroups: bool, idle_s: float) -> None:
        self.directory = directory
        self.runtime_directory = directory / "runtime"
        self.config = LauncherConfig(
            runtime_directory=str(self.runtime_directory), cgroups=cgroups, idle_s=idle_s
        )
        self.exits = Exits()
        self.runtime = ProcessRuntime(self.config, self.exits)

    def next_agent(self) -> ProcessRuntime:
        """Return the runtime of an agent that comes after the present one."""
        self.exits = Exits()
        self.runtime = ProcessRuntime(self.config, self.exits)
        return self.runtime

    def sandbox(self, container_id: str) -> Path:
        place = self.directory / "sandboxes" / container_id
        place.mkdir(parents=True, exist_ok=True)
        return place

    def spec(
        self,
        container_id: str,
        *argv: str,
        user: str | None = None,
        rlimits: tuple[Rlimit, ...] = (),
        cpus_milli: int = 0,
        mem_bytes: int = 0,
        output_bytes_max: int = 1 << 20,
        parent: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> ContainerSpec:
        return ContainerSpec(
            container_id=container_id,
            program=argv[0] if argv else "true",
            argv=argv,
            environment={"PATH": PATH} | (environment or {}),
            directory=str(self.sandbox(container_id)),
            user=user,
            rlimits=rlimits,
            cpus_milli=cpus_milli,
            mem_bytes=mem_bytes,
            output_bytes_max=output_bytes_max,
            parent=parent,
        )

    async def shell(self, container_id: str, script: str) -> Started:
        return await self.runtime.launch(self.spec(container_id, "/bin/sh", "-c", script))

    async def ran(self, spec: ContainerSpec) -> Exited:
        """Return the exit of a container, from its launch on."""
        await self.runtime.launch(spec)
        return await self.exits.of(spec.container_id)

    def fifo(self, container_id: str, name: str) -> int:
        """Make a FIFO in the sandbox; return a descriptor open for both sides."""
        path = self.sandbox(container_id) / name
        os.mkfifo(path, 0o666)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def output(self, container_id: str, name: str = "stdout") -> str:
        return (self.sandbox(container_id) / name).read_text()


async def line_from(fd: int) -> str:
    """Return what was written to a FIFO, as soon as there is something."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        return os.read(fd, LINE_BYTES_MAX).decode()
    finally:
        loop.remove_reader(fd)


def wait_gone(pid: int) -> None:
    """Return when the process `pid` has ended; fail when it has not by the deadline."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], DEADLINE_S)[0], f"process {pid} is still there"
    finally:
        os.close(pidfd)


def ended(pid: int) -> bool:
    """Tell whether no process `pid` is there, but perhaps one that only waits to be reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(") ")[2].startswith("Z")


def digest_of(runtime_directory: Path) -> str:
    """Return what the cgroups and marks of the agent of this directory have in their names."""
    return hashlib.sha1(os.fsencode(runtime_directory.resolve())).hexdigest()[:12]


def cgroups_of(runtime_directory: Path) -> list[str]:
    """Return the cgroups that belong to the agent of this directory."""
    digest = digest_of(runtime_directory)
    found = [*Path("/sys/fs/cgroup").glob(f"*/tepui/{digest}")]
    return [str(path) for path in (*found, *Path("/sys/fs/cgroup/tepui").glob(digest))]


def traces_of(one: Host) -> list[str]:
    """Return what this machine has of the host's containers: mounts, cgroups, processes, files."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found = [line for line in mounts if str(one.directory) in line]
    found += cgroups_of(one.runtime_directory)
    mark = f"{MARK}=tepui-{digest_of(one.runtime_directory)}/".encode()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes():
                found.append(f"process {place.name}")
        except OSError:
            continue  # it has ended
    for name in ("bundles", "oci"):
        place = one.runtime_directory / name
        found += [str(path) for path in (place.iterdir() if place.exists() else ())]
    in_memory = (Path(place) / f"tepui-{digest_of(one.runtime_directory)}" for place in PLACES)
    found += [str(path) for path in in_memory if path.exists()]
    return found


@asynccontextmanager
async def host(
    directory: Path, *, cgroups: bool = True, idle_s: float = 60.0
) -> AsyncIterator[Host]:
    """A host whose runtime is ready; afterwards its launcher is ended, and nothing may be left of it."""
    one = Host(directory, cgroups=cgroups, idle_s=idle_s)
    async with asyncio.timeout(4 * DEADLINE_S):
        assert await one.runtime.recover() == []
        try:
            yield one
        finally:
            await one.runtime.end()
    wait_gone(one.runtime.launcher_pid)
    assert not (one.runtime_directory / "launcher.sock").exists()
    assert traces_of(one) == []
    log = (one.runtime_directory / "launcher.log").read_text()
    assert log == "", log
