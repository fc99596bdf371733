"""What every election promises; `tests/election/` holds each to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Leading(Struct, frozen=True):
    """We are elected. `epoch` grows from leader to leader."""

    epoch: int


class Following(Struct, frozen=True):
    """We are not: `leader` is the MasterInfo of who is, as JSON; None: nobody is known to be."""

    leader: bytes | None


class Lost(Struct, frozen=True):
    """We led and do no more: stop acting at once. Told only after Leading; `reason` is for logs."""

    reason: str


Told = Leading | Following | Lost


class Election(Protocol):
    """One candidate among those that want to lead.

        election.start(info, told)     # told(...) is called from now on, in the running loop
        await election.close()         # told is called no more; somebody else may lead

    `info` is the MasterInfo of the candidate as JSON, which the others are told. At any time at
    most one candidate has been told Leading and not Lost; one that is stopped or cut off learns Lost
    before another learns Leading, if its loop runs at all. One whose loop is late asks `holds` before
    whatever it does: timers may run after the input that waited. What it writes all the same is for
    the store to refuse (see `Fenced`).

    After Lost the candidate stands again by itself, behind the others: it is told Following or, with
    a greater epoch, Leading. Following is told whenever the leader is another than was told last.
    Who leads must have stopped acting before it calls `close`, for the others need not wait then.
    """

    def start(self, info: bytes, told: Callable[[Told], None]) -> None:
        """Stand for election; called once. Raises ValueError when `info` is no MasterInfo."""
        ...

    def holds(self) -> bool:
        """Whether it has been told Leading and nobody else can have been since, also just now.

        Asks nobody but the clock. Once it says no, Lost follows before it says yes again.
        """
        ...

    async def close(self) -> None:
        """Stand no more; called at most once."""
        ...
