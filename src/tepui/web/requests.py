"""Requests that wait for what a core answers, by the numbers that the core knows them by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """What a core will answer. Whoever waits awaits it, or is called when it is there.

    Not a future: being called costs no turn of the loop, and every call of a scheduler waits so.
    """

    __slots__ = ("_then",)

    def __init__(self) -> None:
        self._then: Callable[[T], None] | None = None

    def then(self, call: Callable[[T], None]) -> None:
        """Call this with the answer, which has not come yet."""
        self._then = call

    def come(self, reply: T) -> None:
        """Here it is."""
        if self._then is not None:
            self._then(reply)

    def __await__(self) -> Generator[object, None, T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def come(reply: T) -> None:
            if not future.done():  # whoever waited may have been cancelled
                future.set_result(reply)

        self.then(come)
        return (yield from future)


class Requests(Generic[T]):
    """The waiting requests of one daemon. The core answers each once."""

    def __init__(self) -> None:
        self._waiting: dict[int, Later[T]] = {}
        self._last = 0

    def number(self) -> int:
        """A number for a request or stream, unlike any other."""
        self._last += 1
        return self._last

    def ask(self, put: Callable[[int], None], number: int | None = None) -> Later[T]:
        """Have `put` put the event of a new request; where its answer will be.

        Raises what `put` raises (base.loop.Overloaded), and then nobody waits.
        """
        number = number or self.number()
        put(number)
        later: Later[T] = Later()
        self._waiting[number] = later
        return later

    def answer_all(self, reply: T) -> None:
        """Whoever waits goes on with this: the core will answer nobody any more."""
        waiting, self._waiting = self._waiting, {}
        for later in waiting.values():
            later.come(reply)

    def forget(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(number, None)

    def answer(self, number: int, reply: T) -> None:
        """The one who waits goes on."""
        later = self._waiting.pop(number, None)
        if later is not None:
            later.come(reply)
