"""The registry on disk, through a store."""

from __future__ import annotations

import asyncio

from tepui.master.core.actions import AgentGone, AgentRemoved
from tepui.master.daemon.registry import Registry
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.store import WRITES_MAX, Write
from tepui.wire import mesos


def test_more_records_than_a_store_takes_at_once_are_saved() -> None:
    async def scenario() -> None:
        registry = Registry(MemoryStore(Memory()))
        assert await registry.open() == []
        gone = AgentGone(mesos.AgentInfo(hostname="h", id=mesos.AgentID("a")), 1)
        removed = [AgentRemoved(f"a{number}") for number in range(WRITES_MAX)]
        await registry.save([*removed, gone])
        assert await registry.open() == [gone]

    asyncio.run(scenario())


def test_what_a_newer_version_keeps_is_left_where_it_is() -> None:
    async def scenario() -> None:
        memory = Memory()
        newer = MemoryStore(memory)
        await newer.open()
        await newer.save([Write("quota/web", b"of a later version")])
        registry = Registry(MemoryStore(memory))
        assert await registry.open() == []
        gone = AgentGone(mesos.AgentInfo(hostname="h", id=mesos.AgentID("a")), 1)
        await registry.save([gone])
        after = await MemoryStore(memory).open()
        assert after["quota/web"] == b"of a later version"

    asyncio.run(scenario())
