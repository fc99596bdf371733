"""Large answers in pieces: neither the messages nor their text are in memory whole.

A large message is a `Tree`: names to lists of messages, which may be made while they are written,
or to further trees. A field of another kind is a message of which it is the only field. What is
written equals what `media.encode` writes of the whole message.

A part of a text may be `Later`: bytes that are yet to be made. So several processes can each make a
share of one text (`share_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias, TypeVar, Union

from msgspec import Struct

from tepui.wire import json
from tepui.wire.fields import fields
from tepui.wire.media import Media
from tepui.wire.message import ProtoMessage

T = TypeVar("T")
Tree = Mapping[str, Union["Tree", Iterable[ProtoMessage], ProtoMessage]]

PIECE_BYTES = 256 * 1024  # about what one write is worth
BATCH = 64  # values that are encoded in one call: beyond that it costs no less
_LENGTH_DELIMITED = 2  # protobuf's wire type of messages


class Later(Struct, frozen=True):
    """A part of a text that `make` makes; in it are so many values."""

    make: Callable[[], bytes]
    values: int


Part: TypeAlias = bytes | Later


def encode_pieces(head: ProtoMessage, tree: Tree, media: Media) -> Iterator[bytes]:
    """The message that has the fields of `head`, then those of the tree, in JSON or protobuf.

    In protobuf a message stands behind its length, so the whole of it is made before its first
    piece is out; in JSON nothing is kept.
    """
    if media is Media.JSON:
        return gathered(_json_parts(json.encode(head)[:-1] + b",", tree))
    return gathered(_protobuf_pieces(head, tree))


def _json_parts(before: bytes, tree: Tree) -> Iterator[bytes]:
    for name, part in tree.items():
        if isinstance(part, ProtoMessage):
            yield before + json.encode(part)[1:-1]
        else:
            yield b'%b"%b":' % (before, name.encode())
            if isinstance(part, Mapping):
                yield from _json_parts(b"{", part)
            else:
                yield from joined(batched(part, json.encode_many))
        before = b","
    yield b"}"


def _protobuf_pieces(head: ProtoMessage, tree: Tree) -> Iterator[bytes]:
    from tepui.wire import protobuf  # its import is slow, and few ever need it

    yield protobuf.encode(head)
    pieces = _protobuf_parts(type(head), tree, protobuf.encode)
    pieces.reverse()
    while pieces:  # what is out is not kept
        yield pieces.pop()


def _protobuf_parts(
    cls: type[ProtoMessage], tree: Tree, encode: Callable[[ProtoMessage], bytes]
) -> list[bytes]:
    """The fields of the tree in the order of their numbers, as the runtime writes them."""
    found: list[bytes] = []
    for field in sorted(fields(cls), key=lambda field: field.number):
        part = tree.get(field.name)
        if part is None:
            continue
        if isinstance(part, ProtoMessage):
            found.append(encode(part))
            continue
        assert field.message is not None, field
        tag = _varint(field.number << 3 | _LENGTH_DELIMITED)
        if isinstance(part, Mapping):
            inner = _protobuf_parts(field.message, part, encode)
            found.append(tag + _varint(sum(map(len, inner))))
            found += inner
        else:
            texts = map(encode, part)
            found += gathered(b"%b%b%b" % (tag, _varint(len(text)), text) for text in texts)
    return found


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def joined(texts: Iterable[bytes]) -> Iterator[bytes]:
    """A list around texts that each hold one or more of its values."""
    return made(joined_parts(texts))


def joined_parts(texts: Iterable[Part]) -> Iterator[Part]:
    """The same of parts."""
    before = b"["
    for text in texts:
        yield before
        yield text
        before = b","
    yield b"[]" if before == b"[" else b"]"


def made(parts: Iterable[Part]) -> Iterator[bytes]:
    """The whole text."""
    for part in parts:
        yield part if isinstance(part, bytes) else part.make()


def share_of(parts: Iterable[Part], values: int, share: int, shares: int) -> Iterator[bytes]:
    """One of so many shares of the text, counted from 0; one behind the other they are the text.

    Only what is in the share is made. `values` is about how many are in the whole: the shares are
    as large as each other if it is exact.
    """
    before = 0
    for part in parts:
        at = min(before * shares // values, shares - 1) if values else 0
        if at > share:
            return
        if isinstance(part, bytes):
            if at == share:
                yield part
        else:
            before += part.values
            if at == share:
                yield part.make()


def batched(values: Iterable[T], encoded: Callable[[Sequence[T]], bytes]) -> Iterator[bytes]:
    """The texts of the values, several at a time."""
    rest = iter(values)
    while batch := list(islice(rest, BATCH)):
        yield encoded(batch)


def gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are worth a write."""
    waiting: list[bytes] = []
    size_bytes = 0
    for part in parts:
        waiting.append(part)
        size_bytes += len(part)
        if size_bytes >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size_bytes = [], 0
    if waiting:
        yield b"".join(waiting)
