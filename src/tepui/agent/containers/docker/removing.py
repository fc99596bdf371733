"""Removes ended containers from Docker Engine: at once, or some time after they were forgotten."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime
from typing import Final

from tepui.agent.containers.docker.answers import Inspected
from tepui.agent.containers.docker.container import Container
from tepui.agent.containers.docker.engine import NOT_FOUND, EngineAway, EngineRefused
from tepui.agent.containers.docker.parts import AGAIN_S, AGAIN_S_MAX, Parts
from tepui.agent.containers.docker.request import name_of
from tepui.base.errors import HostError

KEPT_SUFFIX_CHARACTERS: Final = 12

log = logging.getLogger("tepui.agent")


class Removing:
    """Of one agent."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._engine = parts.engine

    async def dispose(self, container: Container) -> None:
        """The Engine has it no more, or under a name that tells that it was forgotten."""
        delay_ms = self._parts.settings.remove_delay_ms
        if not delay_ms:
            await self._engine.remove(container.engine_id)
            return
        kept = f"{name_of(container.container_id)}.{container.engine_id[:KEPT_SUFFIX_CHARACTERS]}"
        try:
            await self._engine.rename(container.engine_id, kept)
        except EngineRefused as error:
            if error.status != NOT_FOUND:
                raise
            return
        self._parts.start(self.removed(container.engine_id, after_s=delay_ms / 1000))

    async def removed(self, engine_id: str, *, after_s: float = 0.0) -> None:
        """The Engine has the container no more, however long it is away."""
        await asyncio.sleep(after_s)
        again_s = AGAIN_S
        while True:
            try:
                await self._engine.remove(engine_id)
            except EngineAway:
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S_MAX, again_s * 2)
            except HostError as error:
                log.warning("remove_failed engine_id=%s reason=%s", engine_id, error)
                return
            else:
                return

    def remaining_s(self, one: Inspected) -> float:
        """Return how long a container that was forgotten is still to be kept."""
        try:
            ended = datetime.fromisoformat(one.state.finished_at[:19] + "+00:00").timestamp()
        except ValueError:
            return 0.0
        return max(0.0, ended + self._parts.settings.remove_delay_ms / 1000 - time.time())
