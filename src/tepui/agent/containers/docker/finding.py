"""Finds out whether the machine has a Docker Engine that will do."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from tepui.agent.containers.docker.answers import Info
from tepui.agent.containers.docker.engine import Engine, EngineAway

FIND_S: Final = 10  # for an Engine that takes connections to answer


class FoundEngine(Struct, frozen=True):
    """An Engine that can be used."""

    version: str
    api_version: str
    info: Info


async def find_engine(socket: str) -> FoundEngine:
    """Return the Engine at the socket. Raises HostError with one sentence when none is there that will do."""
    engine = Engine(socket)
    try:
        async with asyncio.timeout(FIND_S):
            version = await engine.version()
            return FoundEngine(version.version, version.api_version, await engine.info())
    except TimeoutError:
        cause = f"it has not answered for {FIND_S} s"
        raise EngineAway("ask", f"Docker Engine at '{socket}'", cause) from None
    finally:
        engine.close()
