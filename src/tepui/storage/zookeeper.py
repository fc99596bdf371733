"""Keeps objects in ZooKeeper, one node each, and fences off whoever had them before."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar

from tepui.storage.joining import Save, Saves
from tepui.storage.nodes import Nodes, decoded, groups
from tepui.storage.store import Fenced, StoreFailed, Write
from tepui.zookeeper.errors import (
    BadVersion,
    ConnectionLost,
    SessionEnded,
    Unimplemented,
    ZooKeeperFailed,
)
from tepui.zookeeper.session import Node, Part, Put, Rejected, ZooKeeperSession

VALUE_BYTES_MAX: Final = 900_000  # with key and owner it fits into GROUP_BYTES_MAX
OPEN_S: Final = 300.0  # to read all objects, lost connections included
SAVE_S: Final = 30.0  # for one transaction, lost connections included
READING_MAX: Final = 4  # requests that are under way at a time
NODES_MAX: Final = 64  # that one of them reads
RETRY_S: Final = 0.1  # after a connection was lost

Result = TypeVar("Result")


class ZooKeeperStore:
    """A Store below the node `path` of a session that somebody else opens and closes.

    The key `agents/a1` is the node `<path>/agents/a1`. The data of the node `path` itself says who
    owns the store, so that every key can be used. `open` writes a token of ours to it, before it
    reads. Every transaction begins with setting it to that token again, provided that it still has
    the version which we gave it last. This refuses a transaction after somebody else has opened the
    store, and one whose predecessor was not carried out. It also makes it safe to send one again
    when a lost connection leaves open whether it was carried out: it can be only once.

    Saves that come while a transaction is under way are joined into the next. A save that does not
    fit into one transaction is written by several; if another owner comes in between, StoreFailed
    says so, for Fenced means that nothing was written. When the session ends, saves fail: whoever
    led in it does no more.
    """

    def __init__(self, session: ZooKeeperSession, path: str) -> None:
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"the path '{path}' of a store must be absolute and not the root")
        self._session = session
        self._path = path
        self._where = f"'{path}' of {session.url.hosts}"
        self._token = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4()}".encode()
        self._version = 0  # of the node at `path`
        self._life = 0
        self._reads_many = True  # until a server says that it can't: one before 3.6
        self._nodes = Nodes(path)
        self._saves = Saves(self._commit, VALUE_BYTES_MAX)

    @property
    def value_bytes_max(self) -> int:
        """See Store."""
        return VALUE_BYTES_MAX

    async def open(self) -> dict[str, bytes]:
        """See Store."""
        self._life = self._session.life
        try:
            async with asyncio.timeout(OPEN_S):
                self._version = await self._take_over()
                found = await self._read_all()
        except TimeoutError:
            raise StoreFailed(f"cannot read {self._where} within {OPEN_S:g} s") from None
        except ZooKeeperFailed as error:
            raise StoreFailed(f"cannot open {self._where}: {error}") from error
        self._nodes = Nodes(self._path, ((key, value is not None) for key, value in found.items()))
        self._saves.open()
        return {key: value for key, value in found.items() if value is not None}

    async def save(self, writes: Sequence[Write]) -> None:
        """See Store."""
        await self._saves.save(writes)

    async def close(self) -> None:
        """See Store. The session stays open."""
        await self._saves.close()

    # Opening

    async def _take_over(self) -> int:
        """The version that the owner's node got when it was set to our token."""
        await self._patiently(lambda: self._session.ensure(self._path))
        while True:
            node = await self._patiently(lambda: self._session.get(self._path))
            if node.data == self._token:
                return node.version
            try:
                return await self._session.put(self._path, self._token, node.version)
            except (BadVersion, ConnectionLost):
                continue  # somebody else was faster, or perhaps we were: that is seen now

    async def _read_all(self) -> dict[str, bytes | None]:
        """What stands at every key that has a node; None: it is a parent only."""
        found: dict[str, bytes | None] = {}
        names = await self._patiently(lambda: self._session.children(self._path))
        waiting = deque(sorted(names))
        reading: set[asyncio.Task[None]] = set()
        try:
            while waiting or reading:
                while waiting and len(reading) < READING_MAX:
                    keys = [waiting.popleft() for _ in range(min(NODES_MAX, len(waiting)))]
                    reading.add(asyncio.create_task(self._read(keys, found, waiting)))
                done, reading = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in reading:
                task.cancel()
            if reading:
                await asyncio.wait(reading)
        return found

    async def _read(
        self, keys: list[str], found: dict[str, bytes | None], waiting: deque[str]
    ) -> None:
        paths = [f"{self._path}/{key}" for key in keys]
        for key, path, node in zip(keys, paths, await self._get(paths), strict=True):
            found[key] = decoded(node.data)
            if node.children:
                names = await self._patiently(partial(self._session.children, path))
                waiting.extend(f"{key}/{name}" for name in sorted(names))

    async def _get(self, paths: list[str]) -> list[Node]:
        if self._reads_many:
            try:
                return await self._patiently(lambda: self._session.get_many(paths))
            except Unimplemented:
                self._reads_many = False
        gets = (self._patiently(partial(self._session.get, path)) for path in paths)
        return await asyncio.gather(*gets)

    async def _patiently(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The answer, which may be asked for again: it changes nothing, or only once."""
        while True:
            try:
                return await ask()
            except ConnectionLost:
                await asyncio.sleep(RETRY_S)

    # Saving

    async def _commit(self, saves: list[Save]) -> None:
        parts: list[Part] = []
        ends = [0]  # in `parts`, of each save
        for save in saves:
            for write in save.writes:
                parts.extend(self._nodes.parts(write))
            ends.append(len(parts))
        written = 0
        try:
            for group in groups(parts):
                await self._apply(group)
                written += len(group)
                for save, end in zip(saves, ends[1:], strict=True):
                    if end <= written:
                        save.succeed()
        except Fenced as fenced:
            for save, (start, end) in zip(saves, pairwise(ends), strict=True):
                if start < written < end:
                    save.fail(StoreFailed(f"{fenced}, in the middle of a save"))
            raise

    async def _apply(self, parts: list[Part]) -> None:
        """All parts are in ZooKeeper, or none of them. Raises StoreFailed and Fenced."""
        try:
            async with asyncio.timeout(SAVE_S):
                await self._transact(parts)
        except TimeoutError:
            raise StoreFailed(f"cannot write {self._where} within {SAVE_S:g} s") from None
        except ZooKeeperFailed as error:
            raise StoreFailed(f"cannot write {self._where}: {error}") from error

    async def _transact(self, parts: list[Part]) -> None:
        again = False  # it was sent before, and nobody knows what became of it
        while True:
            if self._session.life != self._life:
                raise SessionEnded("the session in which it was opened has ended")
            try:
                await self._session.commit((Put(self._path, self._token, self._version), *parts))
                break
            except ConnectionLost:
                again = True
                await self._session.connected()
            except Rejected as rejected:
                if rejected.part != 0 or not isinstance(rejected.cause, BadVersion):
                    raise
                if await self._was_applied(again=again):
                    break
        self._version += 1

    async def _was_applied(self, *, again: bool) -> bool:
        """Our version is out of date: did a transaction of ours do that? Raises if not."""
        node = await self._patiently(lambda: self._session.get(self._path))
        if node.data == self._token:
            assert again, "the owner's node was changed by its owner"
            assert node.version == self._version + 1, "one transaction was sent at a time"
            return True
        owner = node.data.decode(errors="replace")
        text = f"{self._where} was opened by another owner ({owner})"
        if again:
            raise StoreFailed(f"{text} when a save had been sent")
        raise Fenced(text)
