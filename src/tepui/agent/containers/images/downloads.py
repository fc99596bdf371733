"""Downloads blobs: from where an earlier attempt ended, checked, and again when it did not work."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar

from tepui.agent.containers.images.digests import hasher
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.manifest import Descriptor
from tepui.agent.containers.images.shared import Shared, in_thread
from tepui.agent.containers.images.store import Store
from tepui.agent.containers.images.streams import CHUNK_BYTES, Slice

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

    from tepui.agent.containers.images.registry import Registry

ATTEMPTS_MAX: Final = 5  # in a row, without a byte gained
ATTEMPTS_ALTOGETHER_MAX: Final = 100
PAUSE_S_MAX: Final = 15.0
DOWNLOADS_MAX: Final = 6  # at once, of all pulls
WRITE_BYTES: Final = 1 << 20  # handed to a thread at once

T = TypeVar("T")
Progress = Callable[[int], None]  # told how many bytes are there


async def again(
    work: Callable[[], Coroutine[None, None, T]], retry_ms: int, gained: Callable[[], int]
) -> T:
    """Return what the work comes to, done again while it fails in passing. Raises Fault.

    `gained` is a number that grows with progress; attempts that made some are not counted in a row.
    """
    in_a_row = 0
    for _ in range(ATTEMPTS_ALTOGETHER_MAX - 1):
        before = gained()
        try:
            return await work()
        except Fault as fault:
            in_a_row = 1 if gained() > before else in_a_row + 1
            if not fault.passing or in_a_row >= ATTEMPTS_MAX:
                raise
            pause_s = min(PAUSE_S_MAX, retry_ms / 1000 * 2 ** (in_a_row - 1))
            # Many agents that failed together do not come back together.
            pause_s *= random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause_s, fault.pause_s or 0))
    return await work()


class Downloads:
    """Blobs on their way into the store. Each is downloaded once, for all who want it meanwhile."""

    def __init__(self, store: Store, executor: Executor, retry_ms: int) -> None:
        self._store = store
        self._executor = executor
        self._retry_ms = retry_ms
        self._shared: Shared[str, None] = Shared()
        self._users: Counter[str] = Counter()
        self._turns = asyncio.Semaphore(DOWNLOADS_MAX)

    @asynccontextmanager
    async def blob(
        self, sources: Sequence[Registry], wanted: Descriptor, gained: Progress
    ) -> AsyncIterator[Slice]:
        """Give the content, which is gone afterwards; what was not complete stays for the next pull.

        `gained` is told how many bytes are there. Raises Fault.
        """
        path = self._store.blob_path(wanted.digest)
        self._users[wanted.digest] += 1
        is_whole = False
        try:
            await self._shared.join(
                wanted.digest, functools.partial(self._download, sources, wanted, path, gained)
            )
            is_whole = True
            gained(wanted.size)
            yield Slice(str(path), 0, wanted.size)
            self._drop(wanted.digest, path)
        except Fault:
            # What was refused when it was unpacked would be refused again.
            if is_whole:
                self._drop(wanted.digest, path)
            raise
        finally:
            self._users[wanted.digest] -= 1
            if not self._users[wanted.digest]:
                del self._users[wanted.digest]

    def _drop(self, digest: str, path: Path) -> None:
        if self._users[digest] == 1:
            path.unlink(missing_ok=True)

    async def _download(
        self,
        sources: Sequence[Registry],
        wanted: Descriptor,
        path: Path,
        gained: Progress,
    ) -> None:
        async with self._turns:
            partial = Partial(path, wanted, self._executor, gained)
            try:
                await self._from_any(sources, partial)
            finally:
                partial.close()

    async def _from_any(self, sources: Sequence[Registry], partial: Partial) -> None:
        for source in sources[:-1]:
            try:
                await partial.go_on(source)
            except Fault:
                continue  # mirrors come before the registry itself, which goes on from there
            return
        await again(lambda: partial.go_on(sources[-1]), self._retry_ms, lambda: partial.size)


class Partial:
    """A file that grows to be a blob, and the hash of what it has."""

    def __init__(
        self, path: Path, wanted: Descriptor, executor: Executor, gained: Progress
    ) -> None:
        self.size = 0
        self._path = path
        self._wanted = wanted
        self._executor = executor
        self._gained = gained
        self._file: IO[bytes] | None = None
        self._hash: Hash = hasher(wanted.digest)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def go_on(self, source: Registry) -> None:
        """The file is the blob. Raises Fault; what has come until then is kept, if it may be right."""
        if self._file is None:
            await self._in_thread(self._open)
        if self.size < self._wanted.size:
            await self._fetch(source)
        if self.size < self._wanted.size:
            rule = f"only {self.size} of {self._wanted.size} bytes came"
            raise Fault(self._step(source), rule, passing=True)
        if (found := self._hash.hexdigest()) != self._wanted.digest.partition(":")[2]:
            await self._in_thread(self._empty)
            rule = f"what came for '{self._wanted.digest}' has the digest '{found}'"
            raise Fault(self._step(source), rule, passing=True)

    async def _fetch(self, source: Registry) -> None:
        from tepui.agent.containers.images.registry import RangeRefused  # aiohttp is slow to import

        try:
            async with source.blob(self._wanted.digest, self.size) as (begin, content):
                if begin != self.size:
                    await self._in_thread(self._empty)  # the server has no ranges
                await self._take(content)
        except RangeRefused:
            await self._in_thread(self._empty)
            raise
        if self.size > self._wanted.size:
            await self._in_thread(self._empty)
            rule = f"more than {self._wanted.size} bytes came"
            raise Fault(self._step(source), rule, passing=True)

    async def _take(self, content: AsyncIterator[bytes]) -> None:
        """The content is in the file; also what came before it broke off, or nobody wanted it any more."""
        pieces: list[bytes] = []
        waiting = 0
        try:
            async for piece in content:
                pieces.append(piece)
                waiting += len(piece)
                if self.size + waiting > self._wanted.size:
                    return
                if waiting >= WRITE_BYTES:
                    full, pieces, waiting = pieces, [], 0
                    await self._write(full)
        finally:
            await self._write(pieces)

    def _step(self, source: Registry) -> str:
        return f"fetching '{self._wanted.digest[:19]}' from '{source.host}'"

    async def _write(self, pieces: list[bytes]) -> None:
        await self._in_thread(functools.partial(self._append, pieces))
        self._gained(self.size)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        def do(is_stopped: threading.Event) -> None:
            work()

        try:
            await in_thread(self._executor, do)
        except OSError as error:
            cause = os.strerror(error.errno) if error.errno else str(error)
            raise Fault("storing what was fetched", cause) from None

    def _open(self) -> None:
        """What is there from an earlier attempt has been read, as far as it can be of use."""
        self._file = self._path.open("a+b", buffering=0)
        self._file.seek(0, os.SEEK_END)
        if self._file.tell() > self._wanted.size:
            self._empty()
            return
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_BYTES):
            self._hash.update(chunk)
            self.size += len(chunk)

    def _append(self, pieces: list[bytes]) -> None:
        assert self._file is not None
        for piece in pieces:
            self._hash.update(piece)
            left = memoryview(piece)
            while left:
                left = left[self._file.write(left) :]
            self.size += len(piece)

    def _empty(self) -> None:
        assert self._file is not None
        self._file.truncate(0)
        self._hash = hashlib.new(self._wanted.digest.partition(":")[0])
        self.size = 0
