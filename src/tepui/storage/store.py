"""What every store promises; `tests/storage/test_contract.py` holds each to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

KEY_CHARS_MAX: Final = 2_048
WRITES_MAX: Final = 100_000  # of one `save`


class Write(Struct, frozen=True):
    """The object at `key` is `value` from now on; None: there is none."""

    key: str
    value: bytes | None


class StoreFailed(Exception):
    """The store can't be read or written; the text says which, where and why.

    After a failed `save` nobody knows what of it was written, so whoever saved must not go on.
    """


class StoreFull(StoreFailed):
    """There is no room for it on the disk; nothing was written."""


class Fenced(StoreFailed):
    """Somebody else has opened the store since; nothing was written."""


async def save_all(store: Store, writes: Sequence[Write]) -> None:
    """The same as `save`, of any number of writes."""
    for first in range(0, len(writes), WRITES_MAX):
        await store.save(writes[first : first + WRITES_MAX])


class Store(Protocol):
    """Objects by key, opened by one owner at a time.

        found = await store.open()        # all there is; whoever had it open before is fenced off
        await store.save((Write("agents/a1", b"..."), Write("agents/a2", None)))
        await store.close()

    `value_bytes_max` is how long a value may be: 64 MiB in memory and in SQLite, 900,000 bytes in
    ZooKeeper, whose nodes hold 1 MiB with their request (jute.maxbuffer).

    Keys are one or more names joined by `/`, each of printable ASCII without `/`, none `.` or `..`;
    `save` refuses others, and values and numbers of writes above the limits, with ValueError before
    it writes anything. Writes are carried out in order. When the process or the machine dies in the
    middle of a `save`, any number of them from the first on may have happened, each of them whole.
    Calls of `save` may overlap; they are carried out in the order in which they were made.
    """

    @property
    def value_bytes_max(self) -> int:
        """How long a value may be."""
        ...

    async def open(self) -> dict[str, bytes]:
        """All objects. Raises StoreFailed."""
        ...

    async def save(self, writes: Sequence[Write]) -> None:
        """All writes are durable when this returns. Raises StoreFailed, Fenced or ValueError."""
        ...

    async def close(self) -> None:
        """Nothing is kept open. What was saved stays."""
        ...
