"""Keeps objects for as long as the process lives: for tests, simulations and `--registry=in_memory`."""

from __future__ import annotations

from collections.abc import Sequence

from tepui.storage.checks import VALUE_BYTES_MAX, check
from tepui.storage.store import Fenced, StoreFailed, Write


class Memory:
    """What stores share that are opened one after the other."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.opened = 0  # how often


class MemoryStore:
    """A Store over `memory`; a second one that is opened on it fences the first."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._opening: int | None = None  # which one was ours; None: not open

    @property
    def value_bytes_max(self) -> int:
        """See Store."""
        return VALUE_BYTES_MAX

    async def open(self) -> dict[str, bytes]:
        """See Store."""
        self._memory.opened += 1
        self._opening = self._memory.opened
        return dict(self._memory.objects)

    async def save(self, writes: Sequence[Write]) -> None:
        """See Store."""
        check(writes, VALUE_BYTES_MAX)
        if self._opening is None:
            raise StoreFailed("the store is not open")
        if self._opening != self._memory.opened:
            raise Fenced("the store in memory was opened by another owner")
        for write in writes:
            if write.value is None:
                self._memory.objects.pop(write.key, None)
            else:
                self._memory.objects[write.key] = write.value

    async def close(self) -> None:
        """See Store."""
        self._opening = None
