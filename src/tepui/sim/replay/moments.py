"""Moments of a journal as people write them; all in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tepui.base.errors import Refused

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(\.\d{1,3})?)?", re.ASCII)
_SECONDS = re.compile(r"\+(\d{1,12}(?:\.\d{1,3})?)", re.ASCII)
_EXPECTED = "expected 2026-11-21T03:12:00Z, 03:12 or 03:12:00 of the last day, or +SECONDS"


def moment_ms(text: str, begins_ms: int, ends_ms: int) -> int:
    """Milliseconds since the epoch; `text_of_moment` can say it.

    `+SECONDS` counts from the start of the journal; a time alone is of its last day. Raises Refused
    naming the text and the forms.
    """
    try:
        found_ms = _read(text, begins_ms, ends_ms)
        text_of_moment(found_ms)
    except (ValueError, OverflowError):  # no such date, or none of the years 1 to 9999
        raise Refused(f"moment '{text}': {_EXPECTED}") from None
    return found_ms


def _read(text: str, begins_ms: int, ends_ms: int) -> int:
    if match := _SECONDS.fullmatch(text):
        return begins_ms + int(float(match[1]) * 1000)
    if match := _CLOCK.fullmatch(text):
        last = datetime.fromtimestamp(ends_ms / 1000, UTC)
        found = last.replace(
            hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0
        )
        return _to_ms(found) + round(float(match[4] or 0) * 1000)
    found = datetime.fromisoformat(text)
    return _to_ms(found if found.tzinfo else found.replace(tzinfo=UTC))


def text_of_moment(at_ms: int) -> str:
    """The moment in ISO 8601, with milliseconds."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"


def _to_ms(moment: datetime) -> int:
    return int((moment - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
