"""An agent of a simulation: the production core, with containers that only pass time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct

from tepui import MESOS_VERSION
from tepui.agent.core import actions, events
from tepui.agent.core.invariants import check
from tepui.agent.core.state import Settings, State
from tepui.agent.core.step import step
from tepui.base.ids import Uuids
from tepui.sim.faults import Faults
from tepui.sim.network import Pipe
from tepui.sim.time import Alarm, VirtualTime
from tepui.wire import link, mesos

RECONNECT_MS_MAX = 1_500
SIGNAL_MS_MAX = 100  # from a signal to the end of a container


class Uplink(Struct):
    """The agent's side of its connection."""

    to_master: Pipe[link.FromAgent]
    close: Callable[[], None]


class AgentNode:
    """One machine. A restart loses the agent and all of its containers."""

    def __init__(
        self,
        name: str,
        info: mesos.AgentInfo,
        time: VirtualTime,
        random: Random,
        faults: Faults,
        connect: Callable[[AgentNode], Uplink],
    ) -> None:
        self.name = name
        self._info = info
        self._time = time
        self._random = random
        self._faults = faults
        self._connect = connect
        self._uplink: Uplink | None = None
        self._life = 0  # things that were set going in an earlier life do not happen
        self._containers: set[str] = set()
        self.state = self._fresh()
        self._alarm = Alarm(time, self.wake)

    def start(self) -> None:
        """Connect to the master."""
        self._uplink = self._connect(self)
        self.put(events.LinkOpened())

    def restart(self) -> None:
        """Lose everything; come back after a while as a new agent at the same address."""
        self._life += 1
        self._containers.clear()
        if self._uplink is not None:
            self._uplink.close()
            self._uplink = None
        self.state = self._fresh()
        self._later(RECONNECT_MS_MAX, self.start)

    def link_broke(self) -> None:
        """The connection is gone; another follows."""
        if self._uplink is not None:
            self._uplink = None
            self.put(events.LinkLost())
            self._later(RECONNECT_MS_MAX, self._reconnect)

    def speaks_on(self, uplink: Uplink) -> bool:
        """Whether this is the connection of the agent's that is open."""
        return self._uplink is uplink

    def received(self, message: link.FromMaster) -> None:
        """The master sent this."""
        if not isinstance(message, link.Hello):
            self.put(events.MasterSpoke(message))

    def put(self, event: events.Event) -> None:
        """Step the core and carry out what it says."""
        self._run([event])

    def wake(self) -> None:
        """Let timers that are due happen."""
        self._run([])

    def _run(self, batch: list[events.Event]) -> None:
        effects = step(self.state, batch, self._time.now_ms)
        check(self.state)
        for action in effects.then:
            self._act(action)
        self._alarm.set(self.state.timers.next_ms())

    def _act(self, action: actions.Action) -> None:
        match action:
            case actions.SendToMaster(message=message):
                if self._uplink is not None:
                    self._uplink.to_master.send(message)
            case actions.CloseLink():
                if self._uplink is not None:
                    self._uplink.close()
                    self.link_broke()
            case actions.PrepareSandbox(container_id=container_id):
                self._later(20, lambda: self.put(events.SandboxPrepared(container_id)))
            case actions.LaunchContainer(container_id=container_id):
                self._later(20, lambda: self._launch(container_id))
            case actions.SignalContainer(container_id=container_id, signal=number):
                self._later(SIGNAL_MS_MAX, lambda: self._exit(container_id, number))
            case actions.DestroyContainer(container_id=container_id):
                self._later(SIGNAL_MS_MAX, lambda: self._exit(container_id, 9))
            case actions.EndAgent():
                self.restart()
            case _:
                pass  # sandboxes, logs and views have no part in the game

    def _launch(self, container_id: str) -> None:
        if self._random.random() < self._faults.launch_failed:
            self.put(events.LaunchFailed(container_id, "no such file"))
            return
        self._containers.add(container_id)
        self.put(events.ContainerStarted(container_id, self._random.randint(2, 99_999)))
        status = 0 if self._random.random() < 0.9 else 1 << 8
        self._later(self._random.randint(1, 2_000), lambda: self._exit(container_id, status))

    def _exit(self, container_id: str, status: int) -> None:
        if container_id in self._containers:
            self._containers.remove(container_id)
            self.put(events.ContainerExited(container_id, status))

    def _reconnect(self) -> None:
        if self._uplink is None:
            self.start()

    def _later(self, delay_ms_max: int, call: Callable[[], None]) -> None:
        life = self._life
        delay_ms = self._random.randint(0, delay_ms_max)
        self._time.after(delay_ms, lambda: call() if life == self._life else None)

    def _fresh(self) -> State:
        settings = Settings(
            ip="10.0.0.1",
            port=5051 + int(self.name),
            hostname=f"agent{self.name}",
            work_dir="/var/lib/tepui",
            version=MESOS_VERSION,
            linger_ms=100,
        )
        return State(
            settings=settings,
            info=self._info,
            uuids=Uuids(f"{self.name}.{self._life}".encode()),
            started_ms=self._time.now_ms,
        )
