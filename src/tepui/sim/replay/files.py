"""Reads a journal: its segments, their pictures and batches (`tepui.master.daemon.journal_format`).

What was torn by a kill is cut off, and said in `Segment.is_torn`. All else that is wrong raises
Refused, naming the file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, structs

from tepui.base.errors import Refused
from tepui.master.core.events import Event
from tepui.master.core.state import State
from tepui.master.daemon import journal_format as form
from tepui.master.daemon.journal_format import EVENTS, PICTURE, Header
from tepui.master.daemon.journal_pickle import restored_state

PICTURE_BYTES_MAX = 16 * 1024 * 1024 * 1024  # unzipped


class Segment(Struct, frozen=True):
    """A part of a journal; the counts are of what is whole."""

    path: Path  # of its events
    header: Header
    batches: int
    events: int
    last_ms: int  # of its last batch; `begins_ms` without any
    bytes: int
    has_picture: bool
    is_torn: bool

    @property
    def begins_ms(self) -> int:
        """When its first batch was stepped."""
        return self.header.begins_ms

    @property
    def next_batch(self) -> int:
        """The number of the batch that follows it, in its term."""
        return self.header.first_batch + self.batches


class Recorded(Struct, frozen=True):
    """A batch, numbered within its term."""

    number: int
    at_ms: int
    mark: int
    events: tuple[Event, ...]


def read_journal(directory: Path) -> tuple[Segment, ...]:
    """The segments, in order; raises Refused without any."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(EVENTS))
    except OSError as error:
        raise Refused(f"'{directory}': {error.strerror}") from None
    paths = [directory / name for name in names if form.segment_of(name) is not None]
    if not paths:
        raise Refused(f"'{directory}' holds no journal: a master writes one with --journal")
    segments = [segment for path in paths if (segment := _segment(path)) is not None]
    if not segments:
        raise Refused(f"the journal in '{directory}' holds nothing yet")
    return tuple(segments)


def batches_of(segment: Segment) -> Iterator[Recorded]:
    """The batches, up to the first that is torn."""
    number = segment.header.first_batch
    unpacker = zlib.decompressobj()
    with _opened(segment.path) as file:
        file.readline(form.HEADER_BYTES_MAX)
        while len(head := file.read(form.BLOCK_HEAD_BYTES)) == form.BLOCK_HEAD_BYTES:
            about = form.read_block(head)
            packed = file.read(min(about.packed_bytes, segment.bytes))
            if not form.is_whole(head, packed) or about.raw_bytes > form.BLOCK_BYTES_MAX:
                return
            try:
                raw = unpacker.decompress(packed, about.raw_bytes)
                for batch in form.read_batches(raw):
                    events = tuple([form.event_of(*event) for event in batch.events])
                    yield Recorded(number, batch.at_ms, batch.mark, events)
                    number += 1
            except zlib.error as error:
                raise Refused(f"'{segment.path}' is damaged: {error}") from None
            except Refused as refused:
                raise Refused(f"'{segment.path}' {refused.text}") from None


def picture_of(segment: Segment) -> State:
    """The state before the segment's first batch; raises Refused when it can't be had."""
    path = _picture_path(segment.path)
    with _opened(path) as file:
        try:
            said = form.read_header(file.readline(form.HEADER_BYTES_MAX))
            packed = file.read()
            if len(packed) != said.bytes or zlib.crc32(packed) != said.crc:
                raise Refused("is damaged")
            unpacker = zlib.decompressobj()
            content = unpacker.decompress(packed, PICTURE_BYTES_MAX)
            return restored_state(content)
        except zlib.error as error:
            raise Refused(f"'{path}' is damaged: {error}") from None
        except Refused as refused:
            raise Refused(f"'{path}' {refused.text}") from None


def _segment(path: Path) -> Segment | None:
    """What the heads of its blocks say; None when not even its first line is whole."""
    with _opened(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        line = file.readline(form.HEADER_BYTES_MAX)
        if not line.endswith(b"\n") and len(line) < form.HEADER_BYTES_MAX:
            return None
        try:
            header = form.read_header(line)
        except Refused as refused:
            raise Refused(f"'{path}' {refused.text}") from None
        found = Segment(path, header, 0, 0, header.begins_ms, size_bytes, False, False)
        at = len(line)
        while at < size_bytes:
            head = file.read(form.BLOCK_HEAD_BYTES)
            about = form.read_block(head) if len(head) == form.BLOCK_HEAD_BYTES else None
            if about is None or at + len(head) + about.packed_bytes > size_bytes:
                found = structs.replace(found, is_torn=True)
                break
            at = file.seek(about.packed_bytes, os.SEEK_CUR)
            found = structs.replace(
                found,
                batches=found.batches + about.batches,
                events=found.events + about.events,
                last_ms=about.last_ms,
            )
    has_picture = _picture_path(path).exists()
    return structs.replace(found, has_picture=has_picture)


def _picture_path(events: Path) -> Path:
    return events.with_name(events.name.removesuffix(EVENTS) + PICTURE)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Refused(f"'{path}': {error.strerror}") from None
