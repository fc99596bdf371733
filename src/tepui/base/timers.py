"""Timers of a core: what shall happen later, kept in the state and driven by `now_ms`.

A timer holds an event of the core. When it is due, `step` handles that event like any other; so
a test, a simulation and a daemon pass time in the same way. A shell asks `next_ms` when to call.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Event = TypeVar("Event")

DEAD_MIN = 64  # below this many cancelled timers the heap is not worth rebuilding


class Timers(Generic[Event]):
    """Events by the time they are due; equal times in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._events: dict[int, Event] = {}
        self._next_id = 0

    def set(self, due_ms: int, event: Event) -> int:
        """Have `event` happen at `due_ms`; the answer cancels it."""
        timer = self._next_id
        self._next_id += 1
        self._events[timer] = event
        heappush(self._heap, (due_ms, timer))
        return timer

    def cancel(self, timer: int | None) -> None:
        """Forget the timer; harmless when it is None, has happened or was cancelled."""
        if timer is None or self._events.pop(timer, None) is None:
            return
        if len(self._heap) > 2 * len(self._events) + DEAD_MIN:
            self._heap = [entry for entry in self._heap if entry[1] in self._events]
            heapify(self._heap)

    def take_due(self, now_ms: int) -> Iterator[Event]:
        """What is due at `now_ms`, in order, each removed as it is taken.

        What the handler of one cancels is not taken any more; what it sets, not before the next
        call.
        """
        due: list[int] = []
        while self._heap and self._heap[0][0] <= now_ms:
            due.append(heappop(self._heap)[1])
        for timer in due:
            event = self._events.pop(timer, None)
            if event is not None:
                yield event

    def next_ms(self) -> int | None:
        """When the next timer is due; None without one."""
        while self._heap and self._heap[0][1] not in self._events:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def set_ever(self) -> int:
        """How many were set so far."""
        return self._next_id

    def __len__(self) -> int:
        return len(self._events)
