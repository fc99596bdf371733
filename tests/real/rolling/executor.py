"""The executor of a framework of `framework.py`; tasks without data last until they are released."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.real.chaos.executor import Noting

LOOK_S = 0.5


class Holding(Noting):
    """Tasks whose data are no seconds end when the file `release` is there."""

    def __init__(self, directory: Path, release: Path) -> None:
        super().__init__(directory)
        self._release = release

    async def _work(self, name: str, seconds: float) -> None:
        while not seconds and not self._release.exists():  # noqa: ASYNC110 -- another process makes it
            await asyncio.sleep(LOOK_S)
        await super()._work(name, seconds)


if __name__ == "__main__":
    asyncio.run(Holding(Path(sys.argv[1]), Path(sys.argv[2])).run())
