"""The loop of every daemon: batches, save before act, timers, and its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tepui.base import loop as loop_module
from tepui.base.effects import Step
from tepui.base.loop import BATCH_MAX, CoreLoop, MayNotAct, Overloaded


class Recorder:
    """A core that saves and does what its events say, and writes down the order of it all."""

    def __init__(self, *, saves: bool = True) -> None:
        self.log: list[str] = []
        self.batches: list[int] = []
        self.times: list[int] = []
        self.now_ms = 1_000
        self.due_ms: int | None = None
        self.on_step: Callable[[], None] = lambda: None
        self.may_act = True
        self.save_fails = False
        self.failures: list[Exception] = []
        self.saved = asyncio.Event()
        self.saved.set()
        self.acted = asyncio.Event()
        self.loop = CoreLoop[str, str, str](
            step=self._step,
            save=self._save,
            act=self._act,
            next_ms=lambda: self.due_ms,
            clock_ms=lambda: self.now_ms,
            may_act=lambda: self.may_act,
            failed=self.failures.append,
        )
        self._saves = saves

    def _step(self, events: Sequence[str], now_ms: int) -> Step[str, str]:
        self.batches.append(len(events))
        self.times.append(now_ms)
        self.log += [f"step {event}" for event in events]
        effects: Step[str, str] = Step()
        if self._saves:
            effects.save += events
        effects.then += events
        self.on_step()
        return effects

    async def _save(self, records: list[str]) -> None:
        await self.saved.wait()
        if self.save_fails:
            raise OSError("no space left")
        self.log += [f"save {record}" for record in records]

    def _act(self, actions: list[str]) -> None:
        self.log += [f"act {action}" for action in actions]
        self.acted.set()


async def turns(count: int = 5) -> None:
    """Whatever the loop had planned has happened."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_events_that_wait_are_one_batch_saved_before_any_is_acted_on() -> None:
    async def play() -> None:
        core = Recorder()
        core.loop.put("a")
        core.loop.put("b")
        assert core.log == []  # never in the middle of whoever puts
        await turns()
        assert core.log == ["step a", "step b", "save a", "save b", "act a", "act b"]

    asyncio.run(play())


def test_no_step_happens_during_a_save_and_what_came_meanwhile_is_the_next_batch() -> None:
    async def play() -> None:
        core = Recorder()
        core.saved.clear()
        core.loop.put("a")
        await turns()
        core.loop.put("b")
        core.loop.put("c")
        await turns()
        assert core.log == ["step a"]
        core.saved.set()
        await turns()
        assert core.log[:4] == ["step a", "save a", "act a", "step b"]
        assert core.batches == [1, 2]

    asyncio.run(play())


def test_without_records_there_is_no_save() -> None:
    async def play() -> None:
        core = Recorder(saves=False)
        core.loop.put("a")
        await turns(2)
        assert core.log == ["step a", "act a"]

    asyncio.run(play())


def test_a_batch_is_bounded_and_the_rest_follows() -> None:
    async def play() -> None:
        core = Recorder(saves=False)
        for number in range(BATCH_MAX + 1):
            core.loop.put(str(number))
        await turns()
        assert core.batches == [BATCH_MAX, 1]

    asyncio.run(play())


def test_the_event_above_the_limit_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "WAITING_MAX", 2)

    async def play() -> None:
        core = Recorder(saves=False)
        core.loop.put("a")
        core.loop.put("b")
        with pytest.raises(Overloaded, match="2 events wait"):
            core.loop.put("c")
        await turns()
        core.loop.put("d")
        await turns()
        assert core.log == ["step a", "step b", "act a", "act b", "step d", "act d"]

    asyncio.run(play())


def test_what_cannot_be_said_again_is_taken_above_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "WAITING_MAX", 1)

    async def play() -> None:
        seen: list[object] = []

        def step(events: Sequence[object], now_ms: int) -> Step[str, str]:
            seen.extend(events)
            return Step()

        async def save(records: list[str]) -> None:
            raise AssertionError("nothing is saved")

        loop = CoreLoop[object, str, str](
            step=step,
            save=save,
            act=lambda actions: None,
            next_ms=lambda: None,
            refusable=(str,),
        )
        loop.put("call")
        loop.put(1)  # a loss
        with pytest.raises(Overloaded):
            loop.put("call")
        await turns()
        assert seen == ["call", 1]

    asyncio.run(play())


