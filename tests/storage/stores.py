"""Stores for tests: how each kind is made, opened again, and what only it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import Store, Write
from tepui.storage.zookeeper import ZooKeeperStore
from tepui.zookeeper.session import ZooKeeperSession
from tepui.zookeeper.url import parse_zk_url

Test = Callable[["Kind"], Awaitable[None]]


class Kind:
    """One kind of store over one place: each `new` is another store over the same objects."""

    def __init__(self, new: Callable[[], Store]) -> None:
        self.new = new

    async def contents(self) -> dict[str, bytes]:
        """What another store finds that opens it now; whoever has it open is fenced, or has closed."""
        store = self.new()
        found = await store.open()
        await store.close()
        return found


def in_memory(directory: Path, test: Test) -> None:
    """Runs `test` with a MemoryStore."""
    memory = Memory()
    asyncio.run(_awaited(test(Kind(lambda: MemoryStore(memory)))))


def in_sqlite(directory: Path, test: Test) -> None:
    """Runs `test` with a SqliteStore."""
    asyncio.run(_awaited(test(Kind(lambda: SqliteStore(directory / "registry")))))


def in_zookeeper(url: str, test: Test) -> None:
    """Runs `test` with a ZooKeeperStore."""

    async def run() -> None:
        async with opened_session(url) as session:
            await test(Kind(lambda: ZooKeeperStore(session, parse_zk_url(url).path)))

    asyncio.run(run())


@asynccontextmanager
async def opened_session(url: str, timeout_ms: int = 10_000) -> AsyncIterator[ZooKeeperSession]:
    """A session that is connected, and closed in the end."""
    session = ZooKeeperSession(parse_zk_url(url), timeout_ms)
    session.start()
    try:
        async with asyncio.timeout(30):
            await session.connected()
        yield session
    finally:
        await session.close()


def puts(*pairs: tuple[str, bytes | None]) -> tuple[Write, ...]:
    """Writes of these keys and values."""
    return tuple(Write(key, value) for key, value in pairs)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable
