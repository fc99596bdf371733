"""Durations of the API as milliseconds."""

from __future__ import annotations

from tepui.wire import mesos


def to_ms(duration: mesos.DurationInfo) -> int:
    """Whole milliseconds, at least 0."""
    return max(0, duration.nanoseconds // 1_000_000)


def seconds_to_ms(seconds: float) -> int:
    """Whole milliseconds, at least 0."""
    return max(0, round(seconds * 1000))
