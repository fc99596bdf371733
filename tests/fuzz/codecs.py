"""JSON, protobuf and RecordIO: what is decoded is sound, and every way to it agrees."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tepui.wire import agent, executor, json, master, mesos, protobuf, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage
from tepui.wire.recordio import LENGTH_DIGITS_MAX, Deframer
from tests.fuzz.drawing import pieces

CALLS: Final[tuple[type[ProtoMessage], ...]] = (
    scheduler.Call,
    executor.Call,
    agent.Call,
    master.Call,
    scheduler.Event,
    executor.Event,
    agent.Response,
    master.Response,
    master.Event,
)
PARTS: Final[tuple[type[ProtoMessage], ...]] = tuple(
    found
    for _, found in sorted(vars(mesos).items())
    if isinstance(found, type) and issubclass(found, ProtoMessage) and found is not ProtoMessage
)
MESSAGES: Final = CALLS + PARTS  # the first byte of an input says which
RECORD_BYTES_MAX: Final = 40  # so small that inputs reach it
SLOW_CPU_S: Final = 1.0
SLOW_BYTES_MIN: Final = 64 * 1024  # only less than this is too little to take so long

Decode = Callable[[type[ProtoMessage], bytes], ProtoMessage]


class Watch:
    """Whether time counts: it does while fuzzing, and never in a test."""

    is_on = False


class TooSlow(AssertionError):
    """Decoding took much too long for so few bytes."""


def json_target(data: bytes) -> None:
    """Both decoders agree, and what they yield survives both codecs."""
    cls, body = _message_and_body(data)
    found = _outcome(json.decode, cls, body)
    also = _outcome(json.decode_tolerantly, cls, body)
    if isinstance(found, ProtoMessage) and isinstance(also, str):
        assert is_lax_in_unknown_fields(also), also
    else:
        assert found == also, (found, also)
    if isinstance(found, ProtoMessage):
        _survives(found)


def protobuf_target(data: bytes) -> None:
    """What is decoded survives both codecs."""
    cls, body = _message_and_body(data)
    found = _outcome(protobuf.decode, cls, body)
    if isinstance(found, ProtoMessage):
        _survives(found)


def recordio_target(data: bytes) -> None:
    """The records of a stream do not depend on its pieces, and little is ever held."""
    if not data:
        return
    whole = _records([data[1:]])
    assert _records(pieces(data[1:], data[0])) == whole
    assert _records(pieces(data[1:], 1)) == whole


def is_lax_in_unknown_fields(refusal: str) -> bool:
    """Whether only the lenient decoder looks at that: it reads unknown fields too."""
    return "parse body into JSON" in refusal


def _records(stream: list[bytes]) -> tuple[list[bytes], str | None, bool]:
    deframer = Deframer(RECORD_BYTES_MAX)
    found: list[bytes] = []
    try:
        for piece in stream:
            found += deframer.feed(piece)
            held = len(deframer._held)
            assert held <= RECORD_BYTES_MAX + LENGTH_DIGITS_MAX + 1, held
        deframer.feed(b"")
    except Malformed as error:
        return found, error.text, False
    return found, None, deframer.is_between_records


def _message_and_body(data: bytes) -> tuple[type[ProtoMessage], bytes]:
    return MESSAGES[data[0] % len(MESSAGES) if data else 0], data[1:]


def _outcome(decode: Decode, cls: type[ProtoMessage], body: bytes) -> ProtoMessage | str:
    """The message, or the text of the refusal."""
    started = time.process_time()
    try:
        return decode(cls, body)
    except Malformed as error:
        return error.text
    finally:
        spent = time.process_time() - started
        if Watch.is_on and spent > SLOW_CPU_S and len(body) < SLOW_BYTES_MIN:
            raise TooSlow(f"{decode.__name__} took {spent:.1f} s for {len(body)} bytes")


def _survives(message: ProtoMessage) -> None:
    cls = type(message)
    line = json.encode(message)
    assert line.isascii()
    assert b"\n" not in line
    assert json.decode(cls, line) == message, "JSON"
    again = protobuf.decode(cls, protobuf.encode(message))
    assert again == message, "protobuf"
    assert json.decode(cls, json.encode(again)) == message, "protobuf to JSON"
