"""A new master, its agents and frameworks, as Mesos's own tests tell it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tepui.master.core.actions import AgentAdmitted, AgentUnreachable
from tepui.master.core.settings import Settings
from tepui.resources import parse_resources
from tepui.wire import link, master, mesos
from tests.master.core.retold.kit import (
    TEN_MINUTES_MS,
    Cluster,
    Node,
    Reason,
    acknowledge,
    failures,
    found,
    kill,
    names,
    reconciled,
    told,
    updates_of,
)
from tests.master.world import AGENT_RESOURCES, Scheduler, TaskState, wire_resources

AWARE = "PARTITION_AWARE"
RUNNING, FINISHED = TaskState.TASK_RUNNING, TaskState.TASK_FINISHED
ALL = parse_resources(AGENT_RESOURCES)
Get = master.Call.Type


def with_task(settings: Settings | None = None) -> tuple[Cluster, Node, Scheduler]:
    """A task `t1` that runs."""
    cluster = Cluster(settings)
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    agent.run(owner, "t1")
    return cluster, agent, owner


def after_failover(settings: Settings | None = None) -> tuple[Cluster, Node, Scheduler]:
    """The same with a new master: its framework is there, its agent is not."""
    cluster, agent, owner = with_task(settings)
    cluster.master_fails_over()
    again = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    again.events()
    return cluster, agent, again


def test_an_agent_that_was_expected_for_ten_minutes_may_still_come_back() -> None:
    """Mesos: MasterTest.RecoveredSlaveCanReregister"""
    cluster, agent, owner = after_failover()
    cluster.wait(TEN_MINUTES_MS)
    assert AgentUnreachable(agent.info, cluster.world.now_ms) in cluster.world.saved
    assert failures(owner.events()) == [agent.id]
    assert cluster.count("recovery_slave_removals") == 1
    agent.comes_back()
    assert cluster.world.saved[-1] == AgentAdmitted(agent.info)
    assert told(owner) == [found("t1")]


def test_no_task_is_told_of_when_its_agent_was_expected_in_vain() -> None:
    """Mesos: MasterTest.UnreachableTaskAfterFailover"""
    cluster, agent, owner = after_failover()
    cluster.wait(TEN_MINUTES_MS)
    events = owner.events()
    assert (updates_of(events), failures(events)) == ([], [agent.id])
    assert names(owner) == ([], [], [])


def test_agents_that_were_expected_are_marked_no_faster_than_allowed() -> None:
    """Mesos: MasterTest.RateLimitRecoveredSlaveRemoval"""
    cluster = Cluster(Settings(agent_removal_interval_ms=600_000))
    agents = [cluster.agent() for _ in range(2)]
    cluster.master_fails_over()
    cluster.wait(TEN_MINUTES_MS)
    assert cluster.count("slave_unreachable_scheduled") == 2
    assert list(cluster.world.state.unreachable_agents) == [agents[0].id]
    cluster.wait(600_000)
    assert list(cluster.world.state.unreachable_agents) == [agents[0].id, agents[1].id]
    assert cluster.count("slave_unreachable_completed") == 2


def test_an_agent_that_is_back_before_its_turn_is_not_marked() -> None:
    """Mesos: MasterTest.CancelRecoveredSlaveRemoval"""
    cluster = Cluster(Settings(agent_removal_interval_ms=600_000))
    first, second = cluster.agent(), cluster.agent()
    cluster.master_fails_over()
    cluster.wait(TEN_MINUTES_MS)
    second.comes_back()
    cluster.wait(1_200_000)
    assert list(cluster.world.state.unreachable_agents) == [first.id]
    assert list(cluster.world.state.agents) == [second.id]
    assert cluster.count("slave_unreachable_canceled") == 1


def test_an_agent_that_is_back_in_time_is_not_marked() -> None:
    """Mesos: MasterTest.RecoveredSlaveReregisters, RecoveredSlaveReregisterThenUnreachableRace"""
    cluster, agent, owner = after_failover()
    cluster.wait(TEN_MINUTES_MS - 1)
    saved = len(cluster.world.saved)
    agent.comes_back()
    cluster.wait(TEN_MINUTES_MS)
    assert len(cluster.world.saved) == saved
    assert failures(owner.events()) == []


def test_nothing_is_told_of_tasks_that_an_expected_agent_brings() -> None:
    """Mesos: SlaveTest.RegisteredAgentReregisterAfterFailover"""
    cluster, agent, owner = after_failover()
    saved = len(cluster.world.saved)
    agent.comes_back()
    assert told(owner) == []
    assert len(cluster.world.saved) == saved
    assert names(owner) == (["t1"], [], [])


def test_an_agent_that_was_unreachable_before_the_failover_is_admitted_anew() -> None:
    """Mesos: SlaveTest.UnreachableAgentReregisterAfterFailover"""
    cluster, agent, owner = with_task()
    cluster.cut_off(agent)
    cluster.master_fails_over()
    agent.comes_back()
    assert cluster.world.saved[-1] == AgentAdmitted(agent.info)
    assert cluster.world.state.unreachable_agents == {}
    owner = cluster.subscribe_again(owner)
    assert names(owner) == (["t1"], [], [])


def test_a_framework_that_an_agent_brings_waits_for_its_scheduler() -> None:
    """Mesos: MasterTest.RecoveredFramework, FailoverAgentReregisterFirst"""
    cluster, agent, owner = with_task()
    cluster.master_fails_over()
    agent.comes_back()
    frameworks = cluster.world.get(Get.GET_FRAMEWORKS).get_frameworks
    assert frameworks is not None
    (shown,) = frameworks.frameworks
    assert (shown.active, shown.connected, shown.recovered) == (False, False, True)
    assert (shown.registered_time, shown.reregistered_time) == (None, None)
    assert owner.framework.info == shown.framework_info
    owner = cluster.subscribe_again(owner)
    now = mesos.TimeInfo(nanoseconds=cluster.world.now_ms * 1_000_000)
    frameworks = cluster.world.get(Get.GET_FRAMEWORKS).get_frameworks
    assert frameworks is not None
    (shown,) = frameworks.frameworks
    assert (shown.active, shown.connected, shown.recovered) == (True, True, False)
    assert (shown.registered_time, shown.reregistered_time) == (now, now)
    assert names(owner) == (["t1"], [], [])


def test_a_message_to_a_framework_that_is_not_back_is_lost() -> None:
    """Mesos: MasterTest.ExecutorMessageToRecoveredHttpFramework"""
    cluster, agent, owner = with_task()
    cluster.master_fails_over()
    agent.comes_back()
    effects = agent.say(link.ExecutorMessage(owner.framework_id, "e", b"hello"))
    assert (effects.save, effects.then) == ([], [])
    assert cluster.count("invalid_executor_to_framework_messages") == 1


def test_a_framework_is_one_however_many_agents_bring_it() -> None:
    """Mesos: MasterTest.OrphanTasksMultipleAgents"""
    cluster = Cluster()
    first, second = cluster.agent(), cluster.agent()
    owner = cluster.framework(AWARE)
    first.run(owner, "t1")
    second.run(owner, "t2")
    cluster.master_fails_over()
    first.comes_back()
    second.comes_back()
    assert list(cluster.world.state.frameworks) == [owner.framework_id]
    assert names(cluster.subscribe_again(owner)) == (["t1", "t2"], [], [])


def test_expected_agents_are_shown_until_they_are_back() -> None:
    """Mesos: MasterTest.RecoveredSlaves, MasterAPITest.GetRecoveredAgents"""
    cluster, agent, _ = after_failover()
    shown = cluster.world.get(Get.GET_AGENTS).get_agents
    assert shown is not None
    assert (shown.agents, shown.recovered_agents) == ((), (agent.info,))
    agent.comes_back()
    shown = cluster.world.get(Get.GET_AGENTS).get_agents
    assert shown is not None
    assert (len(shown.agents), shown.recovered_agents) == (1, ())


def test_an_operator_is_told_of_a_framework_before_its_tasks() -> None:
    """Mesos: MasterAPITest.MasterFailover"""
    cluster, agent, _ = with_task()
    cluster.master_fails_over()
    stream = cluster.world.watch()
    cluster.world.events(stream, master.Event)
    agent.comes_back()
    kinds = [event.type for event in cluster.world.events(stream, master.Event)]
    assert kinds == [
        master.Event.Type.FRAMEWORK_ADDED,
        master.Event.Type.TASK_ADDED,
        master.Event.Type.AGENT_ADDED,
    ]


def test_an_executor_goes_on_with_a_new_task_after_a_failover() -> None:
    """Mesos: MasterTest.MasterFailoverLongLivedExecutor"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(AWARE)
    owner.launch_group(("t1",), agent, "e")
    agent.has(owner, "t1", RUNNING)
    (executor,) = owner.framework.executors.values()
    agent.executors.append(link.RunningExecutor(owner.framework_id, executor.info))
    cluster.master_fails_over()
    agent.comes_back()
    owner = cluster.subscribe_again(owner)
    agent.listen()
    owner.launch_group(("t2",), agent, "e")
    (run,) = [one for one in agent.listen() if isinstance(one, link.RunTasks)]
    assert [one.task_id.value for one in run.tasks] == ["t2"]
    assert len(owner.framework.executors) == 1


