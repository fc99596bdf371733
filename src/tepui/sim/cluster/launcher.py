"""The containers of one machine: they only pass time, and outlive the agent that started them.

A pod's container has no program: it lasts until it is destroyed, and what is within it ends with it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from tepui.agent.core.events import ContainerExited, ContainerStarted, LaunchFailed
from tepui.agent.core.recovery import Found
from tepui.sim.cluster.faults import Faults
from tepui.sim.time import VirtualTime

LAUNCH_MS_MAX = 20
SHORT_MS_MAX = 1_500
LONG_MS_MAX = 12_000
SIGNAL_MS_MAX = 100  # from a signal to the end of a container
KILL = 9
TOO_MUCH = "Memory limit exceeded"

Told = ContainerStarted | LaunchFailed | ContainerExited


class Container(Struct):
    """One that was asked for: it is being started, runs, or has exited."""

    id: str
    framework_id: str
    executor_id: str
    task_id: str | None  # None: it is a pod's
    is_checkpointed: bool
    group: tuple[str, ...] = ()  # the tasks that came with this one to a pod, itself among them
    parent: str | None = None  # the pod's container that it is within
    is_limited: bool = False  # it may run for some time only
    pid: int = 0  # a pod has none
    is_started: bool = False
    doomed: bool = False  # it is killed as soon as it runs
    exited: ContainerExited | None = None

    @property
    def runs(self) -> bool:
        """It has begun, and has not ended."""
        return self.is_started and self.exited is None


class Launcher:
    """Starts, signals and reaps; `tell` is how the agent that lives now hears of it.

    `started` and `failed` are told to who watches: the latter of containers that did not start, or
    did not end well, whatever the cause.
    """

    def __init__(self, time: VirtualTime, random: Random, faults: Faults) -> None:
        self._time = time
        self._random = random
        self._faults = faults
        self.containers: dict[str, Container] = {}
        self.tell: Callable[[Told], None] = lambda told: None
        self.started: Callable[[Container], None] = lambda container: None
        self.failed: Callable[[Container], None] = lambda container: None

    def launch(self, container: Container) -> None:
        """It runs soon, or cannot; the agent is told."""
        self.containers[container.id] = container
        self._time.after(self._random.randint(0, LAUNCH_MS_MAX), lambda: self._start(container))

    def signal(self, container_id: str, number: int) -> None:
        """It ends soon; one in four does not care for anything but SIGKILL."""
        container = self.containers.get(container_id)
        if container is not None and (number == KILL or self._random.random() < 0.75):
            self._end_soon(container, number)

    def destroy(self, container_id: str) -> None:
        """It is killed with all that is within it, after its start if that is under way."""
        container = self.containers.get(container_id)
        if container is None:
            return
        if not container.is_started:
            container.doomed = True
            self.failed(container)
            return
        for child in self.within(container_id):
            self.destroy(child.id)
        self._end_soon(container, KILL if container.task_id is not None else 0)

    def forget(self, container_id: str) -> None:
        """Nobody wants to know of its exit."""
        container = self.containers.get(container_id)
        if container is not None and container.exited is not None:
            del self.containers[container_id]

    def found(self) -> dict[str, Found]:
        """What an agent that starts is told; what is being started is not known yet."""
        return {
            one.id: Found(one.pid, one.exited) for one in self.containers.values() if one.is_started
        }

    def within(self, container_id: str) -> list[Container]:
        """What is in the pod's container, and has not exited."""
        return [
            one
            for one in self.containers.values()
            if one.parent == container_id and one.exited is None
        ]

    def clear(self) -> None:
        """The machine has lost its power, or the launcher ends all."""
        gone, self.containers = self.containers, {}
        for container in gone.values():
            self.failed(container)
            container.exited = container.exited or ContainerExited(container.id, KILL)

    def _start(self, container: Container) -> None:
        if self.containers.get(container.id) is not container:
            return
        parent = None if container.parent is None else self.containers.get(container.parent)
        has_place = container.parent is None or (parent is not None and parent.runs)
        if not has_place or self._faults.happens("launch", self._random):
            del self.containers[container.id]
            self.failed(container)
            self.tell(LaunchFailed(container.id, "no such file" if has_place else "no such pod"))
            return
        container.is_started = True
        if container.task_id is not None:
            container.pid = self._random.randint(2, 99_999)
        self.started(container)
        self.tell(ContainerStarted(container.id, container.pid))
        if container.doomed:
            self.destroy(container.id)
        longest_ms = SHORT_MS_MAX if self._random.random() < 0.6 else LONG_MS_MAX
        runs_ms = self._random.randint(1, longest_ms)
        if self._faults.happens("memory", self._random):
            self._time.after(runs_ms, lambda: self._exit(container, KILL, TOO_MUCH))
        elif container.task_id is not None:
            status = 0 if self._random.random() < 0.9 else 1 << 8
            self._time.after(runs_ms, lambda: self._exit(container, status))

    def _end_soon(self, container: Container, status: int) -> None:
        delay_ms = self._random.randint(0, SIGNAL_MS_MAX)
        self._time.after(delay_ms, lambda: self._exit(container, status))

    def _exit(self, container: Container, status: int, exceeded: str | None = None) -> None:
        if not container.runs or self.containers.get(container.id) is not container:
            return
        container.exited = ContainerExited(container.id, status, exceeded)
        if status:
            self.failed(container)
        for child in self.within(container.id):
            self.failed(child)
            self.destroy(child.id)
        self.tell(container.exited)
