"""Whatever peers say, in whatever order: a step never raises, and what must hold does hold."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tepui.master.core.actions import SendEvent, SendToAgent
from tepui.master.core.invariants import check
from tepui.master.core.settings import RateLimit, RateLimits, Settings
from tepui.master.core.state import State, new
from tepui.master.core.step import step
from tepui.wire import json, link, protobuf
from tests.master.core.hostile import Hostile
from tests.master.world import START_MS, master_info

BATCHES = 150
PAUSES_MS = (*(0, 1, 150, 1_000) * 6, 15_000, 15_000, 15_000, 80_000, 700_000)
SETTINGS = Settings(
    offer_timeout_ms=20_000,
    max_completed_frameworks=3,
    max_completed_tasks_per_framework=3,
    max_unreachable_tasks_per_framework=3,
    max_removed_agents=3,
    registry_max_agent_count=3,
    rate_limits=RateLimits(limits=(RateLimit(principal="limited", qps=2, capacity=4),)),
)


def play(seed: int) -> tuple[State, Counter[str]]:
    """One life of a master; what it did, by kind."""
    random = Random(seed)
    state = new(master_info(), now_ms=START_MS, seed=b"hostile", settings=SETTINGS)
    others = Hostile(state, random)
    now_ms = START_MS
    done: Counter[str] = Counter()
    for _ in range(BATCHES):
        now_ms += random.choice(PAUSES_MS)
        effects = step(state, others.events(), now_ms)
        check(state)
        for action in effects.then:
            done[type(action).__name__] += 1
            match action:  # what the shell does with it must not fail either
                case SendEvent(event=message):
                    json.encode(message)
                    protobuf.encode(message)
                case SendToAgent(message=message):
                    done[type(message).__name__] += 1
                    link.frame(message)
                case _:
                    pass
    return state, done


@pytest.mark.parametrize("seed", range(200))
def test_no_peer_ends_the_master(seed: int) -> None:
    state, _ = play(seed)
    for framework in [*state.frameworks.values(), *state.completed_frameworks.values()]:
        assert len(framework.completed_tasks) <= SETTINGS.max_completed_tasks_per_framework
        assert len(framework.unreachable_tasks) <= SETTINGS.max_unreachable_tasks_per_framework
    assert len(state.completed_frameworks) <= SETTINGS.max_completed_frameworks
    for absent in (state.removed_agents, state.unreachable_agents, state.gone_agents):
        assert len(absent) <= 3


def test_hostile_peers_get_as_far_as_launching_tasks() -> None:
    done: Counter[str] = Counter()
    for seed in range(10):
        done += play(seed)[1]
    seen = {"RunTasks", "KillTask", "AcknowledgeUpdate", "ShutdownFramework", "Ping", "CloseLink"}
    assert not [name for name in sorted(seen) if not done[name]], done
