"""The containers of one machine: they only pass time, and outlive the agent that started them."""

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

Told = ContainerStarted | LaunchFailed | ContainerExited


class Container(Struct):
    """One that was asked for: it is being started, runs, or has exited."""

    id: str
    framework_id: str
    task_id: str
    is_checkpointed: bool
    pid: int = 0  # 0: it does not run yet
    doomed: bool = False  # it is killed as soon as it runs
    exited: ContainerExited | None = None

    @property
    def runs(self) -> bool:
        """Its program runs."""
        return self.pid != 0 and self.exited is None


class Launcher:
    """Starts, signals and reaps; `tell` is how the agent that lives now hears of it."""

    def __init__(self, time: VirtualTime, random: Random, faults: Faults) -> None:
        self._time = time
        self._random = random
        self._faults = faults
        self.containers: dict[str, Container] = {}
        self.tell: Callable[[Told], None] = lambda told: None
        self.started: Callable[[Container], None] = lambda container: None

    def launch(self, container: Container) -> None:
        """It runs soon, or cannot; the agent is told."""
        self.containers[container.id] = container
        self._time.after(self._random.randint(0, LAUNCH_MS_MAX), lambda: self._start(container))

    def signal(self, container_id: str, number: int) -> None:
        """It ends soon; one in four does not care for anything but SIGKILL."""
        container = self.containers.get(container_id)
        if container is not None and (number == KILL or self._random.random() < 0.75):
            delay_ms = self._random.randint(0, SIGNAL_MS_MAX)
            self._time.after(delay_ms, lambda: self._exit(container, number))

    def destroy(self, container_id: str) -> None:
        """It is killed, after its start if that is under way."""
        container = self.containers.get(container_id)
        if container is not None and container.pid == 0:
            container.doomed = True
        else:
            self.signal(container_id, KILL)

    def forget(self, container_id: str) -> None:
        """Nobody wants to know of its exit."""
        container = self.containers.get(container_id)
        if container is not None and container.exited is not None:
            del self.containers[container_id]

    def found(self) -> dict[str, Found]:
        """What an agent that starts is told; what is being started is not known yet."""
        return {
            one.id: Found(one.pid, one.exited) for one in self.containers.values() if one.pid != 0
        }

    def clear(self) -> None:
        """The machine has lost its power, or the launcher ends all."""
        gone, self.containers = self.containers, {}
        for container in gone.values():
            container.exited = container.exited or ContainerExited(container.id, KILL)

    def _start(self, container: Container) -> None:
        if self.containers.get(container.id) is not container:
            return
        if self._faults.happens("launch", self._random):
            del self.containers[container.id]
            self.tell(LaunchFailed(container.id, "no such file"))
            return
        container.pid = self._random.randint(2, 99_999)
        self.started(container)
        self.tell(ContainerStarted(container.id, container.pid))
        if container.doomed:
            self.signal(container.id, KILL)
        status = 0 if self._random.random() < 0.9 else 1 << 8
        longest_ms = SHORT_MS_MAX if self._random.random() < 0.6 else LONG_MS_MAX
        runs_ms = self._random.randint(1, longest_ms)
        self._time.after(runs_ms, lambda: self._exit(container, status))

    def _exit(self, container: Container, status: int) -> None:
        if container.runs and self.containers.get(container.id) is container:
            container.exited = ContainerExited(container.id, status)
            self.tell(container.exited)
