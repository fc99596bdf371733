"""Copies files of this machine, as far as the user may read them."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urlsplit

from tepui.agent.fetcher.access import may_read
from tepui.agent.fetcher.errors import FetchFailed, Room

CHUNK_BYTES: Final = 256 * 1024


def is_local(source: str) -> bool:
    """Whether it is a path, or a file:// address."""
    scheme, found, _ = source.partition("://")
    return not found or scheme.lower() == "file"


def copy_local(
    source: str,
    target: Path,
    user: str | None,
    base: str | None,
    room: Room,
    is_stopped: threading.Event,
) -> None:
    """The file is at `target`, or a part of it when `is_stopped` was set.

    Relative paths begin at `base`. Raises FetchFailed, OSError, and KeyError for an unknown user.
    """
    is_address = source.lower().startswith("file://")
    path = Path(unquote(urlsplit(source).path) if is_address else source)
    if not path.is_absolute():
        if base is None:
            raise FetchFailed("a relative path, and --frameworks_home is not set")
        path = Path(base) / path
    if path.is_dir():
        raise FetchFailed("it is a directory")
    # Differs from Mesos, whose fetcher reads as root what its user may not.
    if user is not None and not may_read(path, user):
        raise FetchFailed(f"user '{user}' may not read it")
    with open_regular(path) as reading, open_new(target) as writing:
        room(os.fstat(reading.fileno()).st_size)
        copy_bytes(reading, writing, room, is_stopped)


def open_regular(path: Path) -> IO[bytes]:
    """The file, open. Raises FetchFailed when it is no regular file, and OSError."""
    # Without O_NONBLOCK a pipe would hold the thread for ever.
    reading = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(reading.fileno()).st_mode):
        reading.close()
        raise FetchFailed("it is not a regular file")
    return reading


def open_new(path: Path) -> IO[bytes]:
    """The file, open and empty; never another that a link leads to. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def make_executable(path: Path) -> None:
    """Everybody may execute the file; a link is not followed. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | 0o111)
    finally:
        os.close(fd)


def copy_bytes(
    reading: IO[bytes], writing: IO[bytes], room: Room, is_stopped: threading.Event
) -> None:
    """All is written, or a part of it when `is_stopped` was set."""
    size_bytes = 0
    while chunk := reading.read(CHUNK_BYTES):
        if is_stopped.is_set():
            return
        size_bytes += len(chunk)
        room(size_bytes)
        writing.write(chunk)
