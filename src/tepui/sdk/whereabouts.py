"""Which masters an address means: `host:port`, some of them with commas, or whoever leads in ZooKeeper."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tepui.sdk.core import events as ev
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.core.masters import RETRY_MS, RETRY_MS_MAX, Masters, parse_masters
from tepui.sdk.errors import Unreachable
from tepui.zookeeper.url import FILE_SCHEME, SCHEME, ZkUrl, parse_zk_url, read_file

if TYPE_CHECKING:  # see `start`
    from tepui.sdk.elected import Elected

LEADER_S: Final = 10.0  # for ZooKeeper to tell who leads; a session timeout of masters, as in Mesos


class Whereabouts:
    """The masters of an address; with `zk://` they are known from `start` to `close`.

    `masters` is always told who leads. A leader that ZooKeeper tells no more stays the one to ask
    until there is another: ZooKeeper may be away while the master is not.
    """

    def __init__(self, address: str, jitter: Callable[[], float]) -> None:
        """`file:///path` stands for what is in the file. Raises Refused when it is no address."""
        address = address.strip()
        if address.startswith(FILE_SCHEME):
            address = read_file(address)
        self._url: ZkUrl | None = None
        if address.startswith(SCHEME):
            self._url = parse_zk_url(address)
        addresses = () if self._url is not None else parse_masters(address)
        self.masters = Masters(addresses, Backoff(RETRY_MS, RETRY_MS_MAX, jitter))
        self._elected: Elected | None = None
        self._known = asyncio.Event()
        self._told: Callable[[ev.Leadership], None] = self._elect

    def start(self, told: Callable[[ev.Leadership], None] | None = None) -> None:
        """`told` is called with all news of who leads, and has to tell `masters`."""
        if self._url is None or self._elected is not None:
            return
        # Only now: it starts ZooKeeper's client, which others need not wait for.
        from tepui.sdk.elected import Elected

        self._told = told or self._elect
        self._elected = Elected(self._url, self._hear)
        self._told(self._elected.news)

    async def known(self, wait_s: float | None = LEADER_S) -> None:
        """There is a master to ask. Raises Unreachable when nobody was told within `wait_s`."""
        if self.masters.is_known:
            return
        assert self._elected is not None, "started before"
        try:
            async with asyncio.timeout(wait_s):
                await self._known.wait()
        except TimeoutError:
            raise Unreachable(f"{self.trouble} within {wait_s:g} s") from None

    @property
    def trouble(self) -> str:
        """Why nobody is known to lead; empty when somebody is, or nobody was asked."""
        news = None if self._elected is None else self._elected.news
        return "" if news is None or isinstance(news, ev.Elected) else news.cause

    async def close(self) -> None:
        """ZooKeeper is asked no more."""
        if self._elected is not None:
            elected, self._elected = self._elected, None
            await elected.close()

    def _hear(self, news: ev.Leadership) -> None:
        self._told(news)
        if isinstance(news, ev.Elected):
            self._known.set()

    def _elect(self, news: ev.Leadership) -> None:
        if isinstance(news, ev.Elected):
            self.masters.elected(news.leader)
