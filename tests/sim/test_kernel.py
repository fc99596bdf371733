"""A master, three agents and two frameworks in one process, with faults, under many seeds.

Links break and lose what is under way, agents restart, frameworks subscribe again, calls are
lost. After each step of the master all invariants are asserted (see `tepui.sim.world`).
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tepui.base.names import AgentId
from tepui.master.core.invariants import check
from tepui.sim import faults
from tepui.sim.run import failure_of
from tepui.sim.world import World
from tepui.wire import mesos

TASKS = 120
FAST_SEEDS = range(1, 31)
MORE_SEEDS = [pytest.param(seed, marks=pytest.mark.long) for seed in range(31, 201)]


@pytest.mark.parametrize("seed", [*FAST_SEEDS, *MORE_SEEDS])
def test_every_task_ends_once_whatever_fails(seed: int) -> None:
    failure, world = failure_of(seed, TASKS)
    assert failure is None, failure
    assert sum(len(node.final) for node in world.schedulers) == TASKS


@pytest.mark.long
def test_ten_thousand_tasks_end_once_whatever_fails() -> None:
    failure, _ = failure_of(1, 10_000)
    assert failure is None, failure


def test_without_faults_every_task_finishes_or_fails_by_itself() -> None:
    world = World(1, tasks=300, faults=faults.NONE)
    world.run()
    ends = {state for node in world.schedulers for state in node.final.values()}
    assert ends == {mesos.TaskState.TASK_FINISHED, mesos.TaskState.TASK_FAILED}


PLAY = """
from tepui.sim.world import World
world = World(7, tasks=60, digests=True)
world.run()
print(world.steps, world.digest.hexdigest())
"""


def test_the_same_seed_has_the_same_effects_byte_for_byte_in_any_process() -> None:
    played = {
        subprocess.run(
            [sys.executable, "-c", PLAY],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2", "3")
    }
    assert len(played) == 1


def test_the_invariants_notice_resources_that_are_allocated_twice() -> None:
    world = World(1, tasks=20, faults=faults.NONE)
    world.run()
    agent_id = AgentId(next(iter(world.master.agents)))
    world.master.agents[agent_id].total += world.master.agents[agent_id].total
    with pytest.raises(AssertionError, match="is not"):
        check(world.master)
