"""Steps a core of the library: with each event as it happens, and when one of its timers is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, NoReturn, TypeVar

from tepui.base.effects import Step
from tepui.base.loop import now_ms

Event = TypeVar("Event")
Action = TypeVar("Action")


class Driver(Generic[Event, Action]):
    """Binds a core to the running loop. `act` carries an action out without waiting."""

    def __init__(
        self,
        step: Callable[[Sequence[Event], int], Step[NoReturn, Action]],
        act: Callable[[Action], None],
        next_ms: Callable[[], int | None],
    ) -> None:
        self._step = step
        self._act = act
        self._next_ms = next_ms
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_ms: int | None = None
        self._last_ms = 0
        self._closed = False

    def put(self, *events: Event) -> None:
        """Step the core with `events` and what is due, and act."""
        if self._closed:
            return
        self._last_ms = max(self._last_ms, now_ms())  # never backwards for a core
        for action in self._step(events, self._last_ms).then:
            self._act(action)
        self._arm()

    def close(self) -> None:
        """Step no further."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()

    def _arm(self) -> None:
        due_ms = self._next_ms()
        if due_ms == self._alarm_ms or self._closed:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        self._alarm_ms = due_ms
        if due_ms is not None:
            delay_s = max(0, due_ms - self._last_ms) / 1000
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._rang)

    def _rang(self) -> None:
        self._alarm = None
        self._alarm_ms = None
        self.put()
