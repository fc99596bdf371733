"""One process at a time owns a file; a lock beside it says which."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

from tepui.storage.store import StoreFailed

PID_BYTES_MAX: Final = 32  # that are read of what should be a number

_held: set[tuple[int, int]] = set()  # device and inode of the lock files of this process


class FileLock:
    """Holds `<path>.lock`, which is never removed; a process that dies holds nothing any more.

    It is a lock of the process (POSIX), not of the open file (flock): a forked child, such as one
    that renders a large answer, must not keep the file for a parent that was killed. Of such locks
    a process can take the same twice, so `_held` remembers them.
    """

    def __init__(self, path: Path) -> None:
        """Raises StoreFailed that names who holds it."""
        self.path = path.with_name(path.name + ".lock")
        try:
            self._refuse_our_own(path)
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreFailed(f"cannot open '{self.path}': {error.strerror}") from error
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
            found = os.fstat(self._fd)
        except OSError as error:
            holder = self._holder()
            os.close(self._fd)
            if isinstance(error, BlockingIOError | PermissionError):
                raise StoreFailed(f"'{path}' is in use by {holder}") from error
            raise StoreFailed(f"cannot lock '{self.path}': {error.strerror}") from error
        self._identity = (found.st_dev, found.st_ino)
        _held.add(self._identity)

    def _refuse_our_own(self, path: Path) -> None:
        """Before it is opened: closing it again would release the lock that we hold."""
        with contextlib.suppress(FileNotFoundError):
            found = self.path.stat()
            if (found.st_dev, found.st_ino) in _held:
                raise StoreFailed(f"'{path}' is in use by this process ({os.getpid()})")

    def _holder(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            return f"process {int(os.pread(self._fd, PID_BYTES_MAX, 0))}"
        return "another process"

    def release(self) -> None:
        """Others may have it."""
        if self._identity in _held:
            _held.discard(self._identity)
            os.close(self._fd)
