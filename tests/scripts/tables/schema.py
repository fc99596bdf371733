"""Wrong values for every field of a call, made from the schema of the API.

Each message is tried where it is met first, so that no table repeats another; ids are tried
everywhere. Source: tests/data/mesos-v1-wire.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from tests.scripts.tables.case import Fields, compact

FieldFacts = list[object]  # number, type, label, default

_DATA = msgspec.json.decode((Path(__file__).parents[2] / "data/mesos-v1-wire.json").read_bytes())
MESSAGES: dict[str, dict[str, FieldFacts]] = {
    **_DATA["messages"],
    "google.protobuf.Duration": {
        "seconds": [1, "int64", "optional"],
        "nanos": [2, "int32", "optional"],
    },
}
ENUMS: dict[str, dict[str, int]] = _DATA["enums"]

INTEGERS = ("int32", "uint32", "int64", "uint64")
LISTED = "[]"  # after the name of a repeated field in a path: its only element
HUGE = "\ue000"  # stands for 1e999, which no JSON encoder writes
NOT_A_NUMBER = "\ue001"  # stands for the word NaN

# What is tried for a field of each kind; all of it is refused by the decoder.
_WRONG: dict[str, tuple[object, ...]] = {
    "string": (7, True, {}, ["x"]),
    "bytes": ("!", 7, True, {}, ["AA=="]),
    "bool": ("x", 7, {}, [True]),
    "double": ("x", "NaN", True, {}, [1], HUGE, NOT_A_NUMBER),
    "integer": ("x", "", "Infinity", True, {}, [1], HUGE),
    "enum": (7, True, {}, ["x"]),
    "message": ("x", 7, True, [{}]),
}


class Wrong(Struct, frozen=True):
    """A call that has one thing wrong: `what`, as a table's line says it."""

    what: str
    body: bytes


def call_types(api: str) -> tuple[str, ...]:
    """The names of all calls of the API."""
    return tuple(ENUMS[f"mesos.v1.{api}.Call.Type"])


def part_of(api: str, call_type: str) -> str | None:
    """The field of the call that belongs to the type."""
    name = call_type.lower()
    return name if name in MESSAGES[f"mesos.v1.{api}.Call"] else None


def example(message: str) -> Fields:
    """A message with its required fields only."""
    return {
        name: _value(str(facts[1]))
        for name, facts in MESSAGES[message].items()
        if facts[2] == "required"
    }


def reachable(message: str) -> set[tuple[str, str]]:
    """All fields of the message and of those that it can hold; entries of maps are no messages."""
    found: set[tuple[str, str]] = set()
    waiting = [message]
    while waiting:
        name = waiting.pop()
        for field, facts in MESSAGES[name].items():
            kind = _map_value(str(facts[1])) or str(facts[1])
            if (name, field) not in found and kind in MESSAGES:
                waiting.append(kind)
            found.add((name, field))
    return found


class Wrongs:
    """Makes the wrong calls of one API; remembers which messages were tried."""

    def __init__(self, api: str) -> None:
        self._call = f"mesos.v1.{api}.Call"
        self._tried: set[str] = set()
        self.fields: set[tuple[str, str]] = set()  # messages, and those of their fields tried

    def of(self, field: str, base: Fields) -> Iterator[Wrong]:
        """Calls like `base` that are wrong in that field of the call, or below it."""
        yield from self._field(self._call, field, (), base)

    def _field(
        self, message: str, field: str, path: tuple[str, ...], base: Fields
    ) -> Iterator[Wrong]:
        self.fields.add((message, field))
        facts = MESSAGES[message][field]
        kind, label = str(facts[1]), str(facts[2])
        of_map = _map_value(kind)
        here = (*path, field)
        yield from self._values(here, of_map or kind, label, base, is_map=of_map is not None)
        if (of_map or kind) not in MESSAGES or not self._is_new(of_map or kind):
            return
        below = (*here, "k") if of_map else here
        if label == "repeated" and not of_map:
            below = (*path, field + LISTED)
        kind = of_map or kind
        for name, inner in MESSAGES[kind].items():
            if inner[2] == "required":
                lacking = {k: v for k, v in example(kind).items() if k != name}
                yield Wrong(f"{'.'.join((*below, name))} missing", _with(base, below, lacking))
            yield from self._field(kind, name, below, _set(base, below, example(kind)))

    def _is_new(self, message: str) -> bool:
        """Whether the fields of the message are still to be tried; those of ids always are."""
        if list(MESSAGES[message]) == ["value"]:
            return True
        if message in self._tried:
            return False
        self._tried.add(message)
        return True

    def _values(
        self, path: tuple[str, ...], kind: str, label: str, base: Fields, *, is_map: bool
    ) -> Iterator[Wrong]:
        wrong = _WRONG[_group(kind)]
        if is_map:
            for one in ("x", 7, True):
                yield _wrong(base, path, one)
            wrong = tuple({"k": one} for one in wrong)
        elif label == "repeated":
            # A lone value stands for a list of it, and lists in lists are joined.
            wrong = tuple(one for one in wrong if not isinstance(one, list))
        if label == "required":
            wrong = (*wrong, None, *(["NOPE"] if kind in ENUMS else []))
        for value in wrong:
            yield _wrong(base, path, value)


def _group(kind: str) -> str:
    if kind in INTEGERS:
        return "integer"
    if kind in ENUMS:
        return "enum"
    return "message" if kind in MESSAGES else kind


def _map_value(kind: str) -> str | None:
    """The type of the values of a map, which protobuf makes a list of entries; else None."""
    if not kind.endswith("Entry") or list(MESSAGES[kind]) != ["key", "value"]:
        return None
    return str(MESSAGES[kind]["value"][1])


def _value(kind: str) -> object:
    if kind in MESSAGES:
        return example(kind)
    if kind in ENUMS:
        return next((name for name in ENUMS[kind] if name != "UNKNOWN"), "UNKNOWN")
    return {"string": "x", "bytes": "AA==", "bool": False}.get(kind, 1)


def _wrong(base: Fields, path: tuple[str, ...], value: object) -> Wrong:
    body = _with(base, path, value)
    return Wrong(f"{'.'.join(path)} = {_json(value).decode()}", body)


def _with(base: Fields, path: tuple[str, ...], value: object) -> bytes:
    """The call as JSON, with the value at the path."""
    return _json(_set(base, path, value))


def _json(value: object) -> bytes:
    text = compact(value).decode()
    return text.replace(f'"{HUGE}"', "1e999").replace(f'"{NOT_A_NUMBER}"', "NaN").encode()


def _set(base: Fields, path: tuple[str, ...], value: object) -> Fields:
    """The message with the value at the path; `name[]` is the only element of a list."""
    head, *rest = path
    name = head.removesuffix(LISTED)
    if rest:
        inner = base.get(name)
        if isinstance(inner, list):
            inner = inner[0]
        value = _set(inner if isinstance(inner, dict) else {}, tuple(rest), value)
    return {**base, name: [value] if head.endswith(LISTED) else value}
