"""A flight recorder: what the core was told and when, so that `tepui replay` can step it again.

    recorder = Recorder(JournalOptions(directory))
    effects = recorder.step(state, events, at_ms)   # in place of the core's step
    await recorder.close()

Each segment of the journal begins with a picture of the whole state, from which any later moment
is reached by stepping. A small state is pickled at once; for a large one the process forks, and the
child, which has the state of that moment, pickles it while the parent goes on. Batches are encoded
before they are stepped, so that the one that ends the process is there as well, and are handed
to a thread each second (`journal_writer`).

It is not the truth: nothing waits for it, nothing is synced, and what can't be recorded is left out.
`journal_format` says how it is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from tepui.base.forking import Child, end_with, fork, leave_parent
from tepui.master.core.actions import Effects
from tepui.master.core.events import Event
from tepui.master.core.state import State
from tepui.master.core.step import step
from tepui.master.daemon import journal_format as form
from tepui.master.daemon.journal_format import Header
from tepui.master.daemon.journal_pickle import pickled
from tepui.master.daemon.journal_writer import (
    BeginSegment,
    JournalWriter,
    WriteBlock,
    WritePicture,
    write_picture,
)

JOURNAL_BYTES_MIN: Final = 8 * 1024 * 1024  # less is hardly a minute of a busy master
SEGMENTS: Final = 8  # that a journal of its full size has, about
SEGMENT_EVENTS_MAX: Final = 1_000_000  # some minutes of stepping
PUT_S: Final = 1.0  # what a kill may lose
PUT_BYTES: Final = 1024 * 1024
WAITING_BYTES_MAX: Final = 256 * 1024 * 1024  # that a slow disk has not taken
AT_ONCE_OBJECTS: Final = 300  # so many are pickled in 3 ms; a fork stalls no less
PICTURE_DEADLINE_S: Final = 120.0

log = logging.getLogger("tepui.master")


class JournalOptions(Struct, frozen=True):
    """Where a journal is, and how large it may be."""

    directory: Path
    bytes_max: int = 1024 * 1024 * 1024


class Recorder:
    """Records one master's time as the leader."""

    def __init__(self, options: JournalOptions) -> None:
        """Nothing is written before the first step."""
        self._options = options
        self._term = os.urandom(8).hex()
        self._writer: JournalWriter | None = None
        self._is_over = False
        self._in_gap = False  # the disk is too slow: what happens is not recorded
        self._batches = 0  # of the term
        self._segments = 0
        self._segment_events = 0
        self._segment_from_bytes = 0  # of those that the writer has written
        self._picture_bytes = 0
        self._child: _Child | None = None
        self._effects = (0, 0)  # how much the last step had saved and done
        self._buffer = bytearray()
        self._buffer_batches = 0
        self._buffer_events = 0
        self._last_ms = 0
        self._alarm: asyncio.TimerHandle | None = None

    async def pictured(self) -> None:
        """Returns when no child is at work."""
        if self._child is not None:
            await self._child.ended.wait()

    def step(self, state: State, events: Sequence[Event], at_ms: int) -> Effects:
        """What the core answers; recorded, if that can be."""
        if not self._is_over:
            try:
                self._record(state, events, at_ms)
            except Exception as error:  # whatever it is: recording must not end a master
                log.error("journal_stopped directory=%s reason=%r", self._options.directory, error)
                self._stop()
        try:
            effects = step(state, events, at_ms)
        except BaseException:
            # The process ends, and this batch is what somebody will want to see.
            self._stop()
            if self._writer is not None:
                self._writer.finish()
            raise
        self._effects = form.decided(effects)
        return effects

    async def close(self) -> None:
        """What was recorded is written, unless that takes too long; nothing more is."""
        self._stop()
        if self._writer is not None:
            await asyncio.to_thread(self._writer.finish)

    def _stop(self) -> None:
        """What was recorded will be written; nothing more is recorded."""
        if not self._is_over and self._writer is not None:
            self._put_block()
        self._is_over = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._child is not None:
            self._child.kill()
            self._child_ended()
        if self._writer is not None:
            self._writer.end()

    def _record(self, state: State, events: Sequence[Event], at_ms: int) -> None:
        if self._writer is None:
            directory = self._options.directory
            self._writer = JournalWriter(directory, self._options.bytes_max)
            log.info("journal directory=%s term=%s", directory, self._term)
        if self._writer.failed:  # which it has said
            self._stop()
            return
        if self._is_behind(self._writer):
            self._batches += 1
            return
        if self._segments == 0 or self._in_gap or self._is_full(self._writer):
            self._in_gap = False
            self._begin_segment(self._writer, state, at_ms)
        form.append_batch(self._buffer, at_ms, form.mark_of(state, *self._effects), events)
        self._batches += 1
        self._buffer_batches += 1
        self._buffer_events += len(events)
        self._segment_events += len(events) + 1
        self._last_ms = at_ms
        if len(self._buffer) >= PUT_BYTES:
            self._put_block()
        elif self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(PUT_S, self._rang)

    def _is_behind(self, writer: JournalWriter) -> bool:
        """Whether so much waits to be written that there will be a gap."""
        waiting_bytes = writer.waiting_bytes
        if self._in_gap:
            return waiting_bytes > 0 or self._child is not None
        if waiting_bytes <= WAITING_BYTES_MAX:
            return False
        log.warning("journal_gap waiting_bytes=%d", waiting_bytes)
        self._put_block()
        self._in_gap = True
        return True

    # Segments

    def _is_full(self, writer: JournalWriter) -> bool:
        """A segment, and what is only there for its picture, must be worth it."""
        if self._child is not None:
            return False
        if self._segment_events >= SEGMENT_EVENTS_MAX:
            return True
        share = self._options.bytes_max // SEGMENTS
        events_bytes = writer.written_bytes - self._segment_from_bytes
        return events_bytes >= max(share // 2, share - self._picture_bytes)

    def _begin_segment(self, writer: JournalWriter, state: State, at_ms: int) -> None:
        self._put_block()
        self._segments += 1
        self._segment_events = 0
        self._segment_from_bytes = writer.written_bytes
        name = form.segment_name(at_ms, self._segments)
        header = form.header(self._term, self._segments, self._batches, at_ms)
        writer.put(BeginSegment(name, header))
        if _objects_count(state) <= AT_ONCE_OBJECTS:
            content = pickled(state)
            self._picture_bytes = len(content) // 10  # of the share of a file; it is zipped
            writer.put(WritePicture(name, header, content))
        else:
            self._take_picture(state, name, header)

    def _put_block(self) -> None:
        if self._writer is not None and self._buffer_batches:
            self._writer.put(
                WriteBlock(self._buffer, self._buffer_batches, self._buffer_events, self._last_ms)
            )
            self._buffer = bytearray()
            self._buffer_batches = self._buffer_events = 0

    def _rang(self) -> None:
        self._alarm = None
        self._put_block()

    # Pictures of a large state

    def _take_picture(self, state: State, name: str, header: Header) -> None:
        directory = self._options.directory
        work = partial(_picture, state, directory, name, header)
        try:
            if (pid := fork()) == 0:
                end_with(work)
            child = _Child(pid, directory / f"{name}{form.PICTURE}")
        except OSError as error:  # the segment can be reached from the one before it
            log.warning("journal_picture_failed reason=%s", error)
            return
        self._child = child
        loop = asyncio.get_running_loop()
        loop.add_reader(child.handle, self._child_ended)
        child.alarm = loop.call_later(PICTURE_DEADLINE_S, child.kill)

    def _child_ended(self) -> None:
        """The child is no more, or is just being killed."""
        child, self._child = self._child, None
        assert child is not None
        child.ended.set()
        asyncio.get_running_loop().remove_reader(child.handle)
        if child.alarm is not None:
            child.alarm.cancel()
        code = child.reap()
        if code == 0:
            with contextlib.suppress(OSError):
                self._picture_bytes = child.path.stat().st_size
        elif not self._is_over:
            log.warning("journal_picture_failed exit=%d", code)


class _Child(Child):
    """A child at work."""

    def __init__(self, pid: int, path: Path) -> None:
        super().__init__(pid)
        self.path = path  # of what it makes
        self.alarm: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()


def _picture(state: State, directory: Path, name: str, header: Header) -> None:
    """The work of the child."""
    leave_parent()
    signal.setitimer(signal.ITIMER_REAL, 2 * PICTURE_DEADLINE_S)  # should the parent be no more
    write_picture(directory, name, header, pickled(state))


def _objects_count(state: State) -> int:
    """About how much there is to pickle."""
    count = len(state.offers) + len(state.agents) + len(state.recovered_agents)
    count += len(state.unreachable_agents) + len(state.removed_agents) + len(state.gone_agents)
    for frameworks in (state.frameworks, state.completed_frameworks):
        for framework in frameworks.values():
            count += 1 + len(framework.tasks) + len(framework.completed_tasks)
            count += len(framework.unreachable_tasks) + len(framework.executors)
    return count