def test_an_agent_is_given_no_id_that_an_expected_one_has() -> None:
    """Mesos: MasterTest.DuplicatedSlaveIdWhenSlaveReregister"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.master_fails_over()
    other = cluster.agent()
    agent.comes_back()
    assert other.id != agent.id
    assert set(cluster.world.state.agents) == {agent.id, other.id}


def test_a_task_that_ends_while_its_framework_is_away_frees_its_agent() -> None:
    """Mesos: MasterTest.RecoverResourcesOrphanedTask"""
    cluster, agent, owner = with_task()
    cluster.master_fails_over()
    agent.comes_back()
    assert cluster.world.state.allocator.available(agent.id) != ALL
    agent.reports(owner, "t1", FINISHED, acknowledged=False)
    assert cluster.world.state.allocator.available(agent.id) == ALL


def test_a_changed_agent_is_written_when_it_is_back() -> None:
    """Mesos: MasterTest.RegistryUpdateAfterReconfiguration"""
    cluster = Cluster()
    agent = cluster.agent()
    agent.disconnects()
    info = replace(agent.info, resources=wire_resources("cpus:8;mem:8192"))
    assert agent.comes_back(info).save == [AgentAdmitted(info)]


def test_a_changed_agent_is_written_by_the_next_master() -> None:
    """Mesos: MasterTest.RegistryUpdateAfterMasterFailover"""
    cluster = Cluster()
    agent = cluster.agent()
    cluster.master_fails_over()
    info = replace(agent.info, resources=wire_resources("cpus:8;mem:8192"))
    assert agent.comes_back(info).save == [AgentAdmitted(info)]


def test_a_framework_that_is_not_back_can_be_torn_down() -> None:
    """Mesos: TeardownTest.RecoveredFrameworkAfterMasterFailover"""
    cluster, agent, owner = with_task()
    cluster.master_fails_over()
    agent.comes_back()
    agent.listen()
    cluster.world.teardown(owner.framework_id)
    assert agent.listen() == [link.ShutdownFramework(owner.framework_id)]
    assert cluster.world.state.frameworks == {}
    assert list(cluster.world.state.completed_frameworks) == [owner.framework_id]


def test_no_framework_is_shown_as_not_registered_after_a_teardown() -> None:
    """Mesos: MasterTest.UnregisteredFrameworksAfterTearDown"""
    cluster, _, owner = with_task()
    cluster.world.teardown(owner.framework_id)
    shown = cluster.world.get(Get.GET_FRAMEWORKS).get_frameworks
    assert shown is not None
    assert (shown.frameworks, shown.recovered_frameworks) == ((), ())
    assert len(shown.completed_frameworks) == 1


def test_an_end_frees_its_resources_before_it_is_acknowledged() -> None:
    """Mesos: MasterTest.UnacknowledgedTerminalTask"""
    cluster, agent, owner = with_task()
    agent.reports(owner, "t1", FINISHED, acknowledged=False)
    assert names(owner) == (["t1"], [], [])
    offered = [offer.resources for offer in owner.framework.offers.values()]
    free = cluster.world.state.allocator.available(agent.id)
    assert free + sum(offered, start=parse_resources("")) == ALL


def test_an_end_frees_its_resources_while_earlier_updates_wait() -> None:
    """Mesos: MasterTest.ReleaseResourcesForTerminalTaskWithPendingUpdates"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    owner.launch("t1", agent)
    running = mesos.TaskStatus(task_id=mesos.TaskID("t1"), state=RUNNING, uuid=b"1" * 16)
    agent.say(link.StatusUpdated(owner.framework_id, running, FINISHED))
    assert owner.framework.tasks["t1"].state is FINISHED  # type: ignore[index]  # its id
    assert cluster.count("task_finished") == 1


