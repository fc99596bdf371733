"""The disk of the work_dir: how full it is, and a reserve for what must be saved on a full one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from tepui.agent.core.disk import FREE_BYTES_MIN
from tepui.agent.core.events import DiskMeasured
from tepui.agent.daemon.put import Put
from tepui.base import tasks
from tepui.storage.store import StoreFull

RESERVE_BYTES: Final = 16 << 20  # thousands of status updates
RETRY_S: Final = 1.0  # until what can't be saved is tried again

log = logging.getLogger("tepui.agent")


class Disk:
    """Measured every so often, from `start` to `stop`.

    The reserve is a file that takes space and holds nothing. When the disk is full it is given up,
    so that what happens to the tasks that run can still be saved; with room enough it is made again.
    """

    def __init__(self, work_dir: str, put: Put, interval_ms: int) -> None:
        self._work_dir = work_dir
        self._put = put
        self._interval_s = interval_ms / 1000
        self._reserve = Path(work_dir) / "meta" / "reserve"
        self._is_waiting = False  # and that was said
        self._is_over = False
        self._working: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """What is opened next finds the space that it needs, if there is a reserve."""
        if self._free()[1] < RESERVE_BYTES:
            self._give_up_reserve()

    def start(self) -> None:
        """From now on the core is told."""
        self._working = tasks.start(self._watch())

    async def stop(self) -> None:
        """Nothing more is measured, and nothing waits for room any more."""
        self._is_over = True
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def make_room(self, full: StoreFull) -> None:
        """Return when what could not be written is worth another try; after `stop` raise `full`.

        The reserve is made again only when the disk is measured next: if it was no help, the disk
        lacks something else than bytes, and giving it up time and again would not end.
        """
        if self._is_over:
            raise full
        if not self._is_waiting:
            self._is_waiting = True
            log.error("checkpoint_waits reason=%s", full)
        if not self._give_up_reserve():
            await asyncio.sleep(RETRY_S)
        elif self._working is not None and (found := self._measured()) is not None:
            self._put(found)  # at once; before `start` the core is not ready to be told

    async def _watch(self) -> None:
        while True:
            if (found := self._measured()) is not None:
                self._keep_reserve(found.free_bytes)
                self._put(found)
            await asyncio.sleep(self._interval_s)

    def _measured(self) -> DiskMeasured | None:
        try:
            return DiskMeasured(*self._free())
        except OSError as error:
            log.warning("disk_not_measured path=%s reason=%s", self._work_dir, error.strerror)
            return None

    def _keep_reserve(self, free_bytes: int) -> None:
        if free_bytes >= FREE_BYTES_MIN + RESERVE_BYTES and not os.path.exists(self._reserve):
            self._make_reserve()
        if free_bytes >= FREE_BYTES_MIN:
            self._is_waiting = False

    def _free(self) -> tuple[int, int]:
        """What may be used, and what is free of it; the part that only root may use left out."""
        found = os.statvfs(self._work_dir)
        used = found.f_blocks - found.f_bfree
        return (used + found.f_bavail) * found.f_frsize or 1, found.f_bavail * found.f_frsize

    def _make_reserve(self) -> None:
        try:
            file = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, RESERVE_BYTES)
            finally:
                os.close(file)
        except OSError as error:
            log.warning("reserve_not_made path=%s reason=%s", self._reserve, error.strerror)
            self._give_up_reserve()

    def _give_up_reserve(self) -> bool:
        """Whether there was one."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()
            return True
        return False
