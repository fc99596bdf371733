"""What every daemon of a simulation is: a process on a machine, and a core's loop inside it.

A process is one life: whoever comes back after a crash is another process on the same machine. What
it set going does nothing after its death. While it is paused (SIGSTOP, a machine that is suspended)
all that happens to it waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, TypeVar

from tepui.base.effects import Step
from tepui.sim.time import Clock, VirtualTime

Event = TypeVar("Event")
Record = TypeVar("Record")
Action = TypeVar("Action")

BATCH_MS_MAX = 3  # how long an event may wait for others to be stepped with
BATCH_CHANCE = 0.25  # the share of turns that wait


class Machine:
    """Where processes run: it has a name, a clock, and is up or down."""

    def __init__(self, name: str, time: VirtualTime, random: Random) -> None:
        self.name = name
        self.time = time
        self.random = random
        self.clock = Clock(time)
        self.is_up = True


class Process:
    """One life of a daemon."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.time = machine.time
        self.random = machine.random
        self.now_ms = machine.clock.started()
        self.alive = True
        self.paused = False
        self.ends: dict[Callable[[], None], None] = {}  # what a death is told to, in order
        self._waiting: list[Callable[[], None]] = []
        self._timers: list[Callable[[], None]] = []

    def do(self, call: Callable[[], None]) -> None:
        """Something comes from outside: now, when it runs again, or never."""
        if self.paused:
            self._waiting.append(call)
        elif self.alive:
            call()

    def after(self, delay_ms: int, call: Callable[[], None]) -> None:
        """Have `call` happen in `delay_ms`, as a timer of the process."""
        self.time.after(delay_ms, lambda: self._rang(call))

    def soon(self, delay_ms_max: int, call: Callable[[], None]) -> None:
        """Have `call` happen within `delay_ms_max`."""
        self.after(self.random.randint(0, delay_ms_max), call)

    def _rang(self, call: Callable[[], None]) -> None:
        if self.paused:
            self._timers.append(call)
        elif self.alive:
            call()

    def pause(self) -> None:
        """Everything waits."""
        self.paused = self.alive

    def resume(self) -> None:
        """What has waited happens: sockets first or timers first, as the loop has it."""
        if not self.paused:
            return
        self.paused = False
        queues = [self._waiting, self._timers]
        self._waiting, self._timers = [], []
        if self.random.random() < 0.5:
            queues.reverse()
        for call in [*queues[0], *queues[1]]:
            self.do(call)

    def die(self) -> None:
        """Nothing of the process happens any more; what holds on to it is told."""
        if not self.alive:
            return
        self.alive = self.paused = False
        self._waiting, self._timers = [], []
        ends, self.ends = self.ends, {}
        for end in ends:
            end()


class Loop(Generic[Event, Record, Action]):
    """Drives a core as `base.loop.CoreLoop` does: step a batch, save, then act, one at a time.

    `save(records, saved)` calls `saved` when they are durable; what it does when they cannot be is
    its own affair. `stepped` is called after each step, before anything is saved. `may_act` is asked
    before anything is done; once it says no, `stale` is called and the loop is closed.
    """

    def __init__(
        self,
        process: Process,
        *,
        step: Callable[[Sequence[Event], int], Step[Record, Action]],
        save: Callable[[list[Record], Callable[[], None]], None],
        act: Callable[[list[Action]], None],
        next_ms: Callable[[], int | None],
        stepped: Callable[[Step[Record, Action]], None],
        may_act: Callable[[], bool] = lambda: True,
        stale: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = process
        self._step = step
        self._save = save
        self._act = act
        self._next_ms = next_ms
        self._stepped = stepped
        self._may_act = may_act
        self._stale = stale
        self._waiting: list[Event] = []
        self._busy = False
        self._closed = False
        self._alarm_ms: int | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be stepped, saved or done."""
        return not self._busy and not self._waiting and not self._process.paused

    def put(self, event: Event) -> None:
        """Have `event` stepped soon."""
        self._waiting.append(event)
        self.wake()

    def wake(self) -> None:
        """Take a turn, at once or together with what comes next."""
        if self._busy or self._closed:
            return
        self._busy = True
        random = self._process.random
        if random.random() < BATCH_CHANCE:
            self._process.after(random.randint(0, BATCH_MS_MAX), self._turn)
        else:
            self._turn()

    def close(self) -> None:
        """Take no further turn; one whose save is under way is still acted on."""
        self._closed = True

    def _turn(self) -> None:
        if self._closed:
            return
        batch, self._waiting = self._waiting, []
        effects = self._step(batch, self._process.now_ms())
        self._stepped(effects)
        if effects.save:
            self._save(effects.save, lambda: self._finish(effects.then))
        else:
            self._finish(effects.then)

    def _finish(self, then: list[Action]) -> None:
        if not self._may_act():
            is_news = not self._closed
            self._closed = True
            if is_news:
                self._stale()
            return
        self._act(then)
        self._busy = False
        if self._closed:
            return
        due_ms = self._next_ms()
        if self._waiting or (due_ms is not None and due_ms <= self._process.now_ms()):
            self._busy = True
            self._process.after(0, self._turn)
        elif due_ms is not None and (self._alarm_ms is None or due_ms < self._alarm_ms):
            self._alarm_ms = due_ms
            self._process.after(due_ms - self._process.now_ms(), lambda: self._rang(due_ms))

    def _rang(self, due_ms: int) -> None:
        if self._alarm_ms == due_ms:
            self._alarm_ms = None
            self.wake()
