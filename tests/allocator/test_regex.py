"""The regular expressions of offer constraints."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.allocator.regex import ANSWERS_MAX, PROGRAM_SIZE_MAX, TooComplex, compile_pattern
from tepui.allocator.regex_syntax import DEPTH_MAX


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        ("", "", True),
        ("", "a", False),
        ("abc", "abc", True),
        ("abc", "abcd", False),
        ("abc", "ab", False),
        ("a|bc|", "bc", True),
        ("a|bc|", "", True),
        ("a*", "aaaa", True),
        ("a+", "", False),
        ("(ab)+?", "abab", True),
        ("a{2,3}", "a", False),
        ("a{2,3}", "aaa", True),
        ("a{2,3}", "aaaa", False),
        ("a{2,}", "aaaaa", True),
        ("a{,3}", "a{,3}", True),
        (".", "\n", False),
        ("(?s).", "\n", True),
        ("(?i)RACK-[a-c]", "rack-B", True),
        ("(?i:r)X", "Rx", False),
        ("[^a-c]", "d", True),
        ("[^a-c]", "b", False),
        ("[]a]+", "]a]", True),
        ("[a-]+", "-a", True),
        ("[[:digit:]x]+", "12x", True),
        ("[[:^digit:]]", "1", False),
        (r"[\d\-]+", "1-2", True),
        (r"\w+\.\W", "ab_1.!", True),
        (r"\bab\b", "ab", True),
        (r"a\Bb", "ab", True),
        (r"\x41\x{1F600}", "A\U0001f600", True),
        (r"\Qa.b\E+", "a.bb", True),
        (r"\Aab\z", "ab", True),
        (r"^ab$", "ab", True),
        (r"(?m)a$\n^b", "a\nb", True),
        (r"(?P<name>a)(?:b)", "ab", True),
        ("é+", "éé", True),
    ],
)
def test_pattern_matches_all_of_a_text_or_nothing(pattern: str, text: str, *, wanted: bool) -> None:
    assert compile_pattern(pattern).matches(text) is wanted


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(", "missing ): ("),
        ("(ab", "missing ): (ab"),
        ("ab)", "unexpected ): ab)"),
        ("[ab", "missing ]: [ab"),
        ("[b-a]", "invalid character class range: b-a"),
        ("[[:no:]]", "invalid character class range: [:no:]"),
        ("*", "no argument for repetition operator: *"),
        ("a|+", "no argument for repetition operator: +"),
        ("a**", "bad repetition operator: **"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("a{3,2}", "invalid repetition size: {3,2}"),
        ("a\\", "trailing \\ at end of regexp"),
        ("\\y", "invalid escape sequence: \\y"),
        ("\\x4", "invalid escape sequence: \\x4"),
        ("(?=a)", "invalid perl operator: (?="),
        ("(?P<a-b>a)", "invalid named capture group: (?P<a-b>"),
        ("(a)\\1", "invalid escape sequence: \\1"),
    ],
)
def test_pattern_with_a_fault_is_refused(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text) + "$"):
        compile_pattern(pattern)


def test_largest_program_is_taken_and_the_next_refused() -> None:
    compile_pattern("a" * (PROGRAM_SIZE_MAX - 1))
    with pytest.raises(TooComplex):
        compile_pattern("a" * PROGRAM_SIZE_MAX)
    with pytest.raises(TooComplex):
        compile_pattern("(((a{100}){100}){100}){100}")


def test_deepest_nesting_is_taken_and_the_next_refused() -> None:
    compile_pattern("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    with pytest.raises(ValueError, match="nests too deeply"):
        compile_pattern("(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1))


def test_pattern_that_hangs_backtracking_engines_is_answered() -> None:
    assert not compile_pattern("(a+)+b").matches("a" * 200)
    assert not compile_pattern("(a*)*(a*)*(a|a)*b").matches("a" * 200)
    assert compile_pattern("(a|aa)*").matches("a" * 201)


def test_answers_are_remembered_up_to_a_limit() -> None:
    pattern = compile_pattern("a[0-9]+")
    for number in range(ANSWERS_MAX + 10):
        assert pattern.matches(f"a{number}")
    assert pattern.matches("a1")
    assert not pattern.matches("b1")


_ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", "1"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)  # a busy machine is no fault
@given(pattern=_PATTERNS, text=st.text(alphabet="ab1-", max_size=6))
def test_answers_are_those_of_the_standard_library(pattern: str, text: str) -> None:
    try:
        mine = compile_pattern(pattern)
    except TooComplex:
        return
    assert mine.matches(text) is (re.fullmatch(pattern, text) is not None)
