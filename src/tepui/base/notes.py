"""Lines of a log: a constant text and fields, some of which others have said."""

from __future__ import annotations

from collections.abc import Iterable


def line(text: str, fields: Iterable[tuple[str, str]]) -> str:
    """One line, whatever the values are: one that would not be plain on it is quoted."""
    return " ".join((text, *(f"{name}={v if v.isprintable() else repr(v)}" for name, v in fields)))
