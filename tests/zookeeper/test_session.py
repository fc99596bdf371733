"""A session with a real ZooKeeper server."""

from __future__ import annotations

import asyncio
import logging

import pytest

import tepui.zookeeper.session as session_module
from tepui.zookeeper.errors import BadVersion, NodeExists, NoNode, SessionEnded, ZooKeeperFailed
from tepui.zookeeper.session import Check, Create, Delete, Put, Rejected, ZooKeeperSession
from tepui.zookeeper.url import parse_zk_url
from tests.real.zookeeper import ZooKeeper
from tests.storage.stores import opened_session

pytestmark = pytest.mark.real


def test_nodes_are_made_read_set_and_removed(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            path = session.url.path
            await session.ensure(path)
            await session.ensure(path)
            assert await session.create(f"{path}/a", b"1") == f"{path}/a"
            with pytest.raises(NodeExists):
                await session.create(f"{path}/a", b"1")
            with pytest.raises(NoNode):
                await session.create(f"{path}/b/c", b"1")
            assert await session.put(f"{path}/a", b"2", 0) == 1
            with pytest.raises(BadVersion):
                await session.put(f"{path}/a", b"3", 0)
            node = await session.get(f"{path}/a")
            assert (node.data, node.version, node.owner, node.children) == (b"2", 1, 0, 0)
            assert await session.children(path) == ["a"]
            with pytest.raises(ZooKeeperFailed, match="NotEmpty"):
                await session.delete(path)
            await session.delete(f"{path}/a")
            with pytest.raises(NoNode):
                await session.get(f"{path}/a")

    asyncio.run(test())


def test_many_nodes_are_read_at_once(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            path = session.url.path
            await session.ensure(path)
            for name, data in (("a", b"1"), ("b", b""), ("c", b"x" * 100_000)):
                await session.create(f"{path}/{name}", data)
            await session.put(f"{path}/b", b"", 0)
            asked = [f"{path}/c", path, f"{path}/b", f"{path}/a"]
            assert await session.get_many(asked) == [await session.get(each) for each in asked]
            assert await session.get_many([]) == []
            with pytest.raises(NoNode):
                await session.get_many([f"{path}/a", f"{path}/d"])

    asyncio.run(test())


def test_a_transaction_is_all_or_nothing_and_tells_which_part(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            path = session.url.path
            await session.ensure(path)
            await session.commit(
                (Create(f"{path}/a", b"1"), Put(f"{path}/a", b"2", 0), Create(f"{path}/b", b""))
            )
            with pytest.raises(Rejected) as rejected:
                await session.commit((Delete(f"{path}/b"), Check(path), Delete(f"{path}/c")))
            assert rejected.value.part == 2
            assert isinstance(rejected.value.cause, NoNode)
            with pytest.raises(Rejected) as rejected:
                await session.commit((Put(f"{path}/a", b"3", 0), Delete(f"{path}/b")))
            assert rejected.value.part == 0
            assert isinstance(rejected.value.cause, BadVersion)
            assert sorted(await session.children(path)) == ["a", "b"]

    asyncio.run(test())


def test_the_timeout_is_what_the_servers_agreed_to(zk_url: str) -> None:
    async def test() -> None:
        for wanted_ms, agreed_ms in ((100, 400), (3_000, 3_000), (100_000_000, 60_000)):
            async with opened_session(zk_url, timeout_ms=wanted_ms) as session:
                await session.ensure("/tepui")
                assert session.timeout_ms == agreed_ms

    asyncio.run(test())


def test_with_credentials_others_may_only_read(one_server: ZooKeeper) -> None:
    async def test() -> None:
        secured = one_server.url("/secured", credentials="jake:secret")
        async with (
            opened_session(secured) as jake,
            opened_session(one_server.url("/")) as other,
            opened_session(one_server.url("/", credentials="jake:other")) as false,
        ):
            await jake.ensure("/secured")
            await jake.create("/secured/a", b"1")
            await other.ensure("/secured/a")  # it is there, though others may not make it
            for session in (other, false):
                assert (await session.get("/secured/a")).data == b"1"
                with pytest.raises(ZooKeeperFailed, match="NoAuth"):
                    await session.put("/secured/a", b"2")
                with pytest.raises(ZooKeeperFailed, match="NoAuth"):
                    await session.create("/secured/b", b"2")
            await jake.put("/secured/a", b"2")

    asyncio.run(test())


def test_a_session_that_is_closed_answers_nothing(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as session:
            await session.close()
            with pytest.raises(SessionEnded):
                await session.get("/")

    asyncio.run(test())


def test_who_cannot_be_reached_is_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tepui.zookeeper")

    async def test() -> None:
        told = asyncio.Event()

        def note(record: logging.LogRecord) -> bool:
            if record.getMessage() == "session_not_connected url=zk://127.0.0.1:1/x":
                told.set()
            return False

        monkeypatch.setattr(session_module, "UNCONNECTED_S", 0.0)
        session_module.log.addFilter(note)
        session = ZooKeeperSession(parse_zk_url("zk://127.0.0.1:1/x"))
        try:
            session.start()
            await asyncio.wait_for(told.wait(), 10)
        finally:
            await session.close()
            session_module.log.removeFilter(note)

    asyncio.run(test())


def test_a_session_that_never_began_can_be_closed() -> None:
    async def test() -> None:
        session = ZooKeeperSession(parse_zk_url("zk://127.0.0.1:1/mesos"))
        session.start()
        await session.close()
        unstarted = ZooKeeperSession(parse_zk_url("zk://127.0.0.1:1/mesos"))
        await unstarted.close()

    asyncio.run(test())
