"""A container of Docker Engine, or a session in one, as its agent knows it."""

from __future__ import annotations

import asyncio

from tepui.agent.containers.docker.answers import Inspected
from tepui.agent.containers.docker.changes import changes_of
from tepui.agent.containers.docker.limits import limit_of
from tepui.agent.containers.docker.request import CPU_SHARES_PER_CPU
from tepui.agent.containers.docker.sessions import Session
from tepui.agent.containers.docker.usage import Places, pids, places_of, start_time_of
from tepui.agent.containers.spec import Exited
from tepui.base.errors import HostError


class Container:
    """One container, from its creation until it is forgotten."""

    def __init__(self, container_id: str, parent: str | None) -> None:
        self.container_id = container_id
        self.parent = parent
        self.engine_id = ""  # '' of a session
        self.session: Session | None = None
        self.pid = 0
        self.start_time = 0
        self.cpus_milli = 0
        self.mem_bytes = 0
        self.stop_signal = ""
        self.prints_to_terminal = False  # nobody takes its output over
        self.killed_before: int | None = None  # for want of memory, when it began: see KernelLog
        self.is_running = False
        self.is_doomed = False  # it is to be killed as soon as the Engine is there
        self.exited: Exited | None = None
        self.gone = asyncio.Event()
        self.changes: tuple[str, ...] = ()  # where it keeps what it writes outside its sandbox
        self._places: Places | None = None

    def places(self) -> Places:
        """Its cgroups."""
        if self._places is None or not self._places.any:
            self._places = places_of(self.pid, self.engine_id)
        return self._places

    def pids(self) -> list[int]:
        """All of its processes."""
        return pids(self.places())

    def take_over(self, one: Inspected) -> None:
        """It runs, or has run, as the Engine says."""
        self.engine_id = one.id
        self.is_running = True
        self.pid = one.state.pid
        self.start_time = start_time_of(one.state.pid) if one.state.pid else 0
        self.cpus_milli = round(one.host_config.cpu_shares * 1000 / CPU_SHARES_PER_CPU)
        self.mem_bytes = limit_of(one.host_config.memory)
        self.stop_signal = one.config.stop_signal
        self.changes = changes_of(one)
        self.places()  # as long as the process is there


class Containers:
    """All of them, by id, from their launch or recovery until they are forgotten."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}

    def all(self) -> tuple[Container, ...]:
        """Return them all."""
        return tuple(self._by_id.values())

    def add(self, container_id: str, parent: str | None) -> Container:
        """Return a new one."""
        container = self._by_id[container_id] = Container(container_id, parent)
        return container

    def get(self, container_id: str | None) -> Container | None:
        """Return one, also one that is only being launched; None when there is none of that id."""
        return None if container_id is None else self._by_id.get(container_id)

    def drop(self, container_id: str) -> None:
        """The id is free; unknown ones are no error."""
        self._by_id.pop(container_id, None)

    def known(self, container_id: str) -> Container:
        """Return one that was started. Raises HostError."""
        container = self._by_id.get(container_id)
        if container is None or not container.is_running:
            raise HostError("find", f"'{container_id}'", "there is no such container")
        return container

    def running(self, container_id: str) -> Container:
        """Return one that has not ended. Raises HostError."""
        container = self.known(container_id)
        if container.exited is not None:
            raise HostError("find", f"'{container_id}'", "the container has exited")
        return container

    def around(self, container: Container) -> Container:
        """Return what runs a session: a container that is none itself. Raises HostError."""
        while container.session is not None and container.parent is not None:
            container = self.running(container.parent)
        return container
