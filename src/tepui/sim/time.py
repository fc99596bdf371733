"""Virtual time: what happens next happens now."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class VirtualTime:
    """Calls in the order of their times; equal times in the order they were set."""

    def __init__(self, start_ms: int) -> None:
        self.now_ms = start_ms
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._set = 0

    def at(self, due_ms: int, call: Callable[[], None]) -> None:
        """Have `call` happen at `due_ms`, or now when that has passed."""
        self._set += 1
        heappush(self._heap, (max(due_ms, self.now_ms), self._set, call))

    def after(self, delay_ms: int, call: Callable[[], None]) -> None:
        """Have `call` happen in `delay_ms`."""
        self.at(self.now_ms + delay_ms, call)

    @property
    def waiting(self) -> int:
        """How many calls have yet to happen."""
        return len(self._heap)

    def advance(self) -> bool:
        """Do the next thing; False when nothing is left."""
        if not self._heap:
            return False
        self.now_ms, _, call = heappop(self._heap)
        call()
        return True


class Alarm:
    """Wakes a core when its next timer is due; set again after each of its steps."""

    def __init__(self, time: VirtualTime, wake: Callable[[], None]) -> None:
        self._time = time
        self._wake = wake
        self._due_ms: int | None = None

    def set(self, due_ms: int | None) -> None:
        """Wake at `due_ms`, if not earlier anyway."""
        if due_ms is None or (self._due_ms is not None and self._due_ms <= due_ms):
            return
        self._due_ms = due_ms
        self._time.at(due_ms, lambda: self._ring(due_ms))

    def _ring(self, due_ms: int) -> None:
        if self._due_ms == due_ms:
            self._due_ms = None
            self._wake()


class Clock:
    """The clock of one machine: what it shows may be wrong, and may be set.

    A daemon asks it once, when it starts, and counts from there (`base.loop.now_ms`); so a clock
    that is set is noticed by the next process only, and no core's time goes backwards.
    """

    def __init__(self, time: VirtualTime, offset_ms: int = 0) -> None:
        self._time = time
        self.offset_ms = offset_ms

    def started(self) -> Callable[[], int]:
        """The `now_ms` of a process that starts now."""
        time, offset_ms = self._time, self.offset_ms
        return lambda: time.now_ms + offset_ms
