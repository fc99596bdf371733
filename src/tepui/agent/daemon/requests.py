"""Requests that wait for the core's answer."""

from __future__ import annotations

import asyncio

from tepui.agent.core.actions import AnswerClassic, AnswerExecutor, AnswerOperator

Reply = AnswerExecutor | AnswerClassic | AnswerOperator


class Requests:
    """Waiting requests, by the numbers that the core knows them by."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._last = 0

    def number(self) -> int:
        """A number for a stream or request, unlike any other."""
        self._last += 1
        return self._last

    def open(self) -> tuple[int, asyncio.Future[Reply]]:
        """A number for the core, and where its answer will be."""
        number = self.number()
        return number, self.open_as(number)

    def open_as(self, number: int) -> asyncio.Future[Reply]:
        """Where the answer to that number will be."""
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        return waiting

    def forget(self, number: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(number, None)

    def answer(self, reply: Reply) -> None:
        """The one who waits goes on."""
        waiting = self._waiting.pop(reply.request, None)
        if waiting is not None and not waiting.done():  # the client may have left
            waiting.set_result(reply)
