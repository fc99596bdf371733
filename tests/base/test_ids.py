"""Ids from a seed."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from tepui.base.ids import Uuids


def test_the_same_seed_draws_the_same_ids_and_another_seed_others() -> None:
    one, same, other = Uuids(b"seed"), Uuids(b"seed"), Uuids(b"other")
    drawn = [one.next_text() for _ in range(100)]
    assert drawn == [same.next_text() for _ in range(100)]
    assert len({*drawn, *(other.next_text() for _ in range(100))}) == 200


def test_ids_are_version_4_uuids_in_both_forms() -> None:
    text, raw = Uuids(b"").next_text(), Uuids(b"").next_bytes()
    assert UUID(text) == UUID(bytes=raw)
    assert (UUID(text).version, UUID(text).variant) == (4, RFC_4122)


def test_a_seed_may_be_longer_than_a_key() -> None:
    assert Uuids(b"x" * 1_000).next_bytes() == Uuids(b"x" * 64).next_bytes()
