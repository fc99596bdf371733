"""Agents that can not be heard for a while, as Mesos's own tests tell it."""

from __future__ import annotations

from tepui.master.core.actions import AgentAdmitted, AgentRemoved, AgentUnreachable
from tepui.master.core.settings import Settings
from tepui.wire import link, mesos
from tests.master.core.retold.kit import (
    PING_MS,
    SILENCE_MS,
    Cluster,
    Reason,
    acknowledge,
    answers,
    failures,
    found,
    lost,
    names,
    reconcile,
    reconciled,
    told,
    unknown_found,
    updates_of,
)
from tests.master.world import TaskState

AWARE = "PARTITION_AWARE"
UNREACHABLE, LOST = TaskState.TASK_UNREACHABLE, TaskState.TASK_LOST
RUNNING, FINISHED = TaskState.TASK_RUNNING, TaskState.TASK_FINISHED
GC_MS = 900_000
HOUR_MS = 3_600_000


def test_a_silent_agent_is_lost_and_counted_once() -> None:
    """Mesos: PartitionTest.PartitionedSlave"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    cluster.cut_off(agent)
    assert failures(owner.events()) == [agent.id]
    for name in (
        "slave_unreachable_scheduled",
        "slave_unreachable_completed",
        "slave_removals",
        "slave_removals/reason_unhealthy",
    ):
        assert cluster.count(name) == 1, name
    assert cluster.count("slave_unreachable_canceled") == 0


def test_an_agent_is_marked_once_however_long_it_is_silent() -> None:
    """Mesos: PartitionTest.FailHealthChecksTwice"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.cut_off(agent)
    cluster.wait(10 * SILENCE_MS)
    assert cluster.count("slave_unreachable_scheduled") == 1
    assert [r for r in cluster.world.saved if isinstance(r, AgentUnreachable)] == [
        AgentUnreachable(agent.info, cluster.world.state.unreachable_agents[agent.id].since_ms)
    ]


def test_a_launch_that_never_arrived_leaves_nothing_when_its_agent_is_back() -> None:
    """Mesos: PartitionTest.ReregisterPartitionedAgentWithEnrouteTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    owner.launch("t1", agent)
    cluster.cut_off(agent)
    assert told(owner) == [lost("t1", UNREACHABLE)]
    agent.comes_back()
    assert told(owner) == []
    assert names(owner) == ([], [], [])
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", TaskState.TASK_GONE, "Task is unknown to the agent")
    ]


def test_a_task_of_an_aware_framework_is_unreachable_and_then_runs_again() -> None:
    """Mesos: PartitionTest.ReregisterSlavePartitionAware"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    assert told(owner) == [lost("t1", UNREACHABLE)]
    assert names(owner) == ([], ["t1"], [])
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", UNREACHABLE, "Task is unreachable")
    ]
    agent.comes_back()
    assert told(owner) == [found("t1")]
    assert names(owner) == (["t1"], [], [])
    assert reconcile(owner, "t1") == [reconciled("t1", RUNNING, "Latest task state")]


def test_what_is_said_of_a_task_that_is_back_has_its_container_but_no_uuid() -> None:
    """Mesos: PartitionTest.ReregisterSlavePartitionAware"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    owner.launch("t1", agent)
    running = agent.reports(owner, "t1", RUNNING)
    cluster.cut_off(agent)
    owner.events()
    agent.comes_back()
    assert updates_of(owner.events()) == [
        mesos.TaskStatus(
            task_id=mesos.TaskID("t1"),
            state=RUNNING,
            message="Unreachable agent re-reregistered",
            source=mesos.TaskStatus.Source.SOURCE_MASTER,
            reason=Reason.REASON_AGENT_REREGISTERED,
            agent_id=mesos.AgentID(agent.id),
            timestamp=cluster.world.now_ms / 1000,
            container_status=running.container_status,
        )
    ]


def test_a_task_of_an_unaware_framework_is_lost_and_not_killed_when_it_is_back() -> None:
    """Mesos: PartitionTest.ReregisterSlaveNotPartitionAware"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.heard.clear()
    cluster.cut_off(agent)
    (status,) = updates_of(owner.events())
    assert (status.state, status.unreachable_time) == (
        LOST,
        mesos.TimeInfo(nanoseconds=cluster.world.now_ms * 1_000_000),
    )
    agent.comes_back()
    assert told(owner) == [found("t1")]
    assert [type(one).__name__ for one in agent.listen()] == ["Registered"]
    assert names(owner) == (["t1"], [], [])


