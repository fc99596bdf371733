"""What launching, watching, removing and recovering containers share: the Engine, and what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

from tepui.agent.containers.docker.changes import Uncounted
from tepui.agent.containers.docker.container import Containers
from tepui.agent.containers.docker.engine import Engine
from tepui.agent.containers.docker.following import Following
from tepui.agent.containers.docker.kernel_log import KernelLog
from tepui.agent.containers.docker.settings import DockerSettings
from tepui.agent.containers.docker.streams import Streams
from tepui.base import tasks

AGAIN_S: Final = 0.1  # until the Engine is asked again, and twice as long each time it is away
AGAIN_S_MAX: Final = 5.0


class Parts:
    """Of one agent, while it is there."""

    def __init__(self, settings: DockerSettings) -> None:
        self.settings = settings
        self.engine = Engine(settings.socket)
        self.streams = Streams(settings.socket)
        self.following = Following(settings.state_directory)
        self.kernel_log = KernelLog()
        self.containers = Containers()
        self.uncounted = Uncounted()
        self._jobs: set[asyncio.Task[None]] = set()

    def start(self, doing: Coroutine[None, None, None]) -> None:
        """It is done in the background, until `end_jobs`."""
        job = tasks.start(doing)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def end_jobs(self) -> None:
        """Nothing is done in the background."""
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def close(self) -> None:
        """Nothing is open, and positions in outputs are kept."""
        await asyncio.to_thread(self.following.close)
        self.kernel_log.close()
        await self.streams.close()
        self.engine.close()
