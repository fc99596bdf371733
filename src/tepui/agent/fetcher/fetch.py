"""Fetches the URIs of a container into its sandbox, one after the other.

`http` and `https` addresses are downloaded; `file://` and plain paths are copied.
What looks like an archive by its name is extracted beside itself, unless the URI says otherwise or
wants an executable. Everything fetched belongs to the task's user, who must be allowed to read
what is copied.

Source: Mesos launcher/fetcher.cpp, docs/fetcher.md.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import stat
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from tepui.agent.fetcher.access import may_read
from tepui.agent.fetcher.archives import ArchiveRefused, extract, is_archive
from tepui.wire import mesos

CONNECT_MS: Final = 30_000
STALL_MS: Final = 60_000  # Mesos: --fetcher_stall_timeout; without a byte for so long
CHUNK_BYTES: Final = 256 * 1024
URIS_MAX: Final = 1_000  # of one container
REDIRECTS_MAX: Final = 10  # of one URI
FETCHING_MAX: Final = 256  # containers whose URIs are fetched at once; others wait, in their time

URI = mesos.CommandInfo.URI


class FetchFailed(Exception):
    """A URI could not be fetched; one sentence says which and why."""


class Fetcher:
    """Fetches with these limits: of time for one container's URIs, of bytes for one URI."""

    def __init__(self, *, timeout_ms: int, bytes_max: int, base: str | None = None) -> None:
        self._timeout_ms = timeout_ms
        self._bytes_max = bytes_max
        self._turns = asyncio.Semaphore(FETCHING_MAX)
        self._base = base  # where relative paths begin (Mesos: --frameworks_home)

    async def fetch(self, uris: Sequence[URI], directory: str, user: str | None) -> None:
        """All URIs are in the directory. Raises FetchFailed; some may be there then."""
        if len(uris) > URIS_MAX:
            raise FetchFailed(f"{len(uris)} URIs are more than {URIS_MAX}")
        try:
            async with asyncio.timeout(self._timeout_ms / 1000), self._turns:
                for uri in uris:
                    await self._fetch_one(uri, Path(directory), user)
        except TimeoutError:
            raise FetchFailed(f"not done within {self._timeout_ms / 1000:g} s") from None

    async def _fetch_one(self, uri: URI, directory: Path, user: str | None) -> None:
        source = uri.value.strip()
        try:
            target = target_of(uri, directory)
            made = await asyncio.to_thread(_make_parents, directory, target)
            if _is_web(source):
                await self._download(source, target)
            else:
                await _in_thread(partial(self._copy, source, target, user))
            if uri.executable:
                await asyncio.to_thread(_make_executable, target)
            elif uri.extract and is_archive(target.name):
                await _in_thread(partial(extract, target, directory, self._bytes_max))
                made = [*made, directory]  # what was extracted
            await asyncio.to_thread(_give_to, user, directory, [target, *made])
        except FetchFailed as failed:
            raise FetchFailed(f"'{source}': {failed}") from None
        except ArchiveRefused as refused:
            raise FetchFailed(f"'{source}': {refused}") from None
        except (OSError, ValueError) as error:
            cause = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            )
            raise FetchFailed(f"'{source}': {cause}") from None

    async def _download(self, source: str, target: Path) -> None:
        import aiohttp  # its import is slow, and not every agent downloads

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_MS / 1000, sock_read=STALL_MS / 1000
        )
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.get(source, max_redirects=REDIRECTS_MAX) as answer,
            ):
                if answer.status != 200:
                    raise FetchFailed(f"the server answered {answer.status} {answer.reason}")
                if (answer.content_length or 0) > self._bytes_max:
                    raise FetchFailed(f"more than {self._bytes_max} bytes")
                size = 0
                with target.open("wb") as file:
                    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                        size += len(chunk)
                        if size > self._bytes_max:
                            raise FetchFailed(f"more than {self._bytes_max} bytes")
                        await asyncio.to_thread(file.write, chunk)
        except aiohttp.TooManyRedirects:
            raise FetchFailed(f"more than {REDIRECTS_MAX} redirects") from None
        except aiohttp.ConnectionTimeoutError:
            raise FetchFailed(f"no connection within {CONNECT_MS / 1000:g} s") from None
        except TimeoutError:  # before ClientError, which aiohttp's are too
            raise FetchFailed(f"no byte for {STALL_MS / 1000:g} s") from None
        except aiohttp.ClientError as error:
            raise FetchFailed(str(error) or type(error).__name__) from None

    def _copy(
        self, source: str, target: Path, user: str | None, is_stopped: threading.Event
    ) -> None:
        path = Path(unquote(urlsplit(source).path) if source.startswith("file:") else source)
        if not path.is_absolute():
            if self._base is None:
                raise FetchFailed("a relative path, and --frameworks_home is not set")
            path = Path(self._base) / path
        if path.is_dir():
            raise FetchFailed("it is a directory")
        # Differs from Mesos, whose fetcher reads as root what its user may not.
        if user is not None and not may_read(path, user):
            raise FetchFailed(f"user '{user}' may not read it")
        # Without O_NONBLOCK a pipe would hold the thread for ever.
        source_fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(source_fd, "rb") as reading, target.open("wb") as writing:
            if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
                raise FetchFailed("it is not a regular file")
            if os.fstat(reading.fileno()).st_size > self._bytes_max:
                raise FetchFailed(f"more than {self._bytes_max} bytes")
            _copy_bytes(reading, writing, is_stopped)


async def _in_thread(work: Callable[[threading.Event], None]) -> None:
    """The work is done in a thread, or told to stop when the caller is cancelled."""
    is_stopped = threading.Event()
    try:
        await asyncio.to_thread(work, is_stopped)
    finally:
        is_stopped.set()


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


def _is_web(source: str) -> bool:
    scheme, found, _ = source.partition("://")
    if not found or scheme == "file":
        return False
    if scheme.lower() not in ("http", "https"):
        raise FetchFailed(f"the scheme '{scheme}' is not one of http, https and file")
    return True


def _copy_bytes(reading: IO[bytes], writing: IO[bytes], is_stopped: threading.Event) -> None:
    while chunk := reading.read(CHUNK_BYTES):
        if is_stopped.is_set():
            return
        writing.write(chunk)


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


def _make_executable(target: Path) -> None:
    target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


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
