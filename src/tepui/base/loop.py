"""The loop of every daemon: take the waiting events, step, save, then act.

Events that wait are stepped together, saved in one write and acted on in order. While a save is
under way further events wait for the next turn. After a save that fails, or when the core may act no
more, nothing that was decided is done, and what the core knows is of no use any more: the process
ends, or whoever made the loop forgets all of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NoReturn, TypeVar

from tepui.base.effects import Step

Event = TypeVar("Event")
Record = TypeVar("Record")
Action = TypeVar("Action")

WAITING_MAX = 200_000  # events; a shell that is told Overloaded answers 503 or closes the peer
SLOW_WAITING_MAX = 1_000  # of a lane; at some milliseconds each nobody waits for more
BATCH_MAX = 512  # events of one turn, so that sockets are read and flushed in between
SLOW_MAX = 4  # besides, of each lane of those that only ask, for their answers may be long


_ANCHOR_NS = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Overloaded(Exception):
    """So many events wait that this one was not taken."""


class MayNotAct(Exception):
    """What was decided was not done, for somebody else may decide by now."""


def now_ms() -> int:
    """Milliseconds since the epoch: what a daemon passes to its core.

    Counted from the start of the process, so that no timer waits because somebody set the clock.
    """
    return (_ANCHOR_NS + time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000


class CoreLoop(Generic[Event, Record, Action]):
    """Drives one core inside a running asyncio loop.

    - `step(events, now_ms)` is the core, bound to its state;
    - `save(records)` returns when they are durable; it is not called with nothing to save;
    - `act(actions)` carries them out without waiting;
    - `next_ms()` says when the core wants to be called although nothing happened;
    - `refusable` are the events that peers can make any number of. Others, such as the end of a
      connection, are taken also when too many wait, for they cannot be said again;
    - `slow_lane` names a lane for an event that only asks, and whose answer may take long; None for
      all others. The events of a lane keep their order, and others overtake them: whoever asks much
      makes only those wait who ask on the same lane;
    - `may_act()` is asked directly before `act`, and also when there is nothing to do: the process may
      have stood still since the events were taken;
    - `failed` is told why a save has failed, or MayNotAct; the loop is closed then. Without it the
      process ends.
    """

    def __init__(
        self,
        *,
        step: Callable[[Sequence[Event], int], Step[Record, Action]],
        save: Callable[[list[Record]], Awaitable[None]],
        act: Callable[[list[Action]], None],
        next_ms: Callable[[], int | None],
        refusable: tuple[type, ...] = (object,),
        slow_lane: Callable[[Event], str | None] = lambda event: None,
        clock_ms: Callable[[], int] = now_ms,
        may_act: Callable[[], bool] = lambda: True,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        self._may_act = may_act
        self._failed = failed
        self._step = step
        self._save = save
        self._act = act
        self._next_ms = next_ms
        self._refusable = refusable
        self._slow_lane = slow_lane
        self._clock_ms = clock_ms
        self._waiting: deque[Event] = deque()
        self._slow: dict[str, deque[Event]] = {}  # by lane; none is empty
        self._busy = False  # a turn is scheduled, or its save is under way
        self._closed = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms: int | None = None
        self._last_ms = 0
        self._saving: asyncio.Task[None] | None = None

    def put(self, event: Event) -> None:
        """Have `event` stepped soon. Raises Overloaded, and then nothing has changed."""
        waiting, limit = self._waiting, WAITING_MAX
        lane = self._slow_lane(event)
        if lane is not None:
            waiting, limit = self._slow.setdefault(lane, deque()), SLOW_WAITING_MAX
        if len(waiting) >= limit and isinstance(event, self._refusable):
            raise Overloaded(f"{limit} events wait")
        waiting.append(event)
        self.wake()

    @property
    def waiting(self) -> int:
        """How many events wait, those that only ask left out."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """No event waits and no save is under way; a timer may be set."""
        return not self._busy

    def wake(self) -> None:
        """Take a turn soon, even without an event: a timer may be due."""
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._closed:
            return
        try:
            batch = [
                *_first(self._waiting, BATCH_MAX),
                *(event for lane in self._slow.values() for event in _first(lane, SLOW_MAX)),
            ]
            self._slow = {lane: waiting for lane, waiting in self._slow.items() if waiting}
            self._last_ms = max(self._last_ms, self._clock_ms())  # never backwards for a core
            effects = self._step(batch, self._last_ms)
            if effects.save:
                self._saving = asyncio.get_running_loop().create_task(self._save_then_act(effects))
                return
            self._finish(effects)
        except Exception:
            end_process()

    async def _save_then_act(self, effects: Step[Record, Action]) -> None:
        try:
            await self._save(effects.save)
        except Exception as error:
            self._fail(error)
            return
        try:
            self._finish(effects)
        except Exception:
            end_process()

    def _fail(self, error: Exception) -> None:
        if self._failed is None:
            end_process()
        is_news = not self._closed
        self.close()
        if is_news:
            self._failed(error)

    def _finish(self, effects: Step[Record, Action]) -> None:
        if not self._may_act():
            self._fail(MayNotAct("what it decided is not done, for another may decide by now"))
            return
        self._act(effects.then)
        if self._closed:
            return
        self._busy = False
        due_ms = self._next_ms()
        if self._waiting or self._slow or (due_ms is not None and due_ms <= self._last_ms):
            self.wake()
        elif due_ms != self._alarm_ms:
            self._set_alarm(due_ms)

    def _set_alarm(self, due_ms: int | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._alarm_ms = due_ms
        if due_ms is not None:
            delay_s = max(0, due_ms - self._clock_ms()) / 1000
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._rang)

    def _rang(self) -> None:
        self._alarm = None
        self._alarm_ms = None
        self.wake()

    def close(self) -> None:
        """Take no further turn; one whose save is under way is still acted on if it may be."""
        self._closed = self._busy = True
        self._set_alarm(None)


def _first(waiting: deque[Event], count: int) -> list[Event]:
    return [waiting.popleft() for _ in range(min(len(waiting), count))]


def end_process() -> NoReturn:
    """Our fault: say where, and end at once, before anything undecided leaves the process."""
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(70)  # EX_SOFTWARE of sysexits.h
