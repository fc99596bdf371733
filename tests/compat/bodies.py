"""Compares the body of an answer with the one recorded: JSON by its values, all else as text."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from tests.compat import metrics
from tests.compat.jsonvalue import Json, parse
from tests.compat.jsonvalue import field as member
from tests.compat.matching import Names, Problem, compare
from tests.compat.recorded import body_bytes

GZIP = b"\x1f\x8b"  # how what is compressed starts
JSONP = re.compile(r"(.*?)\((?=[{\[])(.*)\)", re.DOTALL)
OWNERS = {  # of what is listed: where it names its framework
    **dict.fromkeys(
        ("tasks", "completed_tasks", "unreachable_tasks", "launched_tasks", "terminated_tasks"),
        ("framework_id",),
    ),
    **dict.fromkeys(("frameworks", "completed_frameworks"), ("id", "framework_info.id")),
    **dict.fromkeys(
        ("executors", "completed_executors"), ("framework_id", "executor_info.framework_id")
    ),
}


class Wanted(Struct, frozen=True):
    """The recorded body; of one that was cut only the start is known."""

    text: str
    cut: bool
    metrics: bool


def compared(
    wanted: Wanted,
    content: bytes,
    headers: Mapping[str, str],
    names: Names,
    ported: Callable[[str], str],
) -> list[Problem]:
    """What differs; what agrees is learned. `ported` puts our places for those of the recording."""
    if wanted.cut:
        return _compare_start(wanted, content, ported)
    known = body_bytes(wanted.text)
    if headers.get("content-encoding") == "gzip" and known[:2] == GZIP == content[:2]:
        known, content = gzip.decompress(known), gzip.decompress(content)
    elif wanted.text.startswith("base64:"):
        return [] if known == content else [Problem("body", repr(known), repr(content))]
    text, came = known.decode(), content.decode("utf-8", "replace")
    wrapped, other = JSONP.fullmatch(text), JSONP.fullmatch(came)
    if wrapped and other and wrapped[1] == other[1]:
        text, came = wrapped[2], other[2]
    if text[:1] in ("{", "[") and came[:1] in ("{", "["):
        recorded, got = parse(ported(text)), parse(came)
        if wanted.metrics:
            return metrics.compared(recorded, got, names)
        return compare(*_ours(recorded, got, names), names, "body")
    return [] if names.matches(ported(text), came) else [Problem("body", text, came)]


def _compare_start(wanted: Wanted, content: bytes, ported: Callable[[str], str]) -> list[Problem]:
    """The metrics of which only the start was kept are whole in other answers."""
    start, text = wanted.text, content.decode()
    if wanted.metrics:
        start = start[: start.index('"allocator') if '"allocator' in start else 1]
    return [] if text.startswith(ported(start)) else [Problem("body", start, text)]


def _ours(recorded: Json, got: Json, names: Names) -> tuple[Json, Json]:
    """Both without the tasks and frameworks of the scenarios before."""
    frameworks = {
        name: value for name, value in names.values.items() if name.startswith("<FRAMEWORK_")
    }
    return _only(recorded, {*frameworks}), _only(got, {*frameworks.values()})


def _only(answer: Json, frameworks: set[str]) -> Json:
    """The answer with the tasks and frameworks of these frameworks."""
    if not isinstance(answer, dict):
        return answer
    kept: dict[str, Json] = {}
    for key, value in answer.items():
        owner = OWNERS.get(key)
        if owner is not None and isinstance(value, list):
            kept[key] = [one for one in value if _owner(one, owner) in frameworks]
        else:
            kept[key] = _only(value, frameworks) if key.startswith("get_") else value
    return kept


def _owner(one: Json, keys: tuple[str, ...]) -> str | None:
    """The framework that an entry is of; the operator API has ids within messages."""
    for key in keys:
        found = member(one, *key.split("."))
        if found is not None:
            return str(member(found, "value") if isinstance(found, dict) else found)
    return None