def test_tasks_of_both_kinds_outlive_a_master_that_fails_over_meanwhile() -> None:
    """Mesos: PartitionTest.PartitionedSlaveReregistrationMasterFailover"""
    cluster = Cluster()
    agent = cluster.agent()
    aware, unaware = cluster.framework(AWARE), cluster.framework(name="old")
    agent.run(aware, "t1")
    agent.run(unaware, "t2")
    cluster.cut_off(agent)
    aware.events(), unaware.events()
    cluster.master_fails_over()
    aware, unaware = cluster.subscribe_again(aware), cluster.subscribe_again(unaware)
    agent.comes_back()
    assert (told(aware), told(unaware)) == ([found("t1")], [found("t2")])
    assert cluster.world.saved[-1] == AgentAdmitted(agent.info)


def test_a_framework_that_was_torn_down_meanwhile_is_shut_down_on_the_agent() -> None:
    """Mesos: PartitionTest.PartitionedSlaveOrphanedTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    cluster.world.teardown(owner.framework_id)
    (task,) = owner.framework.completed_tasks
    assert (task.id, task.state) == ("t1", TaskState.TASK_KILLED)
    agent.comes_back()
    assert link.ShutdownFramework(owner.framework_id) in agent.listen()
    assert names(owner) == ([], [], ["t1"])


def test_a_framework_that_was_away_learns_of_a_loss_by_asking() -> None:
    """Mesos: PartitionTest.DisconnectedFramework"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    owner.leave()
    cluster.cut_off(agent)
    since = mesos.TimeInfo(nanoseconds=cluster.world.now_ms * 1_000_000)
    assert owner.events() == []
    owner = cluster.subscribe_again(owner)
    assert told(owner) == []
    (status,) = answers(owner, "t1", agent=agent.id)
    assert (status.state, status.unreachable_time) == (LOST, since)


def test_an_agent_that_registers_again_for_no_reason_changes_no_task() -> None:
    """Mesos: PartitionTest.SpuriousSlaveReregistration"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    effects = agent.comes_back()
    assert effects.save == []
    assert told(owner) == []
    assert names(owner) == (["t1"], [], [])


def test_an_update_of_an_unreachable_agent_is_passed_over() -> None:
    """Mesos: PartitionTest.PartitionedSlaveStatusUpdates"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    agent.is_cut_off = True
    cluster.wait(SILENCE_MS)
    owner.events()
    status = mesos.TaskStatus(task_id=mesos.TaskID("t1"), state=RUNNING, uuid=b"1" * 16)
    effects = agent.say(link.StatusUpdated(owner.framework_id, status, RUNNING))
    assert (effects.save, effects.then) == ([], [])


def test_an_executor_s_end_on_an_unreachable_agent_is_passed_over() -> None:
    """Mesos: PartitionTest.PartitionedSlaveExitedExecutor"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    owner.launch_group(("t1",), agent, "e")
    agent.is_cut_off = True
    cluster.wait(SILENCE_MS)
    owner.events()
    effects = agent.say(link.ExecutorExited(owner.framework_id, "e", 0, False))
    assert (effects.save, effects.then) == ([], [])


def test_a_task_that_ended_meanwhile_is_told_as_ended_also_when_it_was_lost() -> None:
    """Mesos: PartitionTest.TaskCompletedOnPartitionedAgent"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    assert told(owner) == [lost("t1", LOST)]
    agent.has(owner, "t1", FINISHED)
    agent.comes_back()
    assert told(owner) == [found("t1", FINISHED)]
    agent.reports(owner, "t1", FINISHED)
    assert [state for _, state, _, _ in told(owner)] == [FINISHED]
    assert names(owner) == ([], [], ["t1"])
    assert reconcile(owner, "t1") == [reconciled("t1", LOST, "Task is unknown")]


def test_an_end_is_told_by_the_master_and_then_by_the_agent() -> None:
    """Mesos: PartitionTest.PartitionAwareTaskCompletedOnPartitionedAgent"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    owner.events()
    agent.has(owner, "t1", FINISHED)
    agent.comes_back()
    status = agent.reports(owner, "t1", FINISHED, acknowledged=False)
    first, second = updates_of(owner.events())
    assert (first.state, first.uuid) == (FINISHED, None)
    assert second == status
    acknowledge(owner, agent, status)
    assert reconcile(owner, "t1", agent=agent.id) == [
        reconciled("t1", TaskState.TASK_GONE, "Task is unknown to the agent")
    ]


def test_a_task_whose_end_is_not_acknowledged_is_out_of_sight_as_ended() -> None:
    """Mesos: PartitionTest.AgentWithTerminalTaskPartitioned"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    agent.reports(owner, "t1", FINISHED, acknowledged=False)
    owner.events()
    cluster.cut_off(agent)
    assert told(owner) == [lost("t1", UNREACHABLE)]
    (task,) = owner.framework.unreachable_tasks.values()
    assert task.state is FINISHED
    agent.comes_back()
    assert told(owner) == [found("t1", FINISHED)]
    assert names(owner) == (["t1"], [], [])


