"""ZooKeeper as its clients see it: sessions that end, who stands for election, a fenced store.

A candidate speaks to it several times a lease: that keeps its session, makes the node with which it
stands when it has none, and is answered with who is first. The contract is that of
`election.election` and `election.lease`: whoever leads stops two thirds of a session after it
sent the last request that was answered, and a session ends no sooner than its whole length after the
last request that came. The store is that of `storage.zookeeper`: the newest owner fences all others.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Generic, TypeVar

from msgspec import Struct

from tepui.election.election import Following, Leading, Lost, Told
from tepui.election.lease import RENEWALS, SHARE
from tepui.sim.cluster.disk import Writes
from tepui.sim.cluster.network import Network
from tepui.sim.cluster.node import Process
from tepui.sim.time import VirtualTime

Object = TypeVar("Object")

NAME = "zookeeper"  # of the machine, to the network
SESSION_MS = 3_000
SAVE_MS = 5_000  # then a save has failed
RETRY_MS = 200
LOOK_MS = 1_000  # a reader that missed some news looks by itself


class Silent(Exception):
    """There is no answer, yet."""


class Seat(Struct, frozen=True):
    """A node with which a session stands for election."""

    number: int
    session: int
    name: str


class Ensemble(Generic[Object]):
    """All servers together: they answer, or are away."""

    def __init__(self, time: VirtualTime, network: Network, random: Random) -> None:
        self.time = time
        self.network = network
        self.random = random
        self.is_away = False
        self.tears = False  # a save may need more than one transaction
        self.objects: dict[str, Object] = {}
        self.owner: object = None
        self.seats: list[Seat] = []  # the lowest number first
        self._numbers = 0
        self._sessions: dict[int, int] = {}  # when each was heard last
        self._last_session = 0
        self._watching: list[Callable[[], None]] = []

    def leave(self) -> None:
        """No request is answered, and no session ends."""
        self.is_away = True

    def come_back(self) -> None:
        """Every session has its whole length again."""
        self.is_away = False
        for session in self._sessions:
            self._heard(session)

    def reaches(self, name: str) -> bool:
        """Whether a request of this machine comes now; its answer may still be lost."""
        return not self.is_away and not self.network.is_cut(name, NAME)

    def answers(self, name: str) -> bool:
        """Whether what is said to this machine comes now."""
        return not self.is_away and not self.network.is_cut(NAME, name)

    def delay_ms(self, name: str) -> int:
        """Of a request, or of an answer."""
        return self.network.delay_ms(name, NAME)

    @property
    def leader(self) -> str | None:
        """The machine of who is first."""
        return self.seats[0].name if self.seats else None

    def watch(self, call: Callable[[], None]) -> None:
        """`call` is called when another is first."""
        self._watching.append(call)

    # Sessions

    def open_session(self) -> int:
        """A new one."""
        self._last_session += 1
        self._sessions[self._last_session] = self.time.now_ms
        self._heard(self._last_session)
        return self._last_session

    def is_open(self, session: int) -> bool:
        """It has not ended."""
        return session in self._sessions

    def touch(self, session: int) -> bool:
        """A request of it came; False when it has ended."""
        if session not in self._sessions:
            return False
        self._sessions[session] = self.time.now_ms
        return True

    def end_session(self, session: int) -> None:
        """It is over, and its seats are free."""
        if self._sessions.pop(session, None) is not None:
            self._leave_seats([seat for seat in self.seats if seat.session == session])

    def end_some_session(self) -> None:
        """As an operator could, or a server with a wrong clock."""
        if self._sessions:
            self.end_session(self.random.choice(list(self._sessions)))

    def _heard(self, session: int) -> None:
        now_ms = self._sessions[session] = self.time.now_ms
        self.time.at(now_ms + SESSION_MS, lambda: self._look_at(session))

    def _look_at(self, session: int) -> None:
        heard_ms = self._sessions.get(session)
        if heard_ms is None or self.is_away:
            return
        if heard_ms + SESSION_MS <= self.time.now_ms:
            self.end_session(session)
        else:
            self.time.at(heard_ms + SESSION_MS, lambda: self._look_at(session))

    # Seats

    def stand(self, session: int, name: str) -> Seat:
        """The session's seat, behind all others when it is new."""
        for seat in self.seats:
            if seat.session == session:
                return seat
        self._numbers += 1
        seat = Seat(self._numbers, session, name)
        self.seats.append(seat)
        if len(self.seats) == 1:
            self._tell()
        return seat

    def leave_seat(self, number: int) -> None:
        """Nobody stands there."""
        self._leave_seats([seat for seat in self.seats if seat.number == number])

    def _leave_seats(self, gone: list[Seat]) -> None:
        first = self.seats[0] if self.seats else None
        self.seats = [seat for seat in self.seats if seat not in gone]
        if first in gone:
            self._tell()

    def _tell(self) -> None:
        for call in self._watching:
            self.time.after(self.random.randint(0, self.network.delay_ms_max), call)


