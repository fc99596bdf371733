"""Secrets as files that containers see: kept in memory, and gone with their container.

Where they are anybody may make files, so nothing is taken for the agent's by its name alone: a link there
could lead it to clear another directory, and whoever owned the directory could give containers other
secrets.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/dev/shm")
SECRET_BYTES_MAX = 1 << 20  # of one secret
MODE = 0o400
DIRECTORY_MODE = 0o700


class Secrets:
    """The secrets of one agent's containers. `elsewhere` is used where the machine has no file system in memory."""

    def __init__(self, work_dir: str, elsewhere: str, memory: Path = MEMORY) -> None:
        digest = hashlib.sha1(os.fsencode(os.path.realpath(work_dir))).hexdigest()[:12]
        own = memory / f"tepui-{os.geteuid()}-{digest}"
        self.directory = own if memory.is_dir() else Path(elsewhere)
        self._lock = threading.Lock()  # the directory goes with its last secret

    def keep(self, container_id: str, data: bytes) -> str:
        """The path of a file with `data`, for root alone. Raises OSError and ValueError."""
        if len(data) > SECRET_BYTES_MAX:
            raise ValueError(
                f"a secret of {len(data)} bytes is over the limit of {SECRET_BYTES_MAX}"
            )
        place = self.directory / container_id
        with self._lock:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            _make_own(self.directory)
            _make_own(place)
        path = place / str(len(os.listdir(place)))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        return str(path)

    def hand_over(self, container_id: str, uid: int, gid: int) -> None:
        """The container's secrets can be read by this user, whom it runs as."""
        place = self.directory / container_id
        if place.is_dir():
            for name in os.listdir(place):
                os.chown(place / name, uid, gid, follow_symlinks=False)

    def drop(self, container_id: str) -> None:
        """The container has no secrets any more."""
        with self._lock:
            if _is_own(self.directory):
                shutil.rmtree(self.directory / container_id, ignore_errors=True)
                with suppress(OSError):  # others have secrets
                    self.directory.rmdir()

    def sweep(self, living: Collection[str]) -> None:
        """Containers that are no more have left nothing."""
        if not _is_own(self.directory):
            return
        for name in set(os.listdir(self.directory)) - set(living):
            self.drop(name)
        with self._lock, suppress(OSError):
            self.directory.rmdir()


def _make_own(directory: Path) -> None:
    """The directory is there, the agent's, and nobody else may look into it. Raises OSError."""
    with suppress(FileExistsError):
        directory.mkdir(mode=DIRECTORY_MODE)
    if not _is_own(directory):
        raise OSError(errno.EPERM, "it is not a directory of this agent's", str(directory))
    directory.chmod(DIRECTORY_MODE)


def _is_own(directory: Path) -> bool:
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
