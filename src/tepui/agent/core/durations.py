"""Durations as the API and the environment of tasks write them.

Source: Mesos 3rdparty/stout/include/stout/duration.hpp.
"""

from __future__ import annotations

from tepui.wire import mesos

_UNITS = (
    ("weeks", 604_800_000_000_000),
    ("days", 86_400_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("mins", 60_000_000_000),
    ("secs", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
)


def format_ms(duration_ms: int) -> str:
    """The duration in its largest unit: `5secs`, `1.5mins`, `0ns`."""
    nanoseconds = duration_ms * 1_000_000
    for name, unit in _UNITS:
        if abs(nanoseconds) >= unit:
            return f"{nanoseconds / unit:.15g}{name}"
    return f"{nanoseconds}ns"


def to_ms(duration: mesos.DurationInfo) -> int:
    """Whole milliseconds, at least 0."""
    return max(0, duration.nanoseconds // 1_000_000)


def seconds_to_ms(seconds: float) -> int:
    """Whole milliseconds, at least 0."""
    return max(0, round(seconds * 1000))
