"""RECONCILE and KILL in every case of Mesos, for both kinds of frameworks."""

from __future__ import annotations

import pytest

from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.actions import Answer
from tepui.master.core.events import KillAsked, RequestId
from tepui.wire import link, master, mesos, scheduler
from tests.master.world import START_MS, FakeAgent, Scheduler, TaskState, World

Call = scheduler.Call
AWARE = ("MULTI_ROLE", "PARTITION_AWARE")
UNAWARE = ("MULTI_ROLE",)
REASON = mesos.TaskStatus.Reason.REASON_RECONCILIATION


def reconcile(
    owner: Scheduler, task_id: str | None = None, agent_id: str | None = None
) -> list[mesos.TaskStatus]:
    """What the scheduler hears."""
    owner.events()
    wanted: tuple[Call.Reconcile.Task, ...] = ()
    if task_id is not None:
        agent = None if agent_id is None else mesos.AgentID(agent_id)
        wanted = (Call.Reconcile.Task(task_id=mesos.TaskID(task_id), agent_id=agent),)
    owner.call(Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=wanted))
    return owner.updates()


def status(
    world: World,
    state: TaskState,
    text: str,
    *,
    agent_id: str | None = None,
    unreachable_ms: int | None = None,
    task_id: str = "t1",
) -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=state,
        message=f"Reconciliation: {text}",
        source=mesos.TaskStatus.Source.SOURCE_MASTER,
        reason=REASON,
        agent_id=None if agent_id is None else mesos.AgentID(agent_id),
        timestamp=world.now_ms / 1000,
        unreachable_time=None
        if unreachable_ms is None
        else mesos.TimeInfo(nanoseconds=unreachable_ms * 1_000_000),
    )


def test_a_known_task_is_told_as_the_scheduler_may_know_it() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch("t1", agent)
    staging = status(world, TaskState.TASK_STAGING, "Latest task state", agent_id=agent.id)
    assert reconcile(owner, "t1") == [staging]
    assert reconcile(owner, "t1", "another agent") == [staging]
    assert reconcile(owner) == [staging]
    running = mesos.TaskStatus(
        task_id=mesos.TaskID("t1"), state=TaskState.TASK_RUNNING, uuid=b"1" * 16
    )
    agent.say(link.StatusUpdated(owner.framework_id, running, TaskState.TASK_FINISHED))
    (told,) = reconcile(owner, "t1")
    assert told.state is TaskState.TASK_RUNNING  # its end was not forwarded yet


def test_without_tasks_an_implicit_reconciliation_says_nothing() -> None:
    assert reconcile(World().subscribe()) == []


@pytest.mark.parametrize(
    ("capabilities", "gone", "unknown"),
    [
        (UNAWARE, TaskState.TASK_LOST, TaskState.TASK_LOST),
        (AWARE, TaskState.TASK_GONE, TaskState.TASK_UNKNOWN),
    ],
)
def test_an_unknown_task_is_gone_from_a_known_agent_and_else_unknown(
    capabilities: tuple[str, ...], gone: TaskState, unknown: TaskState
) -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe(capabilities=capabilities)
    assert reconcile(owner, "t1", agent.id) == [
        status(world, gone, "Task is unknown to the agent", agent_id=agent.id)
    ]
    assert reconcile(owner, "t1", "nobody") == [
        status(world, unknown, "Task is unknown", agent_id="nobody")
    ]
    assert reconcile(owner, "t1") == [status(world, unknown, "Task is unknown")]


@pytest.mark.parametrize(
    ("capabilities", "unreachable", "gone"),
    [
        (UNAWARE, TaskState.TASK_LOST, TaskState.TASK_LOST),
        (AWARE, TaskState.TASK_UNREACHABLE, TaskState.TASK_GONE_BY_OPERATOR),
    ],
)
def test_a_task_of_an_unreachable_agent_is_unreachable_and_then_gone(
    capabilities: tuple[str, ...], unreachable: TaskState, gone: TaskState
) -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe(capabilities=capabilities)
    owner.launch("t1", agent)
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    world.advance(90_000)
    since_ms = START_MS + 90_000
    assert reconcile(owner, "t1", agent.id) == [
        status(
            world,
            unreachable,
            "Task is unreachable",
            agent_id=agent.id,
            unreachable_ms=since_ms,
        )
    ]
    mark = master.Call.MarkAgentGone(agent_id=mesos.AgentID(agent.id))
    owner.events()
    world.call(master.Call(type=master.Call.Type.MARK_AGENT_GONE, mark_agent_gone=mark))
    assert [one.state for one in owner.updates()] == [gone]
    assert reconcile(owner, "t1", agent.id) == [
        status(world, gone, "Task is gone", agent_id=agent.id)
    ]


