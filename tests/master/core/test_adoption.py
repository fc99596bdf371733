"""What an agent that comes back runs, against what the master knows; and what it can't run."""

from __future__ import annotations

from math import nan

import pytest
from msgspec.structs import replace

from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.actions import AgentAdmitted, CloseLink, Note
from tepui.master.core.events import LinkId, LinkReceived
from tepui.master.core.settings import Settings
from tepui.resources import parse_resources
from tepui.wire import link, master, mesos, scheduler
from tests.master.world import (
    AGENT_RESOURCES,
    START_MS,
    FakeAgent,
    Scheduler,
    TaskState,
    World,
    wire_resources,
)

Reason = mesos.TaskStatus.Reason
NEW = LinkId(900)
AWARE = ("MULTI_ROLE", "PARTITION_AWARE")
ALL = parse_resources(AGENT_RESOURCES)


def reported(
    framework_id: str, task_id: str = "t1", resources: str = "cpus:0.1;mem:32"
) -> mesos.Task:
    wire = parse_resources(resources).to_wire(role="web", refinement=True)
    return mesos.Task(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        framework_id=mesos.FrameworkID(framework_id),
        agent_id=mesos.AgentID("S"),
        state=TaskState.TASK_RUNNING,
        status_update_state=TaskState.TASK_RUNNING,
        resources=wire,
    )


def with_task() -> tuple[World, FakeAgent, Scheduler]:
    world = World()
    agent, owner = world.add_agent(), world.subscribe(capabilities=AWARE, roles=("web",))
    owner.launch("t1", agent)
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    owner.events()
    agent.told()
    return world, agent, owner


def used(world: World, owner: Scheduler) -> object:
    """What the framework holds beside its offers."""
    held = world.state.allocator.allocation(owner.framework_id)
    offered = [offer.resources for offer in owner.framework.offers.values()]
    total = held.get(next(iter(owner.framework.roles)), ALL - ALL)
    for one in offered:
        total = total - one
    return total


def test_a_task_that_both_know_goes_on() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    agent.reregister(reported(owner.framework_id), frameworks=[owner.framework.info])
    assert owner.updates() == []
    assert owner.framework.tasks[TaskId("t1")].state is TaskState.TASK_RUNNING
    assert used(world, owner) == parse_resources("cpus:0.1;mem:32")


def test_a_task_that_ended_meanwhile_frees_its_resources_before_its_update() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    ended = replace(reported(owner.framework_id), state=TaskState.TASK_FAILED)
    agent.reregister(ended, frameworks=[owner.framework.info])
    assert used(world, owner) == parse_resources("")
    assert list(owner.framework.tasks) == ["t1"]


def test_a_task_that_the_agent_does_not_know_is_dropped() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    agent.reregister(frameworks=[owner.framework.info])
    assert owner.updates() == [
        mesos.TaskStatus(
            task_id=mesos.TaskID("t1"),
            state=TaskState.TASK_DROPPED,
            message="Reconciliation: Task is unknown to the agent",
            source=mesos.TaskStatus.Source.SOURCE_MASTER,
            reason=Reason.REASON_RECONCILIATION,
            agent_id=mesos.AgentID(agent.id),
            timestamp=START_MS / 1000,
        )
    ]
    assert used(world, owner) == parse_resources("")


def test_a_task_that_was_unreachable_is_back() -> None:
    world, agent, owner = with_task()
    world.advance(90_000)
    assert list(owner.framework.unreachable_tasks) == ["t1"]
    owner.events()
    agent.reregister(reported(owner.framework_id), frameworks=[owner.framework.info])
    (status,) = owner.updates()
    assert (status.state, status.reason) == (
        TaskState.TASK_RUNNING,
        Reason.REASON_AGENT_REREGISTERED,
    )
    assert not owner.framework.unreachable_tasks
    assert used(world, owner) == parse_resources("cpus:0.1;mem:32")


def test_executors_come_and_go_with_what_the_agent_says() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe(roles=("web",))
    owner.launch_group(("t1",), agent, "e")
    (executor,) = owner.framework.executors.values()
    agent.disconnect()
    again = link.RunningExecutor(owner.framework_id, executor.info)
    other = replace(executor.info, executor_id=mesos.ExecutorID("f"))
    agent.reregister(
        frameworks=[owner.framework.info],
        executors=[again, link.RunningExecutor(owner.framework_id, other)],
    )
    assert used(world, owner) == parse_resources("cpus:0.2;mem:64;disk:20")
    agent.disconnect()
    agent.reregister(frameworks=[owner.framework.info])
    assert not owner.framework.executors
    assert used(world, owner) == parse_resources("")


