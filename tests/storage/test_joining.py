"""How saves that wait are joined, and what becomes of them when one fails."""

from __future__ import annotations

import asyncio

import pytest

from tepui.storage.joining import JOINED_WRITES_MAX, WAITING_MAX, Save, Saves
from tepui.storage.store import Fenced, StoreFailed, Write
from tests.storage.stores import puts


class Slow:
    """Carries out one batch whenever it is told to, or fails with `failure`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []  # of keys
        self.failure: StoreFailed | None = None
        self.go = asyncio.Semaphore(0)
        self.saves = Saves(self._commit, 100)
        self.saves.open()

    async def _commit(self, saves: list[Save]) -> None:
        await self.go.acquire()
        self.batches.append([write.key for save in saves for write in save.writes])
        if self.failure is not None:
            raise self.failure

    def save(self, *keys: str) -> asyncio.Task[None]:
        return asyncio.create_task(self.saves.save(puts(*((key, b"") for key in keys))))


def test_saves_that_wait_are_carried_out_together_and_in_order() -> None:
    async def test() -> None:
        slow = Slow()
        saves = [slow.save("a")]
        await asyncio.sleep(0)  # it is under way now
        await asyncio.sleep(0)
        saves += [slow.save("b", "c"), slow.save("d"), slow.save()]
        slow.go.release()
        slow.go.release()
        await asyncio.gather(*saves)
        assert slow.batches == [["a"], ["b", "c", "d"]]

    asyncio.run(test())


def test_so_many_writes_are_carried_out_together() -> None:
    async def test() -> None:
        slow = Slow()
        half = ["k"] * (JOINED_WRITES_MAX // 2)
        saves = [slow.save(*half), slow.save(*half), slow.save("next"), slow.save("last")]
        for _ in range(2):
            slow.go.release()
        await asyncio.gather(*saves)
        assert [len(batch) for batch in slow.batches] == [JOINED_WRITES_MAX, 2]

    asyncio.run(test())


def test_so_many_saves_wait_and_another_fails() -> None:
    async def test() -> None:
        slow = Slow()
        saves = [slow.save("first")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        saves += [slow.save("k") for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(StoreFailed, match=f"{WAITING_MAX} saves wait already"):
            await slow.saves.save((Write("k", b""),))
        for _ in range(2):
            slow.go.release()
        await asyncio.gather(*saves)

    asyncio.run(test())


@pytest.mark.parametrize("failure", [StoreFailed("torn"), Fenced("taken")])
def test_after_a_failure_all_others_fail_and_nothing_is_written(failure: StoreFailed) -> None:
    async def test() -> None:
        slow = Slow()
        slow.failure = failure
        saves = [slow.save("a")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        saves += [slow.save("b"), slow.save("c")]
        await asyncio.sleep(0)
        slow.go.release()
        await asyncio.wait(saves)
        later = slow.save("d")
        await asyncio.wait((later,))
        errors = [save.exception() for save in (*saves, later)]
        assert {(type(error), str(error)) for error in errors} == {(type(failure), str(failure))}
        assert len(set(map(id, errors))) == 4  # one each, for each gets a traceback of its own
        assert slow.batches == [["a"]]
        await slow.saves.close()

    asyncio.run(test())
