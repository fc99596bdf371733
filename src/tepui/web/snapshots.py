"""Answers that take long, made from a snapshot: a child process that `fork` makes.

The child has everything as it was at that moment and writes the answers into files in memory,
while the parent goes on. One child at a time; whoever asks meanwhile waits for the next one, which
answers all that have waited, and equal questions once.

    snapshots = Snapshots(render, want, values_of)
    waiting = snapshots.ask(question)   # of anybody, any number of times
    snapshots.take()                    # when what is known may be told: now the child is made

`want` is called once when there is something to take; whoever holds the state says when. Nothing
here knows what is asked. The child runs `render` alone: no loop, no logs, no locks. For a long answer
it forks again, and each process makes a share of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Final
from weakref import WeakSet

from msgspec import Struct

from tepui.base.forking import Child, end_with, fork
from tepui.base.loop import Overloaded
from tepui.web.filed import SharedFile, new_file
from tepui.web.snapshot_child import Text, write
from tepui.wire.pieces import Part

DEADLINE_S: Final = 60.0  # a child that takes longer is killed
QUESTIONS_MAX: Final = 64  # different ones that wait for the next child; 503 above
HELD_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024  # of answers that are still being read
SHARES_MAX: Final = 4  # processes that make one answer, if there are as many processors
SHARE_VALUES_MIN: Final = 20_000  # in a share; they take a tenth of a second

Render = Callable[[Struct], Iterable[Part]]
Files = list[list[int]]  # of each answer, one for each share of it

log = logging.getLogger("tepui.web")


class SnapshotFailed(Exception):
    """There is no answer; `status` and `text` say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class _Waiting:
    """A question and where its answer will be."""

    def __init__(self, question: Struct) -> None:
        self.question = question
        self.answer: asyncio.Future[SharedFile] = asyncio.get_running_loop().create_future()
        self.answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    def fail(self, status: int, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(SnapshotFailed(status, text))


class _Child(Child):
    """A child at work, and what it works on."""

    def __init__(self, pid: int, batch: list[_Waiting], files: Files) -> None:
        super().__init__(pid)
        self.batch = batch
        self.files = files
        self.began_s = time.monotonic()
        self.alarm: asyncio.TimerHandle | None = None
        self.is_late = False


class Snapshots:
    """Who waits, and the child that works for them. Lives in the loop that it is made in."""

    def __init__(
        self,
        render: Render,
        want: Callable[[], None],
        values_of: Callable[[Struct], int] = lambda question: 0,
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """`values_of` says how many values of an answer are made later, at the time of a fork."""
        self._render = render
        self._values_of = values_of
        self._want = want
        self._deadline_s = deadline_s
        self._waiting: list[_Waiting] = []
        self._child: _Child | None = None
        self._is_wanted = False
        self._is_closed = False
        self._held: WeakSet[SharedFile] = WeakSet()

    def ask(self, question: Struct) -> asyncio.Future[SharedFile]:
        """Where the answer will be, or SnapshotFailed. Raises Overloaded: too many wait."""
        for each in self._waiting:
            if each.question == question:
                return each.answer
        if self._is_closed or len(self._waiting) >= QUESTIONS_MAX:
            raise Overloaded(f"{len(self._waiting)} questions wait for a snapshot")
        waiting = _Waiting(question)
        self._waiting.append(waiting)
        self._wake()
        return waiting.answer

    def take(self) -> None:
        """Answer what waits from how things are now; nothing if a child is at work."""
        self._is_wanted = False
        if self._child is not None or not self._waiting or self._is_closed:
            return
        batch, self._waiting = self._waiting, []
        self._make_room()
        try:
            self._child = self._start(batch)
        except OSError as error:
            log.error("snapshot_failed reason=%s", error)
            for each in batch:
                each.fail(503, f"No snapshot can be taken: {error}")

    def close(self) -> None:
        """Nobody is answered any more."""
        self._is_closed = True
        for each in self._waiting:
            each.fail(503, "The server ends")
        self._waiting.clear()
        if self._child is not None:
            self._child.kill()
            self._ended(self._child)

    def _wake(self) -> None:
        if self._waiting and self._child is None and not self._is_wanted:
            self._is_wanted = True
            self._want()

    def _make_room(self) -> None:
        """Cut off the readers of the largest answers, if all together hold too much."""
        held = sorted(self._held, key=lambda file: file.size_bytes)
        total = sum(file.size_bytes for file in held)
        while held and total > HELD_BYTES_MAX:
            largest = held.pop()
            total -= largest.size_bytes
            log.warning("snapshot_readers_cut bytes=%d", largest.size_bytes)
            largest.cut()

    def _start(self, batch: list[_Waiting]) -> _Child:
        files: Files = []
        try:
            values = [self._values_of(each.question) for each in batch]
            for count in values:
                files.append([])
                for _ in range(_shares(count)):
                    files[-1].append(new_file("snapshot"))
            renders = [partial(self._render, each.question) for each in batch]
            texts = [Text(*text) for text in zip(renders, values, files, strict=True)]
            work = partial(write, texts, os.getpid())
            began_s = time.monotonic()
            if (pid := fork()) == 0:
                end_with(work)
            child = _Child(pid, batch, files)
        except OSError:
            for file in chain.from_iterable(files):
                os.close(file)
            raise
        log.debug("snapshot_taken fork_ms=%.1f", (time.monotonic() - began_s) * 1000)
        loop = asyncio.get_running_loop()
        loop.add_reader(child.handle, self._ended, child)
        child.alarm = loop.call_later(self._deadline_s, self._too_late, child)
        return child

    def _too_late(self, child: _Child) -> None:
        child.is_late = True
        child.kill()  # which ends it, and that is seen

    def _ended(self, child: _Child) -> None:
        """The child is no more, or is just being killed."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(child.handle)
        if child.alarm is not None:
            child.alarm.cancel()
        code = child.reap()
        self._child = None
        seconds = time.monotonic() - child.began_s
        for each, descriptors in zip(child.batch, child.files, strict=True):
            file = SharedFile(*descriptors)
            if code == 0:
                self._held.add(file)
                log.debug("snapshot_answered bytes=%d seconds=%.3f", file.size_bytes, seconds)
                if not each.answer.done():
                    each.answer.set_result(file)
            elif child.is_late:
                each.fail(503, f"The answer was not ready within {self._deadline_s:g} seconds")
            else:
                each.fail(500, "The answer could not be made; the log says why")
        if code != 0:
            log.error("snapshot_failed exit=%d late=%s", code, child.is_late)
        self._wake()


def _shares(values: int) -> int:
    """How many processes make an answer of so many values."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(SHARES_MAX, processors, values // SHARE_VALUES_MIN))
