"""Durations as Mesos writes them in flags and environments: `5secs`, `1.5mins`, `500ms`.

Source: Mesos 3rdparty/stout/include/stout/duration.hpp.
"""

from __future__ import annotations

import re

from tepui.base.errors import Refused

_NS_BY_UNIT = {
    "weeks": 604_800_000_000_000,
    "days": 86_400_000_000_000,
    "hrs": 3_600_000_000_000,
    "mins": 60_000_000_000,
    "secs": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_TEXT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)", re.ASCII)
_NS_MAX = 2**63 - 1  # what the API can carry: about 292 years


def parse_duration_ns(text: str) -> int:
    """Nanoseconds of `15mins`; raises Refused naming the text and the units."""
    match = _TEXT.fullmatch(text.strip())
    unit_ns = _NS_BY_UNIT.get(match[2]) if match else None
    if match is None or unit_ns is None:
        units = ", ".join(reversed(_NS_BY_UNIT))
        raise Refused(f"duration '{text}': expected a number and one of {units}")
    whole, _, fraction = match[1].partition(".")
    # In integers: a float would lose the nanoseconds of long durations.
    parts: int = 10 ** len(fraction)
    nanoseconds = int(whole or 0) * unit_ns + int(fraction or 0) * unit_ns // parts
    if nanoseconds > _NS_MAX:
        raise Refused(f"duration '{text}': longer than {format_duration_ns(_NS_MAX)}")
    return nanoseconds


def parse_duration_ms(text: str) -> int:
    """Milliseconds of `15mins`, rounded up, so that only nothing becomes 0."""
    return -(-parse_duration_ns(text) // 1_000_000)


def format_duration_ns(nanoseconds: int) -> str:
    """The duration in its largest unit: `5secs`, `1.5mins`, `0ns`."""
    for unit, unit_ns in _NS_BY_UNIT.items():
        if abs(nanoseconds) >= unit_ns:
            return f"{nanoseconds / unit_ns:.15g}{unit}"
    return "0ns"


def format_duration_ms(milliseconds: int) -> str:
    """The duration in its largest unit: `5secs`, `1.5mins`, `0ns`."""
    return format_duration_ns(milliseconds * 1_000_000)
