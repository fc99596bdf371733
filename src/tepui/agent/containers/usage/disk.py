"""How much directories, and single files, hold on disk, counted as du does, a piece at a time.

Blocks count, not lengths; a file with several names counts once; links are not followed, and other file
systems not entered. A container may do with its files whatever it likes meanwhile: one descriptor is open at
a time however deep they are, and what is moved away under it is left out until the next time.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator
from typing import Final

from msgspec import Struct

BLOCK_BYTES: Final = 512  # of `st_blocks`, whatever the file system's own are
ENTRIES_AT_ONCE: Final = 500  # 1-3 ms
ENTRIES_MAX: Final = 2_000_000  # of one measurement; what is beyond is not counted
LINKED_MAX: Final = (
    200_000  # files with several names that are remembered; of others, each name has its part
)
WAITING_MAX: Final = 200_000  # directories that were seen and not looked into; others are left out

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Level(Struct):
    """A directory on the way down, and those in it that are to be looked into."""

    identity: tuple[int, int]
    names: list[str]


class Measurement:
    """One count of some directories and files: `step` until it says that it is done."""

    def __init__(self, places: tuple[str, ...]) -> None:
        self.held_bytes = 0
        self._entries = 0
        self._waiting = 0
        self._linked: set[tuple[int, int]] = set()
        self._work = self._all(places)

    def step(self) -> bool:
        """Count on for a moment; return whether it was the last."""
        return next(self._work, True)

    def close(self) -> None:
        """Nothing more is counted, and nothing is open."""
        self._work.close()

    def _all(self, places: tuple[str, ...]) -> Generator[bool]:
        for place in places:
            try:
                fd = os.open(place, _OPEN)
            except OSError:
                self._file(place)
                continue
            yield from self._tree(fd)
            if self._entries >= ENTRIES_MAX:
                return

    def _file(self, place: str) -> None:
        with contextlib.suppress(OSError):  # it is gone, or was never made
            found = os.lstat(place)
            if stat.S_ISREG(found.st_mode):
                self._count(found)

    def _tree(self, fd: int) -> Generator[bool]:
        """Count the directory `fd` with all that is in it; `fd` is closed then."""
        above: list[_Level] = []
        try:
            top = os.fstat(fd)
            self._count(top)
            here = _Level(_identity(top), [])
            yield from self._entries_of(fd, here)
            while above or here.names:
                if here.names:
                    inner = self._into(fd, here, top.st_dev)
                    if inner is None:
                        continue
                    above.append(here)
                    os.close(fd)
                    fd, here = inner
                    yield from self._entries_of(fd, here)
                else:
                    outer = os.open("..", _OPEN, dir_fd=fd)
                    os.close(fd)
                    fd, here = outer, above.pop()
                    if _identity(os.fstat(fd)) != here.identity:
                        return  # it was moved elsewhere
        except OSError:
            return  # it was removed
        finally:
            os.close(fd)

    def _into(self, fd: int, here: _Level, device: int) -> tuple[int, _Level] | None:
        name = here.names.pop()
        self._waiting -= 1
        try:
            inner = os.open(name, _OPEN, dir_fd=fd)
        except OSError:
            return None
        found = os.fstat(inner)
        if found.st_dev != device:
            os.close(inner)
            return None
        return inner, _Level(_identity(found), [])

    def _entries_of(self, fd: int, here: _Level) -> Generator[bool]:
        with os.scandir(fd) as entries:
            for entry in entries:
                if self._entries >= ENTRIES_MAX:
                    return
                self._entries += 1
                try:
                    self._count(entry.stat(follow_symlinks=False))
                    is_directory = entry.is_dir(follow_symlinks=False)
                except OSError:
                    continue
                if is_directory and self._waiting < WAITING_MAX:
                    self._waiting += 1
                    here.names.append(entry.name)
                if self._entries % ENTRIES_AT_ONCE == 0:
                    yield False

    def _count(self, found: os.stat_result) -> None:
        held_bytes = found.st_blocks * BLOCK_BYTES
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            identity = _identity(found)
            if identity in self._linked:
                return
            if len(self._linked) < LINKED_MAX:
                self._linked.add(identity)
            else:
                held_bytes //= found.st_nlink
        self.held_bytes += held_bytes


def held_bytes(*places: str) -> int:
    """Return what the directories and files hold."""
    measurement = Measurement(places)
    while not measurement.step():
        pass
    return measurement.held_bytes


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
