"""The election among masters by ZooKeeper, with the nodes that Mesos's detectors read.

Who stands lowest leads while its lease holds (`lease.py`).
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
from tepui.election.lease import Lease
from tepui.zookeeper.errors import NoNode, ZooKeeperFailed
from tepui.zookeeper.session import SessionState, ZooKeeperSession

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
        self._lease: Lease | None = None  # while we lead
        self._absence: group.Absence | None = None
        self._end_listening: Callable[[], None] | None = None
        self._working: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self, info: bytes, told: Callable[[Told], None]) -> None:
        """See Election."""
        check_info(info)
        assert self._told is None, "an election is started once"
        self._info, self._told = info, told
        self._absence = group.Absence(self._session, self._nobody_heard)
        self._end_listening = self._session.listen(self._session_changed)
        self._working = tasks.start(group.repeat(self._session, self._look))

    def holds(self) -> bool:
        """See Election."""
        return self._lease is not None and self._lease.holds()

    async def close(self) -> None:
        """See Election."""
        self._told = None
        self._end_lease()
        if self._absence is not None:
            self._absence.close()
        if self._end_listening is not None:
            self._end_listening()
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait((self._working,))
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._session.connected()
                self._to_remove.update(() if self._ours is None else (self._ours[1],))
                await self._remove()
                while (name := await self._find()) is not None:
                    self._to_remove.add(name)  # made by a `_create` that was under way
                    await self._remove()
        except (TimeoutError, ZooKeeperFailed) as error:
            why = str(error) or "no answer"
            log.warning("candidate_not_removed path=%s error=%s", self._path, why)

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
        if isinstance(self._last, Leading) or self._ours is None:
            return
        node = group.child(self._path, self._ours[1])
        lease = Lease(self._session, node, self._lease_ran_out)
        try:
            await lease.begin()
        except NoNode:
            self._lease_ran_out("our node was removed")
            return
        if self._stands() and self._session.life == life and lease.holds():
            self._lease = lease
            self._tell(Leading(self._sequence))
        else:
            lease.end()
            self._changed.set()

    def _lease_ran_out(self, reason: str) -> None:
        self._stop(reason)
        self._changed.set()

    def _session_changed(self, state: SessionState) -> None:
        if state is SessionState.ENDED:
            self._stop("the session has ended")
            self._changed.set()

    def _stop(self, reason: str) -> None:
        """We lead no more, and stand with another node from now on."""
        self._end_lease()
        if self._ours is not None:
            life, name = self._ours
            self._ours = None
            if life == self._session.life:
                self._to_remove.add(name)
        if isinstance(self._last, Leading):
            self._tell(Lost(reason))

    def _end_lease(self) -> None:
        if self._lease is not None:
            self._lease.end()
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
