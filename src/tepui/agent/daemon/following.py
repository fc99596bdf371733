"""What a container writes on a terminal of its own, from the file that the launcher keeps of it.

The file is the task's own, in its sandbox: it may be renamed, or be replaced by whatever the task likes.
Source: inotify(7).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import stat
from collections.abc import Callable
from typing import Final

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4  # also when the last link goes
IN_MOVE_SELF: Final = 0x800
REOPEN_S: Final = 0.05  # a file that was renamed is begun anew at once
EVENTS_BYTES: Final = 4096
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)


class FollowedFile:
    """A file read from its present end on; `fd` is to be watched, and read when it is readable."""

    def __init__(self, directory: str, name: str, on_new: Callable[[], None]) -> None:
        """`on_new` is called when there may be more to read. Raises OSError."""
        self._on_new = on_new
        self._name = name
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._file_fd = self._notify_fd = -1
        self._again: asyncio.TimerHandle | None = None
        try:
            self._file_fd = self._open()
            os.lseek(self._file_fd, 0, os.SEEK_END)
            self._watch()
        except OSError:
            self.close()
            raise

    def read(self, bytes_max: int) -> bytes:
        """What is there; empty when that is nothing for now."""
        data = os.read(self._file_fd, bytes_max)
        if not data and self._is_replaced():
            self._reopen()
            data = os.read(self._file_fd, bytes_max)
        return data

    def close(self) -> None:
        """Nothing is called any more."""
        if self._again is not None:
            self._again.cancel()
        if self._notify_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._notify_fd)
        for fd in (self._notify_fd, self._file_fd, self._directory_fd):
            if fd >= 0:
                os.close(fd)
        self._notify_fd = self._file_fd = self._directory_fd = -1

    def _open(self) -> int:
        fd = os.open(self._name, OPEN_FLAGS, dir_fd=self._directory_fd)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileNotFoundError(f"'{self._name}' is no file")
        return fd

    def _watch(self) -> None:
        notify_fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if notify_fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._notify_fd = notify_fd
        path = f"/proc/self/fd/{self._file_fd}".encode()
        if _libc.inotify_add_watch(notify_fd, path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        asyncio.get_running_loop().add_reader(notify_fd, self._notified)

    def _notified(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._notify_fd, EVENTS_BYTES)
        if self._again is None and self._is_renamed():
            self._again = asyncio.get_running_loop().call_later(REOPEN_S, self._look_again)
        self._on_new()

    def _look_again(self) -> None:
        self._again = None
        self._on_new()

    def _is_renamed(self) -> bool:
        try:
            there = os.stat(self._name, dir_fd=self._directory_fd, follow_symlinks=False)
        except OSError:
            return True
        return there.st_ino != os.fstat(self._file_fd).st_ino

    def _is_replaced(self) -> bool:
        """There is another file of the name, which can be read."""
        try:
            fd = self._open()
        except OSError:
            return False
        is_other = os.fstat(fd).st_ino != os.fstat(self._file_fd).st_ino
        os.close(fd)
        return is_other

    def _reopen(self) -> None:
        with contextlib.suppress(OSError):
            fresh = self._open()
            os.close(self._file_fd)
            self._file_fd = fresh
            asyncio.get_running_loop().remove_reader(self._notify_fd)
            os.close(self._notify_fd)
            self._notify_fd = -1
            self._watch()
