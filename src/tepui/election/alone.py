"""The election of a master that has no others beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tepui.election.election import Leading, Told
from tepui.election.info import check_info


class Alone:
    """An Election that is won at once, with the epoch given: who starts again gives a greater one."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._telling: asyncio.Handle | None = None

    def start(self, info: bytes, told: Callable[[Told], None]) -> None:
        """See Election."""
        check_info(info)
        self._telling = asyncio.get_running_loop().call_soon(told, Leading(self._epoch))

    def holds(self) -> bool:
        """Always: there is nobody else."""
        return True

    async def close(self) -> None:
        """See Election."""
        if self._telling is not None:
            self._telling.cancel()
