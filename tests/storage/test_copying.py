"""What is copied is there, whole, and nothing else; what stands in the way is told before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tepui.storage.copying import Changed, Copied, NotEmpty, copy
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import StoreFailed, Write
from tepui.storage.zookeeper import VALUE_BYTES_MAX, ZooKeeperStore
from tepui.zookeeper.url import parse_zk_url
from tests.storage.stores import opened_session

OBJECTS = {"agents/a1": b"one", "agents": b"", "later/version": b"\0\xffnot ours", "epoch": b"7"}


def memory(objects: dict[str, bytes]) -> Memory:
    made = Memory()
    made.objects = dict(objects)
    return made


def copied(source: Memory, destination: Memory, *, replace: bool = False) -> Copied:
    return asyncio.run(copy(MemoryStore(source), lambda: MemoryStore(destination), replace=replace))


def test_all_objects_are_copied_and_the_source_is_left() -> None:
    source, destination = memory(OBJECTS), Memory()
    assert copied(source, destination) == Copied(4, 3 + 0 + 10 + 1, 0)
    assert destination.objects == source.objects == OBJECTS


def test_a_place_that_is_not_empty_is_refused_and_left() -> None:
    destination = memory({"agents/b": b"old"})
    with pytest.raises(NotEmpty, match="1 objects are there already, such as 'agents/b'"):
        copied(memory(OBJECTS), destination)
    assert destination.objects == {"agents/b": b"old"}


def test_what_is_replaced_leaves_nothing() -> None:
    destination = memory({"agents/b": b"old", "epoch": b"3"})
    assert copied(memory(OBJECTS), destination, replace=True).replaced == 2
    assert destination.objects == OBJECTS


def test_what_is_read_back_otherwise_is_told() -> None:
    class Forgetful(MemoryStore):
        async def save(self, writes: Sequence[Write]) -> None:
            await super().save([one for one in writes if one.key != "epoch"])

    destination = Memory()
    with pytest.raises(Changed, match="1 objects are not as they were written: 'epoch'"):
        asyncio.run(copy(MemoryStore(memory(OBJECTS)), lambda: Forgetful(destination)))


def test_a_value_too_long_for_the_destination_is_refused_before_anything_is_written() -> None:
    class Small(MemoryStore):
        @property
        def value_bytes_max(self) -> int:
            return 9

    destination = Memory()
    with pytest.raises(StoreFailed, match="more than 9 bytes, which is the most: 'later/version'"):
        asyncio.run(copy(MemoryStore(memory(OBJECTS)), lambda: Small(destination)))
    assert (destination.opened, destination.objects) == (0, {})


@pytest.mark.real
def test_sqlite_and_zookeeper_hold_the_same_after_a_journey(tmp_path: Path, zk_url: str) -> None:
    async def test() -> None:
        first, last = SqliteStore(tmp_path / "first"), tmp_path / "last"
        objects = {**OBJECTS, "large": b"x" * VALUE_BYTES_MAX}
        await first.open()
        await first.save([Write(key, value) for key, value in objects.items()])
        await first.close()
        async with opened_session(zk_url) as session:
            path = parse_zk_url(zk_url).path
            await copy(SqliteStore(tmp_path / "first"), lambda: ZooKeeperStore(session, path))
            await copy(ZooKeeperStore(session, path), lambda: SqliteStore(last))
        store = SqliteStore(last)
        assert await store.open() == objects
        await store.close()

    asyncio.run(test())


def test_a_source_in_use_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        used, destination = SqliteStore(tmp_path / "registry.db"), Memory()
        await used.open()
        with pytest.raises(StoreFailed, match="is in use by this process"):
            await copy(SqliteStore(tmp_path / "registry.db"), lambda: MemoryStore(destination))
        assert destination.opened == 0
        await used.close()

    asyncio.run(test())
