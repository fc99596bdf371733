"""Durations as Mesos writes them in flags and environments: `5secs`, `1.5mins`.

Source: Mesos 3rdparty/stout/include/stout/duration.hpp.
"""

from __future__ import annotations

import re

from tepui.base.errors import Refused

_MS = {
    "ns": 1e-6,
    "us": 1e-3,
    "ms": 1.0,
    "secs": 1e3,
    "mins": 60e3,
    "hrs": 3600e3,
    "days": 24 * 3600e3,
    "weeks": 7 * 24 * 3600e3,
}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def parse_duration_ms(text: str) -> int:
    """Milliseconds of `15mins`; raises Refused naming the text and the units."""
    match = _TEXT.fullmatch(text.strip())
    if match is None or match[2] not in _MS:
        raise Refused(f"duration '{text}': expected a number and one of {', '.join(_MS)}")
    return round(float(match[1]) * _MS[match[2]])
