"""An agent of a simulation: the production core with its checkpoint, on a machine with a launcher.

Containers outlive the agent's process and end with the machine. Whoever starts again recovers as
`agent.daemon.main.AgentDaemon` does, and looks for the leader as `agent.daemon.master_link` does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from msgspec.structs import replace

from tepui import MESOS_VERSION
from tepui.agent.core import actions, events, recovery
from tepui.agent.core.reconfiguration import Policy, reconfiguration_error
from tepui.agent.core.saved import AGENT, Save, Saved, SavedAgent
from tepui.agent.core.state import Settings, State
from tepui.agent.core.step import step
from tepui.base.ids import Uuids
from tepui.resources import parse_resources
from tepui.sim.cluster import talk
from tepui.sim.cluster.audit import Audit
from tepui.sim.cluster.disk import Disk, Writes
from tepui.sim.cluster.faults import Faults
from tepui.sim.cluster.finder import Find, finder
from tepui.sim.cluster.launcher import Container, Launcher, Told
from tepui.sim.cluster.network import End, Network
from tepui.sim.cluster.node import Loop, Machine, Process
from tepui.sim.cluster.zookeeper import Ensemble
from tepui.wire import link, mesos

RETRY_MIN_MS = 50
RETRY_MAX_MS = 2_000
BACKOFF_MS_MAX = 500  # after a link that was registered
GREETING_MS = 4_000
REDIRECTS_MAX = 5
SANDBOX_MS_MAX = 20
PROVISIONING_MS_MAX = 100
CHECK_MS_MAX = 300
DISK_BYTES = 1 << 30
RESTART_MS = (100, 3_000)  # from the end of a process to the next

OLD_HELLO = link.Hello(1, "0.1.0")  # of who speaks link protocol 1 only

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Saved).decode


class AgentNode:
    """One agent, over all of its lives."""

    def __init__(
        self,
        machine: Machine,
        number: int,
        network: Network,
        masters: tuple[str, ...],
        ensemble: Ensemble[bytes] | None,
        faults: Faults,
        audit: Audit,
    ) -> None:
        self.machine = machine
        self.name = machine.name
        self.disk: Disk[Saved] = Disk(machine.random)
        self.launcher = Launcher(machine.time, machine.random, faults)
        self.launcher.started = audit.containers.starts
        self.launcher.failed = audit.containers.fails
        self.cpus = 8
        self.is_crowded = False  # its disk has no room for sandboxes
        self.boots = 0
        self.was_shut_down = False  # in this life: its containers may be killed
        self._number = number
        self._network = network
        self._masters = masters
        self._ensemble = ensemble
        self._faults = faults
        self._audit = audit
        self.process = Process(machine)
        self.process.die()

    def start(self) -> None:
        """A new process, unless one lives or the machine is down."""
        if self.process.alive or not self.machine.is_up:
            return
        self.process = process = Process(self.machine)
        process.ends[self._died] = None
        self.was_shut_down = False
        self._is_old = self._faults.happens("old", self.machine.random)
        self.state = self._fresh()
        self.loop: Loop[events.Event, actions.Record, actions.Action] = Loop(
            process,
            step=lambda batch, now_ms: step(self.state, batch, now_ms),
            save=self._save,
            act=self._act,
            next_ms=self.state.timers.next_ms,
            stepped=lambda effects: self._audit.agent_stepped(self, effects),
        )
        self.link: End | None = None  # the one that is greeted
        self._link_epoch = 0  # of the leader that is connected to
        self._is_registered = False
        self._retry_ms = RETRY_MIN_MS
        self._leader: str | None = None
        self._provisioned: set[str] = set()  # containers that are, or are being
        self._recover()

    @property
    def agent_id(self) -> str | None:
        """What the agent that runs is called."""
        info = self.state.info if self.process.alive else None
        return None if info is None or info.id is None else info.id.value

    @property
    def saved_id(self) -> str | None:
        """What the agent that starts here next is called."""
        found = self.disk.objects.get(AGENT)
        if not isinstance(found, SavedAgent) or found.info.id is None:
            return None
        return found.info.id.value

    def reboot(self) -> None:
        """The machine starts: nothing runs on it."""
        self.boots += 1
        self.launcher.clear()

    def measure_disk(self) -> None:
        """The agent is told how much of its disk is free."""
        free_bytes = 0 if self.is_crowded else DISK_BYTES // 2
        measured = events.DiskMeasured(DISK_BYTES, free_bytes)
        self.process.do(lambda: self.loop.put(measured))

    def _died(self) -> None:
        self.launcher.tell = lambda told: None
        low_ms, high_ms = RESTART_MS
        self.machine.time.after(self.machine.random.randint(low_ms, high_ms), self.start)

    # Recovery

    def _recover(self) -> None:
        objects = {key: _decode(_encode(one)) for key, one in self.disk.objects.items()}
        before = objects.get(AGENT)
        if isinstance(before, SavedAgent):
            error = reconfiguration_error(before.info, self.state.info, Policy.ADDITIVE)
            assert error is None, error
        left = recovery.Leftovers(saved=objects, containers=self.launcher.found())
        now_ms = self.process.now_ms()
        effects = recovery.recover(self.state, left, now_ms)
        self._audit.agent_stepped(self, effects)
        self._early: list[Told] | None = []
        self.launcher.tell = lambda told: self.process.do(lambda: self._told(told))
        if effects.save:
            self._save(effects.save, lambda: self._recovered(effects.then))
        else:
            self._recovered(effects.then)

    def _recovered(self, then: list[actions.Action]) -> None:
        self._act(then)
        if not self.process.alive:
            return
        early, self._early = self._early or [], None
        for told in early:
            self._told(told)
        self.measure_disk()
        self._find: Find = finder(self.process, self._masters, self._ensemble, self._moved)
        self._look()

    def _told(self, told: Told) -> None:
        if self._early is not None:
            self._early.append(told)
        else:
            self.loop.put(told)

    # The link

    def _look(self) -> None:
        """Connect to whoever is said to lead, until a link is greeted."""
        leader = self._find()
        if leader is None:
            self.process.after(RETRY_MIN_MS, self._look)
        else:
            self._connect(leader, REDIRECTS_MAX)

    def _connect(self, leader: str, redirects_left: int) -> None:
        self._leader = leader
        end = End(self._network, self.process, self.name, leader)
        is_over = False

        def fail() -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                end.abort()
                self._back_off()

        def taken(message: object) -> None:
            nonlocal is_over
            match message:
                case talk.Upgraded(epoch=epoch):
                    self._link_epoch = epoch
                    end.send(OLD_HELLO if self._is_old else link.hello())
                case talk.Elsewhere(leader=str() as another) if redirects_left:
                    is_over = True
                    end.abort()
                    self._connect(another, redirects_left - 1)
                case link.Hello():
                    is_over = True
                    protocol = link.common_protocol(message)
                    assert protocol is not None
                    self._greeted(end, min(protocol, 1 if self._is_old else protocol))
                case _:
                    fail()

        end.taken, end.lost = taken, fail
        end.send(talk.Upgrade())
        self.process.after(GREETING_MS, fail)

    def _greeted(self, end: End, protocol: int) -> None:
        self.link = end
        self._is_registered = False
        end.taken = self._master_spoke
        end.lost = self._link_lost
        self.loop.put(events.LinkOpened(protocol))

    def _master_spoke(self, message: object) -> None:
        assert isinstance(message, link.LinkMessage)
        if isinstance(message, link.Shutdown):
            self.was_shut_down = True
        if isinstance(message, link.Registered) and self._is_old:
            message = replace(message, epoch=0)  # it does not read the field
        self.loop.put(events.MasterSpoke(message))  # type: ignore[arg-type]  # masters send FromMaster

    def _link_lost(self) -> None:
        if self.link is None:
            return
        self.link = None
        self.loop.put(events.LinkLost())

    def _open_again(self) -> None:
        if self._is_registered:
            self.process.soon(BACKOFF_MS_MAX, self._look)
        else:
            self._back_off()

    def _back_off(self) -> None:
        retry_ms = self._retry_ms
        self._retry_ms = min(2 * retry_ms, RETRY_MAX_MS)
        self.process.after(self.machine.random.randint(retry_ms // 2, retry_ms), self._look)

    def _moved(self, leader: str) -> None:
        """Another master leads: whoever it is connected to has nothing to say any more."""
        self._retry_ms = RETRY_MIN_MS
        if leader != self._leader:
            self._close_link()

    def _close_link(self) -> None:
        if self.link is not None:
            self.link.abort()
            self.process.soon(5, self._link_lost)

    # What is done

    def _save(self, records: list[actions.Record], saved: Callable[[], None]) -> None:
        process = self.process
        self.disk.save(process, writes_of(records), saved, lambda reason: process.die())

    def _act(self, then: list[actions.Action]) -> None:
        if len(then) > 1 and self._faults.happens("halfway", self.machine.random):
            count = self.machine.random.randrange(len(then))
            self._carry_out(then[:count])
            self._audit.containers.cut_short(self, then[count:])
            self.process.die()
        else:
            self._carry_out(then)
            self._audit.containers.acted(self, then)

    def _carry_out(self, then: list[actions.Action]) -> None:
        for action in then:
            match action:
                case actions.SendToMaster(message=message):
                    if self.link is not None:
                        self.link.send(message)
                case actions.OpenLink():
                    self._open_again()
                case actions.CloseLink():
                    self._close_link()
                case actions.AdoptId():
                    self._audit.follows(self, self._link_epoch)
                    self._is_registered = True
                    self._retry_ms = RETRY_MIN_MS
                case actions.PrepareSandbox(container_id=container_id):
                    prepared = partial(self.loop.put, events.SandboxPrepared(container_id))
                    self.process.soon(SANDBOX_MS_MAX, prepared)
                case actions.ProvisionContainer(container_id=container_id):
                    self._provisioned.add(container_id)
                    provisioned = partial(self._was_provisioned, container_id)
                    self.process.soon(PROVISIONING_MS_MAX, provisioned)
                case actions.LaunchContainer(container_id=container_id):
                    self._provisioned.discard(container_id)
                    self.launcher.launch(self.container_of(action))
                case actions.SignalContainer(container_id=container_id, signal=number):
                    self._audit.containers.ends(self, container_id)
                    self.launcher.signal(container_id, number)
                case actions.DestroyContainer(container_id=container_id):
                    self._audit.containers.ends(self, container_id)
                    self._clear_ground(container_id, "destroyed")
                    self.launcher.destroy(container_id)
                case actions.ForgetContainer(container_id=container_id):
                    self.launcher.forget(container_id)
                case actions.RunCheck(check_id=check_id, probe=actions.CommandProbe() as probe):
                    self.process.soon(CHECK_MS_MAX, partial(self._checked, check_id, probe.beside))
                case actions.EndAgent():
                    self.launcher.clear()
                    self.process.die()
                    return
                case _:
                    pass  # sandboxes, logs and views have no part in the game

    def container_of(self, launch: actions.LaunchContainer) -> Container:
        """What is to be launched, and whose it is."""
        place = self.state.place(launch.container_id)
        assert place is not None
        framework, executor, task, _ = place
        return Container(
            launch.container_id,
            framework.id,
            executor.id,
            None if task is None else task.id,
            framework.info.checkpoint,
            () if task is None else task.group,
            launch.parent,
            is_limited=task is not None and task.info.max_completion_time is not None,
        )

    def _was_provisioned(self, container_id: str) -> None:
        if self._faults.happens("launch", self.machine.random):
            self._clear_ground(container_id, "no such image")
        elif container_id in self._provisioned:
            self.loop.put(events.ContainerProvisioned(container_id))

    def _clear_ground(self, container_id: str, reason: str) -> None:
        """A container that was, or is being, provisioned is given up."""
        if container_id in self._provisioned:
            self._provisioned.remove(container_id)
            failed = partial(self.loop.put, events.LaunchFailed(container_id, reason))
            self.process.soon(SANDBOX_MS_MAX, failed)

    def _checked(self, check_id: int, container_id: str) -> None:
        is_unhealthy = self._faults.happens("unhealthy", self.machine.random)
        if is_unhealthy and container_id in self.launcher.containers:
            self._audit.containers.fails(self.launcher.containers[container_id])
        outcome = events.CommandExited(1 << 8 if is_unhealthy else 0)
        self.loop.put(events.CheckFinished(check_id, outcome))

    def _fresh(self) -> State:
        settings = Settings(
            ip="10.0.0.1",
            port=5051 + self._number,
            hostname=self.name,
            work_dir="/var/lib/tepui",
            version=MESOS_VERSION,
            boot_id=f"{self.name}.{self.boots}",
            linger_ms=100,
        )
        return State(
            settings=settings,
            info=_info(self.name, self._number, self.cpus),
            uuids=Uuids(self.machine.random.randbytes(32)),
            started_ms=self.process.now_ms(),
        )


def writes_of(records: list[actions.Record]) -> Writes[Saved]:
    """The records as a disk takes them."""
    found: list[tuple[str, Saved | None]] = []
    for record in records:
        assert isinstance(record, Save)
        found.append((record.key, record.saved))
    return found


def _info(name: str, number: int, cpus: int) -> mesos.AgentInfo:
    key = (number, cpus)
    if key not in _INFOS:
        resources = parse_resources(f"cpus:{cpus};mem:8192;disk:1024;ports:[31000-32000]")
        _INFOS[key] = mesos.AgentInfo(
            port=5051 + number,
            hostname=name,
            resources=resources.to_wire(role=None, refinement=True),
        )
    return replace(_INFOS[key], hostname=name)


_INFOS: dict[tuple[int, int], mesos.AgentInfo] = {}  # parsed once for all seeds
