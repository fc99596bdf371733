"""Chance that is read from bytes, so that whoever changes the bytes steers what happens."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Drawn(Random):
    """A Random whose every choice is the next byte or bytes of `data`; zeros when there are none.

    Like any Random it always answers; `is_spent` tells when its answers mean nothing any more.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    @property
    def is_spent(self) -> bool:
        """All bytes are used."""
        return self._at >= len(self._data)

    def rest(self) -> bytes:
        """All bytes that are left; they are used then."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def getrandbits(self, k: int) -> int:
        """From as few bytes as hold `k` bits."""
        size = (k + 7) // 8
        found = int.from_bytes(self._data[self._at : self._at + size], "big")
        self._at += size
        return found & ((1 << k) - 1)

    def random(self) -> float:
        """From 0 to 1, in steps of 1/256: a byte is enough to decide something."""
        return self.getrandbits(8) / 256

    def below(self, limit: int) -> int:
        """From 0 to `limit` - 1, from one byte while that is enough."""
        return self.getrandbits(8 if limit <= 256 else 16) % limit

    def one(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.below(len(among))]


def pieces(data: bytes, sizes: int) -> list[bytes]:
    """`data` in pieces: whole for 0, of `sizes` bytes up to 127, of changing sizes above."""
    if sizes == 0:
        return [data]
    if sizes < 128:
        return [data[at : at + sizes] for at in range(0, len(data), sizes)]
    found: list[bytes] = []
    random = Random(sizes)
    at = 0
    while at < len(data):
        size = random.choice((1, 2, 3, 5, 20, 100, 1_000))
        found.append(data[at : at + size])
        at += size
    return found
