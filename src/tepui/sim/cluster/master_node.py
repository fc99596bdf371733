"""A master of a simulation: it stands for election, leads with the production core, or follows.

As `master.daemon.main.MasterDaemon` and `master.daemon.leader.Leader` do it: who is elected opens the
registry, begins an epoch and serves; who leads no more, or could not save, throws all it knows away.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from tepui import MESOS_VERSION
from tepui.base.names import StreamId
from tepui.election.election import Following, Leading, Lost, Told
from tepui.master.core import actions, events, recovery
from tepui.master.core.events import LinkId, RequestId
from tepui.master.core.registry import Registered, entry
from tepui.master.core.settings import Settings
from tepui.master.core.state import NO_IDS, ids_given, new
from tepui.master.core.step import step
from tepui.sim.cluster import talk
from tepui.sim.cluster.agent_node import OLD_HELLO
from tepui.sim.cluster.audit import Audit
from tepui.sim.cluster.disk import Disk, Writes
from tepui.sim.cluster.faults import Faults
from tepui.sim.cluster.network import End, Network
from tepui.sim.cluster.node import Loop, Machine, Process
from tepui.sim.cluster.zookeeper import Candidate, Ensemble, RegistryStore
from tepui.wire import link, mesos, scheduler

RESTART_MS = (100, 5_000)  # from the end of a process to the next
RETRY_MS = 1_000  # until a registry that could not be read is tried again
CLOSING_MS_MAX = 5  # until the loop hears of the end of a link that it closed
SETTINGS = Settings(  # impatient, so that agents become unreachable and offers time out
    agent_ping_timeout_ms=1_000,
    max_agent_ping_timeouts=3,
    agent_reregister_timeout_ms=6_000,
    offer_timeout_ms=3_000,
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Registered).decode


class Store(Protocol):
    """Where the registry is, for one leader."""

    def open(
        self, opened: Callable[[dict[str, bytes]], None], failed: Callable[[str], None]
    ) -> None:
        """All that is there."""
        ...

    def save(
        self, writes: Writes[bytes], saved: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """They are durable, or nobody knows."""
        ...


class DiskStore:
    """The registry of a master that has no others beside it."""

    def __init__(self, disk: Disk[bytes], process: Process) -> None:
        self._disk = disk
        self._process = process

    def open(
        self, opened: Callable[[dict[str, bytes]], None], failed: Callable[[str], None]
    ) -> None:
        """See Store."""
        self._process.soon(CLOSING_MS_MAX, lambda: opened(dict(self._disk.objects)))

    def save(
        self, writes: Writes[bytes], saved: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """See Store."""
        self._disk.save(self._process, writes, saved, failed)


class MasterNode:
    """One master, over all of its lives."""

    def __init__(
        self,
        machine: Machine,
        network: Network,
        ensemble: Ensemble[bytes] | None,
        faults: Faults,
        audit: Audit,
    ) -> None:
        """Without an `ensemble` it has no others beside it."""
        self.machine = machine
        self.name = machine.name
        self.disk: Disk[bytes] = Disk(machine.random)
        self.ensemble = ensemble
        self.audit = audit
        self.leader: Leader | None = None
        self.candidate: Candidate | None = None
        self._faults = faults
        self._lives = 0
        self._is_elected = False
        self._beginning: Leader | None = None
        self._followed: str | None = None
        self.process = Process(machine)
        self.process.die()
        network.listeners[self.name] = self

    def start(self) -> None:
        """A new process, unless one lives or the machine is down."""
        if self.process.alive or not self.machine.is_up:
            return
        self._lives += 1
        self.process = Process(self.machine)
        self.is_old = self._faults.happens("old", self.machine.random)
        self.process.ends[self._crashed] = None
        self.leader = self._beginning = self._followed = None
        self.ids_given = NO_IDS
        self.info = mesos.MasterInfo(
            id=f"{self.name}.{self._lives}",
            ip=0,
            port=5050,
            pid=f"master@{self.name}:5050",
            hostname=self.name,
            version=MESOS_VERSION,
        )
        self._is_elected = self.ensemble is None
        if self.ensemble is None:
            self._try_to_lead()
        else:
            self.candidate = Candidate(self.ensemble, self.process, self._told)

    def _crashed(self) -> None:
        """Whoever dies by itself is started again."""
        self.machine.time.after(self.machine.random.randint(*RESTART_MS), self.start)

    def may_act(self) -> bool:
        """Nobody else can lead by now."""
        return self.candidate is None or self.candidate.holds()

    def accept(self, end: End) -> None:
        """See network.Listener."""
        end.taken = lambda message: self._first(end, message)

    def _first(self, end: End, message: object) -> None:
        if self.leader is not None:
            self.leader.first(end, message)
            return
        end.send(talk.Elsewhere(self._followed))
        end.close()

    # The election

    def _told(self, told: Told) -> None:
        match told:
            case Leading():
                self.audit.begins_to_lead(self)
                self._is_elected = True
            case Lost():
                self._is_elected = False
                self._followed = None
            case Following(leader=leader):
                self._followed = None if leader is None else leader.decode()
        self._abdicate()
        if self._is_elected:
            self._try_to_lead()

    def _try_to_lead(self) -> None:
        if not self._is_elected or not self.may_act() or self._beginning is not None:
            return
        leader = self._beginning = Leader(self, self._store())

        def failed(reason: str) -> None:
            if self._beginning is leader:
                self._beginning = None
                self.process.after(RETRY_MS, self._try_to_lead)

        leader.begin(lambda: self._leads(leader), failed)

    def _leads(self, leader: Leader) -> None:
        if self._beginning is leader:
            self._beginning = None
            self.leader = leader

    def leader_failed(self, leader: Leader) -> None:
        """It could not save, or may act no more."""
        if self.leader is leader:
            self._abdicate()
            self.process.soon(CLOSING_MS_MAX, self._try_to_lead)

    def _abdicate(self) -> None:
        self._beginning = None
        leader, self.leader = self.leader, None
        if leader is not None:
            self.ids_given = ids_given(leader.state)
            leader.end()

    def _store(self) -> Store:
        if self.ensemble is None:
            return DiskStore(self.disk, self.process)
        assert self.candidate is not None
        assert self.candidate.session is not None
        return RegistryStore(self.ensemble, self.process, self.candidate.session)


class Leader:
    """A core, its loop, and all that is connected to it, while a master leads."""

    def __init__(self, node: MasterNode, store: Store) -> None:
        self.node = node
        self.process = node.process
        self._store = store
        self._audit = node.audit
        self._links: dict[LinkId, End] = {}
        self._streams: dict[StreamId, End] = {}
        self._asked: dict[RequestId, tuple[End, talk.Ask]] = {}
        self._last_id = 0
        self.state = new(
            node.info,
            now_ms=self.process.now_ms(),
            seed=node.machine.random.randbytes(32),
            settings=SETTINGS,
            given=node.ids_given,
        )
        self.loop: Loop[events.Event, actions.Record, actions.Action] = Loop(
            self.process,
            step=lambda batch, now_ms: step(self.state, batch, now_ms),
            save=self._save,
            act=self._act,
            next_ms=self.state.timers.next_ms,
            stepped=lambda effects: self._audit.master_stepped(self, effects),
            may_act=node.may_act,
            stale=lambda: node.leader_failed(self),
        )

    def begin(self, begun: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Know what the registry holds; it says that a new epoch has begun."""

        def opened(found: dict[str, bytes]) -> None:
            registered = [_decode(value) for value in found.values()]
            effects = recovery.recover(self.state, registered, self.process.now_ms())
            self._store.save(_writes(effects.save), lambda: recovered(effects), failed)

        def recovered(effects: actions.Effects) -> None:
            self._act(effects.then)
            begun()
            self.loop.wake()

        self._store.open(opened, failed)

    def link(self, link_id: LinkId) -> End | None:
        """An agent's connection."""
        return self._links.get(link_id)

    def end(self) -> None:
        """Nothing is decided any more, and nothing leaves."""
        self.loop.close()
        for end in [*self._streams.values(), *self._links.values()]:
            end.close()
        self._streams.clear()
        self._links.clear()

    def registry(self) -> dict[str, Registered] | None:
        """What is written; None when another leader writes there."""
        ensemble = self.node.ensemble
        if ensemble is not None and ensemble.owner is not self._store:
            return None
        found = self.node.disk.objects if ensemble is None else ensemble.objects
        return {key: _decode(value) for key, value in found.items()}

    # What comes

    def first(self, end: End, message: object) -> None:
        """A connection begins with this."""
        self._last_id += 1
        match message:
            case talk.Upgrade():
                link_id = LinkId(self._last_id)
                self._links[link_id] = end
                end.taken = lambda given: self._link_took(link_id, given)
                end.lost = lambda: self._link_lost(link_id)
                end.send(talk.Upgraded(self.state.epoch))
                self.loop.put(events.LinkOpened(link_id, "10.0.0.1"))
                end.send(OLD_HELLO if self.node.is_old else link.hello())
            case talk.Subscribe(call=call):
                stream = StreamId(f"{self.state.info.id}-{self.state.epoch}-{self._last_id}")
                self._streams[stream] = end
                end.lost = lambda: self._stream_lost(stream)
                end.send(talk.Streaming(stream, (self.state.epoch, self._last_id)))
                self.loop.put(events.SubscribeReceived(stream, call))
            case talk.Ask():
                end.taken = lambda given: self._asks(end, given)
                self._asks(end, message)

    def _link_took(self, link_id: LinkId, message: object) -> None:
        assert isinstance(message, link.LinkMessage)
        if self.node.is_old:
            too_new = isinstance(message, link.Condition | link.Return)
            assert not too_new, "a message of a newer protocol, in protocol 1"
            if isinstance(message, link.Hello):
                message = replace(message, newest=0)  # it does not read the field
        self.loop.put(events.LinkReceived(link_id, message))  # type: ignore[arg-type]  # agents send FromAgent

    def _link_lost(self, link_id: LinkId) -> None:
        if self._links.pop(link_id, None) is not None:
            self.loop.put(events.LinkClosed(link_id))

    def _stream_lost(self, stream: StreamId) -> None:
        if self._streams.pop(stream, None) is not None:
            self.loop.put(events.StreamClosed(stream))

    def _asks(self, end: End, message: object) -> None:
        assert isinstance(message, talk.Ask)
        self._last_id += 1
        request = RequestId(self._last_id)
        self._asked[request] = (end, message)
        self.loop.put(events.CallReceived(request, message.call, StreamId(message.stream)))

    # What is done

    def _save(self, records: list[actions.Record], saved: Callable[[], None]) -> None:
        def failed(reason: str) -> None:
            self.loop.close()
            self.node.leader_failed(self)

        self._store.save(_writes(records), saved, failed)

    def _act(self, then: list[actions.Action]) -> None:
        if then:
            self._audit.acts(self)
        for action in then:
            match action:
                case actions.SendEvent(stream=stream, event=scheduler.Event() as event):
                    self._audit.sends(self, stream, event)
                    if stream in self._streams:
                        self._streams[stream].send(event)
                case actions.SendToAgent(link=link_id, message=message):
                    if isinstance(message, link.Registered) and self.node.is_old:
                        message = replace(message, epoch=0)
                    if isinstance(message, link.AcknowledgeUpdate):
                        self._audit.acknowledges(self, message.uuid)
                    if link_id in self._links:
                        self._links[link_id].send(message)
                case actions.Answer(request=request, status=status):
                    end, ask = self._asked.pop(request)
                    self._audit.answers(self, ask.call, status)
                    end.send(talk.Answered(ask.number, status))
                case actions.CloseLink(link=link_id):
                    if link_id in self._links:
                        self._links[link_id].close()
                        self.process.soon(CLOSING_MS_MAX, partial(self._link_lost, link_id))
                case actions.EndStream(stream=stream):
                    if stream in self._streams:
                        self._streams.pop(stream).close()
                case _:
                    pass  # notes and views have no part in the game


def _writes(records: list[actions.Record]) -> Writes[bytes]:
    found = [entry(record) for record in records]
    return [(key, None if value is None else _encode(value)) for key, value in found]
