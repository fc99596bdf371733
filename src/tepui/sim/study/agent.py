"""An agent of a study: the production core, with containers that only pass time.

A task is `sleep SECONDS`, and ends when they are over; one that runs for ever is `sleep infinity`.
"""

from __future__ import annotations

from collections.abc import Callable

from tepui import MESOS_VERSION
from tepui.agent.core import actions, events
from tepui.agent.core.state import Settings, State
from tepui.agent.core.step import step
from tepui.base.ids import Uuids
from tepui.resources.scalars import milli
from tepui.sim.time import Alarm, VirtualTime
from tepui.wire import link, mesos

FOR_EVER = "infinity"
SIGKILL = 9


class StudyAgent:
    """One agent. What it is told waits until `run`."""

    def __init__(
        self,
        number: int,
        group: str,
        info: mesos.AgentInfo,
        time: VirtualTime,
        wants_turn: Callable[[StudyAgent], None],
    ) -> None:
        self.number = number
        self.group = group
        self.info = info
        self.alive = True
        self._time = time
        self._wants_turn = wants_turn
        self._waiting: list[events.Event] = []
        self._containers: set[str] = set()
        self._alarm = Alarm(time, self._rang)
        self.state = State(
            settings=Settings(
                ip=address_of(number),
                port=5051,
                hostname=info.hostname,
                work_dir="/var/lib/tepui",
                version=MESOS_VERSION,
                linger_ms=0,
                completed_executors_max=0,
            ),
            info=info,
            uuids=Uuids(str(number).encode()),
            started_ms=time.now_ms,
        )

    def put(self, event: events.Event) -> None:
        """Have the event stepped in this turn."""
        if self.alive:
            if not self._waiting:
                self._wants_turn(self)
            self._waiting.append(event)

    def run(self) -> list[link.FromAgent]:
        """What it says to the master, now that all it was told has been stepped."""
        said: list[link.FromAgent] = []
        while self.alive and self._waiting:
            batch, self._waiting = self._waiting, []
            for action in step(self.state, batch, self._time.now_ms).then:
                self._act(action, said)
        self._set_alarm()
        return said

    def die(self) -> None:
        """The machine is gone, with all that runs on it."""
        self.alive = False
        self._waiting.clear()
        self._containers.clear()

    def _act(self, action: actions.Action, said: list[link.FromAgent]) -> None:
        match action:
            case actions.SendToMaster(message=message):
                said.append(message)
            case actions.PrepareSandbox(container_id=container_id):
                self._waiting.append(events.SandboxPrepared(container_id))
            case actions.LaunchContainer(container_id=container_id, command=command):
                self._launch(container_id, command)
            case actions.SignalContainer() | actions.DestroyContainer():
                self._exit(action.container_id, SIGKILL)
            case _:
                pass  # sandboxes, logs and views have no part in it

    def _launch(self, container_id: str, command: mesos.CommandInfo | None) -> None:
        assert command is not None  # no pods here
        self._containers.add(container_id)
        self._waiting.append(events.ContainerStarted(container_id, 2))
        if command.arguments[1] != FOR_EVER:
            length_ms = milli(float(command.arguments[1]))
            self._time.after(length_ms, lambda: self._exit(container_id, 0))

    def _exit(self, container_id: str, status: int) -> None:
        if container_id in self._containers:
            self._containers.remove(container_id)
            self.put(events.ContainerExited(container_id, status))

    def _rang(self) -> None:
        due_ms = self.state.timers.next_ms()
        if due_ms is not None and due_ms <= self._time.now_ms and self.alive:
            for action in step(self.state, (), self._time.now_ms).then:
                said: list[link.FromAgent] = []
                self._act(action, said)
                assert not said, "an update is sent again, and no connection ever breaks"
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self.alive:
            self._alarm.set(self.state.timers.next_ms())


def address_of(number: int) -> str:
    """An address of its own for each agent."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