def test_an_agent_may_come_back_with_other_resources() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    info = replace(world.state.agents[agent.id].info, resources=wire_resources("cpus:9;mem:64"))
    effects = agent.reregister(
        reported(owner.framework_id), frameworks=[owner.framework.info], info=info
    )
    assert effects.save == [AgentAdmitted(info)]
    assert world.state.agents[agent.id].total == parse_resources("cpus:9;mem:64")
    (offer,) = owner.framework.offers.values()
    assert offer.resources == parse_resources("cpus:8.9;mem:32")


# Frameworks that this master does not know


def come_from_elsewhere(
    world: World, *frameworks: mesos.FrameworkInfo, tasks: tuple[mesos.Task, ...] = ()
) -> None:
    info = mesos.AgentInfo(
        hostname="h", id=mesos.AgentID("S9"), resources=wire_resources("cpus:1;mem:64")
    )
    message = link.Reregister(info, "1.0.0", "h:1", frameworks, executors=(), tasks=tasks)
    world.put(LinkReceived(NEW, message))


def framework_info(**changes: object) -> mesos.FrameworkInfo:
    multi_role = mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE)
    info = mesos.FrameworkInfo(
        user="root",
        name="old",
        id=mesos.FrameworkID("old"),
        roles=("web",),
        capabilities=(multi_role,),
    )
    return replace(info, **changes)


def test_a_framework_of_the_master_before_is_known_and_may_come_back() -> None:
    world = World()
    stream = world.watch()
    come_from_elsewhere(world, framework_info(), tasks=(reported("old"),))
    framework = world.state.frameworks[FrameworkId("old")]
    assert framework.recovered
    assert list(framework.tasks) == ["t1"]
    added = [e for e in world.events(stream, master.Event) if e.framework_added is not None]
    assert len(added) == 1
    owner = world.subscribe(info=framework_info())
    assert owner.framework is framework
    assert not framework.recovered


def test_however_short_its_failover_timeout_it_gets_time_to_come_back() -> None:
    world = World(settings=Settings(max_agent_ping_timeouts=100))
    come_from_elsewhere(world, framework_info(failover_timeout=0.0), tasks=(reported("old"),))
    world.advance(599_999)
    assert list(world.state.frameworks) == ["old"]
    world.advance(1)
    assert list(world.state.completed_frameworks) == ["old"]
    assert link.ShutdownFramework("old") in world.to_agents[NEW]


def test_a_framework_with_a_longer_failover_timeout_gets_that() -> None:
    world = World(settings=Settings(max_agent_ping_timeouts=100))
    come_from_elsewhere(world, framework_info(failover_timeout=900.0))
    world.advance(899_999)
    assert list(world.state.frameworks) == ["old"]
    world.advance(1)
    assert not world.state.frameworks


def test_a_framework_without_roles_may_have_tasks() -> None:
    world = World()
    task = replace(reported("old"), resources=wire_resources("cpus:0.5"))
    come_from_elsewhere(world, framework_info(roles=()), tasks=(task,))
    (found,) = world.state.frameworks[FrameworkId("old")].tasks.values()
    assert found.role == "*"


def test_a_framework_that_was_removed_is_shut_down_on_the_agent() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    world.teardown(owner.framework_id)
    agent.reregister(reported(owner.framework_id), frameworks=[owner.framework.info])
    assert link.ShutdownFramework(owner.framework_id) in agent.told()
    assert not world.state.agents[agent.id].tasks


# What can't be


OLD = framework_info()
TASK = reported("old")


