"""Gives memory back to the system after a peak.

What is freed in the middle of the heap glibc keeps, for its next use; after some hundred slow readers
that is half a gigabyte for ever. malloc_trim(3) returns all whole pages that are free.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

PEAK_BYTES: Final = 64 * 1024 * 1024  # of what is held for others; less is not worth a look
FALL: Final = 4  # to a quarter of its peak


class Peaks:
    """Told about once a second how much is held for others; trims when a peak is over."""

    def __init__(self) -> None:
        self._peak_bytes = 0

    def held(self, now_bytes: int) -> bool:
        """So much is held now; whether memory was given back."""
        if now_bytes >= self._peak_bytes:
            self._peak_bytes = now_bytes
            return False
        if self._peak_bytes < PEAK_BYTES or now_bytes > self._peak_bytes // FALL:
            return False
        self._peak_bytes = now_bytes
        trim()
        return True


def trim() -> None:
    """Free pages of the heap are given back, where the C library can do that."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
