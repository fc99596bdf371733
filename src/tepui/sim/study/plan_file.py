"""Reads a plan, or a saved state, from a file of YAML or JSON.

What cannot be is refused by path, value and rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from tepui.base.errors import Refused
from tepui.sim.study.plan import FOR_EVER, UNITS, Plan
from tepui.sim.study.plan_rules import faults, short

FILE_BYTES_MAX = 256 * 1024 * 1024  # of a plan, or of the state of a cluster


def read_file(path: Path) -> object:
    """What the file holds. Raises Refused."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Refused(f"'{path}' is larger than {FILE_BYTES_MAX} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"'{path}': {error.strerror}") from None
    try:
        found: object = msgspec.json.decode(content)  # of a large state YAML would take minutes
    except (msgspec.DecodeError, RecursionError):
        found = _read_yaml(path, content)
    return found


def plan_of(found: object) -> Plan:
    """The plan that the file holds. Raises Refused naming path, value and rule."""
    try:
        plan = msgspec.convert(found, Plan)
    except msgspec.ValidationError as error:
        raise Refused(_told(found, str(error))) from None
    for fault in faults(plan):
        raise Refused(fault)
    return plan


def changed(found: object, change: str) -> object:
    """What the file holds, with one value replaced: `agents.0.count=20`. Raises Refused."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise Refused(f"change '{change}': expected PATH=VALUE, such as agents.0.count=20")
    return _replaced(found, path.split("."), _value_of(text), change)


def _read_yaml(path: Path, content: bytes) -> object:
    try:
        found: object = yaml.load(content, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Refused(f"'{path}': {' '.join(str(error).split())}") from None
    return found


class _Loader(yaml.SafeLoader):
    """YAML in which no name stands twice in a mapping, for the first would be lost unnoticed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            name = key_node.value
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{name}' stands twice", key_node.start_mark
                )
            if isinstance(name, str):
                seen.add(name)
        found: dict[object, object] = super().construct_mapping(node, deep)
        return found


# What msgspec says, in our words

WORDS = {
    "int": "a whole number",
    "int | null": "a whole number",
    "float": "a number",
    "float | null": "a number",
    "str": "text",
    "str | object": "text or a mapping",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}

_WHERE = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_PART = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")


def _told(found: object, error: str) -> str:
    match = _WHERE.match(error)
    assert match is not None
    rule, path = match[1], (match[2] or "").lstrip(".")
    at = found
    for name, index in _PART.findall("." + path if path and path[0] != "[" else path):
        if name and isinstance(at, Mapping):
            at = at.get(name)
        elif index and isinstance(at, Sequence):
            at = at[int(index)]
    rule = rule.replace("`", "'")
    if "regex" in rule:
        for_ever = f", or {FOR_EVER}" if FOR_EVER in rule else ""
        rule = f"expected a number and a unit ({UNITS.replace('|', ', ')}){for_ever}"
    for word, meant in WORDS.items():
        rule = rule.replace(f"'{word}'", meant)
    if path.endswith((".mem", ".disk")):
        rule = rule.replace(f"xpected {WORDS['float']}", "xpected a number of MiB")
    rule = rule[0].lower() + rule[1:]
    if rule.startswith("object "):
        return f"{path or 'the plan'}: {rule.removeprefix('object ')}"
    return f"{path or 'the plan'} '{short(at)}': {rule}"


def _value_of(text: str) -> object:
    """The value as JSON, if it is that; else the text."""
    try:
        value: object = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text
    return value


def _replaced(found: object, path: Sequence[str], value: object, change: str) -> object:
    name, *rest = path
    if isinstance(found, list):
        if not name.isdecimal() or int(name) >= len(found):
            raise Refused(f"change '{change}': '{name}' is none of the {len(found)} there are")
        copy = list(found)
        copy[int(name)] = _replaced(copy[int(name)], rest, value, change) if rest else value
        return copy
    if found is None and rest:
        found = {}
    if not isinstance(found, dict):
        raise Refused(f"change '{change}': there is nothing below '{name}' to be changed")
    below = found.get(name)
    return {**found, name: _replaced(below, rest, value, change) if rest else value}