def test_a_timer_has_the_core_stepped_though_nothing_happens() -> None:
    async def play() -> None:
        core = Recorder()

        def disarm() -> None:
            if len(core.batches) == 2:
                core.due_ms = None

        core.on_step = disarm
        core.due_ms = core.now_ms + 1
        core.loop.wake()
        await turns(2)
        assert core.batches == [0]
        core.now_ms += 1
        core.acted.clear()
        async with asyncio.timeout(10):
            await core.acted.wait()
        await turns()
        assert core.batches == [0, 0]

    asyncio.run(play())


def test_a_timer_that_is_due_already_is_taken_at_once() -> None:
    async def play() -> None:
        core = Recorder()

        def disarm() -> None:
            core.due_ms = None if len(core.batches) == 3 else core.now_ms

        core.on_step = disarm
        core.loop.wake()
        await turns()
        assert core.batches == [0, 0, 0]

    asyncio.run(play())


def test_time_never_goes_backwards_for_a_core() -> None:
    async def play() -> None:
        core = Recorder()
        for now_ms in (1_000, 400, 1_200):
            core.now_ms = now_ms
            core.loop.put("x")
            await turns()
        assert core.times == [1_000, 1_000, 1_200]

    asyncio.run(play())


def test_a_closed_loop_takes_no_further_turn() -> None:
    async def play() -> None:
        core = Recorder()
        core.due_ms = core.now_ms
        core.loop.put("a")
        core.loop.close()
        core.loop.put("b")
        await turns()
        assert core.log == []

    asyncio.run(play())


def test_what_is_being_saved_when_the_loop_is_closed_is_still_acted_on() -> None:
    async def play() -> None:
        core = Recorder()
        core.saved.clear()
        core.loop.put("a")
        await turns()
        core.loop.put("b")
        core.loop.close()
        core.saved.set()
        await turns()
        assert core.log == ["step a", "save a", "act a"]

    asyncio.run(play())


@pytest.mark.parametrize("saves", [True, False])
def test_a_core_that_may_not_act_any_more_does_nothing_and_is_not_stepped_again(
    saves: bool,
) -> None:
    async def play() -> None:
        core = Recorder(saves=saves)
        core.loop.put("a")
        await turns()
        done = list(core.log)
        core.may_act = False
        core.loop.put("b")
        await turns()
        core.may_act = True
        core.loop.put("c")
        await turns()
        assert core.log == [*done, "step b", *(["save b"] if saves else [])]
        assert [type(failure) for failure in core.failures] == [MayNotAct]

    asyncio.run(play())


def test_whether_a_core_may_act_is_asked_again_after_the_save() -> None:
    async def play() -> None:
        core = Recorder()
        core.saved.clear()
        core.loop.put("a")
        await turns()
        core.may_act = False
        core.saved.set()
        await turns()
        assert core.log == ["step a", "save a"]
        assert [type(failure) for failure in core.failures] == [MayNotAct]

    asyncio.run(play())


def test_whoever_closed_a_loop_is_not_told_that_it_may_not_act() -> None:
    async def play() -> None:
        core = Recorder()
        core.saved.clear()
        core.loop.put("a")
        await turns()
        core.loop.close()
        core.may_act = False
        core.saved.set()
        await turns()
        assert core.log == ["step a", "save a"]
        assert core.failures == []

    asyncio.run(play())


def test_after_a_save_that_failed_nothing_is_done() -> None:
    async def play() -> None:
        core = Recorder()
        core.save_fails = True
        core.loop.put("a")
        await turns()
        core.loop.put("b")
        await turns()
        assert core.log == ["step a"]
        assert [str(failure) for failure in core.failures] == ["no space left"]

    asyncio.run(play())


def test_reads_keep_their_order_and_others_overtake_them(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        batches: list[list[object]] = []

        def step(events: Sequence[object], now_ms: int) -> Step[str, str]:
            batches.append(list(events))
            return Step()

        async def save(records: list[str]) -> None:
            raise AssertionError("nothing is saved")

        monkeypatch.setattr(loop_module, "SLOW_MAX", 2)
        monkeypatch.setattr(loop_module, "SLOW_WAITING_MAX", 3)
        loop = CoreLoop[object, str, str](
            step=step,
            save=save,
            act=lambda actions: None,
            next_ms=lambda: None,
            slow_lane=lambda event: "ints" if isinstance(event, int) else None,
        )
        for event in (1, 2, 3, "call"):
            loop.put(event)
        with pytest.raises(Overloaded):
            loop.put(4)
        loop.put("another")
        await turns()
        assert batches == [["call", "another", 1, 2], [3]]

    asyncio.run(play())
