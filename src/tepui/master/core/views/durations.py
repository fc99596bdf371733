"""Durations as operators write them: `1.5mins` (Mesos: stout/duration.hpp)."""

from __future__ import annotations

from tepui.base.errors import Refused

UNITS_MS = {
    "ns": 1e-6,
    "us": 1e-3,
    "ms": 1.0,
    "secs": 1e3,
    "mins": 60e3,
    "hrs": 3_600e3,
    "days": 24 * 3_600e3,
    "weeks": 7 * 24 * 3_600e3,
}


def duration_ms(text: str) -> float:
    """The milliseconds that `text` says; raises Refused."""
    at = next((i for i, c in enumerate(text) if not (c.isdigit() or c == ".")), None)
    if at is None:
        raise Refused(f"Invalid duration '{text}'")
    number, unit = text[:at], text[at:]
    try:
        value = float(number)
    except ValueError:
        raise Refused(f"Failed to convert '{number}' to number") from None
    if unit not in UNITS_MS:
        raise Refused(f"Unknown duration unit '{unit}'")
    return value * UNITS_MS[unit]
