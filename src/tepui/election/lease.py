"""For how long a leader may go on: its lease, which a thread of its own renews.

When may it? ZooKeeper removes the leader's node, and so elects the next, no sooner than one session
timeout after it last heard from the leader. So the leader counts from when it *sent* the last request
that was answered, and stops after two thirds of that: the last third is for clocks and for the server
it speaks to, which tells the others up to half a tick later. The request is a transaction that checks
that the node is there: unlike a ping or a read, only a majority of the servers can answer it, so a
server that was cut off from the others cannot renew a lease.

Why a thread? The loop of a leader with much to do, such as 20,000 agents that come back at once, is
late. Its session lives on, so nobody else could lead, and whatever it has done so far would be done
again. Whether it still may act it asks `holds`, by a clock that goes on while a process, or a
machine, is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from tepui.zookeeper.errors import ConnectionLost, NoNode, ZooKeeperFailed
from tepui.zookeeper.session import Check, Rejected, ZooKeeperSession

SHARE: Final = (2, 3)  # of the session timeout, see above
RENEWALS: Final = 4  # of a lease, before it would end

log = logging.getLogger("tepui.election")


def clock_s() -> float:
    """Seconds since the machine has started, those in which it was suspended with them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One lease on the node at `path`, from `begin` to `end`; one that has run out stays so."""

    def __init__(
        self, session: ZooKeeperSession, path: str, ran_out: Callable[[str], None]
    ) -> None:
        """`ran_out` is called in the loop, once, with the reason; not after `end`."""
        self._session = session
        self._path = path
        self._ran_out = ran_out
        self._until_s = 0.0
        self._lock = threading.Lock()  # of `_until_s` and `_ended`
        self._ended = threading.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def holds(self) -> bool:
        """Nobody else can have been elected since it began."""
        return clock_s() < self._until_s

    async def begin(self) -> None:
        """It holds when this returns, unless that took too long. Raises NoNode and ConnectionLost."""
        sent_s = clock_s()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._session.commit((Check(self._path),))
        except TimeoutError:
            self._session.reconnect()
            raise ConnectionLost("a lease was not answered in time") from None
        except Rejected as rejected:
            raise rejected.cause from None
        self._until_s = sent_s + self._seconds
        threading.Thread(target=self._renew_until_it_ends, name="lease", daemon=True).start()
        self._watch()

    def end(self) -> None:
        """It holds no more."""
        with self._lock:
            self._ended.set()
            self._until_s = 0.0
        if self._alarm is not None:
            self._alarm.cancel()

    @property
    def _seconds(self) -> float:
        part, whole = SHARE
        return self._session.timeout_ms / 1000 * part / whole

    @property
    def _patience_s(self) -> float:
        """For one answer: kazoo notices that a server hangs only when the lease is about to end."""
        return self._seconds / 2

    # In the thread

    def _renew_until_it_ends(self) -> None:
        while not self._ended.wait(self._seconds / RENEWALS) and self.holds():
            try:
                self._renew()
            except ConnectionLost:
                continue  # it runs out, or a later renewal is in time
            except NoNode:
                self._tell("our node was removed")
                return
            except ZooKeeperFailed as error:
                log.warning("lease_not_renewed path=%s error=%s", self._path, error)
        self._tell(self._unanswered())

    def _renew(self) -> None:
        sent_s = clock_s()
        try:
            self._session.check_now(self._path, self._patience_s)
        except TimeoutError:
            self._session.reconnect()
            raise ConnectionLost("a renewal was not answered in time") from None
        with self._lock:
            if self.holds() and not self._ended.is_set():
                self._until_s = sent_s + self._seconds

    def _tell(self, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody acts
            self._loop.call_soon_threadsafe(self._over, reason)

    # In the loop

    def _watch(self) -> None:
        left_s = self._until_s - clock_s()
        if left_s > 0:
            self._alarm = self._loop.call_later(left_s, self._watch)
        else:
            self._over(self._unanswered())

    def _unanswered(self) -> str:
        return f"no majority of the servers has answered for {self._seconds:g} s"

    def _over(self, reason: str) -> None:
        if not self._ended.is_set():
            self.end()
            self._ran_out(reason)
