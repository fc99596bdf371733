"""Requests that wait for what a core answers, by the numbers that the core knows them by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Requests(Generic[T]):
    """The waiting requests of one daemon. The core answers each once."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[T]] = {}
        self._last = 0

    def number(self) -> int:
        """A number for a request or stream, unlike any other."""
        self._last += 1
        return self._last

    def ask(self, put: Callable[[int], None], number: int | None = None) -> asyncio.Future[T]:
        """Have `put` put the event of a new request; where its answer will be.

        Raises what `put` raises (base.loop.Overloaded), and then nobody waits.
        """
        number = number or self.number()
        put(number)
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        return waiting

    def forget(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(number, None)

    def answer(self, number: int, reply: T) -> None:
        """The one who waits goes on."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None and not waiting.done():  # whoever waited may have been cancelled
            waiting.set_result(reply)