def test_one_unreachable_agent_more_than_are_kept_pushes_out_the_first() -> None:
    """Mesos: PartitionTest.RegistryGcByCount"""
    cluster = Cluster(Settings(registry_max_agent_count=1))
    first, second = cluster.agent(), cluster.agent()
    owner = cluster.framework(AWARE)
    first.run(owner, "t1")
    second.run(owner, "t2")
    cluster.cut_off(first)
    assert names(owner)[1] == ["t1"]
    cluster.cut_off(second)
    assert AgentRemoved(first.id) in cluster.world.saved
    assert names(owner)[1] == ["t2"]
    assert reconcile(owner, "t1", agent=first.id) == [
        reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")
    ]
    assert reconcile(owner, "t2", agent=second.id) == [
        reconciled("t2", UNREACHABLE, "Task is unreachable")
    ]


def test_those_that_are_unreachable_for_longest_are_forgotten_first() -> None:
    """Mesos: PartitionTest.RegistryGcByCountManySlaves"""
    cluster = Cluster(Settings(registry_max_agent_count=2))
    agents = [cluster.agent() for _ in range(5)]
    for agent in agents:
        cluster.cut_off(agent)
    assert list(cluster.world.state.unreachable_agents) == [agents[3].id, agents[4].id]


def test_who_is_unreachable_for_too_long_is_forgotten_at_the_next_collection() -> None:
    """Mesos: PartitionTest.RegistryGcByAge"""
    cluster = Cluster(Settings(registry_max_agent_age_ms=HOUR_MS))
    cluster.master_fails_over()  # collections begin with a registry
    old, young = cluster.agent(), cluster.agent()
    owner = cluster.framework(AWARE)
    old.run(owner, "t1")
    young.run(owner, "t2")
    cluster.cut_off(old)
    cluster.wait(HOUR_MS - GC_MS)
    cluster.cut_off(young)
    cluster.wait(2 * GC_MS)
    assert list(cluster.world.state.unreachable_agents) == [young.id]
    assert names(owner)[1] == ["t2"]
    assert reconcile(owner, "t1", agent=old.id) == [
        reconciled("t1", TaskState.TASK_UNKNOWN, "Task is unknown")
    ]


def test_an_agent_that_was_forgotten_is_taken_in_when_it_is_back() -> None:
    """Mesos: PartitionTest.RegistryGcByCount, and what __reregisterSlave says of such agents"""
    cluster = Cluster(Settings(registry_max_agent_count=1))
    first, second = cluster.agent(), cluster.agent()
    owner = cluster.framework(AWARE)
    first.run(owner, "t1")
    cluster.cut_off(first)
    cluster.cut_off(second)
    owner.events()
    first.comes_back()
    assert told(owner) == [unknown_found("t1")]
    assert cluster.world.saved[-1] == AgentAdmitted(first.info)


def test_a_collection_after_an_agent_is_back_leaves_it_alone() -> None:
    """Mesos: PartitionTest.RegistryGcRace"""
    cluster = Cluster(Settings(registry_max_agent_age_ms=HOUR_MS))
    cluster.master_fails_over()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    cluster.wait(HOUR_MS - GC_MS)
    agent.comes_back()
    cluster.wait(3 * GC_MS)
    assert list(cluster.world.state.agents) == [agent.id]
    assert AgentRemoved(agent.id) not in cluster.world.saved
    assert names(owner) == (["t1"], [], [])


def test_who_must_wait_for_the_rate_limit_is_marked_when_it_allows() -> None:
    """Mesos: SlaveTest.RateLimitSlaveRemoval"""
    cluster = Cluster(Settings(agent_removal_interval_ms=600_000))
    first, second = cluster.agent(), cluster.agent()
    first.is_cut_off = second.is_cut_off = True
    cluster.wait(SILENCE_MS)
    assert list(cluster.world.state.unreachable_agents) == [first.id]
    assert cluster.count("slave_unreachable_scheduled") == 2
    cluster.wait(599_999)
    assert cluster.count("slave_unreachable_completed") == 1
    cluster.wait(1)
    assert list(cluster.world.state.unreachable_agents) == [first.id, second.id]


