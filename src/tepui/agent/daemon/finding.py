"""Where an agent looks for the leading master: at addresses, one after the other, or in ZooKeeper."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import cycle
from typing import Protocol

from tepui.base.addresses import address_of
from tepui.election.detect import Watch, watch_leader
from tepui.election.election import Following
from tepui.election.info import leader_address
from tepui.zookeeper.session import TIMEOUT_MS, ZooKeeperSession
from tepui.zookeeper.url import FILE_SCHEME, SCHEME, ZkUrl, parse_zk_url

log = logging.getLogger("tepui.agent")


class Finder(Protocol):
    """Says which master to try, from `start` to `stop`."""

    @property
    def is_told(self) -> bool:
        """Somebody else than the masters says who leads, and a master's redirect is older news."""
        ...

    def start(self, moved: Callable[[str], None]) -> None:
        """`moved` is called when another master leads than the one that was said last."""
        ...

    async def next(self) -> str:
        """host:port of the master to try now."""
        ...

    async def stop(self) -> None:
        """Look no more."""
        ...


class Addresses:
    """Some masters; one that does not lead says who does."""

    is_told = False

    def __init__(self, masters: tuple[str, ...]) -> None:
        self._masters = cycle(masters)

    def start(self, moved: Callable[[str], None]) -> None:
        """See Finder. Nobody tells."""

    async def next(self) -> str:
        """See Finder."""
        return next(self._masters)

    async def stop(self) -> None:
        """See Finder."""


class InZooKeeper:
    """The master that leads according to ZooKeeper."""

    is_told = True

    def __init__(self, url: ZkUrl) -> None:
        self._url = url
        self._session: ZooKeeperSession | None = None
        self._watch: Watch | None = None
        self._leader: str | None = None
        self._known = asyncio.Event()

    def start(self, moved: Callable[[str], None]) -> None:
        """See Finder."""
        self._moved = moved
        self._session = ZooKeeperSession(self._url, TIMEOUT_MS)
        self._session.start()
        self._watch = watch_leader(self._session, self._url.path, self._told)

    async def next(self) -> str:
        """See Finder. Waits until somebody leads."""
        while self._leader is None:
            self._known.clear()
            await self._known.wait()
        return self._leader

    async def stop(self) -> None:
        """See Finder."""
        if self._watch is not None:
            await self._watch.close()
        if self._session is not None:
            await self._session.close()

    def _told(self, told: Following) -> None:
        """Without a leader, or without ZooKeeper, the link to the last one is kept."""
        before, self._leader = self._leader, leader_address(told.leader)
        log.info("leader_detected master=%s", self._leader)
        if self._leader is not None:
            self._known.set()
            if before != self._leader:
                self._moved(self._leader)


def finder(master: str) -> Finder:
    """For the value of --master: `host:port`, some of them with commas, or `zk://...`.

    Raises Refused when it is none of these.
    """
    if master.startswith((SCHEME, FILE_SCHEME)):
        return InZooKeeper(parse_zk_url(master))
    masters = tuple(one.strip() for one in master.split(","))
    for one in masters:
        address_of(one, "master")
    return Addresses(masters)