def test_several_tasks_are_told_in_the_order_they_were_named() -> None:
    world = World()
    owner = world.subscribe()
    wanted = tuple(Call.Reconcile.Task(task_id=mesos.TaskID(name)) for name in ("b", "a", "b"))
    owner.events()
    owner.call(Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=wanted))
    assert [one.task_id.value for one in owner.updates()] == ["b", "a", "b"]


# KILL


def kill(owner: Scheduler, task_id: str, agent_id: str | None = None) -> None:
    owner.call(
        Call.Type.KILL,
        kill=Call.Kill(
            task_id=mesos.TaskID(task_id),
            agent_id=None if agent_id is None else mesos.AgentID(agent_id),
            kill_policy=mesos.KillPolicy(grace_period=mesos.DurationInfo(nanoseconds=5)),
        ),
    )


def with_task() -> tuple[World, FakeAgent, Scheduler]:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch("t1", agent)
    agent.told()
    owner.events()
    return world, agent, owner


def order(owner: Scheduler) -> link.KillTask:
    policy = mesos.KillPolicy(grace_period=mesos.DurationInfo(nanoseconds=5))
    return link.KillTask(owner.framework_id, "t1", policy)


def test_a_kill_reaches_the_agent_with_its_policy_each_time() -> None:
    _, agent, owner = with_task()
    kill(owner, "t1")
    kill(owner, "t1", agent.id)
    assert agent.told() == [order(owner), order(owner)]
    assert owner.updates() == []


def test_a_kill_that_names_another_agent_is_passed_over() -> None:
    _, agent, owner = with_task()
    kill(owner, "t1", "another")
    assert agent.told() == []
    assert owner.updates() == []


def test_a_kill_of_an_unknown_task_is_answered_like_a_reconciliation() -> None:
    world, agent, owner = with_task()
    kill(owner, "t9", agent.id)
    assert owner.updates() == [
        status(
            world,
            TaskState.TASK_LOST,
            "Task is unknown to the agent",
            agent_id=agent.id,
            task_id="t9",
        )
    ]
    assert agent.told() == []


def reported(owner: Scheduler, agent: FakeAgent) -> mesos.Task:
    return mesos.Task(
        name="t1",
        task_id=mesos.TaskID("t1"),
        framework_id=mesos.FrameworkID(owner.framework_id),
        agent_id=mesos.AgentID(agent.id),
        state=TaskState.TASK_RUNNING,
    )


def test_a_kill_is_said_again_when_its_agent_is_back() -> None:
    _, agent, owner = with_task()
    agent.disconnect()
    kill(owner, "t1")
    agent.reregister(reported(owner, agent), frameworks=[owner.framework.info])
    assert order(owner) in agent.told()


def test_a_task_that_nobody_wants_killed_is_not_killed_when_its_agent_is_back() -> None:
    _, agent, owner = with_task()
    agent.disconnect()
    agent.reregister(reported(owner, agent), frameworks=[owner.framework.info])
    assert [type(message).__name__ for message in agent.told()] == ["Registered"]


@pytest.mark.parametrize(
    ("framework", "task", "answer"),
    [
        ("fw", "t1", (200, "")),
        ("fw", "t9", (404, "unknown task 't9'")),
        ("nobody", "t1", (404, "unknown framework 'nobody'")),
    ],
)
def test_an_operator_can_kill_a_task(framework: str, task: str, answer: tuple[int, str]) -> None:
    world, agent, owner = with_task()
    framework_id = owner.framework_id if framework == "fw" else FrameworkId(framework)
    effects = world.put(KillAsked(RequestId(99), framework_id, TaskId(task)))
    assert effects.then[-1] == Answer(RequestId(99), *answer)
    told = [link.KillTask(framework_id, task, None)] if answer[0] == 200 else []
    assert agent.told() == told
