"""Tasks in the background: nobody awaits them, and still nothing of them is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from tepui.base.loop import end_process

T = TypeVar("T")

_running: set[asyncio.Task[object]] = set()  # asyncio itself keeps tasks weakly


def start(doing: Coroutine[None, None, T]) -> asyncio.Task[T]:
    """It is done in the background, and is kept until then; cancel the task to end it early.

    An exception that `doing` lets out is our fault, for the world's are its to handle: the event
    that someone waits for would never come. So the process ends.
    """
    task = asyncio.get_running_loop().create_task(doing)
    _running.add(task)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[object]) -> None:
    _running.discard(task)
    if task.cancelled():
        return
    try:
        task.result()
    except Exception:
        end_process()
