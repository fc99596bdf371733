"""Reads what a server wants to know: WWW-Authenticate. Source: RFC 9110, 11.6.1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

HEADER_LENGTH_MAX: Final = 8192

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(
    rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?:,|\Z)'
)
_SCHEME: Final = re.compile(rf"\s*({_TOKEN})(?:\s+|\Z|\s*,)")


class Challenge(Struct, frozen=True):
    """One way to say who we are."""

    scheme: str  # lower case
    parameters: Mapping[str, str]


def challenges_of(headers: Iterable[str]) -> list[Challenge]:
    """Return all ways that the headers name, as far as they can be read."""
    return [challenge for header in headers for challenge in _read(header[:HEADER_LENGTH_MAX])]


def _read(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while match := _SCHEME.match(header, at):
        at = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, at):
            at = parameter.end()
            key, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters[key.lower()] = value
        found.append(Challenge(match[1].lower(), parameters))
    return found
