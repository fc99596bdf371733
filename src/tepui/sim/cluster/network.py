"""Connections that delay, stall, break, and lose what was under way.

Within one direction of one connection messages arrive in order, as TCP delivers them; between
connections nothing is promised. What can't get through is held and sent again, so it arrives when
the way is open again, unless the sender has given up by then: after STALL_MS its side is broken. A
side that has nothing to send never learns of a break.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Protocol

from tepui.sim.cluster.node import Process
from tepui.sim.time import VirtualTime

STALL_MS = 8_000  # a sender that is not acknowledged for so long gives up


class Network:
    """Who reaches whom, and how fast."""

    def __init__(self, time: VirtualTime, random: Random, delay_ms_max: int) -> None:
        self.time = time
        self.random = random
        self.delay_ms_max = delay_ms_max
        self.slow: dict[str, int] = {}  # so many times slower is what goes to or from this machine
        self.down: set[str] = set()  # machines without power
        self._cuts: dict[tuple[str, str], int] = {}  # how many faults cut this way
        self._stalled: dict[tuple[str, str], list[Callable[[], None]]] = {}
        self.listeners: dict[str, Listener] = {}  # by machine
        self.ends: dict[End, None] = {}  # that are open

    def is_cut(self, here: str, there: str) -> bool:
        """Nothing that is sent from `here` arrives `there` now."""
        return (here, there) in self._cuts or here in self.down or there in self.down

    def cut(self, here: str, there: str) -> None:
        """From now on nothing arrives; `mend` ends it."""
        self._cuts[here, there] = self._cuts.get((here, there), 0) + 1

    def mend(self, here: str, there: str) -> None:
        """As before that `cut`; what was held arrives."""
        left = self._cuts[here, there] - 1
        if left:
            self._cuts[here, there] = left
        else:
            del self._cuts[here, there]
            self.flow()

    def flow(self) -> None:
        """Something is not cut any more: what was held there goes on."""
        stalled, self._stalled = self._stalled, {}
        for way, calls in stalled.items():
            if self.is_cut(*way):
                self._stalled[way] = calls
            else:
                for call in calls:
                    call()

    def hold(self, here: str, there: str, call: Callable[[], None]) -> None:
        """Have `call` happen when this way is open again."""
        self._stalled.setdefault((here, there), []).append(call)

    def delay_ms(self, here: str, there: str) -> int:
        """How long one message takes."""
        factor = max(self.slow.get(here, 1), self.slow.get(there, 1)) if self.slow else 1
        return self.random.randint(0, self.delay_ms_max * factor)


class Listener(Protocol):
    """Takes the connections that come to a machine."""

    process: Process

    def accept(self, end: End) -> None:
        """A connection: set what it calls. Its first message follows."""
        ...


class End:
    """One side of a connection. `taken` and `lost` are called in its process."""

    def __init__(self, network: Network, process: Process, here: str, there: str) -> None:
        """A new connection; the other side begins with the first message that arrives."""
        self._network = network
        self.process = process
        self.here = here
        self.there = there
        self.peer: End | None = None
        self.taken: Callable[[object], None] = _ignore
        self.lost: Callable[[], None] = _nothing
        self.is_open = True
        self._queue: deque[object] = deque()  # None: the end of what is sent
        self._last_ms = 0
        self._held = 0
        self._unanswered = 0  # counts the stalls, so that an alarm knows its own
        self._is_waiting = False  # for an acknowledgement, beside a stall
        process.ends[self._vanish] = None
        network.ends[self] = None

    def send(self, message: object) -> None:
        """The message arrives, or the connection breaks."""
        if self.is_open:
            self._put(message)

    def close(self) -> None:
        """Close after what was sent; nothing more is taken."""
        if self.is_open:
            self._put(None)
            self._end()

    def abort(self) -> None:
        """Close at once; what is under way is lost."""
        if self.is_open:
            self._end()
            self._queue.clear()
            self._reset_peer()

    def reset(self) -> None:
        """The connection breaks, by no fault of either side."""
        if self.is_open:
            self._queue.clear()
            self._reset_peer()
            self.process.do(self._lose)

    @property
    def is_quiet(self) -> bool:
        """It is open on both sides, and nothing is under way."""
        peer = self.peer
        if not self.is_open or self._queue or peer is None:
            return False
        return peer.is_open and not peer._queue

    # Sending

    def _put(self, message: object) -> None:
        network = self._network
        due_ms = network.time.now_ms + network.delay_ms(self.here, self.there)
        self._last_ms = max(self._last_ms, due_ms)
        self._queue.append(message)
        network.time.at(self._last_ms, self._arrive)

    def _arrive(self) -> None:
        if not self._queue:
            return
        if self._held or self._network.is_cut(self.here, self.there):
            self._stall()
            return
        if self.peer is None and not self._accepted():
            self._queue.clear()
            self._soon_lost()
            return
        message = self._queue.popleft()
        peer = self.peer
        assert peer is not None
        if not peer.is_open:
            self._queue.clear()
            self._soon_lost()
            return
        if self._network.is_cut(self.there, self.here):
            self._await_acknowledgement()
        if message is None:
            peer.process.do(peer._lose)
        else:
            peer.process.do(lambda: peer._take(message))

    def _accepted(self) -> bool:
        listener = self._network.listeners.get(self.there)
        if listener is None or not listener.process.alive:
            return False
        peer = self.peer = End(self._network, listener.process, self.there, self.here)
        peer.peer = self
        listener.process.do(lambda: listener.accept(peer))
        return True

    def _stall(self) -> None:
        self._held += 1
        if self._held > 1:
            return
        self._unanswered += 1
        count = self._unanswered
        self._network.hold(self.here, self.there, self._flow)

        def give_up() -> None:
            if self._held and self._unanswered == count:
                self._queue.clear()
                self._held = 0
                self.process.do(self._lose)

        self._network.time.after(STALL_MS, give_up)

    def _flow(self) -> None:
        held, self._held = self._held, 0
        network = self._network
        for _ in range(held):
            due_ms = network.time.now_ms + network.delay_ms(self.here, self.there)
            self._last_ms = max(self._last_ms, due_ms)
            network.time.at(self._last_ms, self._arrive)

    def _await_acknowledgement(self) -> None:
        if self._is_waiting:
            return
        self._is_waiting = True

        def acknowledged() -> None:
            self._is_waiting = False

        def give_up() -> None:
            if self._is_waiting:
                self._queue.clear()
                self.process.do(self._lose)

        self._network.hold(self.there, self.here, acknowledged)
        self._network.time.after(STALL_MS, give_up)

    # Receiving

    def _take(self, message: object) -> None:
        if self.is_open:
            self.taken(message)

    def _lose(self) -> None:
        if self.is_open:
            self._end()
            self.lost()

    def _soon_lost(self) -> None:
        """The other side says that it knows no such connection, if that arrives."""
        network = self._network
        if not network.is_cut(self.there, self.here):
            delay_ms = network.delay_ms(self.there, self.here)
            network.time.after(delay_ms, lambda: self.process.do(self._lose))

    def _reset_peer(self) -> None:
        if self.peer is not None and not self._network.is_cut(self.here, self.there):
            peer = self.peer
            delay_ms = self._network.delay_ms(self.here, self.there)
            self._network.time.after(delay_ms, lambda: peer.process.do(peer._lose))

    def _vanish(self) -> None:
        """The process has died: its machine says so, if it still can."""
        self.is_open = False
        self._network.ends.pop(self, None)
        self._queue.clear()
        self._reset_peer()

    def _end(self) -> None:
        self.is_open = False
        self.process.ends.pop(self._vanish, None)
        self._network.ends.pop(self, None)


def _ignore(message: object) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nobody listens yet."""
