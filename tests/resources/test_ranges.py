"""Ranges behave as the set of their numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.base.errors import Refused
from tepui.resources import Ranges
from tepui.resources.ranges import NUMBER_MAX, Pair
from tests.resources.strategies import laws, pairs, ranges


def numbers(r: Ranges) -> set[int]:
    return set(r.take(1000))


@laws
@given(st.lists(pairs, max_size=8))
def test_pairs_come_out_sorted_and_apart(given_pairs: list[Pair]) -> None:
    normal = Ranges.of(given_pairs)
    assert numbers(normal) == {n for b, e in given_pairs for n in range(b, e + 1)}
    for before, after in zip(normal.pairs, normal.pairs[1:], strict=False):
        assert before[1] + 1 < after[0]


@laws
@given(ranges, ranges)
def test_ranges_agree_with_sets(a: Ranges, b: Ranges) -> None:
    assert numbers(a | b) == numbers(a) | numbers(b)
    assert numbers(a - b) == numbers(a) - numbers(b)
    assert numbers(a & b) == numbers(a) & numbers(b)
    assert a.contains(b) == (numbers(b) <= numbers(a))
    assert a.count() == len(numbers(a))
    assert bool(a) == bool(numbers(a))
    assert all((n in a) == (n in numbers(a)) for n in range(80))


@laws
@given(ranges, ranges)
def test_every_result_is_normal(a: Ranges, b: Ranges) -> None:
    for result in (a | b, a - b, a & b):
        assert result == Ranges.of(result.pairs)
        assert hash(result) == hash(Ranges.of(result.pairs))


@laws
@given(ranges)
def test_wire_round_trip(a: Ranges) -> None:
    assert Ranges.from_wire(a.to_wire()) == a


def test_formatting() -> None:
    assert str(Ranges.of([(33000, 33001), (31000, 32000)])) == "[31000-32000, 33000-33001]"
    assert str(Ranges()) == "[]"


def test_touching_pairs_coalesce_and_distant_ones_do_not() -> None:
    assert Ranges.of([(1, 2), (3, 4)]).pairs == ((1, 4),)
    assert Ranges.of([(1, 2), (4, 5)]).pairs == ((1, 2), (4, 5))


def test_take_stops_at_its_limit_however_wide_the_range() -> None:
    assert list(Ranges.of([(5, NUMBER_MAX)]).take(3)) == [5, 6, 7]


def test_inverted_pair_is_refused_and_single_number_is_not() -> None:
    assert Ranges.of([(7, 7)]).count() == 1
    with pytest.raises(Refused, match="begin > end"):
        Ranges.of([(8, 7)])


def test_number_beyond_uint64_is_refused_and_the_last_is_not() -> None:
    assert NUMBER_MAX in Ranges.of([(0, NUMBER_MAX)])
    with pytest.raises(Refused, match="not within uint64"):
        Ranges.of([(0, NUMBER_MAX + 1)])
