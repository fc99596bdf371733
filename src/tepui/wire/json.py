"""JSON of the Mesos v1 API: messages to single-line ASCII and back.

Decoding tries msgspec in its strict mode, which takes nothing that Mesos refuses in a known field.
What it does not take is decoded again by `tolerant`, as leniently as Mesos and with its errors.
Only inside unknown fields is the first path laxer: `1e999` there is ignored, not an error.

Source: Mesos 3rdparty/stout/include/stout/protobuf.hpp and jsonify.hpp; recorded answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from tepui.wire.errors import Kind, Malformed
from tepui.wire.fields import is_recursive
from tepui.wire.jsontext import DEPTH_MAX, NotJSON, depth, parse
from tepui.wire.message import ProtoMessage
from tepui.wire.tolerant import Unfit, build

M = TypeVar("M", bound=ProtoMessage)

_ENCODER = msgspec.json.Encoder()
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_DIGITS_AS_ZERO = bytes(ord("0") if chr(c).isdigit() and c < 128 else c for c in range(256))
# The lenient decoder takes 0.7 µs a byte, and forty times the memory.
LENIENT_BYTES_MAX = 2 * 1024 * 1024
_REFUSAL_CHARS = 200
_TWENTY_DIGITS = b"0" * 20  # an integer beyond 64 bits has at least as many
_DECODERS: dict[type[ProtoMessage], msgspec.json.Decoder[ProtoMessage]] = {}
_REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(message: ProtoMessage) -> bytes:
    """`message` in one line of ASCII. Infinite doubles are written `Infinity`, as Mesos does.

    A NaN raises ValueError: decoding never yields one.
    """
    line = _ENCODER.encode(message)
    if b"null" in line:  # msgspec's word for infinities; nothing else of a message is null
        line = _with_infinities(message)
    if line.isascii():
        return line
    return _NOT_ASCII.sub(_escaped, line.decode()).encode()


def encode_many(messages: Sequence[ProtoMessage]) -> bytes:
    """The messages as `encode` writes them, with commas between."""
    line = _ENCODER.encode(messages)
    if b"null" in line or not line.isascii():
        return b",".join([encode(message) for message in messages])
    return line[1:-1]


def decode(cls: type[M], body: bytes) -> M:
    """The `cls` that `body` holds; raises Malformed with the text of Mesos."""
    decoder = _DECODERS.get(cls) or _new_decoder(cls)
    refusal = "it holds an integer beyond 64 bits, or is nested too deep"
    if _TWENTY_DIGITS not in body.translate(_DIGITS_AS_ZERO):
        try:
            if not is_recursive(cls) or _is_shallow(body):
                return decoder.decode(body)  # type: ignore[return-value]  # the decoder of cls
        except _REFUSED as error:
            refusal = str(error)[:_REFUSAL_CHARS]
    if len(body) > LENIENT_BYTES_MAX:
        text = f"more than {LENIENT_BYTES_MAX} bytes must be strict JSON: {refusal}"
        raise Malformed(text, Kind.SYNTAX, cls.__name__)
    return decode_tolerantly(cls, body)


def decode_tolerantly(cls: type[M], body: bytes) -> M:
    """The same by the lenient decoder alone; `decode` calls it when the fast one refuses."""
    # Strings of Mesos may hold any bytes, ours are text: what is not UTF-8 is replaced.
    try:
        return build(cls, parse(body.decode("utf-8", "replace")))
    except NotJSON as error:
        raise Malformed(str(error), Kind.SYNTAX, cls.__name__) from None
    except Unfit as error:
        raise Malformed(str(error), Kind.CONVERSION, cls.__name__) from None
    except RecursionError:
        raise Malformed("nested too deep", Kind.SYNTAX, cls.__name__) from None


def _new_decoder(cls: type[M]) -> msgspec.json.Decoder[ProtoMessage]:
    return _DECODERS.setdefault(cls, msgspec.json.Decoder(cls))


def _is_shallow(body: bytes) -> bool:
    """Whether no message of `body` is too deep for what it will be put into."""
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return True
    return depth(body.decode("utf-8", "replace")) <= DEPTH_MAX


def _with_infinities(message: ProtoMessage) -> bytes:
    plain = msgspec.to_builtins(message)
    text = json.dumps(plain, separators=(",", ":"))
    if "NaN" in text:  # perhaps only inside a string
        _refuse_nan(plain)
    return text.encode()


def _refuse_nan(value: object) -> None:
    if isinstance(value, dict):
        for part in value.values():
            _refuse_nan(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_nan(part)
    elif value != value:
        raise ValueError("a message holds NaN, which has no JSON")


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]
