"""Who stands for election, as ZooKeeper tells it, and who of them is first.

Each candidate is an ephemeral node `json.info_` with a number of ten digits behind it, which
ZooKeeper counts, and holds a MasterInfo as JSON. The one with the lowest number leads. Other nodes,
such as `log_replicas`, are not ours (Mesos: src/zookeeper/group.cpp, src/master/constants.hpp).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from tepui.election.info import check_info
from tepui.zookeeper.errors import ConnectionLost, NoNode, ZooKeeperFailed
from tepui.zookeeper.session import SessionState, ZooKeeperSession

LABEL: Final = "json.info_"
RETRY_S: Final = 0.2  # after ZooKeeper has not answered, or has refused

_NODE: Final = re.compile(r"json\.info_([0-9]{10})")

log = logging.getLogger("tepui.election")


class Candidate(Struct, frozen=True):
    """One who stands for election."""

    name: str  # of its node
    sequence: int
    info: bytes
    session: int  # whose it is


def candidates(names: list[str]) -> list[tuple[int, str]]:
    """Number and name of each node of a candidate, the lowest first."""
    matches = (_NODE.fullmatch(name) for name in names)
    return sorted((int(match[1]), match[0]) for match in matches if match is not None)


async def read(session: ZooKeeperSession, path: str, number: int, name: str) -> Candidate | None:
    """The candidate; None: it is gone, or nobody can read what it says, which is logged."""
    try:
        node = await session.get(child(path, name))
    except NoNode:
        return None
    try:
        check_info(node.data)
    except ValueError as error:
        log.warning("candidate_unreadable node=%s error=%s", child(path, name), error)
        return None
    return Candidate(name, number, node.data, node.owner)


async def first(
    session: ZooKeeperSession, path: str, changed: Callable[[], None]
) -> Candidate | None:
    """Who leads; `changed` is called once when that may be another, or the connection is lost."""
    await session.ensure(path)
    names = await session.children(path, changed)
    for number, name in candidates(names):
        found = await read(session, path, number, name)
        if found is not None:
            return found
    return None


def child(path: str, name: str) -> str:
    """The path of the node `name` below `path`."""
    return f"{path.rstrip('/')}/{name}"


class Absence:
    """Notices that nobody was heard for as long as a session lasts: what we know may be old."""

    def __init__(self, session: ZooKeeperSession, noticed: Callable[[], None]) -> None:
        self._session = session
        self._noticed = noticed
        self._alarm: asyncio.TimerHandle | None = None
        self._end = session.listen(self._changed)
        self._changed(session.state)

    def _changed(self, state: SessionState) -> None:
        if state is SessionState.CONNECTED:
            self._disarm()
        elif self._alarm is None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(self._session.timeout_ms / 1000, self._noticed)

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def close(self) -> None:
        """Nothing is noticed any more."""
        self._end()
        self._disarm()


async def repeat(
    session: ZooKeeperSession, look: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """`look` is called whenever there is something new to see, until this is cancelled.

    It is given the event that says so, for `first`. What ZooKeeper refuses is logged, once in a row,
    and tried again.
    """
    refused = ""
    while True:
        await session.connected()
        changed = asyncio.Event()
        try:
            await look(changed)
        except ConnectionLost:
            await asyncio.sleep(RETRY_S)
        except ZooKeeperFailed as error:
            if str(error) != refused:
                refused = str(error)
                log.warning("zookeeper_failed url=%s error=%s", session.url, error)
            await asyncio.sleep(RETRY_S)
        else:
            refused = ""
            await changed.wait()
