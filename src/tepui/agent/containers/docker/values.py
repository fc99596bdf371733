"""What the values of flags of `docker run` say: each raises BadValue for a text that is none of its kind."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

PORTS_MAX: Final = 1000  # of one range
MIB_POWERS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
NS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip


class BadValue(Exception):
    """The value of a flag cannot be: the text says what it has to be."""


def switch(value: str) -> bool:
    """Return whether it says yes."""
    if value.lower() in ("", "true", "t", "1"):
        return True
    if value.lower() in ("false", "f", "0"):
        return False
    raise BadValue("is neither true nor false")


def number(value: str) -> int:
    """Return a whole number."""
    try:
        return int(value)
    except ValueError:
        raise BadValue("is no whole number") from None


def size(value: str) -> int:
    """Return bytes; -1 is no limit."""
    if value == "-1":
        return -1  # no limit
    found = SIZE.fullmatch(value)
    if found is None:
        raise BadValue("is no size such as 64m")
    return int(Decimal(found[1]) * (1 << MIB_POWERS[found[2].lower()]))


def duration(value: str) -> int:
    """Return nanoseconds."""
    parts = DURATION_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise BadValue("is no duration such as 1m30s")
    return int(sum(Decimal(number) * NS[unit] for number, unit in parts))


def nano_cpus(value: str) -> int:
    """Return billionths of a cpu."""
    try:
        nano = Decimal(value) * 10**9
    except InvalidOperation:
        raise BadValue("is no number of cpus") from None
    if not nano.is_finite() or nano < 0 or nano != int(nano):
        raise BadValue("is no number of cpus")
    return int(nano)


def pair(value: str, separator: str, what: str) -> tuple[str, str]:
    """Return what is left and right of the separator, in a value of that form."""
    left, found, right = value.partition(separator)
    if not found or not left:
        raise BadValue(f"is not of the form {what}")
    return left, right


def assignment(value: str) -> tuple[str, str]:
    """Return name and value."""
    return pair(value, "=", "name=value")


def port_range(text: str) -> range:
    """Return a range of ports; one is a range as well."""
    first, _, last = text.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found or found[-1] > 65535 or len(found) > PORTS_MAX:
        raise BadValue(f"has a range that is no range of at most {PORTS_MAX} ports")
    return found
