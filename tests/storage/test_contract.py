"""What every store promises: in memory, in SQLite and in ZooKeeper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.storage.store import KEY_CHARS_MAX, WRITES_MAX, Fenced, StoreFailed, Write
from tests.storage.stores import Kind, Test, in_memory, in_sqlite, in_zookeeper, puts

Run = Callable[[Test], None]


@pytest.fixture(params=["memory", "sqlite", pytest.param("zookeeper", marks=pytest.mark.real)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test with a store of this kind that holds nothing."""
    if kind == "memory":
        return lambda test: in_memory(tmp_path, test)
    if kind == "sqlite":
        return lambda test: in_sqlite(tmp_path, test)
    url = str(request.getfixturevalue("zk_url"))
    return lambda test: in_zookeeper(url, test)


def test_what_was_saved_is_found_again(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        assert await store.open() == {}
        await store.save(puts(("agents/a1", b'{"id":"a1"}'), ("quota", b"q")))
        await store.save(puts(("agents/a2", b"2")))
        await store.close()
        expected = {"agents/a1": b'{"id":"a1"}', "agents/a2": b"2", "quota": b"q"}
        assert await kind.contents() == expected
        assert await kind.contents() == expected

    run(test)


def test_a_later_write_of_a_key_wins(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(puts(("a", b"1"), ("b", b"1"), ("a", b"2"), ("b", None), ("c", None)))
        await store.save(puts(("a", b"3"), ("d", b"1"), ("d", None), ("e", None), ("e", b"2")))
        await store.close()
        assert await kind.contents() == {"a": b"3", "e": b"2"}

    run(test)


def test_what_was_removed_is_gone_and_may_come_back(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(puts(("a/b", b"1"), ("a/c", b"2")))
        await store.save(puts(("a/b", None), ("never/was", None)))
        await store.close()
        store = kind.new()
        assert await store.open() == {"a/c": b"2"}
        await store.save(puts(("a/b", b"3"), ("a/c", None)))
        await store.close()
        assert await kind.contents() == {"a/b": b"3"}

    run(test)


def test_a_key_may_begin_with_another_key(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(puts(("a/b/c", b"3"), ("a", b"1"), ("a/b", b"2")))
        await store.save(puts(("a", None)))
        await store.close()
        store = kind.new()
        assert await store.open() == {"a/b": b"2", "a/b/c": b"3"}
        await store.save(puts(("a/b/c", None), ("a", b"4")))
        await store.close()
        assert await kind.contents() == {"a": b"4", "a/b": b"2"}

    run(test)


def test_every_value_is_a_value(run: Run) -> None:
    values = {
        "empty": b"",
        "zero": b"\0",
        "zeros": b"\0\0x",
        "unicode": "Ünïcödé 東京 🌋".encode(),
        "any": bytes(range(256)),
    }

    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(tuple(Write(key, value) for key, value in values.items()))
        await store.close()
        assert await kind.contents() == values

    run(test)


def test_every_printable_key_is_a_key(run: Run) -> None:
    keys = ["owner", "owner/owner", ".a", "...", "a b/ c", "".join(map(chr, range(33, 47)))]
    keys += ["".join(map(chr, range(48, 127))), "x" * KEY_CHARS_MAX, "y/" * 20 + "y"]

    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(tuple(Write(key, b"v") for key in keys))
        await store.close()
        assert await kind.contents() == dict.fromkeys(keys, b"v")

    run(test)


@pytest.mark.parametrize(
    "key",
    ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "../a", "ä", "a\n", "a\0", "x" * (KEY_CHARS_MAX + 1)],
    ids=lambda key: repr(key[:8]),
)  # fmt: skip
def test_other_keys_are_refused_before_anything_is_written(run: Run, key: str) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        with pytest.raises(ValueError, match="key"):
            await store.save(puts(("before", b"1"), (key, b"2")))
        await store.save(puts(("after", b"1")))
        await store.close()
        assert await kind.contents() == {"after": b"1"}

    run(test)


@pytest.mark.long
def test_the_largest_value_is_saved_and_a_larger_one_refused(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        value = b"\0" * store.value_bytes_max
        await store.open()
        await store.save(puts(("x" * KEY_CHARS_MAX, value)))
        await store.save(puts(("y/" * (KEY_CHARS_MAX // 2 - 1) + "y", value), ("z", b"")))
        with pytest.raises(ValueError, match=f"more than {store.value_bytes_max}"):
            await store.save(puts(("before", b"1"), ("large", value + b"1")))
        await store.close()
        found = await kind.contents()
        assert sorted(map(len, found.values())) == [0, len(value), len(value)]
        assert found["x" * KEY_CHARS_MAX] == value

    run(test)


@pytest.mark.long
def test_the_most_writes_are_saved_and_more_are_refused(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        writes = [Write(f"k{number % 1000}", b"%d" % number) for number in range(WRITES_MAX)]
        await store.save(writes)
        with pytest.raises(ValueError, match=f"more than {WRITES_MAX}"):
            await store.save([*writes, Write("one more", b"")])
        await store.close()
        found = await kind.contents()
        assert len(found) == 1000
        assert found["k7"] == b"99007"

    run(test)


def test_ten_thousand_objects_are_found_again(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        objects = {f"agents/{number}": b"%d" % number for number in range(10_000)}
        await store.save([Write(key, value) for key, value in objects.items()])
        await store.close()
        assert await kind.contents() == objects

    run(test)


def test_saves_that_overlap_are_carried_out_in_order(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        order: list[int] = []

        async def save(number: int) -> None:
            await store.save(puts(("last", b"%d" % number), (f"n{number % 7}", b"%d" % number)))
            order.append(number)

        await asyncio.gather(*(save(number) for number in range(300)))
        await store.close()
        assert order == list(range(300))
        found = await kind.contents()
        assert found == {"last": b"299", **{f"n{n % 7}": b"%d" % n for n in range(293, 300)}}

    run(test)


def test_what_was_saved_before_close_is_carried_out(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        saves = [asyncio.create_task(store.save(puts((f"k{n}", b"")))) for n in range(10)]
        await asyncio.wait(saves, return_when=asyncio.FIRST_COMPLETED)
        await store.close()
        await asyncio.gather(*saves)
        assert len(await kind.contents()) == 10

    run(test)


def test_nothing_to_write_is_saved_at_once(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        await store.save(())
        await store.save(puts(("never/was", None)))
        await store.close()
        assert await kind.contents() == {}

    run(test)


def test_a_save_that_nobody_waits_for_is_carried_out(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        await store.open()
        saving = asyncio.create_task(store.save(puts(("a", b"1"))))
        await asyncio.sleep(0)
        saving.cancel()
        await store.save(puts(("b", b"2")))
        await store.close()
        assert await kind.contents() == {"a": b"1", "b": b"2"}

    run(test)


def test_a_store_that_is_not_open_saves_nothing(run: Run) -> None:
    async def test(kind: Kind) -> None:
        store = kind.new()
        with pytest.raises(StoreFailed, match="not open"):
            await store.save(puts(("a", b"1")))
        await store.open()
        await store.close()
        with pytest.raises(StoreFailed):
            await store.save(puts(("a", b"1")))
        assert await kind.contents() == {}

    run(test)


@pytest.mark.parametrize("kind", ["memory", pytest.param("zookeeper", marks=pytest.mark.real)])
def test_who_had_it_open_before_is_fenced(run: Run) -> None:
    async def test(kind: Kind) -> None:
        first, second = kind.new(), kind.new()
        await first.open()
        await first.save(puts(("a", b"first")))
        assert await second.open() == {"a": b"first"}
        for _ in range(2):
            with pytest.raises(Fenced, match="opened by another owner"):
                await first.save(puts(("a", b"late"), ("b", b"late")))
        with pytest.raises(Fenced):
            await first.save(())
        await second.save(puts(("c", b"second")))
        with pytest.raises(Fenced):
            await first.save(puts(("a", None)))
        await first.close()
        await second.close()
        assert await kind.contents() == {"a": b"first", "c": b"second"}

    run(test)


@pytest.mark.parametrize("kind", ["memory", pytest.param("zookeeper", marks=pytest.mark.real)])
def test_of_saves_that_race_with_another_owner_a_prefix_is_there(run: Run) -> None:
    async def test(kind: Kind) -> None:
        first, second = kind.new(), kind.new()
        await first.open()
        saves = [
            asyncio.create_task(first.save(puts((f"k{number:03}", b"1")))) for number in range(100)
        ]
        await asyncio.wait(saves, return_when=asyncio.FIRST_COMPLETED)
        found = await second.open()
        await asyncio.wait(saves)
        saved = [number for number, save in enumerate(saves) if save.exception() is None]
        assert sorted(found) == [f"k{number:03}" for number in saved]
        assert saved == list(range(len(saved)))
        await first.close()
        await second.close()

    run(test)
