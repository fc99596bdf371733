"""Ids from a seed: unique in the world when the seed is random, the same again when it is not."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

UUID_BYTES = 16
UUID_VERSION_MAX = 5  # the versions of RFC 4122, which Mesos knows; the first is 1


class Uuids:
    """A stream of version 4 UUIDs; a core that is replayed with the same seed draws the same."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._drawn = 0

    @property
    def drawn(self) -> int:
        """How many there were so far."""
        return self._drawn

    def next_bytes(self) -> bytes:
        """The next UUID as 16 bytes."""
        self._drawn += 1
        digest = bytearray(
            blake2b(self._drawn.to_bytes(8, "big"), digest_size=16, key=self._seed[:64]).digest()
        )
        digest[6] = digest[6] & 0x0F | 0x40  # version 4, RFC 9562
        digest[8] = digest[8] & 0x3F | 0x80  # variant
        return bytes(digest)

    def next_text(self) -> str:
        """The next UUID in its 36-character form."""
        return str(UUID(bytes=self.next_bytes()))


def is_uuid(given: bytes) -> bool:
    """Whether they are a UUID as Mesos takes it: of a version that it knows."""
    return len(given) == UUID_BYTES and 1 <= given[6] >> 4 <= UUID_VERSION_MAX
