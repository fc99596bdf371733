"""The algebra of Resources."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tepui.resources import Ranges, Resources
from tepui.resources.convert import entry_of
from tests.resources.strategies import laws, old_format_resources, resources


def are_disjoint(a: Resources, b: Resources) -> bool:
    """No number, item or exclusive volume is in both."""
    for kind, amount in a.items():
        other = b.amount(kind)
        if isinstance(amount, Ranges) and isinstance(other, Ranges) and amount & other:
            return False
        if isinstance(amount, frozenset) and isinstance(other, frozenset) and amount & other:
            return False
    return True


@laws
@given(resources, resources, resources)
def test_addition_is_associative_and_commutative(a: Resources, b: Resources, c: Resources) -> None:
    assert (a + b) + c == a + (b + c) == Resources.total([c, a, b])
    assert a + b == b + a
    assert hash(a + b) == hash(b + a)


@laws
@given(resources)
def test_empty_changes_nothing(a: Resources) -> None:
    assert a + Resources.empty == a == Resources.empty + a == a - Resources.empty
    assert a - a == Resources.empty
    assert not a - a
    assert a.contains(a)
    assert a.contains(Resources.empty)
    assert Resources.empty.contains(a) == (not a)


@laws
@given(resources, resources)
def test_what_was_added_can_be_taken_away(a: Resources, b: Resources) -> None:
    assert (a + b).contains(b)
    assume(are_disjoint(a, b))
    assert (a + b) - b == a


@laws
@given(resources, resources)
def test_contains_is_the_condition_of_subtraction(a: Resources, b: Resources) -> None:
    if a.contains(b):
        assert (a - b) + b == a
    else:
        with pytest.raises(ValueError, match="does not contain"):
            a - b


@laws
@given(resources, resources)
def test_quantities_add_up(a: Resources, b: Resources) -> None:
    assume(are_disjoint(a, b))
    both, left, right = (a + b).quantities(), a.quantities(), b.quantities()
    assert both == {n: left.get(n, 0) + right.get(n, 0) for n in left.keys() | right.keys()}
    assert all(a.scalar(n) == left[n] for n in left if n in ("cpus", "mem", "disk"))


@laws
@given(resources)
def test_parts_make_the_whole(a: Resources) -> None:
    assert Resources.total([a.unreserved(), *a.reservations().values()]) == a
    assert a.revocable() + a.nonrevocable() == a
    assert a.shared() + a.nonshared() == a
    assert Resources.total(a.named(name) for name in a.names()) == a
    assert all(a.reserved_to(role) == part for role, part in a.reservations().items())
    for role in ("web", "db", "db/x", "*"):
        assert a.contains(a.allocatable_to(role))


@laws
@given(resources)
def test_new_format_round_trip(a: Resources) -> None:
    assert Resources.of(a.to_wire(role="web", refinement=True)) == a


@laws
@given(old_format_resources)
def test_old_format_round_trip(a: Resources) -> None:
    assert Resources.of(a.to_wire(role=None, refinement=False)) == a


@laws
@given(resources, st.integers(0, 1000))
def test_order_of_wire_entries_does_not_matter(a: Resources, seed: int) -> None:
    wire = list(a.to_wire(role=None, refinement=True))
    random.Random(seed).shuffle(wire)
    shuffled = Resources.of(wire)
    assert shuffled == a
    assert hash(shuffled) == hash(a)


@laws
@given(resources)
def test_nothing_empty_is_kept(a: Resources) -> None:
    assert all(amount for _, amount in (a + a).items())
    for one in a.to_wire(role=None, refinement=True):
        assert entry_of(one)[1]
