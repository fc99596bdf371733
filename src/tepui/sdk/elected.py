"""Follows in ZooKeeper who leads; imported only for an address that is in ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable

from tepui.election.detect import watch_leader
from tepui.election.election import Following
from tepui.election.info import leader_address
from tepui.sdk.core import events as ev
from tepui.zookeeper.session import SessionState, ZooKeeperSession
from tepui.zookeeper.url import ZkUrl


class Elected:
    """Tells who leads whenever that is another, or why nobody is known to, until it is closed."""

    def __init__(self, url: ZkUrl, told: Callable[[ev.Leadership], None]) -> None:
        """Begins at once, in the running loop; `told` is called later."""
        self._told = told
        self._last: ev.Leadership | None = None
        self._leader: str | None = None
        self._session = ZooKeeperSession(url)
        self._end = self._session.listen(self._session_changed)
        self._session.start()
        self._watch = watch_leader(self._session, url.path, self._following)

    @property
    def news(self) -> ev.Leadership:
        """What is known now."""
        url = self._session.url
        if self._leader is not None:
            return ev.Elected(self._leader)
        if self._session.state is not SessionState.CONNECTED:
            return ev.LeaderUnknown(f"ZooKeeper at {url.hosts} cannot be reached")
        return ev.NobodyLeads(f"no master leads at {url}")

    async def close(self) -> None:
        """`told` is called no more; the session has ended."""
        self._end()
        await self._watch.close()
        await self._session.close()

    def _following(self, told: Following) -> None:
        address = leader_address(told.leader)
        self._leader = None if address is None else f"http://{address}"
        self._tell()

    def _session_changed(self, state: SessionState) -> None:
        self._tell()

    def _tell(self) -> None:
        news = self.news
        if news != self._last:
            self._last = news
            self._told(news)
