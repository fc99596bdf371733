"""The table of handlers, and the invariants that guard the rest."""

from __future__ import annotations

from typing import get_args

import pytest

from tepui.master.core.events import Event, HeartbeatDue
from tepui.master.core.invariants import check
from tepui.master.core.step import HANDLERS
from tests.master.world import World


def test_every_event_has_a_handler_named_after_it() -> None:
    assert set(HANDLERS) == set(get_args(Event))
    for event, handler in HANDLERS.items():
        words = "".join(f"_{c.lower()}" if c.isupper() else c for c in event.__name__)
        assert handler.__name__ == words.removeprefix("_")


def test_the_invariants_notice_a_timer_that_stays_behind() -> None:
    world = World()
    scheduler = world.subscribe()
    check(world.state)
    world.state.timers.set(world.now_ms + 1_000_000, HeartbeatDue(scheduler.stream))
    with pytest.raises(AssertionError, match="a timer is left over"):
        check(world.state)


def test_the_invariants_notice_two_agents_on_one_link() -> None:
    world = World()
    first, second = world.add_agent(), world.add_agent()
    world.state.agents[second.id].link = first.link
    with pytest.raises(AssertionError):
        check(world.state)
