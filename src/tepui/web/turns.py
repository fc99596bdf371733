"""Whose request is handled next, so that nobody who floods the server slows the others down.

Requests are in lanes: a subscribed scheduler has one of its own, and all others share one. In each
turn of the loop a lane gets its share of TURN_NS; whatever it asks beyond that waits for the next
turn. A lane that asks for less than its share never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

TURN_NS: Final = 10_000_000  # for decoding and checking requests, per turn of the loop
SHARE_NS_MIN: Final = 200_000  # a few requests, however many lanes there are

Work = Callable[[], None]


class Turns:
    """The lanes of one server. A connection has at most one request here, which bounds them."""

    def __init__(self) -> None:
        self._spent_ns: dict[str, int] = {}  # in this turn, by lane
        self._waiting: dict[str, deque[Work]] = {}
        self._share_ns = TURN_NS
        self._is_open = False  # the end of this turn is scheduled

    def take(self, lane: str, work: Work) -> None:
        """Do `work` now if the lane has a share left in this turn; else when it has one."""
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting.append(work)
        elif self._spent_ns.get(lane, 0) >= self._share_ns:
            self._waiting[lane] = deque((work,))
        else:
            self._do(lane, work)

    def _do(self, lane: str, work: Work) -> None:
        began_ns = time.perf_counter_ns()
        try:
            work()
        finally:  # what waits has its turn also after a failure
            spent_ns = time.perf_counter_ns() - began_ns
            self._spent_ns[lane] = self._spent_ns.get(lane, 0) + spent_ns
            if not self._is_open:
                self._is_open = True
                asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_open = False
        self._spent_ns.clear()
        self._share_ns = max(SHARE_NS_MIN, TURN_NS // max(1, len(self._waiting)))
        for lane in list(self._waiting):
            self._serve(lane)

    def _serve(self, lane: str) -> None:
        waiting = self._waiting[lane]
        while waiting and self._spent_ns.get(lane, 0) < self._share_ns:
            self._do(lane, waiting.popleft())
        if not waiting:
            del self._waiting[lane]
