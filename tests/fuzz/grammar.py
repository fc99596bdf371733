"""Messages of any shape the schema allows, drawn from bytes; ids mostly name what exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, nan
from typing import TypeVar

from tepui.wire.fields import Field, Kind, Label, fields
from tepui.wire.message import ProtoMessage
from tests.fuzz.drawing import Drawn
from tests.wire.oracle import BYTES, INTEGERS

M = TypeVar("M", bound=ProtoMessage)

DEPTH_MAX = 8
ROLES = ("*", "web", "web/a", "ads", "", "/", "a//b", "..", "*/x")
RESOURCES = ("cpus", "mem", "disk", "gpus", "ports", "tokens", "")
TEXTS = ("", "t1", "root", "true", "/bin/true", "127.0.0.1", "a/b", "..", "\x00", "é😀", "x" * 300)
DOUBLES = (0.0, 0.1, 1.0, 32.0, -1.0, 1e-9, 1e300, 9.3e15, -0.0, inf, -inf)
MORE_INTEGERS = (2, 5, 80, 31_000, 5_000_000_000)
KEYS = ("a", "cpus", "")
Ids = Mapping[type[ProtoMessage], Sequence[str]]


class Grammar:
    """What one peer may say. `ids` are what there is now, by the message that holds such an id."""

    def __init__(self, draw: Drawn, ids: Ids, *, with_nan: bool = False) -> None:
        self._draw = draw
        self._ids = ids
        self._doubles = (*DOUBLES, nan) if with_nan else DOUBLES  # only the link can carry NaN

    def message(self, cls: type[M], depth: int = 0, **given: object) -> M:
        """A `cls`; the fields that are `given` are as they are."""
        ids = self._ids.get(cls)
        if ids and self._draw.below(8):
            given.setdefault("value", self._draw.one(ids))
        values = dict(given)
        optional = [f for f in fields(cls) if f.name not in values]
        for field in optional:
            if field.label is Label.REQUIRED:
                values[field.name] = self._value(field, depth)
        optional = [f for f in optional if f.label is not Label.REQUIRED]
        for _ in range(self._draw.below(5) if optional and depth < DEPTH_MAX else 0):
            field = self._draw.one(optional)
            values[field.name] = self._values(field, depth)
        return cls(**values)

    def call(self, cls: type[M], name: str, part: str | None, **given: object) -> M:
        """A call of that type, with the message that the type wants if there is one."""
        kind = next(field.enum for field in fields(cls) if field.name == "type")
        assert kind is not None
        for field in fields(cls):
            if field.name == part and field.message is not None:
                given.setdefault(field.name, self.message(field.message, 1))
        return self.message(cls, 0, type=kind[name], **given)

    def _values(self, field: Field, depth: int) -> object:
        if field.label is Label.REPEATED:
            return tuple(self._value(field, depth) for _ in range(self._draw.below(4)))
        if field.label is Label.MAP:
            return {key: self._value(field, depth) for key in KEYS[: self._draw.below(4)]}
        return self._value(field, depth)

    def _value(self, field: Field, depth: int) -> object:
        if field.message is not None:
            return self.message(field.message, depth + 1)
        if field.enum is not None:
            return self._draw.one(list(field.enum))
        match field.kind:
            case Kind.BOOL:
                return bool(self._draw.below(2))
            case Kind.DOUBLE:
                return self._draw.one(self._doubles)
            case Kind.STRING:
                return self._text(field.name)
            case Kind.BYTES:
                return self._draw.one(BYTES)
            case _:
                low, high = min(INTEGERS[field.kind]), max(INTEGERS[field.kind])
                among = [n for n in MORE_INTEGERS if low <= n <= high]
                return self._draw.one([*INTEGERS[field.kind], *among])

    def _text(self, name: str) -> str:
        if name in ("role", "roles", "suppressed_roles"):
            return self._draw.one(ROLES)
        if name == "name" and self._draw.below(2):
            return self._draw.one(RESOURCES)
        if self._draw.below(16):
            return self._draw.one(TEXTS)
        among = [one for ids in self._ids.values() for one in ids]
        return self._draw.one(among) if among else ""
