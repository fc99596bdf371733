"""Work that several wait for is done once: it goes on while one of them waits, and stops with the last."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Executor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Shared(Generic[K, T]):
    """What is under way, by its name."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[T]] = {}
        self._waiting: dict[K, int] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._tasks

    async def join(self, key: K, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """Return what the work under this key comes to; it is begun if nobody did.

        A caller that is cancelled leaves the others waiting; the last one to leave cancels the work, and
        returns when it has ended.
        """
        # Work that is being cancelled has to end first: it may hold the same files.
        while (task := self._tasks.get(key)) is not None and not self._waiting[key]:
            await asyncio.wait([task])
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            self._waiting[key] = 0
            task.add_done_callback(lambda _: self._ended(key))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            if key in self._waiting and self._tasks.get(key) is task:
                self._waiting[key] -= 1
                if not self._waiting[key]:
                    task.cancel()
                    await _ended(task)

    def _ended(self, key: K) -> None:
        task = self._tasks.pop(key)
        del self._waiting[key]
        if not task.cancelled():
            task.exception()  # it has been told to those who waited


async def _ended(task: asyncio.Future[T]) -> None:
    """The task has ended, however often its waiter is cancelled meanwhile."""
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


async def in_thread(
    executor: Executor, work: Callable[[threading.Event], T], *, may_stop: bool = True
) -> T:
    """Return what the work comes to, done in a thread.

    When the caller is cancelled the event is set, and the work has ended, or will not begin, before this
    returns. Unless it `may_stop` it is done to its end all the same: clearing up is.
    """
    is_stopped = threading.Event()
    queued = executor.submit(work, is_stopped)
    future = asyncio.wrap_future(queued)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if may_stop:
            is_stopped.set()
            queued.cancel()  # of no effect once it runs
        await _ended(future)
        if not future.cancelled():
            future.exception()
        raise
