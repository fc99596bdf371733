"""Saves that wait while others are being carried out are carried out together (group commit)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tepui.base import tasks
from tepui.storage.checks import check
from tepui.storage.store import StoreFailed, Write

WAITING_MAX: Final = 100_000  # saves; who makes more than are carried out is told
JOINED_WRITES_MAX: Final = 100_000  # that are carried out together


class Save:
    """One call of `save` that waits for its result."""

    def __init__(self, writes: Sequence[Write]) -> None:
        self.writes = writes
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def succeed(self) -> None:
        """Its writes are durable."""
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, failed: StoreFailed) -> None:
        """It raises an exception of its own, for each goes to another caller."""
        if not self.done.done():
            self.done.set_exception(type(failed)(*failed.args))


class Saves:
    """All saves of one store, in the order in which they were made.

    `commit` is called with those that wait, once at a time. It may have some of them succeed or
    fail; the others do when it returns, or fail when it raises StoreFailed. After one failure
    nothing is written any more: all saves fail as that one did, or with `afterwards`.
    """

    def __init__(
        self, commit: Callable[[list[Save]], Awaitable[None]], value_bytes_max: int
    ) -> None:
        self._value_bytes_max = value_bytes_max
        self._commit = commit
        self._waiting: deque[Save] = deque()
        self._working: asyncio.Task[None] | None = None
        self._failed: StoreFailed | None = StoreFailed("the store is not open")

    def open(self) -> None:
        """From now on saves are taken."""
        self._failed = None

    async def save(self, writes: Sequence[Write]) -> None:
        """Raises ValueError, StoreFailed or Fenced."""
        check(writes, self._value_bytes_max)
        if self._failed is not None:
            raise type(self._failed)(*self._failed.args)
        if len(self._waiting) >= WAITING_MAX:
            raise StoreFailed(f"{WAITING_MAX} saves wait already")
        save = Save(writes)
        self._waiting.append(save)
        if self._working is None:
            self._working = tasks.start(self._work())
        await save.done

    async def close(self) -> None:
        """What was saved before has been carried out; no more is taken."""
        working, failed = self._working, self._failed
        if working is not None:
            await asyncio.wait((working,))
        self._failed = failed or self._failed or StoreFailed("the store is closed")

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = self._next()
                try:
                    await self._commit(batch)
                except StoreFailed as failed:
                    self._fail(failed, batch)
                    return
                for save in batch:
                    save.succeed()
        finally:
            self._working = None

    def _next(self) -> list[Save]:
        batch = [self._waiting.popleft()]
        room = JOINED_WRITES_MAX - len(batch[0].writes)
        while self._waiting and len(self._waiting[0].writes) <= room:
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].writes)
        return batch

    def _fail(self, failed: StoreFailed, batch: list[Save]) -> None:
        self._failed = failed
        for save in (*batch, *self._waiting):
            save.fail(failed)
        self._waiting.clear()
