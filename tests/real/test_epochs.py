"""Each time a master begins to lead an epoch begins, which the registry holds before anyone is served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tepui.base.errors import HostError
from tepui.master.daemon.leader import Leader
from tepui.master.daemon.main import MasterDaemon, master_info
from tepui.master.daemon.options import MasterOptions
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.store import StoreFailed, Write
from tepui.wire import link
from tests.limits.kit import Link, close_all, register

pytestmark = pytest.mark.real


class Full(MemoryStore):
    """A store that can be read only."""

    async def save(self, writes: Sequence[Write]) -> None:
        raise StoreFailed("no space left")


def test_a_master_that_starts_again_leads_in_a_greater_epoch(tmp_path: Path) -> None:
    async def epoch_told() -> int:
        master = MasterDaemon(MasterOptions(port=0, registry=tmp_path / "registry.db"))
        await master.start()
        try:
            agent = await Link.open(master.port)
            agent.say(register())
            welcome = await agent.hear()
            assert isinstance(welcome, link.Registered)
            return welcome.epoch
        finally:
            await master.stop()
            await close_all()

    async def play() -> None:
        epochs = [await epoch_told() for _ in range(3)]  # also within one second
        assert epochs == sorted(set(epochs))

    asyncio.run(play())


def test_a_master_that_cannot_write_its_epoch_does_not_lead() -> None:
    async def play() -> None:
        options = MasterOptions(port=0)
        failures: list[Exception] = []
        store = Full(Memory())
        leader = Leader(options, master_info(options, 5050), store, lambda: True, failures.append)
        with pytest.raises(HostError, match="write the registry: no space left"):
            await leader.begin()
        await leader.close()
        assert failures == []

    asyncio.run(play())
