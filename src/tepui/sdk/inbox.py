"""The events that wait for the user's code; the reader of the stream waits when they are many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")

WAITING_MAX = 10_000  # events; then the stream is not read further, and the peer's socket fills


class Inbox(Generic[E]):
    """A queue that can be closed: what waits is still given out, then the error or the end."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting: deque[E] = deque()
        self._waiting_max = waiting_max
        self._error: Exception | None = None
        self._closed = False
        self._wakes: set[asyncio.Future[None]] = set()

    def put(self, event: E) -> None:
        """Have `event` given out after those that wait."""
        self._waiting.append(event)
        self._wake()

    def close(self, error: Exception | None = None) -> None:
        """No further events: `get` raises `error`, or answers None, when none waits any more."""
        if not self._closed:
            self._closed = True
            self._error = error
            self._wake()

    def drop(self, unwanted: Callable[[E], bool]) -> None:
        """Forget the waiting events that are `unwanted`."""
        self._waiting = deque(event for event in self._waiting if not unwanted(event))
        self._wake()

    async def get(self) -> E | None:
        """The next event; None at the end."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            await self._change()
        event = self._waiting.popleft()
        self._wake()
        return event

    async def room(self) -> None:
        """Return when another event may be put."""
        while len(self._waiting) >= self._waiting_max and not self._closed:
            await self._change()

    def _wake(self) -> None:
        for wake in self._wakes:
            if not wake.done():
                wake.set_result(None)
        self._wakes.clear()

    async def _change(self) -> None:
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wakes.add(wake)
        try:
            await wake
        finally:
            self._wakes.discard(wake)
