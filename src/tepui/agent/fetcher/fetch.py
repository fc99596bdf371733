"""Fetches the URIs of a container into its sandbox, one after the other.

`http` and `https` addresses are downloaded; `file://` and plain paths are copied; what any other scheme
names a client of this machine fetches (`commands.py`). With `cache` a URI goes through the cache
(`cache.py`). What looks like an archive by its name is extracted beside itself, unless the URI says
otherwise or wants an executable; out of the cache without the archive itself, as in Mesos. Everything
fetched belongs to the task's user, who must be allowed to read what is copied.

Source: Mesos launcher/fetcher.cpp, docs/fetcher.md.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from tepui.agent.fetcher.archives import ArchiveRefused, extract, is_archive
from tepui.agent.fetcher.cache import Cache
from tepui.agent.fetcher.commands import Clients
from tepui.agent.fetcher.errors import FetchFailed, Room
from tepui.agent.fetcher.local import (
    copy_bytes,
    copy_local,
    is_local,
    make_executable,
    open_new,
    open_regular,
)
from tepui.agent.fetcher.threads import in_thread
from tepui.agent.fetcher.web import STALL_MS, download
from tepui.wire import mesos

URIS_MAX: Final = 1_000  # of one container
FETCHING_MAX: Final = 256  # containers whose URIs are fetched at once; others wait, in their time

URI = mesos.CommandInfo.URI


class Fetcher:
    """Fetches with these limits: of time for one container's URIs, of bytes for one URI."""

    def __init__(
        self,
        *,
        timeout_ms: int,
        bytes_max: int,
        stall_ms: int = STALL_MS,
        base: str | None = None,
        hadoop_home: str | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._timeout_ms = timeout_ms
        self._bytes_max = bytes_max
        self._stall_ms = stall_ms
        self._turns = asyncio.Semaphore(FETCHING_MAX)
        self._base = base  # where relative paths begin (Mesos: --frameworks_home)
        self._clients = Clients(hadoop_home, stall_ms)
        self._cache = cache or Cache(Path("/nonexistent"), 0)

    def open(self) -> None:
        """The cache is empty and takes files. Until then nothing goes through it."""
        self._cache.open()

    def close(self) -> None:
        """Nothing is fetched by clients any more."""
        self._clients.close()

    def metrics(self) -> dict[str, float]:
        """How much the cache may hold, and holds, by Mesos's names."""
        return {
            "containerizer/fetcher/cache_size_total_bytes": float(self._cache.total_bytes),
            "containerizer/fetcher/cache_size_used_bytes": float(self._cache.used_bytes),
        }

    async def fetch(self, uris: Sequence[URI], directory: str, user: str | None) -> None:
        """All URIs are in the directory. Raises FetchFailed; some may be there then."""
        if len(uris) > URIS_MAX:
            raise FetchFailed(f"{len(uris)} URIs are more than {URIS_MAX}")
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._turns:
                for uri in uris:
                    await self._fetch_one(uri, Path(directory), user)
        except TimeoutError:
            raise FetchFailed(self._too_late()) from None

    async def _fetch_one(self, uri: URI, directory: Path, user: str | None) -> None:
        source = uri.value.strip()
        try:
            target = target_of(uri, directory)
            made = await asyncio.to_thread(_make_parents, directory, target)
            if uri.cache:
                get = partial(self._get_for_cache, source, user)
                async with self._cache.hold(user, source, get) as held:
                    made += await self._bring(uri, held, target, directory, user)
            else:
                made += await self._bring(uri, None, target, directory, user)
            await asyncio.to_thread(_give_to, user, directory, made)
        except FetchFailed as failed:
            raise FetchFailed(f"'{source}': {failed}") from None
        except ArchiveRefused as refused:
            raise FetchFailed(f"'{source}': {refused}") from None
        except (OSError, ValueError) as error:
            cause = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            )
            raise FetchFailed(f"'{source}': {cause}") from None

    async def _bring(
        self, uri: URI, held: Path | None, target: Path, directory: Path, user: str | None
    ) -> list[Path]:
        """What the URI names is in the sandbox; the answer says where."""
        extracts = not uri.executable and uri.extract and is_archive(target.name)
        made = [directory] if extracts else []  # what was extracted may be anywhere in it
        if held is None:
            await self._get(uri.value.strip(), user, target, self._limit)
        elif not extracts:
            await in_thread(partial(_copy, held, target))
        if held is None or not extracts:
            made.append(target)
        if uri.executable:
            await asyncio.to_thread(make_executable, target)
        if extracts:
            archive = target if held is None else held
            await in_thread(partial(extract, archive, target, directory, self._bytes_max))
        return made

    async def _get_for_cache(self, source: str, user: str | None, target: Path, room: Room) -> None:
        """As if it were for a container of its own: whoever waits for it may be gone before."""

        def limit(size_bytes: int) -> None:
            self._limit(size_bytes)
            room(size_bytes)

        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await self._get(source, user, target, limit, asks_size=True)
        except TimeoutError:
            raise FetchFailed(self._too_late()) from None

    async def _get(
        self, source: str, user: str | None, target: Path, room: Room, *, asks_size: bool = False
    ) -> None:
        """The file is at `target`. Raises FetchFailed and OSError."""
        if is_local(source):
            await in_thread(partial(copy_local, source, target, user, self._base, room))
        elif source.lower().startswith(("http://", "https://")):
            await download(source, target, room, self._stall_ms)
        else:
            await self._clients.fetch(source, target, user, room, asks_size=asks_size)

    def _limit(self, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            raise FetchFailed(f"more than {self._bytes_max} bytes")

    def _too_late(self) -> str:
        return f"not done within {self._timeout_ms / 1000:g} s"


def target_of(uri: URI, directory: Path) -> Path:
    """Where the URI goes: `output_file`, or the last part of its path. Raises FetchFailed."""
    if uri.output_file is not None:
        name = uri.output_file
    else:
        source = uri.value.strip()
        path = urlsplit(source).path if "://" in source else source
        name = PurePosixPath(unquote(path) if "://" in source else path).name
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise FetchFailed(f"'{name}' is not the name of a file in the sandbox")
    return directory.joinpath(*parts)


def _copy(held: Path, target: Path, is_stopped: threading.Event) -> None:
    with open_regular(held) as reading, open_new(target) as writing:
        copy_bytes(reading, writing, lambda size_bytes: None, is_stopped)


def _make_parents(directory: Path, target: Path) -> list[Path]:
    """The directories between the sandbox and the file, those that were made. Raises OSError."""
    made: list[Path] = []
    parent = target.parent
    while parent != directory and not parent.exists():
        made.append(parent)
        parent = parent.parent
    if not target.parent.resolve().is_relative_to(directory.resolve()):
        raise FetchFailed(f"'{target}' leads out of the sandbox")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    return made


def _give_to(user: str | None, directory: Path, paths: list[Path]) -> None:
    """The paths belong to the user; a directory with all that is in it."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    if entry.pw_uid == os.geteuid():
        return
    for path in paths:
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        if path == directory:
            for parent, folders, files in os.walk(path):
                for name in (*folders, *files):
                    os.chown(
                        os.path.join(parent, name), entry.pw_uid, entry.pw_gid,
                        follow_symlinks=False,
                    )  # fmt: skip
