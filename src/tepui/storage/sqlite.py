"""Keeps objects in one file, with SQLite."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tepui.storage.checks import VALUE_BYTES_MAX
from tepui.storage.joining import Save, Saves
from tepui.storage.lock import FileLock
from tepui.storage.store import Fenced, StoreFailed, StoreFull, Write

APPLICATION_ID: Final = 0x5465_7075  # "Tepu": what file(1) and we know the file by
VERSION: Final = 1  # of the table
HEADER_BYTES: Final = 100  # sqlite.org/fileformat2.html#the_database_header
BUSY_S: Final = 10.0  # for another program that writes, such as a `sqlite3` that repairs

_PUT: Final = "INSERT INTO kv VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class SqliteStore:
    """A Store in the file at `path`, made with mode 0600 if there is none.

    Beside it lie `<path>-wal`, which holds the newest saves and must not be removed, and
    `<path>.lock`, which the owner locks for as long as it lives. So a second owner is refused by
    `open` with StoreFailed while the first one lives, and takes over when it is gone: there is
    nobody left to be fenced. Fenced is raised by the one whose lock file was removed under it.

    A save is in the file and on the disk (fsync) when it returns. Saves that come meanwhile are
    joined into the next transaction. A file that is damaged is left as it is.

    When the disk is full `when_full` is awaited, and then what was to be written is tried again;
    without it StoreFull is raised.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        when_full: Callable[[StoreFull], Awaitable[None]] | None = None,
    ) -> None:
        self._path = Path(path).absolute()
        self._when_full = when_full
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._file: _File | None = None
        self._saves = Saves(self._commit, VALUE_BYTES_MAX)

    @property
    def value_bytes_max(self) -> int:
        """See Store."""
        return VALUE_BYTES_MAX

    async def open(self) -> dict[str, bytes]:
        """See Store."""
        if self._file is not None:
            raise StoreFailed(f"'{self._path}' is open already")
        loop = asyncio.get_running_loop()
        self._file = file = _File(self._path)
        try:
            found = await loop.run_in_executor(self._thread, file.open)
        except StoreFailed:
            self._file = None
            raise
        self._saves.open()
        return found

    async def save(self, writes: Sequence[Write]) -> None:
        """See Store."""
        await self._saves.save(writes)

    async def _commit(self, saves: list[Save]) -> None:
        assert self._file is not None
        writes = [write for save in saves for write in save.writes]
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._file.write, writes)
                break
            except StoreFull as full:
                if self._when_full is None:
                    raise
                await self._when_full(full)

    async def close(self) -> None:
        """See Store."""
        await self._saves.close()
        if self._file is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self._file.close)
            self._file = None
        self._thread.shutdown()


