"""What candidates were told and when, and what must hold of that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from msgspec import Struct

from tepui.election.election import Following, Leading, Lost, Told
from tepui.election.zookeeper import ZooKeeperElection
from tepui.zookeeper.session import ZooKeeperSession
from tepui.zookeeper.url import parse_zk_url

WITHIN_S = 60.0


class Note(Struct, frozen=True):
    """One thing that one candidate was told."""

    at_s: float  # monotonic, and so the same for all processes of a machine
    who: str
    told: Told


class Ear:
    """Notes what one candidate is told."""

    def __init__(self, who: str, notes: list[Note] | None = None) -> None:
        self.who = who
        self.notes: list[Note] = [] if notes is None else notes  # may be shared
        self.heard: list[Told] = []
        self._changed = asyncio.Event()

    def __call__(self, told: Told) -> None:
        self.notes.append(Note(time.monotonic(), self.who, told))
        self.heard.append(told)
        self._changed.set()

    async def leads_no_more(self) -> None:
        """It was told so."""
        async with asyncio.timeout(WITHIN_S):
            while isinstance(self.heard[-1], Leading):
                await self.changed()

    async def changed(self) -> None:
        """It is told something after this was called."""
        self._changed.clear()
        await self._changed.wait()

    async def until(self, wanted: Callable[[Told], bool]) -> Told:
        """The next that is `wanted`, of those that were told already or will be."""
        seen = 0
        async with asyncio.timeout(WITHIN_S):
            while True:
                self._changed.clear()
                for told in self.heard[seen:]:
                    seen += 1
                    if wanted(told):
                        return told
                await self._changed.wait()

    async def leading(self, above: int = -1) -> int:
        """The epoch in which it leads, above the one given."""
        told = await self.until(lambda one: isinstance(one, Leading) and one.epoch > above)
        assert isinstance(told, Leading)
        return told.epoch

    async def following(self, leader: bytes | None) -> None:
        """It was told that this one leads."""
        await self.until(lambda one: one == Following(leader))

    async def lost(self) -> None:
        """It was told that it leads no more."""
        await self.until(lambda one: isinstance(one, Lost))


def info(who: str) -> bytes:
    """A MasterInfo as a master writes it."""
    return b'{"id":"%s","ip":16777343,"port":5050,"hostname":"h"}' % who.encode()


def check_notes(notes: Iterable[Note]) -> None:
    """Nobody was told to lead while another led, and epochs grew."""
    leads: str | None = None
    epoch = -1
    for note in sorted(notes, key=lambda one: one.at_s):
        match note.told:
            case Leading(epoch=new):
                assert leads is None, f"{leads} still leads when {note.who} does"
                assert new > epoch, f"epoch {new} of {note.who} comes after {epoch}"
                leads, epoch = note.who, new
            case Lost():
                assert leads == note.who
                leads = None
            case Following():
                assert leads != note.who, f"{note.who} follows without having lost"


class Standing:
    """A candidate with a session of its own; made by `standing`."""

    def __init__(self, url: str, who: str, timeout_ms: int, notes: list[Note] | None) -> None:
        self.session = ZooKeeperSession(parse_zk_url(url), timeout_ms)
        self.election = ZooKeeperElection(self.session, self.session.url.path)
        self.ear = Ear(who, notes)
        self.info = info(who)
        self.held: list[bool] = []  # whether the election held, at each thing that was told
        self._closed = False

    def start(self) -> None:
        """It stands."""
        self.session.start()
        self.election.start(self.info, self._hear)

    def _hear(self, told: Told) -> None:
        self.held.append(self.election.holds())
        self.ear(told)

    async def close(self) -> None:
        """It stands no more."""
        if not self._closed:
            self._closed = True
            if self.ear.heard and isinstance(self.ear.heard[-1], Leading):
                self.ear(Lost("it has stopped acting before it closes"))
            await self.election.close()
            await self.session.close()


@asynccontextmanager
async def standing(
    url: str, who: str, timeout_ms: int = 2_000, notes: list[Note] | None = None
) -> AsyncIterator[Standing]:
    """A candidate, that is closed in the end."""
    one = Standing(url, who, timeout_ms, notes)
    one.start()
    try:
        yield one
    finally:
        await one.close()