def test_a_pong_calls_off_what_waits_for_the_rate_limit() -> None:
    """Mesos: SlaveTest.CancelSlaveRemoval"""
    cluster = Cluster(Settings(agent_removal_interval_ms=600_000))
    first, second = cluster.agent(), cluster.agent()
    first.is_cut_off = second.is_cut_off = True
    cluster.wait(SILENCE_MS)
    second.is_cut_off = False
    cluster.wait(PING_MS)
    assert cluster.count("slave_unreachable_canceled") == 1
    cluster.wait(1_200_000)
    assert list(cluster.world.state.agents) == [second.id]
    assert list(cluster.world.state.unreachable_agents) == [first.id]


def test_who_leaves_while_it_waits_for_the_rate_limit_has_left() -> None:
    """Mesos: SlaveTest.HealthCheckUnregisterRace"""
    cluster = Cluster(Settings(agent_removal_interval_ms=600_000))
    first, second = cluster.agent(), cluster.agent()
    first.is_cut_off = second.is_cut_off = True
    cluster.wait(SILENCE_MS)
    second.say(link.Unregister())
    cluster.wait(1_200_000)
    assert list(cluster.world.state.unreachable_agents) == [first.id]
    assert cluster.count("slave_removals/reason_unregistered") == 1
    assert cluster.count("slave_unreachable_canceled") == 1


def test_an_agent_can_not_leave_once_it_is_unreachable() -> None:
    """Mesos: SlaveTest.UnreachableThenUnregisterRace"""
    cluster = Cluster()
    agent = cluster.agent()
    agent.is_cut_off = True
    cluster.wait(SILENCE_MS)
    effects = agent.say(link.Unregister())
    assert (effects.save, effects.then) == ([], [])
    assert list(cluster.world.state.unreachable_agents) == [agent.id]
    assert cluster.count("slave_removals") == 1


def test_an_agent_that_has_left_is_not_marked_unreachable() -> None:
    """Mesos: SlaveTest.UnregisterThenUnreachableRace"""
    cluster = Cluster()
    agent = cluster.agent()
    agent.is_cut_off = True
    cluster.wait(SILENCE_MS - 1)
    agent.say(link.Unregister())
    cluster.wait(SILENCE_MS)
    assert cluster.world.state.unreachable_agents == {}
    assert cluster.count("slave_removals/reason_unhealthy") == 0


def test_tasks_of_an_agent_that_leaves_are_lost_also_to_who_knows_better() -> None:
    """Mesos: SlaveRecoveryTest.ShutdownSlaveSIGUSR1"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    agent.say(link.Unregister())
    events = owner.events()
    (status,) = updates_of(events)
    assert (status.state, status.reason, status.message, status.uuid) == (
        LOST,
        Reason.REASON_AGENT_REMOVED,
        "Agent 127.0.0.1 removed: the agent unregistered",
        None,
    )
    assert failures(events) == [agent.id]
    assert cluster.world.saved[-1] == AgentRemoved(agent.id)


def test_a_new_agent_at_the_address_of_one_that_is_away_takes_its_place() -> None:
    """Mesos: SlaveRecoveryTest.RegisterDisconnectedSlave"""
    cluster = Cluster()
    agent, owner = cluster.agent(port=5051), cluster.framework(AWARE)
    agent.run(owner, "t1")
    agent.disconnects()
    other = cluster.agent(port=5051)
    assert told(owner) == [
        (
            "t1",
            LOST,
            Reason.REASON_AGENT_REMOVED,
            "Agent 127.0.0.1 removed: a new agent registered at the same address",
        )
    ]
    assert list(cluster.world.state.agents) == [other.id]
    assert cluster.count("slave_removals/reason_registered") == 1


def test_a_task_that_was_lost_and_is_back_is_not_among_those_that_have_ended() -> None:
    """Mesos: MasterTest.LostTaskCleanup"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    agent.run(owner, "t1", "t2")
    agent.say(link.Unregister())
    assert names(owner) == ([], [], ["t1", "t2"])
    agent.forgets(owner, "t2")
    owner.events()
    agent.comes_back()
    assert told(owner) == [unknown_found("t1")]
    assert names(owner) == (["t1"], [], ["t2"])


def test_the_task_of_an_executor_names_it_whenever_the_master_speaks_of_it() -> None:
    """Mesos: PartitionTest.ReregisterSlavePartitionAware, with a task of an executor"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    owner.launch_group(("t1",), agent, "e")
    owner.events()
    cluster.cut_off(agent)
    (status,) = updates_of(owner.events())
    assert status.executor_id == mesos.ExecutorID("e")


def test_a_returning_agent_stays_deactivated() -> None:
    """Mesos: MasterDrainingTest.DrainAgentUnreachable, as far as deactivation goes"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    cluster.deactivate(agent.id)
    cluster.cut_off(agent)
    agent.comes_back()
    assert cluster.world.state.agents[agent.id].deactivated
    assert owner.framework.offers == {}
