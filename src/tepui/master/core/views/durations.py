"""Durations in queries, with Mesos's words for wrong ones (stout/duration.hpp)."""

from __future__ import annotations

from tepui.base.durations import parse_duration_ns
from tepui.base.errors import Refused


def duration_ms(text: str) -> float:
    """The milliseconds that `text` says; raises Refused."""
    try:
        return parse_duration_ns(text) / 1_000_000
    except Refused:
        raise Refused(_fault(text)) from None


def _fault(text: str) -> str:
    at = next((i for i, c in enumerate(text) if not (c.isdigit() or c == ".")), None)
    if at is None:
        return f"Invalid duration '{text}'"
    number, unit = text[:at], text[at:]
    try:
        float(number)
    except ValueError:
        return f"Failed to convert '{number}' to number"
    return f"Unknown duration unit '{unit}'"
