"""Fixed point: three decimals, rounded half away from zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.resources.scalars import UNREPRESENTABLE, format_milli, from_milli, milli
from tests.resources.strategies import laws


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0),
        (4, 4000),
        (0.1, 100),
        (0.0004, 0),
        (0.0005, 1),
        (0.00049999999, 0),
        (1.0015, 1002),
        (2.9999, 3000),
        (-1.0, -1000),
        (-0.0005, -1),
        (2**40 + 0.1235, 1099511627776124),
    ],
)
def test_a_value_is_rounded_to_three_decimals(value: float, expected: int) -> None:
    assert milli(value) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 9.3e15])
def test_what_does_not_fit_becomes_a_negative_amount(value: float) -> None:
    assert milli(value) == UNREPRESENTABLE
    assert format_milli(UNREPRESENTABLE) == "-9.22337203685478e+15"


@laws
@given(st.integers(-(10**14), 10**14))
def test_an_amount_survives_the_wire(amount: int) -> None:
    assert milli(from_milli(amount)) == amount


@laws
@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_a_sum_of_tenths_has_no_error(amounts: list[int]) -> None:
    assert sum(milli(from_milli(a)) for a in amounts) == sum(amounts)


@pytest.mark.parametrize(
    ("amount", "text"), [(4000, "4"), (100, "0.1"), (3905, "3.905"), (0, "0"), (10240000, "10240")]
)
def test_scalars_print_without_trailing_zeros(amount: int, text: str) -> None:
    assert format_milli(amount) == text
