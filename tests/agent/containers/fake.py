"""A `Runtime` without processes, for the tests of whatever uses one; it passes the contract's tests."""

from __future__ import annotations

import os
import pty
import signal
from dataclasses import dataclass, field

from msgspec.structs import replace

from tepui.agent.containers.runtime import OnExit
from tepui.agent.containers.spec import (
    Capabilities,
    ContainerSpec,
    Exited,
    Found,
    Started,
    Stdio,
    Usage,
)
from tepui.base.errors import HostError

FIRST_PID = 1000
START_TIME = 1


@dataclass
class Machine:
    """What outlives an agent: its containers. Two runtimes on one machine are two lives of an agent."""

    specs: dict[str, ContainerSpec] = field(default_factory=dict)
    started: dict[str, Started] = field(default_factory=dict)
    exits: dict[str, Exited] = field(default_factory=dict)
    signals: list[tuple[str, int]] = field(default_factory=list)
    fail_launch: str = ""  # the cause with which every launch fails, while set
    pids: int = FIRST_PID


class FakeRuntime:
    """Containers that run until `finish`, `destroy` or a deadly signal."""

    def __init__(self, machine: Machine, on_exit: OnExit) -> None:
        self.machine = machine
        self._on_exit: OnExit | None = on_exit

    async def recover(self) -> list[Found]:
        """Return all containers there are."""
        machine = self.machine
        return [
            Found(name, one.pid, one.start_time, machine.exits.get(name))
            for name, one in machine.started.items()
        ]

    async def launch(self, spec: ContainerSpec, stdio: Stdio | None = None) -> Started:
        """Start a container; nothing is ever read from its streams or written to them."""
        machine, name = self.machine, spec.container_id
        if name in machine.started:
            raise HostError("launch", f"'{name}'", "there is a container of this id")
        if spec.parent is not None:
            self._living(spec.parent)
        if machine.fail_launch:
            raise HostError("start", f"'{spec.program}'", machine.fail_launch)
        machine.pids += 1
        started = Started(name, machine.pids, START_TIME)
        machine.started[name] = started
        machine.specs[name] = spec
        return started

    async def terminal(self, container_id: str) -> int:
        """Return a side of a terminal on whose other side is nobody."""
        self._living(container_id)
        if self.machine.specs[container_id].tty is None:
            raise HostError("find the terminal of", f"'{container_id}'", "it has none")
        master_fd, program_fd = pty.openpty()
        os.close(program_fd)
        return master_fd

    async def resize(self, container_id: str, rows: int, columns: int) -> None:
        """Nobody is there to see it."""
        os.close(await self.terminal(container_id))

    async def signal(self, container_id: str, signum: int) -> None:
        """Send a signal; SIGTERM and SIGKILL end a container, others are only noted."""
        self._known(container_id)
        if container_id in self.machine.exits:
            return
        self.machine.signals.append((container_id, signum))
        if signum in (signal.SIGTERM, signal.SIGKILL):
            self.finish(container_id, signum)

    async def destroy(self, container_id: str) -> None:
        """Kill the container and those in it."""
        self._known(container_id)
        self.finish(container_id, signal.SIGKILL)

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
        self._living(container_id)
        spec = self.machine.specs[container_id]
        self.machine.specs[container_id] = replace(
            spec,
            cpus_milli=cpus_milli or spec.cpus_milli,
            mem_bytes=mem_bytes or spec.mem_bytes,
        )
        return ()

    async def usage(self, container_id: str) -> Usage:
        """Return the limits, and one idle process."""
        self._living(container_id)
        spec = self.machine.specs[container_id]
        return Usage(0, 0, 0, 1, 1, spec.cpus_milli, spec.mem_bytes)

    async def forget(self, container_id: str) -> None:
        """Nothing of the container is kept."""
        if container_id in self.machine.started and container_id not in self.machine.exits:
            raise HostError("forget", f"'{container_id}'", "it has not exited")
        for kept in (self.machine.started, self.machine.exits, self.machine.specs):
            kept.pop(container_id, None)

    def capabilities(self) -> Capabilities:
        """Nothing is enforced."""
        return Capabilities((), "not enforced: anything (nothing runs)")

    def stop_listening(self) -> None:
        """The agent died: exits from here on are kept, and told to nobody."""
        self._on_exit = None

    def finish(self, container_id: str, wait_status: int, *, oom: bool = False) -> None:
        """The main process ends; so does all that lived in the container."""
        if container_id in self.machine.exits:
            return
        exited = Exited(container_id, wait_status, oom)
        self.machine.exits[container_id] = exited
        for name, spec in list(self.machine.specs.items()):
            if spec.parent == container_id:
                self.finish(name, signal.SIGKILL)
        if self._on_exit is not None:
            self._on_exit(exited)

    def _known(self, container_id: str) -> None:
        if container_id not in self.machine.started:
            raise HostError("find", f"'{container_id}'", "there is no such container")

    def _living(self, container_id: str) -> None:
        self._known(container_id)
        if container_id in self.machine.exits:
            raise HostError("find", f"'{container_id}'", "the container has exited")
