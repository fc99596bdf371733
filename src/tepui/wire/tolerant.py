"""Messages from parsed JSON, as leniently as Mesos reads it and with its words for what is wrong.

- unknown names and `null` count as absent; so does the unknown name of an enum value, unless the
  field is required; enums as numbers are an error;
- numbers and booleans may be strings, `"Infinity"` included; an integer may be written `3.6e+06`
  or 5.5, of which the fraction is cut off;
- a lone value stands for a list of one, and lists within lists are joined;
- members are looked at in the order of their names, so of several errors the first by name is told.

Source: Mesos 3rdparty/stout/include/stout/protobuf.hpp.
"""

from __future__ import annotations

from base64 import b64decode
from functools import cache
from math import inf, isinf
from typing import Any, NoReturn, TypeVar

from tepui.wire.fields import Field, Kind, Label, fields
from tepui.wire.jsontext import NotJSON, parse
from tepui.wire.message import ProtoMessage

M = TypeVar("M", bound=ProtoMessage)
Draft = dict[str, Any]  # the values found so far: scalars, Drafts, and lists and dicts of them

_BITS = {  # of each kind of integer: width, whether it has a sign
    Kind.INT32: (32, True),
    Kind.UINT32: (32, False),
    Kind.INT64: (64, True),
    Kind.UINT64: (64, False),
}
_EMPTY: dict[Kind, object] = {
    Kind.BOOL: False,
    Kind.INT32: 0,
    Kind.UINT32: 0,
    Kind.INT64: 0,
    Kind.UINT64: 0,
    Kind.DOUBLE: 0.0,
    Kind.STRING: "",
    Kind.BYTES: b"",
}
_INFINITIES = {"Infinity": inf, "-Infinity": -inf}
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_BASE64_SPACE = frozenset(" \t\n\v\f\r")


class Unfit(Exception):
    """The JSON does not fit the message; `str()` is the sentence Mesos says so with."""


def build(cls: type[M], value: object) -> M:
    """The `cls` that a parsed JSON value describes; raises Unfit."""
    if not isinstance(value, dict):
        raise Unfit("Expecting a JSON object")
    draft = _draft(cls, value)
    missing = list(_missing(cls, draft, ""))
    if missing:
        raise Unfit("Missing required fields: " + ", ".join(missing))
    return _finished(cls, draft)


@cache
def _by_name(cls: type[ProtoMessage]) -> dict[str, Field]:
    return {field.name: field for field in fields(cls)}


@cache
def _by_number(cls: type[ProtoMessage]) -> tuple[Field, ...]:
    return tuple(sorted(fields(cls), key=lambda field: field.number))


def _draft(cls: type[ProtoMessage], members: dict[str, object]) -> Draft:
    known = _by_name(cls)
    draft: Draft = {}
    for name in sorted(members.keys() & known.keys()):
        _put(draft, known[name], members[name])
    return draft


def _put(draft: Draft, field: Field, value: object) -> None:
    """Set `field` to `value`, or add `value` to it."""
    if value is None:
        return
    if isinstance(value, list):
        if field.label not in (Label.REPEATED, Label.MAP):
            _refuse("array", field)
        draft.setdefault(field.name, {} if field.label is Label.MAP else [])
        for part in value:
            _put(draft, field, part)
        return
    if field.label is Label.MAP:
        if not isinstance(value, dict):
            _refuse(_json_type(value), field)
        _put_entries(draft.setdefault(field.name, {}), field, value)
        return
    found = _single(field, value)
    if found is None:
        return
    if field.label is Label.REPEATED:
        draft.setdefault(field.name, []).append(found)
    else:
        draft[field.name] = found


def _put_entries(entries: Draft, field: Field, members: dict[str, object]) -> None:
    entry = Field(
        name="value",
        number=2,
        kind=field.kind,
        label=Label.OPTIONAL,
        message=field.message,
        enum=field.enum,
    )
    for key in sorted(members):
        one: Draft = {}
        _put(one, entry, members[key])
        empty = {} if field.kind is Kind.MESSAGE else _EMPTY[field.kind]
        entries[key] = one.get("value", empty)


