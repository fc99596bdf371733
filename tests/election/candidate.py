"""A candidate in a process of its own, that prints what it is told, a JSON array a line.

python -m tests.election.candidate zk://127.0.0.1:2181/mesos me 2000
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

from tepui.election.election import Following, Leading, Lost, Told
from tepui.election.zookeeper import ZooKeeperElection
from tepui.zookeeper.session import ZooKeeperSession
from tepui.zookeeper.url import parse_zk_url
from tests.election.told import info


def tell(told: Told) -> None:
    """Print when it was told what."""
    said: tuple[object, ...] = ()
    match told:
        case Leading(epoch=epoch):
            said = ("Leading", epoch)
        case Following(leader=leader):
            said = ("Following", None if leader is None else leader.decode())
        case Lost(reason=reason):
            said = ("Lost", reason)
    sys.stdout.write(msgspec.json.encode((time.monotonic(), *said)).decode() + "\n")
    sys.stdout.flush()


async def stand(url: str, who: str, timeout_ms: int) -> None:
    """Stand until the process is ended."""
    session = ZooKeeperSession(parse_zk_url(url), timeout_ms)
    session.start()
    election = ZooKeeperElection(session, session.url.path)
    election.start(info(who), tell)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stand(sys.argv[1], sys.argv[2], int(sys.argv[3])))
