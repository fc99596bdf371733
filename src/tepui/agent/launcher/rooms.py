"""Keeps the bundles of containers and the runtime's state in memory, where the machine has a place for that.

Each container has about ten small files in them, of no use after the machine's restart. On a disk that others
write to as well, making and removing these takes longer than all the rest of a container's life. The agent knows
both by their names in the runtime directory: these are links then.
"""

from __future__ import annotations

import os
import stat

from .oci import BUNDLES_NAME, STATE_NAME, remove_all

NAMES = (BUNDLES_NAME, STATE_NAME)
PLACES = ("/run", "/dev/shm")  # in memory on most machines
FREE_BYTES_MIN = 256 << 20  # of such a place; a container takes 60 KiB
MODE = 0o700


class Rooms:
    """Both directories of one launcher. `token` tells it from others on the machine."""

    __slots__ = ("_directory", "_is_made", "_mounts", "_name", "_places")

    def __init__(
        self,
        directory: str,
        token: str,
        places: tuple[str, ...] = PLACES,
        mounts: str = "/proc/self/mounts",
    ) -> None:
        self._directory = directory
        self._name = token
        self._places = places
        self._mounts = mounts
        self._is_made = False

    def clear(self) -> None:
        """Nothing is left of both: when the launcher begins, of one that was killed; and when it ends."""
        self._is_made = False
        for place in self._places:
            path = f"{place}/{self._name}"
            if _is_own(path):
                remove_all(path)
        for name in NAMES:
            path = f"{self._directory}/{name}"
            if os.path.islink(path):
                os.unlink(path)
            else:
                remove_all(path)

    def make(self) -> None:
        """They are in memory if that can be; else they will be made on disk by who needs them."""
        if self._is_made:
            return
        self._is_made = True
        for place in self._places:
            if _has_room(place, self._mounts) and self._link(f"{place}/{self._name}"):
                return

    def _link(self, path: str) -> bool:
        try:
            os.mkdir(path, MODE)  # fails on whatever another user has put there
            for name in NAMES:
                os.mkdir(f"{path}/{name}", MODE)
            for name in NAMES:
                os.symlink(f"{path}/{name}", f"{self._directory}/{name}")
        except OSError:
            return False
        return True


def _is_own(path: str) -> bool:
    """Tell whether nobody else can have made what is at `path`, nor can lead astray who removes what is in it."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()


def _has_room(place: str, mounts: str) -> bool:
    """Tell whether `place` is in memory, with room for the containers of a machine."""
    kind = ""
    try:
        with open(mounts) as file:
            for line in file:
                words = line.split(" ")
                if words[1] == place:
                    kind = words[2]
        free = os.statvfs(place)
    except (OSError, IndexError):
        return False
    return kind == "tmpfs" and free.f_bavail * free.f_frsize >= FREE_BYTES_MIN
