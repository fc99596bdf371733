"""Follows who leads, without standing for election: for agents and tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tepui.base import tasks
from tepui.election import group
from tepui.election.election import Following
from tepui.zookeeper.session import ZooKeeperSession


class Watch:
    """Tells who leads until it is closed."""

    def __init__(
        self, session: ZooKeeperSession, path: str, told: Callable[[Following], None]
    ) -> None:
        self._session = session
        self._path = path
        self._told = told
        self._last: Following | None = None
        self._absence = group.Absence(session, lambda: self._tell(None))
        self._looking = tasks.start(group.repeat(session, self._look))

    async def _look(self, changed: asyncio.Event) -> None:
        leader = await group.first(self._session, self._path, changed.set)
        self._tell(leader.info if leader is not None else None)

    def _tell(self, leader: bytes | None) -> None:
        following = Following(leader)
        if following != self._last:
            self._last = following
            self._told(following)

    async def close(self) -> None:
        """`told` is called no more. The session stays open."""
        self._absence.close()
        self._looking.cancel()
        await asyncio.wait((self._looking,))


def watch_leader(session: ZooKeeperSession, path: str, told: Callable[[Following], None]) -> Watch:
    """`told` is called in the running loop with who leads, and then whenever another does.

    The leader is None while nobody stands for election, and when ZooKeeper has not been reached for
    as long as a session lasts.
    """
    return Watch(session, path, told)
