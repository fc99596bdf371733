"""A ZooKeeperStore whose connection, session, servers and nodes are taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tepui.storage.store import Fenced, StoreFailed, Write
from tepui.storage.zookeeper import ZooKeeperStore
from tepui.zookeeper.errors import ConnectionLost, Unimplemented
from tepui.zookeeper.session import Node, SessionState, ZooKeeperSession
from tests.election.test_zookeeper import through
from tests.real.proxy import Mode, proxied
from tests.real.zookeeper import ZooKeeper, available
from tests.storage.stores import opened_session, puts

pytestmark = pytest.mark.real


async def contents(url: str) -> dict[str, bytes]:
    """What a store finds there."""
    async with opened_session(url) as session:
        return await ZooKeeperStore(session, session.url.path).open()


def test_an_object_is_a_node_that_can_be_read(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            path = session.url.path
            store = ZooKeeperStore(session, path)
            await store.open()
            await store.save(puts(("agents/a1", b'{"id":"a1"}')))
            assert (await session.get(f"{path}/agents/a1")).data == b'{"id":"a1"}'
            await store.save(puts(("agents/a1", None)))
            assert await session.children(f"{path}/agents") == []
            await store.close()

    asyncio.run(test())


@pytest.mark.parametrize("path", ["/", "", "a", "/a/"])
def test_a_path_that_is_not_of_the_store_alone_is_refused(zk_url: str, path: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            with pytest.raises(ValueError, match="must be absolute and not the root"):
                ZooKeeperStore(session, path)

    asyncio.run(test())


def test_a_save_whose_answer_was_lost_is_made_once(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port)) as session,
            opened_session(zk_url) as other,
        ):
            store = ZooKeeperStore(session, session.url.path)
            await store.open()
            for number in range(5):
                made = asyncio.Event()
                await other.children(other.url.path, made.set)
                proxy.deaf_after = b"unanswered"
                saving = asyncio.create_task(
                    store.save(puts((f"unanswered{number}", b"1"), ("gone", b"1"), ("gone", None)))
                )
                await made.wait()
                assert not saving.done()
                proxy.set(Mode.CUT)
                proxy.set(Mode.OPEN)
                await saving
                await store.save(puts(("next", b"%d" % number)))
            await store.close()
        found = await contents(zk_url)
        assert found == {**{f"unanswered{n}": b"1" for n in range(5)}, "next": b"4"}

    asyncio.run(test())


def test_a_save_that_did_not_arrive_is_made_after_all(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port)) as session,
        ):
            store = ZooKeeperStore(session, session.url.path)
            await store.open()
            await store.save(puts(("before", b"1")))
            proxy.set(Mode.SILENT)
            saves = [asyncio.create_task(store.save(puts((f"k{n}", b"1")))) for n in range(5)]
            await asyncio.sleep(0)
            proxy.set(Mode.CUT)
            proxy.set(Mode.OPEN)
            await asyncio.gather(*saves)
            await store.close()
        assert len(await contents(zk_url)) == 6

    asyncio.run(test())


def test_saves_go_on_while_connections_break(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port)) as session,
        ):
            store = ZooKeeperStore(session, session.url.path)
            await store.open()
            for number in range(200):
                saving = asyncio.create_task(
                    store.save(puts(("last", b"%d" % number), (f"k{number}", b"1")))
                )
                if number % 20 == 0:
                    await asyncio.sleep(number / 100_000)  # another moment of it each time
                    proxy.set(Mode.CUT)
                    proxy.set(Mode.OPEN)
                await saving
            await store.close()
        found = await contents(zk_url)
        assert found == {"last": b"199", **{f"k{number}": b"1" for number in range(200)}}

    asyncio.run(test())


def test_a_server_that_cannot_read_many_nodes_at_once_is_asked_for_each(zk_url: str) -> None:
    class Old(ZooKeeperSession):
        """A session with a server before 3.6, which closes the connection, too."""

        asked = 0

        async def get_many(self, paths: Sequence[str]) -> list[Node]:
            self.asked += 1
            if self.asked % 2:
                raise Unimplemented("22")
            raise ConnectionLost("closed by another of these requests")

    async def test() -> None:
        objects = {f"{name}/{n}": b"%d" % n for name in ("a", "a/b") for n in range(150)}
        async with opened_session(zk_url) as session:
            first = ZooKeeperStore(session, session.url.path)
            await first.open()
            await first.save(puts(*objects.items()))
            await first.close()
            old = Old(session.url)
            old.start()
            await old.connected()
            assert await ZooKeeperStore(old, session.url.path).open() == objects
            await old.close()
            assert await ZooKeeperStore(session, session.url.path).open() == objects

    asyncio.run(test())


def test_who_was_cut_off_finds_another_owner(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port)) as session,
            opened_session(zk_url) as other,
        ):
            first = ZooKeeperStore(session, session.url.path)
            await first.open()
            await first.save(puts(("a", b"first")))
            proxy.set(Mode.SILENT)
            saving = asyncio.create_task(first.save(puts(("a", b"late"))))
            later = asyncio.create_task(first.save(puts(("b", b"late"))))
            second = ZooKeeperStore(other, other.url.path)
            assert await second.open() == {"a": b"first"}
            proxy.set(Mode.CUT)
            proxy.set(Mode.OPEN)
            for save in (saving, later):
                with pytest.raises(StoreFailed, match="opened by another owner"):
                    await save
            await first.close()
            await second.save(puts(("c", b"second")))
            await second.close()
        assert await contents(zk_url) == {"a": b"first", "c": b"second"}

    asyncio.run(test())


def test_fenced_means_that_nothing_was_written(zk_url: str) -> None:
    """A save of several transactions that another owner interrupts says that some of it is there."""

    async def test() -> None:
        async with opened_session(zk_url) as one, opened_session(zk_url) as two:
            first = ZooKeeperStore(one, one.url.path)
            await first.open()
            large = [Write(f"k{number:05}", b"v" * 100) for number in range(50_000)]
            begun = asyncio.Event()
            await two.children(two.url.path, begun.set)
            saves = [
                asyncio.create_task(first.save(writes)) for writes in (large, puts(("z", b"")))
            ]
            await begun.wait()
            found = await ZooKeeperStore(two, two.url.path).open()
            await asyncio.wait(saves)
            assert 0 < len(found) < len(large)
            assert sorted(found) == [write.key for write in large[: len(found)]]
            partly, not_at_all = (save.exception() for save in saves)
            assert type(partly) is StoreFailed
            assert "in the middle of a save" in str(partly)
            assert type(not_at_all) is Fenced
            await first.close()

    asyncio.run(test())


def test_after_its_session_nothing_is_saved(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port), timeout_ms=400) as session,
        ):
            store = ZooKeeperStore(session, session.url.path)
            await store.open()
            await store.save(puts(("a", b"1")))
            mark = f"{session.url.path}-mark"  # is gone when the session has expired
            await session.create(mark, b"", ephemeral=True)
            ended, expired = asyncio.Event(), asyncio.Event()
            session.listen(lambda state: ended.set() if state is SessionState.ENDED else None)
            proxy.set(Mode.SILENT)
            saving = asyncio.create_task(store.save(puts(("a", b"2"))))
            async with opened_session(zk_url) as other:
                names = await other.children("/tepui", expired.set)
                while mark.rpartition("/")[2] in names:
                    await expired.wait()
                    expired.clear()
                    names = await other.children("/tepui", expired.set)
            proxy.set(Mode.CUT)
            proxy.set(Mode.OPEN)
            await ended.wait()
            with pytest.raises(StoreFailed, match=r"cannot write .*session"):
                await saving
            await session.connected()
            with pytest.raises(StoreFailed):
                await store.save(puts(("a", b"3")))
            await store.close()
        assert await contents(zk_url) == {"a": b"1"}

    asyncio.run(test())


def test_a_store_whose_nodes_were_removed_fails(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            path = session.url.path
            store = ZooKeeperStore(session, path)
            await store.open()
            await store.save(puts(("a", b"1")))
            await session.delete(f"{path}/a")
            with pytest.raises(StoreFailed, match=f"cannot write '{path}' of .*NoNode"):
                await store.save(puts(("a", b"2")))
            await session.delete(path)
            with pytest.raises(StoreFailed):
                await store.save(puts(("b", b"2")))
            await store.close()

    asyncio.run(test())


@pytest.mark.long
def test_saves_go_on_when_the_leader_of_the_ensemble_dies(tmp_path: Path) -> None:
    async def test(zookeeper: ZooKeeper) -> None:
        url = zookeeper.url("/tepui/registry")
        async with opened_session(url) as session:
            store = ZooKeeperStore(session, session.url.path)
            await store.open()
            saving = asyncio.create_task(save(store))
            leader = await asyncio.to_thread(zookeeper.leader)
            await asyncio.to_thread(leader.kill)
            await asyncio.to_thread(zookeeper.await_ready)
            await saving
            await store.close()
            assert len(await contents(url)) == 500

    async def save(store: ZooKeeperStore) -> None:
        for number in range(500):
            await store.save(puts((f"k{number}", b"1")))

    with available(tmp_path, servers=3) as zookeeper:
        asyncio.run(test(zookeeper))
