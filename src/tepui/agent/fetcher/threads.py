"""Work in threads that ends when nobody wants it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from tepui.agent.fetcher.errors import FetchFailed

T = TypeVar("T")


async def in_thread(work: Callable[[threading.Event], T], executor: Executor | None = None) -> T:
    """The work is done. When the caller is cancelled it is told to stop, and has stopped or never begins."""
    is_stopped, has_begun = threading.Event(), threading.Event()

    def begin() -> T:
        has_begun.set()
        if is_stopped.is_set():
            raise FetchFailed("stopped")
        return work(is_stopped)

    future = asyncio.get_running_loop().run_in_executor(executor, begin)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        is_stopped.set()
        future.add_done_callback(_forget)
        if has_begun.is_set():  # it could write what is being removed
            await asyncio.wait([future])
        raise


def _forget(future: asyncio.Future[T]) -> None:
    """Its fault is not told to anybody."""
    if not future.cancelled():
        future.exception()
