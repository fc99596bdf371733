"""Work that several wait for: done once, and stopped with the last of them."""

from __future__ import annotations

import asyncio
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tepui.agent.containers.images.shared import Shared, in_thread


class Work:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.may_end = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.may_stop.set()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            await self.may_stop.wait()
            self.cancelled += 1
            raise
        return number


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_it_is_done_once_for_all() -> None:
    async def run() -> None:
        shared: Shared[str, int] = Shared()
        work = Work()
        waiting = [asyncio.create_task(shared.join("a", work)) for _ in range(3)]
        await turns()
        waiting.pop().cancel()
        work.may_end.set()
        assert await asyncio.gather(*waiting) == [1, 1]
        assert "a" not in shared
        assert await shared.join("a", work) == 2
        assert work.cancelled == 0

    asyncio.run(run())


def test_the_last_one_stops_it_and_waits_for_its_end() -> None:
    async def run() -> None:
        shared: Shared[str, int] = Shared()
        work = Work()
        work.may_stop.clear()
        waiting = [asyncio.create_task(shared.join("a", work)) for _ in range(2)]
        await turns()
        for one in waiting:
            one.cancel()
        await turns()
        assert not all(one.done() for one in waiting)
        after = asyncio.create_task(shared.join("a", work))
        await turns()
        assert work.begun == 1  # the next begins when the former has ended
        work.may_stop.set()
        await asyncio.wait(waiting)
        work.may_end.set()
        assert await after == 2
        assert work.cancelled == 1

    asyncio.run(run())


def test_all_are_told_of_a_failure_and_the_next_begins_anew() -> None:
    async def run() -> None:
        shared: Shared[str, None] = Shared()

        async def fail() -> None:
            await asyncio.sleep(0)
            raise ValueError("no")

        told = await asyncio.gather(
            *(shared.join("a", fail) for _ in range(3)), return_exceptions=True
        )
        assert [str(one) for one in told] == ["no"] * 3
        assert "a" not in shared

    asyncio.run(run())


def test_a_thread_is_told_to_stop_and_waited_for() -> None:
    async def run() -> None:
        ended = threading.Event()
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(is_stopped: threading.Event) -> None:
            loop.call_soon_threadsafe(begun.set)
            is_stopped.wait()
            ended.set()
            raise ValueError("what happens now is of no interest")

        with ThreadPoolExecutor(1) as executor:
            waiting = asyncio.create_task(in_thread(executor, work))
            await begun.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert ended.is_set()

    asyncio.run(run())


def test_what_may_not_stop_is_done_although_its_caller_is_cancelled_before_it_begins() -> None:
    async def run() -> None:
        done: list[str] = []
        free = threading.Event()

        async def cancelled(name: str, *, may_stop: bool) -> None:
            work = functools.partial(_note, done, name)
            waiting = asyncio.create_task(in_thread(executor, work, may_stop=may_stop))
            await asyncio.sleep(0)  # it has begun to wait
            waiting.cancel()
            await asyncio.sleep(0)
            if not may_stop:
                assert not waiting.done()
                free.set()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        with ThreadPoolExecutor(1) as executor:
            executor.submit(free.wait)
            await cancelled("work", may_stop=True)
            await cancelled("clearing up", may_stop=False)
        assert done == ["clearing up"]

    asyncio.run(run())


def _note(done: list[str], name: str, _: threading.Event) -> None:
    done.append(name)
