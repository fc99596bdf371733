"""The registry on disk, through a store."""

from __future__ import annotations

import asyncio

from tepui.master.core.actions import AgentGone, AgentRemoved
from tepui.master.daemon.registry import Registry
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.store import WRITES_MAX
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
