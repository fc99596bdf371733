"""MARK_AGENT_GONE, as Mesos's own tests tell it."""

from __future__ import annotations

import pytest

from tepui.master.core.actions import AgentGone, AgentRemoved
from tepui.master.core.settings import Settings
from tepui.wire import link, mesos
from tests.master.core.retold.kit import (
    Cluster,
    Reason,
    failures,
    names,
    reconcile,
    reconciled,
    short,
    told,
    updates_of,
)
from tests.master.world import TaskState

AWARE = "PARTITION_AWARE"
GONE, LOST = TaskState.TASK_GONE_BY_OPERATOR, TaskState.TASK_LOST
TEXT = "Agent has been marked gone"


def test_an_agent_that_is_gone_is_shut_down_at_every_attempt_to_be_back() -> None:
    """Mesos: MasterAPITest.MarkRegisteredAgentGone"""
    cluster = Cluster()
    agent = cluster.agent()
    agent.listen()
    assert cluster.mark_gone(agent.id) == (200, "")
    assert cluster.world.saved[-1] == AgentGone(agent.info, cluster.world.now_ms)
    assert agent.listen() == [link.Shutdown(TEXT)]
    for _ in range(2):
        agent.comes_back()
        assert agent.listen() == [link.Shutdown(TEXT)]
    assert cluster.world.state.agents == {}


@pytest.mark.parametrize(
    ("capabilities", "state", "reason"),
    [
        ((), LOST, Reason.REASON_AGENT_REMOVED),
        ((AWARE,), GONE, Reason.REASON_AGENT_REMOVED_BY_OPERATOR),
    ],
)
def test_frameworks_are_told_what_became_of_their_tasks(
    capabilities: tuple[str, ...], state: TaskState, reason: Reason
) -> None:
    """Mesos: MasterAPITest.TaskUpdatesUponAgentGone"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(*capabilities)
    agent.run(owner, "t1")
    cluster.mark_gone(agent.id)
    events = owner.events()
    assert short(updates_of(events)) == [("t1", state, reason, TEXT)]
    assert failures(events) == [agent.id]
    assert names(owner) == ([], [], ["t1"])
    assert reconcile(owner, "t1", agent=agent.id) == [reconciled("t1", state, "Task is gone")]


@pytest.mark.parametrize(
    ("capabilities", "state", "reason"),
    [
        ((), LOST, Reason.REASON_AGENT_REMOVED),
        ((AWARE,), GONE, Reason.REASON_AGENT_REMOVED_BY_OPERATOR),
    ],
)
def test_tasks_of_an_unreachable_agent_that_is_gone_have_ended(
    capabilities: tuple[str, ...], state: TaskState, reason: Reason
) -> None:
    """Mesos: MasterAPITest.UnreachableAgentMarkedGone"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(*capabilities)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    owner.events()
    assert cluster.mark_gone(agent.id) == (200, "")
    events = owner.events()
    assert short(updates_of(events)) == [("t1", state, reason, TEXT)]
    assert failures(events) == []  # it was told when the agent was lost
    assert names(owner) == ([], [], ["t1"])


def test_whoever_was_gone_for_longest_is_forgotten_first() -> None:
    """Mesos: MasterTest.RegistryGcByCount"""
    cluster = Cluster(Settings(registry_max_agent_count=1))
    first, second = cluster.agent(), cluster.agent()
    owner = cluster.framework(AWARE)
    cluster.mark_gone(first.id)
    assert reconcile(owner, "t1", agent=first.id) == [reconciled("t1", GONE, "Task is gone")]
    cluster.mark_gone(second.id)
    assert cluster.world.saved[-1] == AgentRemoved(first.id)
    assert reconcile(owner, "t1", agent=first.id) == [
        reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")
    ]


def test_who_is_gone_stays_gone_with_the_next_master() -> None:
    """Mesos: RegistrarTest.MarkGone"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    cluster.mark_gone(agent.id)
    cluster.master_fails_over()
    owner = cluster.framework(AWARE)
    agent.comes_back()
    assert agent.listen() == [link.Shutdown(TEXT)]
    assert reconcile(owner, "t1", agent=agent.id) == [reconciled("t1", GONE, "Task is gone")]


def test_an_agent_can_be_gone_after_it_was_unreachable_but_not_the_other_way() -> None:
    """Mesos: RegistrarTest.MarkUnreachableGone"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.cut_off(agent)
    cluster.mark_gone(agent.id)
    cluster.wait(1_000_000)
    assert cluster.world.state.unreachable_agents == {}
    assert list(cluster.world.state.gone_agents) == [agent.id]


def test_marking_again_is_fine_and_marking_nobody_is_not() -> None:
    """Mesos: MasterAPITest.MarkRegisteredAgentGone"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.mark_gone(agent.id)
    saved = len(cluster.world.saved)
    assert cluster.mark_gone(agent.id) == (200, "")
    assert len(cluster.world.saved) == saved
    assert cluster.mark_gone("nobody") == (404, "Agent 'nobody' not found")


def test_of_an_agent_that_is_gone_nothing_more_can_be_asked() -> None:
    """Mesos: MasterDrainingTest.DrainAgentMarkGone, as far as deactivation goes"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.deactivate(agent.id)
    cluster.mark_gone(agent.id)
    assert cluster.deactivate(agent.id) == (400, "Unknown agent")


def test_an_agent_that_was_expected_can_be_gone_and_nobody_is_told() -> None:
    """Mesos: MasterAPITest.MarkRegisteredAgentGone, after a failover (MESOS-9739)"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.master_fails_over()
    owner = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    assert cluster.mark_gone(agent.id) == (200, "")
    assert told(owner) == []
    agent.comes_back()
    assert agent.listen() == [link.Shutdown(TEXT)]
    assert reconcile(owner, "t1", agent=agent.id) == [reconciled("t1", GONE, "Task is gone")]


def test_a_task_whose_end_was_not_acknowledged_keeps_its_end() -> None:
    """Mesos: MasterAPITest.TaskUpdatesUponAgentGone, with a task that had ended"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    agent.reports(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    owner.events()
    cluster.mark_gone(agent.id)
    assert [state for _, state, _, _ in told(owner)] == [GONE]
    assert [task.state for task in owner.framework.completed_tasks] == [TaskState.TASK_FINISHED]
