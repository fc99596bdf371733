"""The reserve of an agent's disk, and who waits for room on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tepui.agent.core.events import DiskMeasured, Event
from tepui.agent.daemon import disk as disk_module
from tepui.agent.daemon.disk import RESERVE_BYTES, Disk
from tepui.storage.store import StoreFull

HOUR_MS = 3_600_000
FULL = StoreFull("database or disk is full")

Told = asyncio.Queue[Event]


def play(tmp_path: Path, test: Callable[[Disk, Told], Awaitable[None]]) -> None:
    """With a disk that has much room, and is measured once by itself."""

    async def run() -> None:
        (tmp_path / "meta").mkdir()
        told = Told()
        disk = Disk(str(tmp_path), told.put_nowait, HOUR_MS)
        await test(disk, told)
        await disk.stop()

    asyncio.run(run())


def test_a_reserve_that_was_no_help_is_not_made_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that has bytes left, and no room for what says where they are."""
    monkeypatch.setattr(disk_module, "RETRY_S", 0)
    reserve = tmp_path / "meta" / "reserve"

    async def test(disk: Disk, told: Told) -> None:
        disk.start()
        await told.get()
        assert reserve.stat().st_size == RESERVE_BYTES
        await disk.make_room(FULL)
        assert isinstance(await told.get(), DiskMeasured)
        assert not reserve.exists()
        await disk.make_room(FULL)
        assert told.empty()
        assert not reserve.exists()

    play(tmp_path, test)


def test_a_core_that_still_recovers_is_told_nothing(tmp_path: Path) -> None:
    (reserve := tmp_path / "meta" / "reserve").parent.mkdir()
    reserve.write_bytes(b"")

    async def test() -> None:
        told = Told()
        await Disk(str(tmp_path), told.put_nowait, HOUR_MS).make_room(FULL)
        assert not reserve.exists()
        assert told.empty()

    asyncio.run(test())


def test_nobody_waits_for_room_when_the_agent_ends(tmp_path: Path) -> None:
    async def test(disk: Disk, told: Told) -> None:
        disk.start()
        await told.get()
        await disk.stop()
        with pytest.raises(StoreFull, match="full"):
            await disk.make_room(FULL)

    play(tmp_path, test)
