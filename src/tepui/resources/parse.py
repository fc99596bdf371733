"""The agent's flags `--resources` and `--attributes`.

Resources are `cpus:4;mem:8192;ports:[31000-32000];gpus(role):1;set:{a,b}` or a JSON list of wire
resources; attributes are `rack:r1;num:5;rng:[1-3]`.
(Mesos: docs/attributes-resources.md, common/resources.cpp, common/values.cpp, common/attributes.cpp.)
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable

import msgspec
from msgspec import structs

from tepui.base.errors import Refused
from tepui.resources.convert import static_reservation
from tepui.resources.kinds import Kind, ValueType
from tepui.resources.ranges import Ranges
from tepui.resources.resources import Resources
from tepui.resources.roles import UNRESERVED, validate_role
from tepui.wire import mesos

Parsed = float | Ranges | tuple[str, ...] | str

_BRACKETS = (("{", "}"), ("[", "]"), ("(", ")"))
_WHOLE = re.compile(r"[0-9]{1,20}")  # as many digits as uint64 has
_LIST = msgspec.json.Decoder(tuple[mesos.Resource, ...], strict=False)


def parse_resources(text: str, default_role: str = UNRESERVED) -> Resources:
    """What the flag says; raises `Refused` naming the entry and the rule.

    Entries without a role are reserved to `default_role`, unless that is `*`.
    """
    validate_role(default_role)
    if text.lstrip().startswith("["):
        wire = _parse_json(text, default_role)
    else:
        wire = [_parse_entry(e, default_role) for e in text.split(";") if e.strip()]
    resources = Resources.of(wire)
    _check_flag(kind for kind, _ in resources.items())
    return resources


def parse_attributes(text: str) -> tuple[mesos.Attribute, ...]:
    """What the flag says, in its order; raises `Refused` naming the entry and the rule."""
    entries = [e for e in re.split(r"[;\n]", text) if e]
    return tuple([_parse_attribute(entry) for entry in entries])


def _parse_json(text: str, default_role: str) -> list[mesos.Resource]:
    try:
        given = _LIST.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError) as error:
        raise Refused(f"Some JSON resources were not formatted properly: {error}") from None
    return [
        structs.replace(one, role=default_role)
        if one.role is None and not one.reservations
        else one
        for one in given
    ]


def _parse_entry(entry: str, default_role: str) -> mesos.Resource:
    pair = [part for part in entry.split(":") if part]
    if len(pair) != 2:
        raise Refused(f"Bad value for resources, missing or extra ':' in '{entry}'")
    head, text = pair
    name, role = head.strip(), default_role
    if "(" in head:
        opened, closed = head.find("("), head.find(")")
        if closed < opened:
            raise Refused(f"Bad value for resources, mismatched parentheses in '{entry}'")
        # Differs from Mesos: it overlooks what stands between ')' and ':'.
        if head[closed + 1 :].strip():
            raise Refused(f"Bad value for resources, text after ')' in '{entry}'")
        name, role = head[:opened].strip(), head[opened + 1 : closed].strip()
    try:
        value = _parse_value(text)
    except Refused as refused:
        raise Refused(
            f"Failed to parse resource {name} value {text} error {refused.text}"
        ) from None
    if isinstance(value, str):
        raise Refused(f"Bad type for resource {name} value {text} type TEXT")
    reservations = () if role == UNRESERVED else (static_reservation(role),)
    if isinstance(value, Ranges):
        return mesos.Resource(
            name=name, type=ValueType.RANGES, ranges=value.to_wire(), reservations=reservations
        )
    if isinstance(value, tuple):
        items = mesos.Value.Set(item=value)
        return mesos.Resource(name=name, type=ValueType.SET, set=items, reservations=reservations)
    amount = mesos.Value.Scalar(value)
    return mesos.Resource(
        name=name, type=ValueType.SCALAR, scalar=amount, reservations=reservations
    )


def _check_flag(kinds: Iterable[Kind]) -> None:
    """What frameworks and operators make later cannot be given by a flag."""
    types: dict[str, ValueType] = {}
    for kind in kinds:
        if kind.is_persistent_volume:
            raise Refused("Persistent volumes cannot be specified at the command line")
        if kind.revocable:
            raise Refused(
                "Revocable resources cannot be specified at the command line; do"
                " not include a 'revocable' key in the resources JSON"
            )
        if kind.is_dynamically_reserved:
            raise Refused(
                "Dynamic reservations cannot be specified at the command line; do"
                " not include a reservation with DYNAMIC type in the resources JSON"
            )
        if types.setdefault(kind.name, kind.type) is not kind.type:
            raise Refused(
                f"Resources with the same name ('{kind.name}') but different types are not allowed"
            )


def _parse_attribute(entry: str) -> mesos.Attribute:
    name, colon, text = entry.partition(":")
    if not colon or not name or not text:
        raise Refused(f"Invalid attribute key:value pair '{entry}'")
    try:
        value = _parse_value(text)
    except Refused as refused:
        raise Refused(
            f"Failed to parse attribute {name} text {text} error {refused.text}"
        ) from None
    if isinstance(value, str):
        return mesos.Attribute(name=name, type=ValueType.TEXT, text=mesos.Value.Text(value))
    if isinstance(value, Ranges):
        return mesos.Attribute(name=name, type=ValueType.RANGES, ranges=value.to_wire())
    if isinstance(value, tuple):
        raise Refused(f"Bad type for attribute {name} text {text} type SET")
    return mesos.Attribute(name=name, type=ValueType.SCALAR, scalar=mesos.Value.Scalar(value))


def _parse_value(text: str) -> Parsed:
    """A number, ranges, a set or text, told apart by how it begins; spaces do not count."""
    bare = text.replace(" ", "")
    if not bare:
        raise Refused("Expecting non-empty string")
    if not all(_is_matched(bare, opening, closing) for opening, closing in _BRACKETS):
        raise Refused("Mismatched brackets")
    if bare[0] == "[":
        return _parse_ranges(bare)
    if "[" in bare:
        raise Refused("Unexpected '[' found")
    if bare[0] == "{":
        return tuple([item for item in re.split(r"[{},\n]", bare) if item])
    if "{" in bare:
        raise Refused("Unexpected '{' found")
    return _parse_number(bare)


def _is_matched(text: str, opening: str, closing: str) -> bool:
    depth = 0
    for c in text:
        depth += (c == opening) - (c == closing)
        if depth < 0:
            return False
    return depth == 0


def _parse_ranges(text: str) -> Ranges:
    tokens = [token for token in re.split(r"[\[\]\-,\n]", text) if token]
    if len(tokens) % 2:
        raise Refused('Expecting one or more "ranges"')
    for token in tokens:
        if not _WHOLE.fullmatch(token):
            raise Refused(f"Expecting non-negative integers in '{token}'")
    numbers = [int(token) for token in tokens]
    return Ranges.of(zip(numbers[::2], numbers[1::2], strict=True))


def _parse_number(text: str) -> float | str:
    """The number; a text that is none, or one that no resource can be, stays text."""
    try:
        number = _number(text)
    except (ValueError, OverflowError):
        return text
    if not math.isfinite(number) or number < 0:
        return text
    if 0 < number < sys.float_info.min:
        raise Refused("Subnormal values not supported")
    return number


def _number(text: str) -> float:
    # Python takes underscores, surrounding whitespace and other alphabets' digits; the flag does not.
    if "_" in text or text != text.strip() or not text.isascii():
        raise ValueError(text)
    return float.fromhex(text) if text[:2].lower() == "0x" else float(text)
