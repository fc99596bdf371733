"""Files that a daemon shows: sandboxes and logs, by the paths they are attached under.

Only what is below an attached path can be seen; a path or link that leads out of it cannot.

Source: Mesos files/files.cpp; recorded answers.
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TypeVar

from msgspec import Struct

from tepui.web.http import Handler, Request, Response, json, text
from tepui.wire import mesos

T = TypeVar("T")

READ_BYTES_MAX: Final = 65_536  # of one /files/read (Mesos: 16 pages)
READ_FILE_BYTES_MAX: Final = 64 << 20  # of one READ_FILE
DOWNLOAD_BYTES_MAX: Final = 128 << 20  # it is read whole
ENTRIES_MAX: Final = 100_000  # of one directory
NO_OFFSET: Final = -1  # only the size is asked for

_DIGITS: Final = re.compile(r"-?[0-9]{1,20}")


class FileError(Exception):
    """The answer instead: a status, and the body that goes with it."""

    def __init__(self, status: int, body: str = "") -> None:
        super().__init__(body)
        self.status = status
        self.body = body


@contextmanager
def _world_refuses() -> Iterator[None]:
    """What the machine refuses becomes FileError: 403 for want of a right, else 404."""
    try:
        yield
    except PermissionError:
        raise FileError(403, "The file cannot be read.\n") from None
    except (OSError, RuntimeError, UnicodeError):  # RuntimeError: pathlib's, for a loop of links
        raise FileError(404) from None


class Piece(Struct, frozen=True):
    """A part of a file, and the size of the whole."""

    data: bytes
    offset: int
    size: int


class Files:
    """The attached paths. Any of the blocking methods below is for a thread."""

    def __init__(self) -> None:
        self._attached: dict[str, str] = {}

    def attach(self, path: str, target: str) -> None:
        """What is below `target` can be seen below `path`."""
        self._attached[path.rstrip("/")] = target

    def detach(self, path: str) -> None:
        """It can no longer be seen; harmless when it never could."""
        self._attached.pop(path.rstrip("/"), None)

    def target(self, path: str) -> str | None:
        """What is attached at exactly this path."""
        return self._attached.get(path.rstrip("/"))

    def attached(self) -> dict[str, str]:
        """All of it, sorted by path."""
        return {path: self._attached[path] for path in sorted(self._attached)}

    @_world_refuses()
    def resolve(self, path: str) -> Path:
        """The file behind the path. Raises FileError: 404 for none, 400 for one outside."""
        if "\0" in path:
            raise FileError(404)
        bare = path.rstrip("/")
        head = bare
        while head not in self._attached:
            if "/" not in head:
                raise FileError(404)
            head = head[: head.rfind("/")]
        root = Path(self._attached[head])
        rest = bare[len(head) :].strip("/")
        found = (root / rest) if rest else root
        real_root, real = root.resolve(), found.resolve()
        if not real.is_relative_to(real_root):
            raise FileError(400, f"'{path}' is inaccessible.\n")
        if not real.exists():
            raise FileError(404)
        return real

    @_world_refuses()
    def browse(self, path: str) -> list[mesos.FileInfo]:
        """What a directory holds, sorted by name; nothing for a file. Raises FileError.

        A name that is not UTF-8 is listed with replacement characters, so that it can be seen
        that there is something; such a file cannot be read by that name.
        """
        directory = self.resolve(path)
        if not directory.is_dir():
            return []
        names = sorted(os.listdir(directory))[:ENTRIES_MAX]
        return [info for name in names if (info := _info(path, directory, name)) is not None]

    @_world_refuses()
    def read(self, path: str, offset: int, length: int | None, bytes_max: int) -> Piece:
        """A part of a file; NO_OFFSET asks for its size alone. Raises FileError."""
        file = self.resolve(path)
        if file.is_dir():
            raise FileError(400, "Cannot read a directory.\n")
        size = file.stat().st_size
        if offset == NO_OFFSET:
            return Piece(b"", size, size)
        wanted = bytes_max if length is None or length < 0 else min(length, bytes_max)
        wanted = max(0, min(wanted, size - offset))
        if not wanted:
            return Piece(b"", offset, size)
        with _open_regular(file) as reading:
            reading.seek(offset)
            return Piece(reading.read(wanted), offset, size)

    @_world_refuses()
    def load(self, path: str) -> tuple[str, bytes]:
        """A file's own name, and the whole of it. Raises FileError."""
        file = self.resolve(path)
        if file.is_dir():
            raise FileError(400, "Cannot download a directory.\n")
        if file.stat().st_size > DOWNLOAD_BYTES_MAX:
            raise FileError(413, f"The file is larger than {DOWNLOAD_BYTES_MAX} bytes.\n")
        with _open_regular(file) as reading:
            return file.name, reading.read(DOWNLOAD_BYTES_MAX)


