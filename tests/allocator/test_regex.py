"""Patterns of offer constraints."""

from __future__ import annotations

import pytest

from tepui.allocator.regex import PROGRAM_SIZE_MAX, compile_pattern
from tepui.base.errors import Refused


@pytest.mark.parametrize(
    ("regex", "text", "wanted"),
    [
        ("abc", "abc", True),
        ("abc", "abcd", False),
        ("a|bc|", "", True),
        ("(?i)RACK-[a-c]", "rack-B", True),
        ("[[:digit:]x]+", "12x", True),
        (".", "\n", False),
        ("é+", "éé", True),
    ],
)
def test_pattern_matches_all_of_a_text_or_nothing(regex: str, text: str, *, wanted: bool) -> None:
    assert (compile_pattern(regex).fullmatch(text) is not None) is wanted


@pytest.mark.parametrize(
    ("regex", "reason"),
    [("(", "missing ): ("), ("a{1000}{1000}", "bad repetition operator: {1000}{1000}")],
)
def test_pattern_with_a_fault_is_refused_with_the_words_of_re2(regex: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        compile_pattern(regex)
    assert refused.value.text == f"Failed to construct regex from pattern '{regex}': {reason}"


def test_largest_program_is_taken_and_the_next_refused() -> None:
    largest = next(n for n in range(1, 200) if compile_pattern("a" * n).programsize == 100)
    assert compile_pattern("a" * largest).programsize == PROGRAM_SIZE_MAX
    with pytest.raises(Refused, match="is larger than maximum of 100 allowed"):
        compile_pattern("a" * (largest + 1))


def test_pattern_that_hangs_backtracking_engines_is_answered() -> None:
    assert compile_pattern("(a*)*b").fullmatch("a" * 100_000) is None
