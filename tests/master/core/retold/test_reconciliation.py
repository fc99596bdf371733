"""RECONCILE and KILL, as Mesos's own tests tell it."""

from __future__ import annotations

import pytest

from tepui.wire import link, mesos
from tests.master.core.retold.kit import (
    TEN_MINUTES_MS,
    Cluster,
    Reason,
    answers,
    kill,
    reconcile,
    reconciled,
    told,
)
from tests.master.world import TaskState

AWARE = "PARTITION_AWARE"
LOST, RUNNING, FINISHED = TaskState.TASK_LOST, TaskState.TASK_RUNNING, TaskState.TASK_FINISHED


def test_the_master_s_state_counts_whatever_the_framework_believes() -> None:
    """Mesos: ReconciliationTest.TaskStateMismatch"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.reports(owner, "t1", TaskState.TASK_KILLING)
    assert reconcile(owner, "t1") == [reconciled("t1", TaskState.TASK_KILLING, "Latest task state")]


def test_a_task_that_is_as_the_framework_believes_is_answered_whole() -> None:
    """Mesos: ReconciliationTest.TaskStateMatch"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    owner.launch("t1", agent)
    running = agent.reports(owner, "t1", RUNNING)
    assert answers(owner, "t1", agent=agent.id) == [
        mesos.TaskStatus(
            task_id=mesos.TaskID("t1"),
            state=RUNNING,
            message="Reconciliation: Latest task state",
            source=mesos.TaskStatus.Source.SOURCE_MASTER,
            reason=Reason.REASON_RECONCILIATION,
            agent_id=mesos.AgentID(agent.id),
            timestamp=cluster.world.now_ms / 1000,
            container_status=running.container_status,
        )
    ]


def test_a_task_of_an_unknown_agent_is_unknown() -> None:
    """Mesos: ReconciliationTest.UnknownSlave"""
    owner = Cluster().framework(AWARE)
    assert reconcile(owner, "t1", agent="nobody") == [
        reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")
    ]


@pytest.mark.parametrize(("capabilities", "state"), [((), LOST), ((AWARE,), TaskState.TASK_GONE)])
def test_an_unknown_task_of_a_known_agent_is_gone(
    capabilities: tuple[str, ...], state: TaskState
) -> None:
    """Mesos: ReconciliationTest.UnknownTask, UnknownTaskPartitionAware"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(*capabilities)
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", state, "Task is unknown to the agent")
    ]


def test_a_known_agent_is_known_while_it_is_disconnected() -> None:
    """Mesos: ReconciliationTest.UnknownTask, with a broken connection"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.disconnects()
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", TaskState.TASK_GONE, "Task is unknown to the agent")
    ]


def test_a_kill_of_an_unknown_task_is_answered_as_a_reconciliation() -> None:
    """Mesos: ReconciliationTest.UnknownKillTask, MasterTest.KillUnknownTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    assert kill(owner, "t1") == [reconciled("t1", LOST, "Task is unknown")]
    assert kill(owner, "t1", agent.id) == [reconciled("t1", LOST, "Task is unknown to the agent")]
    assert agent.listen()[1:] == []


def test_a_kill_of_a_task_of_an_unreachable_agent_is_answered_the_same() -> None:
    """Mesos: MasterTest.KillUnknownTaskSlaveInTransition, when the transition is over"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    assert kill(owner, "t1", agent.id) == [
        reconciled("t1", TaskState.TASK_UNREACHABLE, "Task is unreachable")
    ]


def test_nothing_is_said_of_an_agent_that_is_expected() -> None:
    """Mesos: ReconciliationTest.RecoveredAgent"""
    cluster = Cluster()
    agent, other = cluster.agent(), cluster.agent()
    cluster.master_fails_over()
    other.comes_back()
    owner = cluster.framework(AWARE)
    assert reconcile(owner, "t1", agent=agent.id) == []
    assert reconcile(owner, "t1") == []
    assert kill(owner, "t1") == []
    assert reconcile(owner, "t1", agent=other.id) == [
        reconciled("t1", TaskState.TASK_GONE, "Task is unknown to the agent")
    ]


def test_an_answer_is_there_with_the_agent() -> None:
    """Mesos: ReconciliationTest.RecoveredAgentReregistrationInProgress"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.master_fails_over()
    owner = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    assert reconcile(owner, "t1", agent=agent.id) == []
    agent.comes_back()
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", RUNNING, "Latest task state")
    ]


def test_an_agent_that_has_left_is_unknown_from_then_on() -> None:
    """Mesos: ReconciliationTest.RemovalInProgress (a removal takes no time here)"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    agent.say(link.Unregister())
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")
    ]


def test_whoever_names_no_task_is_told_of_all_that_live() -> None:
    """Mesos: ReconciliationTest.ImplicitNonTerminalTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1", "t2")
    assert reconcile(owner) == [
        reconciled(one, RUNNING, "Latest task state") for one in ("t1", "t2")
    ]


def test_whoever_names_no_task_hears_nothing_of_those_that_have_ended() -> None:
    """Mesos: ReconciliationTest.ImplicitTerminalTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.reports(owner, "t1", FINISHED)
    assert reconcile(owner) == []


def test_whoever_names_no_task_hears_nothing_of_those_out_of_sight() -> None:
    """Mesos: ReconciliationTest.ImplicitNonTerminalTask, with an unreachable agent"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    assert reconcile(owner) == []


def test_an_end_that_is_not_acknowledged_is_told() -> None:
    """Mesos: ReconciliationTest.UnacknowledgedTerminalTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.reports(owner, "t1", FINISHED, acknowledged=False)
    expected = [reconciled("t1", FINISHED, "Latest task state")]
    assert reconcile(owner) == expected
    assert reconcile(owner, "t1") == expected


def test_what_was_forwarded_counts_and_not_what_is_newest() -> None:
    """Mesos: ReconciliationTest.ReconcileStatusUpdateTaskState"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.has(owner, "t1", FINISHED)  # and RUNNING is what the scheduler was told
    cluster.master_fails_over()
    agent.comes_back()
    owner = cluster.subscribe_again(owner)
    assert reconcile(owner, "t1") == [reconciled("t1", RUNNING, "Latest task state")]
    assert cluster.world.state.frameworks[owner.framework_id].tasks["t1"].state is FINISHED  # type: ignore[index]  # its id


def test_the_time_of_a_loss_outlives_the_master() -> None:
    """Mesos: ReconciliationTest.PartitionedAgentThenMasterFailover"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    (told_before,) = answers(owner, "t1", agent=agent.id)
    cluster.master_fails_over()
    cluster.wait(60_000)
    owner = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    (told_after,) = answers(owner, "t1", agent=agent.id)
    assert told_after.state is TaskState.TASK_UNREACHABLE
    assert told_after.unreachable_time == told_before.unreachable_time


def test_a_task_is_unreachable_when_its_agent_was_expected_in_vain() -> None:
    """Mesos: MasterTest.UnreachableTaskAfterFailover"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.master_fails_over()
    owner = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    cluster.wait(TEN_MINUTES_MS)
    assert told(owner) == []
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", TaskState.TASK_UNREACHABLE, "Task is unreachable")
    ]
    agent.comes_back()
    assert [state for _, state, _, _ in told(owner)] == [RUNNING]


def test_a_reconciliation_without_the_agent_does_not_find_what_is_out_of_sight() -> None:
    """Mesos: ReconciliationTest.PartitionedAgentThenMasterFailover, without the agent's id"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    assert reconcile(owner, "t1") == [reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")]