class FilesApi:
    """The handlers of /files/*."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def handlers(self) -> dict[str, Handler]:
        """All of them, by path."""
        return {
            "/files/browse": self.browse,
            "/files/read": self.read,
            "/files/download": self.download,
            "/files/debug": self.debug,
        }

    async def browse(self, request: Request) -> Response:
        """`/files/browse?path=`"""
        path = request.query.get("path")
        if not path:
            return text(400, "Expecting 'path=value' in query.\n")
        infos = await self._tried(lambda: self._files.browse(path))
        if isinstance(infos, Response):
            return infos
        return json([_classic(info) for info in infos], request)

    async def read(self, request: Request) -> Response:
        """`/files/read?path=&offset=&length=`"""
        query = request.query
        path = query.get("path")
        if not path:
            return text(400, "Expecting 'path=value' in query.\n")
        offset = _number(query.get("offset"), "offset", NO_OFFSET)
        if isinstance(offset, Response):
            return offset
        if offset < NO_OFFSET:
            return text(400, f"Negative offset provided: {offset}.\n")
        length = _number(query.get("length"), "length", -1)
        if isinstance(length, Response):
            return length
        if length < -1:
            return text(400, f"Negative length provided: {length}.\n")
        piece = await self._tried(lambda: self._files.read(path, offset, length, READ_BYTES_MAX))
        if isinstance(piece, Response):
            return piece
        return json(
            {"data": piece.data.decode("utf-8", "replace"), "offset": piece.offset}, request
        )

    async def download(self, request: Request) -> Response:
        """`/files/download?path=`"""
        path = request.query.get("path")
        if not path:
            return text(400, "Expecting 'path=value' in query.\n")
        loaded = await self._tried(lambda: self._files.load(path))
        if isinstance(loaded, Response):
            return text(404, "404 Not Found.") if loaded.status == 404 else loaded
        name, body = loaded
        quoted = name if name.isalnum() or name.isidentifier() else f'"{_quotable(name)}"'
        disposition = ("Content-Disposition", f"attachment; filename={quoted}")
        return Response(200, body, "application/octet-stream", (disposition,))

    async def debug(self, request: Request) -> Response:
        """`/files/debug`: what is attached."""
        return json(self._files.attached(), request)

    async def _tried(self, work: Callable[[], T]) -> T | Response:
        try:
            return await asyncio.to_thread(work)
        except FileError as error:
            return text(error.status, error.body)


def _number(given: str | None, name: str, default: int) -> int | Response:
    """Decimal digits of at most 64 bits, as Mesos takes them."""
    if not given:
        return default
    if _DIGITS.fullmatch(given) and -(1 << 63) <= int(given) < 1 << 63:
        return int(given)
    return text(400, f"Failed to parse {name}: Failed to convert '{given}' to number.\n")


def _open_regular(file: Path) -> IO[bytes]:
    """Raises FileError for what is not a file: a pipe would never end."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileError(400, "Cannot read what is not a file.\n")
    return os.fdopen(descriptor, "rb")


def _info(path: str, directory: Path, name: str) -> mesos.FileInfo | None:
    try:
        found = os.stat(directory / name, follow_symlinks=False)
    except OSError:
        return None  # it is gone by now
    return mesos.FileInfo(
        path=f"{path.rstrip('/')}/{_shown(name)}",
        nlink=found.st_nlink,
        size=found.st_size,
        mtime=mesos.TimeInfo(nanoseconds=found.st_mtime_ns),
        mode=found.st_mode,
        uid=_user(found.st_uid),
        gid=_group(found.st_gid),
    )


def _shown(name: str) -> str:
    """The name as UTF-8 text."""
    return os.fsencode(name).decode("utf-8", "replace")


def _classic(info: mesos.FileInfo) -> dict[str, object]:
    assert info.mode is not None
    assert info.mtime is not None
    return {
        "gid": info.gid,
        "mode": stat.filemode(info.mode),
        "mtime": info.mtime.nanoseconds / 1e9,
        "nlink": info.nlink,
        "path": info.path,
        "size": info.size,
        "uid": info.uid,
    }


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _quotable(name: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "_" for c in name)
