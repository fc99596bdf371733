"""The simulation finds faults that are put into the cores: with which invariant, within how many seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tepui.agent.core import kills, lives, pods, recovery, saved, starts, updates
from tepui.agent.core import state as agent_state
from tepui.master.core import adoption, agents, departures, tasks
from tepui.master.core import recovery as master_recovery
from tepui.master.core import state as master_state
from tepui.master.core import updates as master_updates
from tepui.master.core.actions import Effects, EpochBegan
from tepui.sim.cluster import agent_node, zookeeper
from tepui.sim.cluster.run import play, shrink
from tepui.sim.cluster.world import case_of
from tepui.wire import mesos

TASKS = 60
SEEDS = range(1, 61)
CHECK_EVERY = 4

Plant = Callable[[pytest.MonkeyPatch], None]


def nothing(*arguments: object, **named: object) -> None:
    """What was to be done is not done."""


def an_update_is_not_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "update_added", nothing)


def an_acknowledged_update_stays_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "updates_dropped", nothing)


def an_agent_acts_before_it_has_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(node: agent_node.AgentNode, records: list[Any], done: Callable[[], None]) -> None:
        writes = agent_node.writes_of(records)
        node.process.after(40, lambda: node.disk.apply(writes))
        done()

    monkeypatch.setattr(agent_node.AgentNode, "_save", save)


def a_recovered_task_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    load = recovery._load_task

    def forget_some(state: agent_state.State, found: saved.SavedTask, *more: Any) -> None:
        if not found.info.task_id.value.endswith("7"):
            load(state, found, *more)

    monkeypatch.setattr(recovery, "_load_task", forget_some)


def updates_are_not_sent_again_after_a_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "forward_all", nothing)


def an_acknowledgement_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    say = master_updates._say_acknowledged

    def forget(*arguments: Any, remembered: bool = True) -> None:
        say(*arguments, remembered=False)

    monkeypatch.setattr(master_updates, "_say_acknowledged", forget)


def a_task_that_never_arrived_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "_lose", nothing)


def a_terminal_state_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def change_state(
        state: master_state.State, task: master_state.Task, to: mesos.TaskState, now_ms: int
    ) -> None:
        task.state = to

    monkeypatch.setattr(tasks, "change_state", change_state)


def an_unreachable_agent_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = departures.mark_unreachable

    def forget(
        state: master_state.State, agent: master_state.Agent, now_ms: int, step: Effects
    ) -> None:
        mark(state, agent, now_ms, step)
        step.save.pop()

    monkeypatch.setattr(agents, "mark_unreachable", forget)


def an_epoch_begins_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(state: master_state.State, last_epoch: int, now_ms: int, step: Effects) -> None:
        state.epoch = max(last_epoch, 1)
        step.save.append(EpochBegan(state.epoch))

    monkeypatch.setattr(master_recovery, "_begin_epoch", begin)


def a_lease_is_longer_than_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zookeeper, "SHARE", (3, 1))


def the_second_task_of_a_group_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    load = recovery._load_task

    def forget_second(state: agent_state.State, found: saved.SavedTask, *more: Any) -> None:
        if found.info.task_id.value not in found.group[1:2]:
            load(state, found, *more)

    monkeypatch.setattr(recovery, "_load_task", forget_second)


def a_group_is_launched_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(
        state: agent_state.State,
        framework: agent_state.Framework,
        executor: agent_state.Executor,
        task: agent_state.Task,
        step: Any,
    ) -> None:
        place = pods.place_in_pod(framework, executor, task)
        if place is not None and place.container.phase is agent_state.Phase.PROVISIONED:
            starts.launch(state, place, step)

    monkeypatch.setattr(pods, "launch_if_ready", launch)


def a_task_that_fails_leaves_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "end_group", nothing)


def a_pod_that_is_over_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "say_absent", nothing)


PLANTED: tuple[tuple[Plant, str], ...] = (
    (an_update_is_not_saved, "updates/"),
    (an_acknowledged_update_stays_on_the_disk, "updates/"),
    (an_agent_acts_before_it_has_saved, "tasks/|executors/|frameworks/|updates/"),
    (a_recovered_task_is_forgotten, "is killed by nobody|tasks/"),
    (updates_are_not_sent_again_after_a_registration, "tasks have no end|has tasks left"),
    (an_acknowledgement_is_not_remembered, "acknowledged, and sent again"),
    (
        a_task_that_never_arrived_is_not_lost,
        "tasks have no end|has tasks left|does not know tasks of its master",
    ),
    (a_terminal_state_is_left, "is not"),
    (an_unreachable_agent_is_not_registered, "agents/"),
    (an_epoch_begins_twice, "two masters act in epoch"),
    (a_lease_is_longer_than_a_session, "both lead"),
    (the_second_task_of_a_group_is_forgotten, "is killed by nobody"),
    (a_group_is_launched_one_by_one, "are launched|runs in part"),
    (a_task_that_fails_leaves_its_group, "outlives"),
    (a_pod_that_is_over_is_not_said_to_be, "does not know executors of its master"),
)


@pytest.mark.parametrize(("plant", "invariant"), PLANTED, ids=[one.__name__ for one, _ in PLANTED])
def test_a_planted_fault_is_found(
    plant: Plant, invariant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    for seed in SEEDS:
        played = play(case_of(seed, TASKS), CHECK_EVERY)
        if played.failure is not None and any(
            part in played.failure for part in invariant.split("|")
        ):
            return
    pytest.fail(f"none of {len(SEEDS)} seeds finds it")


def test_a_failing_case_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    an_update_is_not_saved(monkeypatch)
    smallest = shrink(case_of(1, TASKS))
    assert smallest.failure is not None
    case = smallest.case
    assert (case.tasks, case.masters, case.agents) == (2, 1, 1)
    assert case.kinds == frozenset()
    assert case.faults_ms <= smallest.elapsed_ms