@pytest.mark.parametrize(
    ("frameworks", "tasks", "reason"),
    [
        ((), (TASK,), "task 't1' of framework 'old', which is not among the agent's frameworks"),
        ((OLD,), (TASK, TASK), "task 't1' of framework 'old' twice"),
        (
            (OLD,),
            (reported("old", "t1", "cpus:0.6"), reported("old", "t2", "cpus:0.6")),
            "its tasks use cpus:1.2 of cpus:1; mem:64",
        ),
        (
            (OLD,),
            (reported("old", "t1", "ports:[5-7]"), reported("old", "t2", "ports:[7-7]")),
            "two of its tasks or executors use the same port or item",
        ),
        (
            (OLD,),
            (
                replace(
                    TASK,
                    resources=(replace(TASK.resources[0], scalar=mesos.Value.Scalar(-1.0)),),
                ),
            ),
            "Resource 'cpus(allocated: web):-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            (OLD,),
            (replace(TASK, health_check=mesos.HealthCheck(delay_seconds=nan)),),
            "task 't1' of framework 'old' has a number that is none",
        ),
        ((replace(OLD, id=None),), (), "framework 'old' without an id"),
        (
            (replace(OLD, failover_timeout=nan),),
            (),
            "framework 'old': The framework failover_timeout (nan) is invalid",
        ),
        (
            (replace(OLD, roles=("a", "a")),),
            (),
            "framework 'old': 'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
    ],
)
def test_an_agent_that_can_not_run_what_it_says_is_cut_off(
    frameworks: tuple[mesos.FrameworkInfo, ...], tasks: tuple[mesos.Task, ...], reason: str
) -> None:
    world = World()
    come_from_elsewhere(world, *frameworks, tasks=tasks)
    assert world.notes == [Note("agent_cut_off", (("link", str(NEW)), ("reason", reason)))]
    assert not world.state.agents
    assert not world.state.frameworks


@pytest.mark.parametrize("number", [-1, 1, 2**31 - 1])
def test_an_agent_whose_task_is_like_none_that_it_describes_is_cut_off(number: int) -> None:
    world = World()
    info = mesos.AgentInfo(hostname="h", id=mesos.AgentID("S"), resources=wire_resources("cpus:1"))
    message = link.in_short(link.Reregister(info, "1.0.0", "h:1", (OLD,), (), (TASK,)))
    (task,) = message.tasks
    message = replace(message, tasks=(replace(task, number=number),))
    assert world.put(LinkReceived(NEW, message)).then == [
        Note(
            "agent_cut_off",
            (("link", str(NEW)), ("reason", f"task 't1' is like number {number} of 1")),
        ),
        CloseLink(NEW),
    ]


def test_an_agent_of_the_protocol_before_comes_back_as_one_of_today_does() -> None:
    views = []
    for in_protocol in (lambda message: message, link.in_short):
        world = World()
        resources = wire_resources(AGENT_RESOURCES)
        info = mesos.AgentInfo(hostname="h", id=mesos.AgentID("S"), resources=resources)
        message = link.Reregister(info, "1.0.0", "h:1", (OLD,), (), (TASK,))
        world.put(LinkReceived(NEW, in_protocol(message)))
        views.append(world.get_json(master.Call.Type.GET_TASKS))
        assert b"t1" in views[-1]
    assert views[0] == views[1]


@pytest.mark.parametrize(
    ("agent_id", "reason"),
    [
        (None, "the agent has no id"),
        ("", "ID must not be empty"),
        ("../x", "'../x' contains invalid characters"),
    ],
)
def test_an_agent_without_a_good_id_can_not_come_back(agent_id: str | None, reason: str) -> None:
    world = World()
    info = mesos.AgentInfo(hostname="h", id=None if agent_id is None else mesos.AgentID(agent_id))
    message = link.Reregister(info, "1.0.0", "h:1", frameworks=(), executors=(), tasks=())
    assert world.put(LinkReceived(NEW, message)).then == [
        Note("agent_cut_off", (("link", str(NEW)), ("reason", reason))),
        CloseLink(NEW),
    ]


def test_an_agent_that_grew_tasks_beyond_its_size_keeps_what_was_known() -> None:
    world, agent, owner = with_task()
    before = world.state.agents[agent.id].link
    more = reported(owner.framework_id, "t2", "cpus:4")
    agent.reregister(reported(owner.framework_id), more, frameworks=[owner.framework.info])
    assert world.state.agents[agent.id].link == before
    assert list(owner.framework.tasks) == ["t1"]


def test_a_scheduler_hears_of_an_end_by_its_updates_only_and_in_their_order() -> None:
    _, agent, owner = with_task()
    owner.launch("t2", agent)
    agent.disconnect()
    ended = replace(reported(owner.framework_id, "t2"), state=TaskState.TASK_FINISHED)
    unsent = replace(ended, status_update_state=None)
    agent.reregister(reported(owner.framework_id), unsent, frameworks=[owner.framework.info])
    owner.call(scheduler.Call.Type.RECONCILE, reconcile=scheduler.Call.Reconcile())
    states = {status.task_id.value: status.state for status in owner.updates()}
    assert states == {"t1": TaskState.TASK_RUNNING, "t2": TaskState.TASK_STAGING}