class _File:
    """The open file; all of it runs in the store's one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._lock: FileLock | None = None
        self._sqlite: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._seen = 0  # what `data_version` was when we opened it

    def open(self) -> dict[str, bytes]:
        """All objects. Raises StoreFailed, and then nothing is kept open."""
        self._lock = FileLock(self._path)
        try:
            if not self._path.exists():
                self._make()
            return self._read()
        except sqlite3.Error as error:
            self.close()
            raise StoreFailed(f"cannot read '{self._path}': {error}") from error
        except OSError as error:
            self.close()
            raise StoreFailed(f"cannot open '{self._path}': {error.strerror}") from error
        except StoreFailed:
            self.close()
            raise

    def _make(self) -> None:
        if self._log.exists():
            raise StoreFailed(f"'{self._path}' is gone, but there is '{self._log}': not made anew")
        _make(self._path)

    def _read(self) -> dict[str, bytes]:
        if not self._path.is_file():
            raise StoreFailed(f"cannot open '{self._path}': it is no file")
        self._check_size()
        self._identity = _identity(self._path)
        self._sqlite = sqlite = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_S
        )
        application_id, version = _number(sqlite, "application_id"), _number(sqlite, "user_version")
        if application_id != APPLICATION_ID:
            raise StoreFailed(f"cannot read '{self._path}': it belongs to another program")
        if version != VERSION:
            raise StoreFailed(
                f"cannot read '{self._path}': it has version {version}, and this is version {VERSION}"
            )
        (mode,) = sqlite.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreFailed(f"cannot write '{self._path}': SQLite has no write-ahead log there")
        sqlite.execute("PRAGMA synchronous = FULL")
        (verdict,) = sqlite.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            told = " ".join(verdict.split())
            raise StoreFailed(f"cannot read '{self._path}': it is damaged: {told}")
        # A commit that others can see (see `_check_owner`); and a disk that is full is found now.
        sqlite.execute("BEGIN IMMEDIATE")
        sqlite.execute(f"PRAGMA user_version = {VERSION}")
        sqlite.execute("COMMIT")
        self._seen = _number(sqlite, "data_version")
        return dict(sqlite.execute("SELECT key, value FROM kv"))

    def _check_size(self) -> None:
        """SQLite takes an empty file for a new one, and reads zeros behind the end of a torn one."""
        with self._path.open("rb") as file:
            header = file.read(HEADER_BYTES)
        if not header:
            raise StoreFailed(f"cannot read '{self._path}': it is empty, what it held is lost")
        if not header.startswith(b"SQLite format 3\0"):
            raise StoreFailed(f"cannot read '{self._path}': it is no file of SQLite")
        page_bytes = int.from_bytes(header[16:18]) or 1
        page_bytes = 65_536 if page_bytes == 1 else page_bytes
        size_bytes = self._path.stat().st_size
        if size_bytes % page_bytes and not self._log.exists():  # the log may hold the torn page
            raise StoreFailed(f"cannot read '{self._path}': it is damaged: its end is missing")

    def write(self, writes: Iterable[Write]) -> None:
        """All writes in one transaction, or none of them. Raises StoreFailed, StoreFull and Fenced."""
        assert self._sqlite is not None
        last = {write.key: write.value for write in writes}
        puts = [(key, value) for key, value in last.items() if value is not None]
        removals = [(key,) for key, value in last.items() if value is None]
        try:
            self._sqlite.execute("BEGIN IMMEDIATE")
            try:
                self._check_owner(self._sqlite)
                self._sqlite.executemany(_PUT, puts)
                self._sqlite.executemany("DELETE FROM kv WHERE key = ?", removals)
                self._sqlite.execute("COMMIT")
            except (sqlite3.Error, StoreFailed):
                if self._sqlite.in_transaction:
                    self._sqlite.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            failure = StoreFull if is_full and not self._sqlite.in_transaction else StoreFailed
            raise failure(f"cannot write '{self._path}': {error}") from error

    def _check_owner(self, sqlite: sqlite3.Connection) -> None:
        """Nobody else has opened or replaced the file: its lock may have been removed."""
        if _number(sqlite, "data_version") != self._seen:
            raise Fenced(f"'{self._path}' was opened by another owner")
        try:
            identity = _identity(self._path)
        except OSError as error:
            raise StoreFailed(f"cannot write '{self._path}': {error.strerror}") from error
        if identity != self._identity:
            raise StoreFailed(f"cannot write '{self._path}': another file was put in its place")

    def close(self) -> None:
        """Others may open it."""
        if self._sqlite is not None:
            self._sqlite.close()
            self._sqlite = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _make(path: Path) -> None:
    """A file without objects is at `path`, whole: it is made under another name."""
    new = path.with_name(path.name + ".new")
    for left in (new, new.with_name(new.name + "-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    sqlite = sqlite3.connect(new, isolation_level=None)
    try:
        sqlite.execute("PRAGMA synchronous = FULL")
        sqlite.execute("BEGIN IMMEDIATE")
        sqlite.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        sqlite.execute(f"PRAGMA user_version = {VERSION}")
        sqlite.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        sqlite.execute("COMMIT")
    finally:
        sqlite.close()
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _number(sqlite: sqlite3.Connection, pragma: str) -> int:
    (value,) = sqlite.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
