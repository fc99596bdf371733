"""Has images that nobody uses removed while the disk they are on is too full."""

from __future__ import annotations

import asyncio
import logging

from tepui.agent.containers.images.images import Images
from tepui.base import tasks

log = logging.getLogger("tepui.agent")


class Collecting:
    """From `start` to `stop`: every so often this share of the disk shall be free."""

    def __init__(self, images: Images, headroom: float, interval_ms: int) -> None:
        self._images = images
        self._headroom = headroom
        self._interval_s = interval_ms / 1000
        self._working: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The images are known; those that are too many go from now on."""
        if self._headroom > 0:
            self._working = tasks.start(self._collect())

    async def stop(self) -> None:
        """Nothing goes any more."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def _collect(self) -> None:
        while True:
            try:
                await self._images.collect(self._headroom)
            except OSError as error:
                log.warning("images_not_collected reason=%s", error)
            await asyncio.sleep(self._interval_s)
