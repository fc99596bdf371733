"""How a journal is written: its files, the blocks in them, the batches in those.

A journal is a directory. It is cut into segments, each named after the moment at which it begins:

    20261121T031200.123Z-000001.events   what the core was told, from there on
    20261121T031200.123Z-000001.state    all that it knew then; missing if that was not finished

Both begin with a line of JSON, `Header`. In a file of events blocks follow, each behind the twenty-eight
bytes of `Block`; together their contents are one deflate stream, flushed at the end of each, of
batches behind their lengths. So what was written last may be torn, and all before it is whole. A
batch says when it was stepped, by `mark_of` what the core was just before, and its events, each with
the name of its kind.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, cast, get_args
from zlib import crc32

import msgspec
from msgspec import Struct, structs

from tepui import __version__
from tepui.base.errors import Refused
from tepui.master.core.actions import Effects, Note
from tepui.master.core.events import Asked, Event, RequestId
from tepui.master.core.state import State
from tepui.master.core.views.questions import Question
from tepui.master.daemon.journal_pickle import restored
from tepui.resources import Resources
from tepui.wire import mesos

FORMAT: Final = 1
EVENTS: Final = ".events"
PICTURE: Final = ".state"
UNFINISHED: Final = ".tmp"
HEADER_BYTES_MAX: Final = 4096
BLOCK_BYTES_MAX: Final = 1024 * 1024 * 1024  # unzipped: a reader has room for so much
PICKLED: Final = "pickled"  # in place of a kind: an event that msgpack can't say

_FILE = re.compile(r"(\d{8}T\d{6}\.\d{3}Z-\d{6})(\.events|\.state|\.state\.tmp)", re.ASCII)
_LENGTH = struct.Struct(">I")
_BLOCK = struct.Struct(">IIIIIQ")
_MARK = struct.Struct("<5Q")


class Header(Struct, frozen=True):
    """What a file is part of. The batches of a term are numbered from 0."""

    tepui_journal: int  # the format
    version: str  # of Tepui: another one's state may have another form
    term: str  # one time of one master as the leader
    segment: int
    first_batch: int
    begins_ms: int
    bytes: int = 0  # of a picture that is whole, zipped
    crc: int = 0


class Block(Struct, frozen=True):
    """What is said of a block before its content."""

    crc: int  # of all that follows
    packed_bytes: int
    raw_bytes: int
    batches: int
    events: int
    last_ms: int


class Batch(Struct, frozen=True, array_like=True):
    """What was stepped at once; `event_of` reads an event."""

    at_ms: int
    mark: int
    events: tuple[tuple[str, msgspec.Raw], ...]


def header(term: str, segment: int, first_batch: int, begins_ms: int) -> Header:
    """What a file of this program says of itself."""
    return Header(FORMAT, __version__, term, segment, first_batch, begins_ms)


def header_of_picture(found: Header, packed: bytes) -> Header:
    """The same, of a picture that is whole."""
    return structs.replace(found, bytes=len(packed), crc=crc32(packed))


def header_line(found: Header) -> bytes:
    """The first line of a file."""
    return msgspec.json.encode(found) + b"\n"


def read_header(line: bytes) -> Header:
    """The first line of a file; raises Refused when this program can't read what follows."""
    try:
        found = msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError:
        raise Refused("is not part of a journal") from None
    if (found.tepui_journal, found.version) != (FORMAT, __version__):
        raise Refused(
            f"was written by tepui {found.version} (format {found.tepui_journal}): only that"
            f" version can replay it, and this is tepui {__version__} (format {FORMAT})"
        )
    return found


