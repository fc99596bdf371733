"""JSON texts in pieces, so that an answer of hundreds of megabytes is never in memory whole.

A value is a mapping as ever, but a part of it may be `Parts`: its text, made while it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from tepui.master.core.views.values import JsonValue, encode
from tepui.wire.pieces import batched, joined


class Parts(Struct, frozen=True):
    """A text that comes in parts. It can be read once."""

    parts: Iterator[bytes]


Written = Mapping[str, "JsonValue | Parts"]


def object_parts(value: Written) -> Iterator[bytes]:
    """The text of the mapping: what is plain together, what comes in parts as it comes."""
    plain: dict[str, JsonValue] = {}
    before = b"{"
    for name, part in value.items():
        if not isinstance(part, Parts):
            plain[name] = part
            continue
        if plain:
            yield before + encode(plain)[1:-1]
            before, plain = b",", {}
        yield before + encode(name) + b":"
        yield from part.parts
        before = b","
    yield (before + encode(plain)[1:-1] if plain else before if before == b"{" else b"") + b"}"


def list_parts(values: Iterable[JsonValue]) -> Iterator[bytes]:
    """The text of a list, so many values at a time."""
    return joined(batched(values, lambda batch: encode(batch)[1:-1]))


def objects_parts(values: Iterable[Written]) -> Iterator[bytes]:
    """The text of a list of mappings with parts."""
    before = b"["
    for value in values:
        yield before
        yield from object_parts(value)
        before = b","
    yield b"[]" if before == b"[" else b"]"
