"""A lane that asks too much waits; the others do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tepui.web.turns import TURN_NS, Turns


class Clock:
    """Time that passes only while work is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.done: list[str] = []
        monkeypatch.setattr("tepui.web.turns.time.perf_counter_ns", lambda: self.now_ns)

    def work(self, name: str, cost_ns: int = TURN_NS // 2) -> Callable[[], None]:
        def work() -> None:
            self.now_ns += cost_ns
            self.done.append(name)

        return work


def test_within_its_share_a_lane_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        clock, turns = Clock(monkeypatch), Turns()
        turns.take("a", clock.work("a1"))
        turns.take("a", clock.work("a2"))
        turns.take("b", clock.work("b1"))
        assert clock.done == ["a1", "a2", "b1"]

    asyncio.run(play())


def test_what_is_beyond_the_share_waits_for_the_next_turn_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> None:
        clock, turns = Clock(monkeypatch), Turns()
        for number in range(5):
            turns.take("flood", clock.work(f"flood{number}"))
        turns.take("good", clock.work("good"))
        assert clock.done == ["flood0", "flood1", "good"]
        await asyncio.sleep(0)
        assert clock.done[3:] == ["flood2", "flood3"]
        turns.take("flood", clock.work("flood5"))
        turns.take("good", clock.work("good2", cost_ns=1))
        assert clock.done[5:] == ["good2"]
        await asyncio.sleep(0)
        assert clock.done[6:] == ["flood4", "flood5"]

    asyncio.run(play())


def test_lanes_that_wait_share_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        clock, turns = Clock(monkeypatch), Turns()
        for lane in ("a", "b"):
            for number in range(6):
                turns.take(lane, clock.work(f"{lane}{number}"))
        assert clock.done == ["a0", "a1", "b0", "b1"]
        await asyncio.sleep(0)
        assert clock.done[4:] == ["a2", "b2"]

    asyncio.run(play())


def test_work_that_fails_does_not_keep_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException | None] = []

    def fail() -> None:
        raise RuntimeError("our own fault")

    async def play() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context.get("exception")))
        clock, turns = Clock(monkeypatch), Turns()
        turns.take("a", clock.work("a1", TURN_NS))
        for work in (fail, clock.work("a2", TURN_NS), fail, clock.work("a3", TURN_NS)):
            turns.take("a", work)
        for _ in range(5):
            await asyncio.sleep(0)
        assert clock.done == ["a1", "a2", "a3"]
        turns.take("a", clock.work("a4"))
        await asyncio.sleep(0)
        assert clock.done[3:] == ["a4"]

    asyncio.run(play())
    assert len(failures) == 2