def segment_name(begins_ms: int, segment: int) -> str:
    """Names sort by time."""
    moment = datetime.fromtimestamp(begins_ms // 1000, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{begins_ms % 1000:03d}Z-{segment:06d}"


def segment_of(file: str) -> str | None:
    """The segment that a file is of, by its name; None when it is no file of a journal."""
    match = _FILE.fullmatch(file)
    return match[1] if match else None


# Blocks

BLOCK_HEAD_BYTES: Final = _BLOCK.size


def block(packed: bytes, raw_bytes: int, batches: int, events: int, last_ms: int) -> bytes:
    """A block with what is said of it."""
    head = _BLOCK.pack(0, len(packed), raw_bytes, batches, events, last_ms)[4:]
    return _LENGTH.pack(crc32(packed, crc32(head))) + head + packed


def read_block(head: bytes) -> Block:
    """What is said of a block; nothing is checked."""
    return Block(*_BLOCK.unpack(head))


def is_whole(head: bytes, packed: bytes) -> bool:
    """Whether the block is as it was written."""
    found = read_block(head)
    return len(packed) == found.packed_bytes and crc32(packed, crc32(head[4:])) == found.crc


# Batches


def decided(effects: Effects) -> tuple[int, int]:
    """How much a step had saved and done; what it only noted for the log does not count."""
    return len(effects.save), sum(type(action) is not Note for action in effects.then)


def mark_of(state: State, saved: int, done: int) -> int:
    """Tells whether a state is the one that was recorded, as far as that costs nothing.

    What the core has drawn, set and offered, and how much the step before had `saved` and `done`:
    a replay that takes another way differs in it at once.
    """
    counted = (state.uuids.drawn, state.timers.set_ever, state.offers_made, saved, done)
    return crc32(_MARK.pack(*counted))


def append_batch(buffer: bytearray, at_ms: int, mark: int, events: Sequence[Event]) -> None:
    """The batch stands behind what is in the buffer."""
    begins = len(buffer)
    buffer += b"\0\0\0\0"
    try:
        _ENCODER.encode_into((at_ms, mark, list(map(_written, events))), buffer, -1)
    except (TypeError, ValueError, OverflowError):  # a number beyond 64 bits, half a character
        del buffer[begins + 4 :]
        _ENCODER.encode_into((at_ms, mark, list(map(_as_it_can_be, events))), buffer, -1)
    _LENGTH.pack_into(buffer, begins, len(buffer) - begins - 4)


def read_batches(raw: bytes) -> list[Batch]:
    """The batches of a block; raises Refused when they are not such."""
    found: list[Batch] = []
    at = 0
    try:
        while at < len(raw):
            (length,) = _LENGTH.unpack_from(raw, at)
            at += 4 + length
            found.append(_BATCH.decode(memoryview(raw)[at - length : at]))
    except (msgspec.MsgspecError, struct.error) as error:
        raise Refused(f"holds no batches: {error}") from None
    return found


def event_of(kind: str, raw: msgspec.Raw) -> Event:
    """An event of a batch; raises Refused when it is none."""
    try:
        if kind == PICKLED:
            return _checked(restored(msgspec.msgpack.decode(raw, type=bytes)))
        if kind == Asked.__name__:
            request, name, question = _ASKED.decode(raw)
            return Asked(RequestId(request), _decoder(_QUESTIONS[name]).decode(question))
        return _checked(_decoder(_EVENTS[kind]).decode(raw))
    except KeyError as error:
        raise Refused(f"holds an event of a kind that is not known: {error}") from None
    except msgspec.MsgspecError as error:
        raise Refused(f"holds an event '{kind}' that can't be read: {error}") from None


def _checked(found: object) -> Event:
    if type(found) not in _KINDS:
        raise Refused(f"holds '{type(found).__name__}' in place of an event")
    return cast(Event, found)  # the lines above have looked


def _written(event: Event) -> tuple[str, object]:
    if type(event) is Asked:  # the only one whose content does not say what it is
        question = event.question
        return "Asked", (event.request, type(question).__name__, question)
    return type(event).__name__, event


def _as_it_can_be(event: Event) -> tuple[str, object]:
    written = _written(event)
    try:
        _ENCODER.encode(written)
    except (TypeError, ValueError, OverflowError):
        return PICKLED, pickle.dumps(event, protocol=5)
    return written


def _by_name(kinds: object) -> Mapping[str, type[Struct]]:
    return {kind.__name__: kind for kind in get_args(kinds)}


def _plain(found: object) -> object:
    if isinstance(found, Resources):
        parts = (Resources({kind: quantity}) for kind, quantity in found.items())
        return [  # in their order, which answers show
            one for part in parts for one in part.to_wire(role=None, refinement=True)
        ]
    raise TypeError(f"{type(found).__name__} is not written")


def _of_plain(kind: type, found: object) -> object:
    if kind is Resources:
        try:
            return Resources.of(msgspec.convert(found, tuple[mesos.Resource, ...]))
        except Refused as refused:
            raise msgspec.ValidationError(refused.text) from None
    raise TypeError(f"{kind.__name__} is not read")


@cache
def _decoder(kind: type[Struct]) -> msgspec.msgpack.Decoder[Struct]:
    return msgspec.msgpack.Decoder(kind, dec_hook=_of_plain)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_BATCH = msgspec.msgpack.Decoder(Batch)
_ASKED = msgspec.msgpack.Decoder(tuple[int, str, msgspec.Raw])
_KINDS = frozenset(get_args(Event))
_EVENTS = _by_name(Event)
_QUESTIONS = _by_name(Question)
