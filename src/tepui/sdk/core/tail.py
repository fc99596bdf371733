"""Decides what to read next of a log that grows and is rotated: nothing twice, nothing left out.

When the file is smaller than what was read of it, it was rotated: the rest is at the end of
`<name>.1`, and the new file is read from its start. (A file that was rotated and has since grown
beyond the old offset cannot be told from one that grew.)
"""

from __future__ import annotations

from msgspec import Struct

READ_BYTES = 64 * 1024


class Read(Struct, frozen=True):
    """Read up to `length_bytes` of `path` from `offset_bytes`."""

    path: str
    offset_bytes: int
    length_bytes: int = READ_BYTES


class Tail:
    """Follows one file. Ask `next_read`, read, then say what came: `got` or `missing`."""

    def __init__(self, path: str, offset_bytes: int = 0) -> None:
        self._path = path
        self._offset_bytes = offset_bytes
        self._in_rotated = False

    def next_read(self) -> Read:
        """What to read now."""
        path = f"{self._path}.1" if self._in_rotated else self._path
        return Read(path, self._offset_bytes)

    def got(self, size_bytes: int, data: bytes) -> bool:
        """The file is `size_bytes` long and holds `data` at the offset: new text, to be shown.

        Returns whether to read again at once; else there is nothing new for now.
        """
        if size_bytes < self._offset_bytes:
            # A rotated file that is too small was rotated twice meanwhile: its rest is gone.
            self._turn(to_rotated=not self._in_rotated)
            return True
        self._offset_bytes += len(data)
        if data:
            return True
        if self._in_rotated:
            self._turn(to_rotated=False)
            return True
        return False

    def missing(self) -> bool:
        """There is no such file. Returns whether to read again at once."""
        was_in_rotated = self._in_rotated
        if was_in_rotated:
            self._turn(to_rotated=False)
        return was_in_rotated

    def _turn(self, *, to_rotated: bool) -> None:
        self._in_rotated = to_rotated
        if not to_rotated:
            self._offset_bytes = 0
