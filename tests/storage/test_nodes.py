"""Which nodes are made, set and removed for which writes, and how they are grouped."""

from __future__ import annotations

import pytest

from tepui.storage.nodes import (
    GROUP_BYTES_MAX,
    GROUP_PARTS_MAX,
    PART_BYTES,
    Nodes,
    decoded,
    encoded,
    groups,
)
from tepui.storage.store import Write
from tepui.zookeeper.session import Create, Delete, Part, Put


def parts(nodes: Nodes, key: str, value: bytes | None) -> list[Part]:
    return list(nodes.parts(Write(key, value)))


def test_parents_are_made_once_and_before_their_children() -> None:
    nodes = Nodes("/r")
    assert parts(nodes, "a/b/c", b"1") == [
        Create("/r/a", b""),
        Create("/r/a/b", b""),
        Create("/r/a/b/c", b"1"),
    ]
    assert parts(nodes, "a/b/d", b"1") == [Create("/r/a/b/d", b"1")]
    assert parts(nodes, "a/b/d", b"2") == [Put("/r/a/b/d", b"2")]


def test_what_is_there_is_known() -> None:
    nodes = Nodes("/r", [("a", False), ("a/b", True)])
    assert parts(nodes, "a", None) == []
    assert parts(nodes, "a/b", b"2") == [Put("/r/a/b", b"2")]
    assert parts(nodes, "a/b", None) == [Delete("/r/a/b")]
    assert parts(nodes, "a/b", None) == []


def test_an_object_that_has_children_loses_its_data_only() -> None:
    nodes = Nodes("/r", [("a", True), ("a/b", True)])
    assert parts(nodes, "a", None) == [Put("/r/a", b"")]
    assert parts(nodes, "a", None) == []
    assert parts(nodes, "a", b"2") == [Put("/r/a", b"2")]
    assert parts(nodes, "a/b", None) == [Delete("/r/a/b")]
    assert parts(nodes, "a", None) == [Delete("/r/a")]


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0", b"\0a", b"a\0", b"a"])
def test_a_value_is_other_than_the_data_of_a_parent(value: bytes) -> None:
    assert encoded(value) != b""
    assert decoded(encoded(value)) == value
    assert decoded(b"") is None


def test_a_group_has_so_many_parts_at_most() -> None:
    parts = [Delete(f"/r/{number}") for number in range(GROUP_PARTS_MAX + 1)]
    assert list(groups(parts[:-1])) == [parts[:-1]]
    assert list(groups(parts)) == [parts[:-1], parts[-1:]]


def test_a_group_has_so_many_bytes_at_most() -> None:
    one = Put("/r", b"v" * 1000)
    largest = Put("/s", b"v" * (GROUP_BYTES_MAX - 2 * PART_BYTES - 1000 - 4))
    assert list(groups([one, largest])) == [[one, largest]]
    larger = Put("/s", largest.data + b"v")
    assert list(groups([one, larger, one])) == [[one], [larger], [one]]


def test_nothing_to_write_is_one_group() -> None:
    assert list(groups([])) == [[]]
