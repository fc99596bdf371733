"""JSON texts in pieces, so that an answer of hundreds of megabytes is never in memory whole.

A value is a mapping as ever, but a part of it may be `Parts`: its text, made while it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from msgspec import Struct

from tepui.master.core.views.values import JsonValue, encode
from tepui.wire.pieces import BATCH, Later, Part, joined_parts

T = TypeVar("T")


class Parts(Struct, frozen=True):
    """A text that comes in parts. It can be read once."""

    parts: Iterator[Part]


Written = Mapping[str, "JsonValue | Parts"]


def object_parts(value: Written) -> Iterator[Part]:
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


def list_parts(things: Iterable[T], value_of: Callable[[T], JsonValue]) -> Parts:
    """The list of their values; neither these nor their text is made before it is wanted."""
    return Parts(joined_parts(_batches(iter(things), value_of)))


def _batches(things: Iterator[T], value_of: Callable[[T], JsonValue]) -> Iterator[Later]:
    while batch := list(islice(things, BATCH)):
        yield Later(partial(_text, batch, value_of), len(batch))


def _text(things: Sequence[T], value_of: Callable[[T], JsonValue]) -> bytes:
    return encode([value_of(thing) for thing in things])[1:-1]


def objects_parts(values: Iterable[Written]) -> Iterator[Part]:
    """The text of a list of mappings with parts."""
    before = b"["
    for value in values:
        yield before
        yield from object_parts(value)
        before = b","
    yield b"[]" if before == b"[" else b"]"
