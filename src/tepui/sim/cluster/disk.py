"""What outlives a process on its machine: objects by key, written whole and in order.

A process that dies in the middle of a save leaves none of it, all of it, or any number of its writes
from the first on, as `storage.store` promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Generic, TypeVar

from tepui.sim.cluster.node import Process

Object = TypeVar("Object")

Writes = Sequence[tuple[str, Object | None]]

SAVE_MS_MAX = 4
SLOW_SAVE_MS_MAX = 400
DEATH_CHANCE = 0.01  # of a process, while it saves


class Disk(Generic[Object]):
    """The objects of one daemon, over all of its lives."""

    def __init__(self, random: Random) -> None:
        self.objects: dict[str, Object] = {}
        self.is_full = False  # saves fail until it is not
        self.fails_next = False  # one save fails
        self.is_slow = False
        self.tears = False  # a process may die while it saves, and leave a part of it
        self.saving: Writes[Object] = ()
        self._random = random

    def save(
        self,
        process: Process,
        writes: Writes[Object],
        saved: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        """`saved` is called when all is durable; after `failed` nobody knows what is."""
        self.saving = writes
        process.ends[self._cut_short] = None
        delay_ms = self._random.randint(0, SLOW_SAVE_MS_MAX if self.is_slow else SAVE_MS_MAX)
        if self.tears and self._random.random() < DEATH_CHANCE:
            process.after(delay_ms // 2, process.die)

        def done() -> None:
            del process.ends[self._cut_short]
            if self.is_full or self.fails_next:
                self.fails_next = False
                self._cut_short()
                failed("the disk is full")
                return
            self.saving = ()
            self.apply(writes)
            saved()

        process.after(delay_ms, done)

    def apply(self, writes: Iterable[tuple[str, Object | None]]) -> None:
        """They are there."""
        for key, value in writes:
            if value is None:
                self.objects.pop(key, None)
            else:
                self.objects[key] = value

    def when_saved(self) -> dict[str, Object]:
        """What is there once the save that is under way is done."""
        found = dict(self.objects)
        for key, value in self.saving:
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found

    def _cut_short(self) -> None:
        count = len(self.saving)
        left = self._random.randint(0, count) if self.tears else self._random.choice((0, count))
        self.apply(self.saving[:left])
        self.saving = ()
