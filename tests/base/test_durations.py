"""Durations in the words of Mesos."""

from __future__ import annotations

import pytest

from tepui.base.durations import format_duration_ms, parse_duration_ms, parse_duration_ns
from tepui.base.errors import Refused


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0ns", 0),
        ("1ns", 1),
        ("7us", 7_000),
        ("500ms", 500_000_000),
        ("5secs", 5_000_000_000),
        ("1.5mins", 90_000_000_000),
        ("2hrs", 7_200_000_000_000),
        ("1days", 86_400_000_000_000),
        ("2weeks", 1_209_600_000_000_000),
        (".5secs", 500_000_000),
        ("5.secs", 5_000_000_000),
        (" 5 secs ", 5_000_000_000),
        ("15250weeks", 9_223_200_000_000_000_000),
        ("1.000000001secs", 1_000_000_001),
    ],
)
def test_duration_is_read_exactly(text: str, nanoseconds: int) -> None:
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "secs", "5s", "5 sec", "-1secs", "1e3secs", "1.2.3ms"])
def test_what_is_no_duration_is_refused_with_its_text_and_the_units(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_duration_ns(text)
    assert caught.value.text == (
        f"duration '{text}': expected a number and one of ns, us, ms, secs, mins, hrs, days, weeks"
    )


def test_longest_duration_is_the_one_the_api_can_carry() -> None:
    assert parse_duration_ns(f"{2**63 - 1}ns") == 2**63 - 1
    with pytest.raises(Refused, match="longer than"):
        parse_duration_ns(f"{2**63}ns")


def test_only_nothing_becomes_zero_milliseconds() -> None:
    assert parse_duration_ms("0secs") == 0
    assert parse_duration_ms("1ns") == 1
    assert parse_duration_ms("1500us") == 2


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ns"), (1, "1ms"), (5_000, "5secs"), (90_000, "1.5mins"), (604_800_000, "1weeks")],
)
def test_duration_is_written_in_its_largest_unit_and_read_back(
    milliseconds: int, text: str
) -> None:
    assert format_duration_ms(milliseconds) == text
    assert parse_duration_ms(text) == milliseconds
