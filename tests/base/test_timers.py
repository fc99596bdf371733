"""Timers: in order, once, and never after they were cancelled."""

from __future__ import annotations

from tepui.base.timers import DEAD_MIN, Timers


def test_due_timers_come_by_time_then_in_the_order_they_were_set() -> None:
    timers: Timers[str] = Timers()
    for due_ms, event in ((30, "later"), (10, "a"), (20, "b"), (10, "c")):
        timers.set(due_ms, event)
    assert timers.next_ms() == 10
    assert list(timers.take_due(20)) == ["a", "c", "b"]
    assert timers.next_ms() == 30
    assert list(timers.take_due(29)) == []
    assert list(timers.take_due(30)) == ["later"]
    assert timers.next_ms() is None
    assert len(timers) == 0


def test_a_cancelled_timer_does_not_happen() -> None:
    timers: Timers[str] = Timers()
    timers.cancel(timers.set(10, "no"))
    timers.set(20, "yes")
    assert timers.next_ms() == 20
    assert list(timers.take_due(99)) == ["yes"]


def test_cancelling_what_has_happened_or_never_was_is_harmless() -> None:
    timers: Timers[str] = Timers()
    timer = timers.set(10, "a")
    assert list(timers.take_due(10)) == ["a"]
    timers.cancel(timer)
    timers.cancel(None)
    timers.cancel(4711)
    assert len(timers) == 0


def test_the_handler_of_one_timer_can_cancel_another_that_is_due_as_well() -> None:
    timers: Timers[str] = Timers()
    timers.set(10, "first")
    second = timers.set(11, "second")
    timers.set(12, "third")
    taken = []
    for event in timers.take_due(99):
        taken.append(event)
        timers.cancel(second)
    assert taken == ["first", "third"]


def test_what_a_handler_sets_waits_for_the_next_call() -> None:
    timers: Timers[str] = Timers()
    timers.set(10, "again")
    for event in timers.take_due(99):
        timers.set(10, event)
    assert timers.next_ms() == 10
    assert len(timers) == 1


def test_cancelled_timers_do_not_pile_up() -> None:
    timers: Timers[int] = Timers()
    timers.set(1, -1)
    for number in range(100 * DEAD_MIN):
        timers.cancel(timers.set(1_000_000, number))
    assert len(timers._heap) <= DEAD_MIN + 3
    assert list(timers.take_due(2_000_000)) == [-1]
