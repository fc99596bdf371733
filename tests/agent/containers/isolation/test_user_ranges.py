"""Which ids of the host containers have: never two the same, and as long as one of a pod is there."""

from __future__ import annotations

import pytest

from tepui.agent.containers.isolation.user_ranges import (
    DEFAULT,
    ID_MAX,
    IDS_OF_ONE,
    UserRanges,
    range_of,
)
from tepui.agent.containers.spec import Users
from tepui.base.errors import HostError, Refused

FIRST = 100_000


def ranges(count: int) -> UserRanges:
    return UserRanges(FIRST, FIRST + count * IDS_OF_ONE - 1)


def users(number: int) -> Users:
    return Users(first=FIRST + number * IDS_OF_ONE, count=IDS_OF_ONE)


def test_each_container_has_a_range_and_what_is_in_it_the_same() -> None:
    some = ranges(3)
    assert some.take("a") == users(0)
    assert some.take("b") == users(1)
    assert some.take("a.one") == some.take("a.two.three") == users(0)


def test_last_range_is_given_and_then_none_until_one_is_free() -> None:
    some = ranges(2)
    some.take("a")
    assert some.take("b") == users(1)
    with pytest.raises(HostError, match="all 2 ranges of --user_namespace_ids are taken"):
        some.take("c")
    some.release("a")
    assert some.take("c") == users(0)


def test_range_is_taken_until_the_last_of_a_pod_is_gone() -> None:
    some = ranges(1)
    some.take("a")
    some.take("a.one")
    some.release("a")
    with pytest.raises(HostError):
        some.take("b")
    assert some.take("a.two") == users(0)
    some.release("a.one")
    some.release("a.two")
    some.release("a.two")
    assert some.take("b") == users(0)


def test_range_that_was_given_back_is_given_last() -> None:
    some = ranges(3)
    some.take("a")
    some.release("a")
    assert [some.take(name) for name in "bcd"] == [users(1), users(2), users(0)]


def test_ranges_of_an_earlier_agent_stay_taken() -> None:
    some = ranges(3)
    some.adopt("old", users(0))
    some.adopt("across", Users(first=FIRST + IDS_OF_ONE + 5, count=IDS_OF_ONE))
    some.adopt("elsewhere", Users(first=5_000_000, count=IDS_OF_ONE))
    assert some.take("old.new") == users(0)
    with pytest.raises(HostError):
        some.take("a")
    some.release("across")
    assert some.take("a") == users(1)
    assert some.take("b") == users(2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("100000", "a first and a last id"),
        ("a-b", "a first and a last id"),
        ("-5-100000", "a first and a last id"),
        (f"{IDS_OF_ONE - 1}-200000", "are of the host's own users"),
        (f"100000-{100_000 + IDS_OF_ONE - 2}", "so it holds none"),
        ("200000-100000", "so it holds none"),
        (f"100000-{ID_MAX + 1}", f"the last id is {ID_MAX} at most"),
    ],
)
def test_ids_that_cannot_be_are_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        range_of(text)


def test_first_ids_that_can_be_are_taken() -> None:
    assert range_of(f"{IDS_OF_ONE}-{ID_MAX}") == (IDS_OF_ONE, ID_MAX)
    assert range_of(f"100000-{100_000 + IDS_OF_ONE - 1}") == (100_000, 165_535)
    first, last = range_of(DEFAULT)
    assert (last - first + 1) % IDS_OF_ONE == 0
