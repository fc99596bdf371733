"""The fetcher's cache: what was fetched for a user stays, so that the next task finds it here.

An entry belongs to one user and one URI; users never share. Whoever wants an entry that is being
downloaded waits for it: there is one download, which ends early only when nobody waits any more, and
one that fails leaves nothing. The files never take more than `bytes_max`: room is made before a file
grows, by removing entries that nobody uses, those first that were wanted longest ago. What finds no
room does not go through the cache. That the content of a URI has changed is not noticed, as in Mesos.

Like Mesos's the cache is empty when an agent starts. What it holds was not written to survive a crash
of the machine, nor is it known how old it is.

Source: Mesos docs/fetcher.md, slave/containerizer/fetcher.cpp.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tepui.agent.fetcher.errors import CacheUnfit, FetchFailed, Room
from tepui.base import tasks

MODE: Final = 0o711  # clients of other users write below it, but see nothing of each other

log = logging.getLogger("tepui.agent")

Get = Callable[[Path, Room], Awaitable[None]]
Outcome = FetchFailed | CacheUnfit | None


class Entry:
    """One file. It may be removed when nobody uses it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0  # that it has, or may have by now
        self.users = 0
        self.is_ready = False
        self.is_dropped = False
        self.download: asyncio.Task[Outcome] | None = None


class Cache:
    """All entries of one agent; one with `bytes_max` of 0 takes nothing."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        self.directory = directory
        self.total_bytes = bytes_max
        self._used_bytes = 0
        self._entries: dict[tuple[str | None, str], Entry] = {}  # the longest unwanted first
        self._lock = threading.Lock()  # downloads ask for room in threads
        self._number = 0
        self._is_open = False

    @property
    def used_bytes(self) -> int:
        """That the files take, those on their way included."""
        return self._used_bytes

    def open(self) -> None:
        """The cache is empty, and takes files. It takes none when its directory cannot be made."""
        try:
            if os.path.lexists(self.directory):
                shutil.rmtree(self.directory)
            if self.total_bytes:
                self.directory.mkdir(parents=True)
                self.directory.chmod(MODE)  # whatever the umask is
                self._is_open = True
        except (OSError, RecursionError) as error:  # a client's user may have left anything
            log.warning("fetcher_cache_unusable directory=%s reason=%s", self.directory, error)

    @asynccontextmanager
    async def hold(self, user: str | None, uri: str, get: Get) -> AsyncIterator[Path | None]:
        """The file that `get` has fetched, now or before; it stays until the end.

        None when it cannot go through the cache. Raises the FetchFailed of `get`.
        """
        if not self._is_open:
            yield None
            return
        entry = self._find(user, uri) or self._begin(user, uri, get)
        try:
            assert entry.download is not None
            outcome = await asyncio.shield(entry.download)
            if isinstance(outcome, FetchFailed):
                raise outcome
            if outcome is not None:
                log.info("fetcher_cache_bypassed uri=%s reason=%s", uri, outcome)
            yield entry.path if outcome is None else None
        finally:
            self._leave(entry)

    def _find(self, user: str | None, uri: str) -> Entry | None:
        """The entry, used and the last to be removed now; None: there is none that is whole."""
        with self._lock:
            entry = self._entries.get((user, uri))
            if entry is None:
                return None
            if entry.is_ready and not _is_whole(entry):
                self._drop(entry)  # somebody has meddled with the file
                return None
            self._entries[(user, uri)] = self._entries.pop((user, uri))
            entry.users += 1
            return entry

    def _begin(self, user: str | None, uri: str, get: Get) -> Entry:
        with self._lock:
            self._number += 1
            entry = Entry(self.directory / f"c{self._number}")
            entry.users = 1
            self._entries[(user, uri)] = entry
        entry.download = tasks.start(self._download(entry, get))
        return entry

    def _leave(self, entry: Entry) -> None:
        """Nobody waits for a download that nobody wants."""
        with self._lock:
            entry.users -= 1
            if entry.users or entry.download is None or entry.download.done():
                return
            self._forget(entry)
        entry.download.cancel()

    async def _download(self, entry: Entry, get: Get) -> Outcome:
        """The file is there, whole; or why it is not, and nothing of it is."""
        is_done = False
        try:
            await get(entry.path, lambda size_bytes: self._make_room(entry, size_bytes))
            await asyncio.to_thread(self._finish, entry)
            is_done = True
            return None
        except (FetchFailed, CacheUnfit) as error:
            return error.with_traceback(None)
        except (OSError, ValueError, LookupError) as error:
            # Of the source or of the cache's own disk: who fetches without the cache will see.
            return CacheUnfit(str(error))
        finally:
            if not is_done:
                with self._lock:
                    self._drop(entry)

    def _make_room(self, entry: Entry, size_bytes: int) -> None:
        """The entry's file may have this size. Raises CacheUnfit, and nothing has changed for it."""
        with self._lock:
            if entry.is_dropped:
                raise CacheUnfit("nobody wants it any more")
            more_bytes = size_bytes - entry.bytes
            if more_bytes <= 0:
                return
            if size_bytes > self.total_bytes:
                raise CacheUnfit(f"it is larger than the cache of {self.total_bytes} bytes")
            while self._used_bytes + more_bytes > self.total_bytes:
                self._drop(self._least_wanted())
            self._used_bytes += more_bytes
            entry.bytes = size_bytes

    def _least_wanted(self) -> Entry:
        for entry in self._entries.values():
            if entry.is_ready and not entry.users:
                return entry
        raise CacheUnfit("all of the cache is in use")

    def _finish(self, entry: Entry) -> None:
        size_bytes = entry.path.stat().st_size
        self._make_room(entry, size_bytes)
        with self._lock:
            if entry.is_dropped:
                raise CacheUnfit("nobody wants it any more")
            self._used_bytes -= entry.bytes - size_bytes
            entry.bytes = size_bytes
            entry.is_ready = True

    def _drop(self, entry: Entry) -> None:
        """Nobody finds it; its file is gone and its bytes are free, unless it cannot be removed."""
        self._forget(entry)
        entry.is_dropped = True
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("fetcher_cache_file_stays path=%s reason=%s", entry.path, error)
            return
        self._used_bytes -= entry.bytes
        entry.bytes = 0

    def _forget(self, entry: Entry) -> None:
        """Nobody finds the entry any more."""
        for key, one in self._entries.items():
            if one is entry:
                del self._entries[key]
                return


def _is_whole(entry: Entry) -> bool:
    with contextlib.suppress(OSError):
        return entry.path.stat().st_size == entry.bytes
    return False
