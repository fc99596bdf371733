"""Whole clusters in one process, with faults, under many seeds.

Masters, agents, schedulers and ZooKeeper are cut off, killed, paused and started again; each seed
chooses which kinds of faults there are. After each step the invariants are asserted (see
`tepui.sim.cluster.audit`), and in the end every task has had one outcome.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from tepui.sim.cluster import faults
from tepui.sim.cluster.run import failure_of, line_of
from tepui.sim.cluster.world import World, case_of
from tepui.wire import mesos

FINISHED = mesos.TaskState.TASK_FINISHED
FAILED = mesos.TaskState.TASK_FAILED
KILLED = mesos.TaskState.TASK_KILLED
TASKS = 60
CHUNK = 50
CHECK_EVERY = 8  # looking at whole states takes most of the time
FAST = range(1, 101, CHUNK)
LATE = (20_478, 12_547, 44_142)  # they have shown faults of the simulation itself
MORE = [pytest.param(first, marks=pytest.mark.long) for first in range(101, 1_001, CHUNK)]


@pytest.mark.parametrize("first", [*FAST, *MORE])
def test_every_task_ends_once_whatever_fails(first: int) -> None:
    for seed in range(first, first + CHUNK):
        failure = failure_of(seed, TASKS, CHECK_EVERY)
        assert failure is None, failure


@pytest.mark.parametrize("seed", LATE)
def test_what_comes_late_is_waited_for(seed: int) -> None:
    failure = failure_of(seed, TASKS, CHECK_EVERY)
    assert failure is None, failure


@pytest.mark.parametrize("seed", range(1, 7))
def test_every_step_of_a_few_seeds_keeps_the_invariants(seed: int) -> None:
    failure = failure_of(seed, TASKS)
    assert failure is None, failure


@pytest.mark.long
def test_two_thousand_tasks_end_once_whatever_fails() -> None:
    failure = failure_of(1, 2_000, CHECK_EVERY)
    assert failure is None, failure


@pytest.mark.parametrize("masters", [1, 3])
def test_without_faults_every_task_finishes_or_fails_by_itself_or_with_its_group(
    masters: int,
) -> None:
    world = World(replace(case_of(1, 100), kinds=frozenset(), masters=masters))
    world.run()
    ends = {name: end for one in world.frameworks for name, end in one.final.items()}
    groups = {name: names for one in world.frameworks for name, names in one.groups.items()}
    assert set(ends.values()) == {FINISHED, FAILED, KILLED}
    for name, end in ends.items():
        if end is KILLED:
            assert FAILED in {ends[one] for one in groups[name]}


def test_every_fifth_launch_or_so_is_of_a_group_of_which_some_join_a_pod() -> None:
    launches = groups = pods = 0
    for seed in range(1, 4):
        world = World(replace(case_of(seed, 200), kinds=frozenset()), check_every=100)
        world.run()
        for framework in world.frameworks:
            count = len(set(framework.groups.values()))
            groups += count
            launches += len(framework.states) - len(framework.groups) + count
            pods += framework.pods.count
    assert 0.1 < groups / launches < 0.3
    assert 0 < pods < groups


@pytest.mark.parametrize("kind", faults.KINDS)
def test_no_kind_of_fault_is_too_much_alone(kind: str) -> None:
    for seed in range(1, 4):
        case = replace(case_of(seed, TASKS), kinds=frozenset({kind}))
        world = World(case, check_every=CHECK_EVERY)
        world.run()


PLAY = """
from msgspec.structs import replace
from tepui.sim.cluster.faults import KINDS
from tepui.sim.cluster.world import World, case_of
for masters in (1, 3):
    case = replace(case_of(7, 60), masters=masters, kinds=frozenset(KINDS))
    world = World(case, digests=True)
    world.run()
    print(world.audit.steps, world.audit.digest.hexdigest())
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


def test_a_case_is_told_by_one_line() -> None:
    case = case_of(7, 60)
    assert line_of(case) == "python -m tepui.sim --seeds 7 --tasks 60"
    other = replace(case, masters=4, agents=9, faults_ms=1, kinds=frozenset({"pause", "crash"}))
    assert line_of(other, 8) == (
        "python -m tepui.sim --seeds 7 --tasks 60 --masters 4 --agents 9 --faults-ms 1"
        " --faults crash,pause --check-every 8"
    )


def test_unknown_kinds_of_faults_are_refused() -> None:
    assert faults.parse("none") == frozenset()
    assert faults.parse("pause,crash") == frozenset({"pause", "crash"})
    with pytest.raises(ValueError, match="unknown faults rain; there are break, crash"):
        faults.parse("crash,rain")