class Candidate:
    """One master's election, as long as its process lives. `told` is called in its process."""

    def __init__(
        self, ensemble: Ensemble[Object], process: Process, told: Callable[[Told], None]
    ) -> None:
        self._ensemble = ensemble
        self._process = process
        self._name = process.machine.name
        self._told = told
        self.session: int | None = None
        self._seat: int | None = None  # the number of ours
        self._to_leave: int | None = None
        self._last: Told | None = None
        self._lease_until_ms = 0
        self._asked = self._arrived = self._heard = 0  # the newest request, here and there
        ensemble.watch(lambda: process.do(self._speak))
        self._beat()

    @property
    def leads(self) -> bool:
        """It was told Leading, and not Lost."""
        return isinstance(self._last, Leading)

    def holds(self) -> bool:
        """It leads, and nobody else can have begun to."""
        return self.leads and self._ensemble.time.now_ms < self._lease_until_ms

    def _beat(self) -> None:
        self._speak()
        self._process.after(lease_ms() // RENEWALS, self._beat)

    def _speak(self) -> None:
        """Ask to be kept, and who is first."""
        ensemble, process = self._ensemble, self._process
        sent_ms = ensemble.time.now_ms
        session, to_leave = self.session, self._to_leave
        self._asked += 1
        request = self._asked

        def arrive() -> None:
            if request < self._arrived or not ensemble.reaches(self._name):
                return  # one connection does not change the order
            self._arrived = request
            kept = session
            if kept is None or not ensemble.touch(kept):
                kept = ensemble.open_session()
            if to_leave is not None:
                ensemble.leave_seat(to_leave)
            seat = ensemble.stand(kept, self._name)
            number, first = seat.number, ensemble.seats[0]
            if ensemble.answers(self._name):
                delay_ms = ensemble.delay_ms(self._name)
                answer = lambda: self._answered(request, sent_ms, kept, to_leave, number, first)  # noqa: E731
                ensemble.time.after(delay_ms, lambda: process.do(answer))

        ensemble.time.after(ensemble.delay_ms(self._name), arrive)

    def _answered(
        self, request: int, sent_ms: int, session: int, left: int | None, number: int, first: Seat
    ) -> None:
        if request < self._heard:
            return
        self._heard = request
        if session != self.session and self.leads:
            self._stop("the session has ended")
            return
        self.session = session
        if self._to_leave is not None:
            if left != self._to_leave:
                return  # it had not heard that we stand there no more
            self._to_leave = None
        self._seat = number
        if first.number == number:
            self._lead(sent_ms, number)
        elif first.number < number and self.leads:
            self._stop("somebody has a lower number")
        else:
            self._tell(Following(first.name.encode()))

    def _lead(self, sent_ms: int, number: int) -> None:
        until_ms = sent_ms + lease_ms()
        if self.leads and not self.holds():
            self._stop("the lease has ended")
            return
        if until_ms <= self._ensemble.time.now_ms:
            return
        self._lease_until_ms = max(self._lease_until_ms, until_ms)
        self._process.after(
            until_ms - self._ensemble.time.now_ms, lambda: self._lease_ended(until_ms)
        )
        self._tell(Leading(number))

    def _lease_ended(self, until_ms: int) -> None:
        if self.leads and until_ms == self._lease_until_ms:
            self._stop("the lease has ended")

    def _stop(self, reason: str) -> None:
        self._to_leave, self._seat = self._seat, None
        self._tell(Lost(reason))
        self._speak()

    def _tell(self, told: Told) -> None:
        if told != self._last:
            self._last = told
            self._told(told)


class Watch:
    """Follows who leads, for agents and schedulers. `moved` is told another leader than the last."""

    def __init__(
        self, ensemble: Ensemble[Object], process: Process, moved: Callable[[str], None]
    ) -> None:
        self._ensemble = ensemble
        self._process = process
        self._name = process.machine.name
        self._moved = moved
        self.leader: str | None = None
        ensemble.watch(lambda: process.do(self._look))
        self._beat()

    def _beat(self) -> None:
        self._look()
        self._process.after(LOOK_MS, self._beat)

    def _look(self) -> None:
        ensemble = self._ensemble
        if ensemble.reaches(self._name) and ensemble.answers(self._name):
            leader = ensemble.leader
            self._process.after(2 * ensemble.delay_ms(self._name), lambda: self._saw(leader))

    def _saw(self, leader: str | None) -> None:
        before, self.leader = self.leader, leader
        if leader is not None and leader != before:
            self._moved(leader)


class RegistryStore(Generic[Object]):
    """The store below a session, as `storage.zookeeper` has it; opened by one leader, once."""

    def __init__(self, ensemble: Ensemble[Object], process: Process, session: int) -> None:
        self._ensemble = ensemble
        self._process = process
        self._session = session
        self._name = process.machine.name

    def open(
        self, opened: Callable[[dict[str, Object]], None], failed: Callable[[str], None]
    ) -> None:
        """All that is there is known, and whoever had it open before is fenced off."""
        ensemble = self._ensemble

        def take_over() -> dict[str, Object] | None:
            ensemble.owner = self
            return dict(ensemble.objects)

        self._ask(take_over, opened, failed)

    def save(
        self, writes: Writes[Object], saved: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        """`saved` is called when all is durable; after `failed` nobody knows what is."""
        ensemble = self._ensemble
        is_done = False  # by a request whose answer was lost

        def commit() -> bool | None:
            nonlocal is_done
            if is_done:
                return True
            if ensemble.owner is not self or not ensemble.is_open(self._session):
                return None
            if ensemble.tears and len(writes) > 1 and ensemble.random.random() < 0.3:
                _apply(ensemble.objects, writes[: ensemble.random.randint(1, len(writes))])
                raise Silent  # the first transaction; the second goes with the next request
            _apply(ensemble.objects, writes)
            is_done = True
            return True

        self._ask(commit, lambda _: saved(), failed)

    def _ask(
        self,
        carry_out: Callable[[], Answer | None],
        answered: Callable[[Answer], None],
        failed: Callable[[str], None],
    ) -> None:
        """Ask until there is an answer, or it took too long."""
        ensemble, process = self._ensemble, self._process
        until_ms = ensemble.time.now_ms + SAVE_MS
        is_over = False

        def finish(call: Callable[[], None]) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                call()

        def arrive() -> None:
            if is_over or not ensemble.reaches(self._name):
                return
            try:
                found = carry_out()
            except Silent:
                return
            if not ensemble.answers(self._name):
                return
            if found is None:
                end = lambda: failed("another owner has opened it, or the session has ended")  # noqa: E731
            else:
                end = lambda: answered(found)  # noqa: E731
            delay_ms = ensemble.delay_ms(self._name)
            ensemble.time.after(delay_ms, lambda: process.do(lambda: finish(end)))

        def ask() -> None:
            if is_over:
                return
            if ensemble.time.now_ms >= until_ms:
                finish(lambda: failed("ZooKeeper does not answer"))
                return
            ensemble.time.after(ensemble.delay_ms(self._name), arrive)
            process.after(RETRY_MS, ask)

        ask()


Answer = TypeVar("Answer")


def lease_ms() -> int:
    """How long one answer lets a leader lead."""
    part, whole = SHARE
    return SESSION_MS * part // whole


def _apply(objects: dict[str, Object], writes: Writes[Object]) -> None:
    for key, value in writes:
        if value is None:
            objects.pop(key, None)
        else:
            objects[key] = value
