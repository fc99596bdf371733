"""Answers whose body lies in a file without a name, which several clients may read at once.

A piece is read when the client has taken the one before, so that a client that reads slowly holds
a piece of memory and not the whole. One that takes nothing is cut off like any other (`connection.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Final

PIECE_BYTES: Final = 256 * 1024  # read and written at once
TURN_PIECES: Final = 4  # to one client in one turn of the loop; others have theirs in between


class SharedFile:
    """Files that are read from, as if they were one; closed when nobody holds this object any more."""

    def __init__(self, *descriptors: int) -> None:
        """Takes the descriptors over."""
        self._descriptors = descriptors
        sizes = [os.fstat(descriptor).st_size for descriptor in descriptors]
        self._ends = list(accumulate(sizes))
        self.size_bytes = sum(sizes)
        self._readers: set[FileWriter] = set()
        self.is_cut = False

    def __del__(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    @property
    def has_readers(self) -> bool:
        """Somebody reads it now."""
        return bool(self._readers)

    def read(self, offset: int) -> bytes:
        """The piece that begins there; empty at the end."""
        if offset >= self.size_bytes:
            return b""
        which = bisect_right(self._ends, offset)
        begin = self._ends[which - 1] if which else 0
        return os.pread(self._descriptors[which], PIECE_BYTES, offset - begin)

    def joined(self, reader: FileWriter) -> None:
        """It reads from now on."""
        self._readers.add(reader)

    def left(self, reader: FileWriter) -> None:
        """It has read all, or has gone."""
        self._readers.discard(reader)

    def cut(self) -> None:
        """Whoever still reads is cut off."""
        self.is_cut = True
        for reader in list(self._readers):
            reader.abort()


class FileWriter:
    """Writes one answer to one client. `resume` is called whenever the client takes more."""

    def __init__(
        self,
        transport: asyncio.Transport,
        file: SharedFile,
        after: bytes,
        is_writable: Callable[[], bool],
        done: Callable[[], None],
    ) -> None:
        """`done` is called when all is written, `after` last of all."""
        self._transport = transport
        self._file: SharedFile | None = file
        self._after = after
        self._is_writable = is_writable
        self._done = done
        self._offset = 0
        self._is_scheduled = False
        file.joined(self)

    def resume(self) -> None:
        """Write until the client takes no more, or it is the others' turn."""
        self._is_scheduled = False
        for _ in range(TURN_PIECES):
            if self._file is None or not self._is_writable() or self._transport.is_closing():
                return
            if self._file.is_cut:
                self.abort()
                return
            piece = self._file.read(self._offset)
            if not piece:
                self._finish()
                return
            self._offset += len(piece)
            self._transport.write(piece)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self.resume)

    def left(self) -> None:
        """The client has gone."""
        if self._file is not None:
            self._file.left(self)
            self._file = None

    def abort(self) -> None:
        """End the connection now: the client sees that the answer is not whole."""
        self.left()
        self._transport.abort()

    def _finish(self) -> None:
        if self._after:
            self._transport.write(self._after)
        self.left()
        self._done()


def new_file(name: str) -> int:
    """The descriptor of an empty file that lives in memory; raises OSError."""
    with contextlib.suppress(AttributeError):  # not every Linux C library has it
        return os.memfd_create(name, os.MFD_CLOEXEC)
    return os.open("/tmp", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