def _single(field: Field, value: object) -> object:
    """One value of the field's kind; None for an enum value that nobody knows."""
    kind = field.kind
    if isinstance(value, dict):
        if field.message is None:
            _refuse("object", field)
        return _draft(field.message, value)
    if isinstance(value, str):
        return _from_string(field, value)
    if isinstance(value, bool):
        return value if kind is Kind.BOOL else _refuse("boolean", field)
    assert isinstance(value, int | float), value
    if kind is Kind.DOUBLE:
        return float(value)
    if kind in _BITS and not isinf(value):
        return _fitted(kind, value)
    return _refuse("number", field)


def _from_string(field: Field, text: str) -> object:
    kind = field.kind
    if kind is Kind.STRING:
        return text
    if kind is Kind.BYTES:
        return _bytes(field, text)
    if field.enum is not None:
        member = field.enum.__members__.get(text)
        if member is None and field.label is Label.REQUIRED:
            raise Unfit(f"Failed to find enum for '{text}'")
        return member
    if kind is Kind.MESSAGE:
        _refuse("string", field)
    if kind is Kind.DOUBLE and text in _INFINITIES:
        return _INFINITIES[text]
    return _single(field, _scalar(field, text))


def _scalar(field: Field, text: str) -> object:
    """The number or boolean that a string holds, whichever the field wants."""
    wanted = "boolean" if field.kind is Kind.BOOL else "number"
    try:
        value = parse(text)
        if _json_type(value) != wanted:
            raise NotJSON("Unexpected JSON type parsed")
    except NotJSON as error:
        raise Unfit(
            f"Failed to parse '{text}' as a JSON {wanted} for field '{field.name}': {error}"
        ) from None
    return value


def _fitted(kind: Kind, number: int | float) -> int:
    """`number` as an integer of that kind.

    An integer of 64 bits wraps around, as in Mesos: -1 is 4294967295 in a uint32. Larger numbers
    become the nearest the kind can hold. Differs from Mesos: there they are undefined.
    """
    bits, signed = _BITS[kind]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    whole = int(number)
    if low <= whole <= high:
        return whole
    if isinstance(number, float) or not -(2**63) <= whole < 2**63:
        return low if whole < low else high
    return (whole - low) % (1 << bits) + low


def _bytes(field: Field, text: str) -> bytes:
    """Base64 that may hold white space and may lack its padding; `=` ends it."""
    letters = [c for c in text.partition("=")[0] if c not in _BASE64_SPACE]
    for letter in letters:
        if letter not in _BASE64:
            raise Unfit(
                f"Failed to base64 decode bytes field '{field.name}': Invalid character '{letter}'"
            )
    if len(letters) % 4 == 1:
        letters.pop()  # six bits make no byte
    return b64decode("".join(letters) + "=" * (-len(letters) % 4))


def _missing(cls: type[ProtoMessage], draft: Draft, path: str) -> list[str]:
    """The paths of required fields that are absent: first of the message, then of its parts."""
    found = [
        path + field.name
        for field in fields(cls)
        if field.label is Label.REQUIRED and field.name not in draft
    ]
    for field in _by_number(cls):
        if field.message is None or field.name not in draft:
            continue
        value = draft[field.name]
        if field.label is Label.REPEATED:
            for index, part in enumerate(value):
                found += _missing(field.message, part, f"{path}{field.name}[{index}].")
        elif field.label is Label.MAP:
            for index, part in enumerate(value.values()):
                found += _missing(field.message, part, f"{path}{field.name}[{index}].value.")
        else:
            found += _missing(field.message, value, f"{path}{field.name}.")
    return found


def _finished(cls: type[M], draft: Draft) -> M:
    values: Draft = {}
    known = _by_name(cls)
    for name, value in draft.items():
        field = known[name]
        if field.label is Label.REPEATED:
            values[name] = tuple(_finished_one(field, part) for part in value)
        elif field.label is Label.MAP:
            values[name] = {key: _finished_one(field, part) for key, part in value.items()}
        else:
            values[name] = _finished_one(field, value)
    return cls(**values)


def _finished_one(field: Field, value: Any) -> Any:
    return value if field.message is None else _finished(field.message, value)


def _json_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "object" if isinstance(value, dict) else "array"


def _refuse(json_type: str, field: Field) -> NoReturn:
    raise Unfit(f"Not expecting a JSON {json_type} for field '{field.name}'")
