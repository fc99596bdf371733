"""The election among masters by ZooKeeper, with the nodes that Mesos's detectors read.

When may a leader go on? ZooKeeper removes its node, and so elects the next, no sooner than one
session timeout after it last heard from the leader. So the leader counts from when it *sent* the last
request that was answered, and stops after two thirds of that (its lease): the last third is for
clocks and for the server it speaks to, which tells the others up to half a tick later. The request is
a transaction that checks that our node is there: unlike a ping or a read, only a majority of the
servers can answer it, so a server that was cut off from the others cannot renew a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from tepui.base import tasks
from tepui.election import group
from tepui.election.election import Following, Leading, Lost, Told
from tepui.election.info import check_info
from tepui.zookeeper.errors import ConnectionLost, NoNode, ZooKeeperFailed
from tepui.zookeeper.session import Check, Rejected, SessionState, ZooKeeperSession

LEASE: Final = (2, 3)  # of the session timeout, see above
RENEWALS: Final = 4  # of a lease, before it would end
CLOSE_S: Final = 2.0  # to remove our node; the end of the session removes it as well

log = logging.getLogger("tepui.election")


class ZooKeeperElection:
    """An Election below `path` of a session that somebody else opens and closes.

    A session stands once below a path: a node of the same session is ours, whoever made it when.
    """

    def __init__(self, session: ZooKeeperSession, path: str) -> None:
        self._session = session
        self._path = path
        self._info = b""
        self._told: Callable[[Told], None] | None = None
        self._last: Told | None = None
        self._ours: tuple[int, str] | None = None  # life of the session, name of our node
        self._to_remove: set[str] = set()  # nodes of ours with which we stand no more
        self._lease: asyncio.TimerHandle | None = None
        self._absence: group.Absence | None = None
        self._end_listening: Callable[[], None] | None = None
        self._working: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    def start(self, info: bytes, told: Callable[[Told], None]) -> None:
        """See Election."""
        check_info(info)
        assert self._told is None, "an election is started once"
        self._info, self._told = info, told
        self._absence = group.Absence(self._session, self._nobody_heard)
        self._end_listening = self._session.listen(self._session_changed)
        self._working = [
            tasks.start(group.repeat(self._session, self._look)),
            tasks.start(self._renew_forever()),
        ]

    async def close(self) -> None:
        """See Election."""
        self._told = None
        self._disarm()
        if self._absence is not None:
            self._absence.close()
        if self._end_listening is not None:
            self._end_listening()
        for task in self._working:
            task.cancel()
        if self._working:
            await asyncio.wait(self._working)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._session.connected()
                self._to_remove.update(() if self._ours is None else (self._ours[1],))
                await self._remove()
                while (name := await self._find()) is not None:
                    self._to_remove.add(name)  # made by a `_create` that was under way
                    await self._remove()
        except (TimeoutError, ZooKeeperFailed) as error:
            log.warning("candidate_not_removed path=%s error=%s", self._path, error)

    # Standing

    async def _look(self, changed: asyncio.Event) -> None:
        """We stand, and it has been told who leads."""
        self._changed = changed
        life = self._session.life
        if self._to_remove:
            await self._remove()
        if self._ours is None or self._ours[0] != life:
            self._ours = None
            name = await self._find() or await self._create()
            self._ours = (life, name)
            log.info("candidate_stands node=%s", group.child(self._path, name))
        leader = await group.first(self._session, self._path, changed.set)
        if not self._stands():
            changed.set()  # meanwhile the session or a lease has ended
        elif leader is None or leader.sequence > self._sequence:
            self._stop("our node was removed")  # or it would be among them
            changed.set()
        elif leader.sequence == self._sequence:
            await self._lead(life)
        elif leader.session == self._session.id:
            self._to_remove.add(leader.name)  # made by a `_create` that we took for lost
            changed.set()
        elif isinstance(self._last, Leading):
            self._stop("somebody has a lower number")  # all nodes were removed by hand
            changed.set()
        else:
            self._tell(Following(leader.info))

    def _stands(self) -> bool:
        return self._ours is not None and self._ours[0] == self._session.life

    async def _find(self) -> str | None:
        """The node that we have already, after an answer to `_create` was lost."""
        await self._session.ensure(self._path)
        names = await self._session.children(self._path)
        for number, name in group.candidates(names):
            found = await group.read(self._session, self._path, number, name)
            if found is not None and found.session == self._session.id:
                return name
        return None

    async def _create(self) -> str:
        path = group.child(self._path, group.LABEL)
        made = await self._session.create(path, self._info, ephemeral=True, sequence=True)
        return made.rpartition("/")[2]

    async def _remove(self) -> None:
        for name in sorted(self._to_remove):
            with contextlib.suppress(NoNode):  # its session has ended, or an answer was lost
                await self._session.delete(group.child(self._path, name))
            self._to_remove.discard(name)

    @property
    def _sequence(self) -> int:
        return -1 if self._ours is None else int(self._ours[1].removeprefix(group.LABEL))

    # Leading

    async def _lead(self, life: int) -> None:
        """We are first; we lead once a majority of the servers says that we still are there."""
        if not isinstance(self._last, Leading):
            await self._renew(life)
            if self._stands() and self._lease is not None:
                self._tell(Leading(self._sequence))

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            if not isinstance(self._last, Leading):
                continue
            try:
                await self._renew(self._session.life)
            except ConnectionLost:
                continue  # the lease ends, or a later renewal is in time
            except ZooKeeperFailed as error:
                log.warning("lease_not_renewed path=%s error=%s", self._path, error)

    async def _renew(self, life: int) -> None:
        """The lease is counted from now on."""
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        ours = self._ours
        if ours is None or ours[0] != life:
            return
        try:
            async with asyncio.timeout(self._lease_s / 2):
                await self._session.commit((Check(group.child(self._path, ours[1])),))
        except TimeoutError:
            # kazoo notices that a server hangs only when the lease is about to end.
            self._session.reconnect()
            raise ConnectionLost("a renewal was not answered in time") from None
        except Rejected as rejected:
            if isinstance(rejected.cause, NoNode):
                self._stop("our node was removed")
                self._changed.set()
                return
            raise
        if self._ours == ours and self._session.life == life:
            self._disarm()
            self._lease = loop.call_at(sent_s + self._lease_s, self._lease_ended)

    @property
    def _lease_s(self) -> float:
        part, whole = LEASE
        return self._session.timeout_ms / 1000 * part / whole

    def _lease_ended(self) -> None:
        self._lease = None
        self._stop(f"no majority of the servers has answered for {self._lease_s:g} s")
        self._changed.set()

    def _session_changed(self, state: SessionState) -> None:
        if state is SessionState.ENDED:
            self._stop("the session has ended")
            self._changed.set()

    def _stop(self, reason: str) -> None:
        """We lead no more, and stand with another node from now on."""
        self._disarm()
        if self._ours is not None:
            life, name = self._ours
            self._ours = None
            if life == self._session.life:
                self._to_remove.add(name)
        if isinstance(self._last, Leading):
            self._tell(Lost(reason))

    def _disarm(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None

    # Telling

    def _nobody_heard(self) -> None:
        if not isinstance(self._last, Leading):
            self._tell(Following(None))

    def _tell(self, told: Told) -> None:
        if told != self._last and self._told is not None:
            self._last = told
            if not isinstance(told, Following):
                log.info("election_%s path=%s %s", type(told).__name__.lower(), self._path, told)
            self._told(told)
