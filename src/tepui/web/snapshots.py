"""Answers that take long, made from a snapshot: a child process that `fork` makes.

The child has everything as it was at that moment and writes the answers into files in memory,
while the parent goes on. One child at a time; whoever asks meanwhile waits for the next one, which
answers all that have waited, and equal questions once.

    snapshots = Snapshots(render, want)
    waiting = snapshots.ask(question)   # of anybody, any number of times
    snapshots.take()                    # when what is known may be told: now the child is made

`want` is called once when there is something to take; whoever holds the state says when. Nothing
here knows what is asked. The child runs `render` alone: no loop, no logs, no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn
from weakref import WeakSet

from msgspec import Struct

from tepui.base.loop import Overloaded
from tepui.web.filed import SharedFile, new_file

DEADLINE_S: Final = 60.0  # a child that takes longer is killed
QUESTIONS_MAX: Final = 64  # different ones that wait for the next child; 503 above
HELD_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024  # of answers that are still being read
NICENESS: Final = 5  # schedulers' calls come first
EXIT_FAILED: Final = 70  # EX_SOFTWARE of sysexits.h
STDERR: Final = 2

Render = Callable[[Struct], Iterable[bytes]]

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


class _Child:
    """A child at work."""

    def __init__(self, pid: int, batch: list[_Waiting], files: list[int]) -> None:
        self.pid = pid
        self.batch = batch
        self.files = files
        self.handle = os.pidfd_open(pid)
        self.began_s = time.monotonic()
        self.alarm: asyncio.TimerHandle | None = None
        self.is_late = False

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)


class Snapshots:
    """Who waits, and the child that works for them. Lives in the loop that it is made in."""

    def __init__(
        self, render: Render, want: Callable[[], None], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._render = render
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
        files: list[int] = []
        try:
            for _ in batch:
                files.append(new_file("snapshot"))
            began_s = time.monotonic()
            with warnings.catch_warnings():
                # A child of a process with threads must not use what they hold: it does not.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                questions = [each.question for each in batch]
                _be_child(self._render, questions, files, self._deadline_s)
            child = _started(pid, batch, files)
        except OSError:
            for file in files:
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
        os.close(child.handle)
        code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        self._child = None
        seconds = time.monotonic() - child.began_s
        for each, descriptor in zip(child.batch, child.files, strict=True):
            file = SharedFile(descriptor)
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


def _started(pid: int, batch: list[_Waiting], files: list[int]) -> _Child:
    """The child; when no descriptor is left to watch it by, it is no more. Raises OSError."""
    try:
        return _Child(pid, batch, files)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _be_child(
    render: Render, questions: Sequence[Struct], files: Sequence[int], deadline_s: float
) -> NoReturn:
    """What the child does: write the answers, and end without a trace of the parent's business."""
    status = EXIT_FAILED
    try:
        gc.disable()  # a collection would copy every page, and the child does not live long
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline_s)  # should the parent be no more
        os.nice(NICENESS)
        _close_all_but(files)
        for question, file in zip(questions, files, strict=True):
            for piece in render(question):
                _write(file, piece)
        status = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            os.write(STDERR, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _close_all_but(files: Sequence[int]) -> None:
    """Sockets above all: a client would not see its connection end while the child has it."""
    first = STDERR + 1
    for file in sorted(files):
        os.closerange(first, file)
        first = file + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _write(file: int, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]