def test_tasks_are_counted_as_soon_as_they_are_back() -> None:
    """Mesos: MasterTest.TaskStateMetrics"""
    cluster, agent, owner = after_failover()
    agent.comes_back()
    assert [task.state for task in owner.framework.tasks.values()] == [RUNNING]
    agent.reports(owner, "t1", FINISHED)
    assert cluster.count("task_finished") == 1


# What master and agent know of a task


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [((), TaskState.TASK_LOST), ((AWARE,), TaskState.TASK_DROPPED)],
)
def test_a_launch_that_never_arrived_is_told_when_the_agent_is_back(
    capabilities: tuple[str, ...], state: TaskState
) -> None:
    """Mesos: MasterSlaveReconciliationTest.ReconcileLostTask, ReconcileDroppedTask"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(*capabilities)
    owner.launch("t1", agent)
    owner.events()
    agent.disconnects()
    agent.comes_back()
    assert told(owner) == [reconciled("t1", state, "Task is unknown to the agent")]


def test_an_end_that_was_not_told_yet_is_told_as_what_it_is() -> None:
    """Mesos: MasterSlaveReconciliationTest.SlaveReregisterTerminalTask"""
    _, agent, owner = with_task()
    agent.disconnects()
    agent.has(owner, "t1", FINISHED)
    agent.comes_back()
    assert told(owner) == []
    status = agent.reports(owner, "t1", FINISHED)
    assert updates_of(owner.events()) == [status]
    assert names(owner) == ([], [], ["t1"])


def test_a_kill_of_a_task_whose_agent_is_away_is_done_when_it_is_back() -> None:
    """Mesos: SlaveRecoveryTest.ReconcileKillTask"""
    _, agent, owner = with_task()
    agent.disconnects()
    assert kill(owner, "t1") == []
    agent.comes_back()
    assert link.KillTask(owner.framework_id, "t1", None) in agent.listen()


def test_a_teardown_while_an_agent_is_away_is_done_when_it_is_back() -> None:
    """Mesos: SlaveRecoveryTest.ReconcileShutdownFramework"""
    cluster, agent, owner = with_task()
    agent.disconnects()
    cluster.world.teardown(owner.framework_id)
    agent.comes_back()
    assert link.ShutdownFramework(owner.framework_id) in agent.listen()
    assert cluster.world.state.agents[agent.id].tasks == {}


def test_a_scheduler_that_fails_over_while_an_agent_is_away_can_kill_afterwards() -> None:
    """Mesos: SlaveRecoveryTest.SchedulerFailover"""
    cluster, agent, owner = with_task()
    agent.disconnects()
    owner = cluster.subscribe_again(owner)
    agent.comes_back()
    agent.listen()
    assert kill(owner, "t1") == []
    assert agent.listen() == [link.KillTask(owner.framework_id, "t1", None)]


def test_a_task_is_killed_by_way_of_the_next_master() -> None:
    """Mesos: SlaveRecoveryTest.MasterFailover"""
    _, agent, owner = after_failover()
    agent.comes_back()
    agent.listen()
    assert kill(owner, "t1") == []
    assert agent.listen() == [link.KillTask(owner.framework_id, "t1", None)]


def test_an_acknowledgement_of_what_this_master_has_not_seen_is_remembered() -> None:
    """Mesos: FaultToleranceTest.MasterFailover, with an update on its way; Mesos drops it."""
    cluster, agent, owner = with_task()
    status = agent.reports(owner, "t1", FINISHED, acknowledged=False)
    cluster.master_fails_over()
    owner = cluster.subscribe_again(owner, id=mesos.FrameworkID(owner.framework_id))
    acknowledge(owner, agent, status)
    assert cluster.count("invalid_status_update_acknowledgements") == 1
    agent.comes_back()
    agent.listen()
    agent.say(link.StatusUpdated(owner.framework_id, status, FINISHED))
    assert agent.listen() == [link.AcknowledgeUpdate(owner.framework_id, "t1", status.uuid or b"")]
    assert names(owner) == ([], [], [])


def test_an_agent_with_executors_only_leaves_without_a_trace() -> None:
    """Mesos: MasterTest.NonCheckpointingFrameworkAgentDisconnectionExecutorOnly"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    owner.launch_group(("t1",), agent, "e")
    agent.reports(owner, "t1", FINISHED)
    owner.events()
    assert len(owner.framework.executors) == 1
    cluster.cut_off(agent)
    assert told(owner) == []
    assert owner.framework.executors == {}


def test_an_executor_that_is_gone_before_its_task_s_end_is_told_harms_nobody() -> None:
    """Mesos: FaultToleranceTest.ReregisterFrameworkExitedExecutor"""
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework()
    owner.launch_group(("t1",), agent, "e")
    agent.has(owner, "t1", RUNNING)
    cluster.master_fails_over()
    agent.comes_back()
    owner = cluster.subscribe_again(owner)
    agent.say(link.ExecutorExited(owner.framework_id, "e", 0, False))
    agent.reports(owner, "t1", TaskState.TASK_FAILED)
    assert names(owner) == ([], [], ["t1"])
    assert Reason.REASON_AGENT_REREGISTERED not in [reason for _, _, reason, _ in told(owner)]
