"""Durations of the API as milliseconds."""

from __future__ import annotations

from typing import Final

from tepui.wire import mesos

SECONDS_MAX: Final = 2**63 // 10**9  # 292 years, what a DurationInfo can hold; `Infinity` is this


def to_ms(duration: mesos.DurationInfo) -> int:
    """Whole milliseconds, at least 0."""
    return max(0, duration.nanoseconds // 1_000_000)


def seconds_to_ms(seconds: float) -> int:
    """Whole milliseconds, from 0 to those of SECONDS_MAX."""
    return round(min(max(0.0, seconds), SECONDS_MAX) * 1000)
