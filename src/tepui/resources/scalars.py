"""Scalars in fixed point: an amount is an integer of thousandths (Mesos: common/values.cpp).

No float is ever summed: a value is rounded once when it comes in, and divided once when it goes out.
"""

from __future__ import annotations

# What Mesos's llround answers on x86-64 for what does not fit: negative, so validation refuses it.
UNREPRESENTABLE = -(2**63)


def milli(value: float) -> int:
    """`value` in thousandths, rounded half away from zero.

    NaN, infinities and what does not fit 64 bits become `UNREPRESENTABLE`, a negative amount.
    """
    scaled = value * 1000
    if -9.2e18 < scaled < 9.2e18:
        whole = int(scaled)
        # The fraction is exact: floats of this size leave nothing behind when subtracted.
        rest = scaled - whole
        if rest >= 0.5:
            return whole + 1
        if rest <= -0.5:
            return whole - 1
        return whole
    return UNREPRESENTABLE


def from_milli(amount: int) -> float:
    """The float nearest to `amount` thousandths, as it is written on the wire."""
    return amount / 1000


def format_milli(amount: int) -> str:
    """`amount` as Mesos prints a scalar: 15 significant digits, no trailing zeros."""
    return f"{from_milli(amount):.15g}"
