"""What an agent that comes back runs, compared with what the master believes.

Three cases: both know the task, only the master does (it never arrived: lost), only the agent
does (it was unreachable, or this master is new: taken in again). Of an agent that nobody expected
any more, schedulers are told how its tasks are.

Source: Mesos master.cpp (__reregisterSlave, reconcileKnownSlave).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec.structs import replace

from tepui.base.names import ExecutorId, FrameworkId, Role, TaskId
from tepui.master.core import statuses, tasks, unreachable
from tepui.master.core.actions import Effects, SendToAgent
from tepui.master.core.frameworks import recover_framework
from tepui.master.core.sharing import Wire, shared_resources, shared_statuses
from tepui.master.core.state import Agent, Executor, Framework, State, Task
from tepui.resources import Resources
from tepui.resources.resources import allocation_role
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

Reason = mesos.TaskStatus.Reason
TaskState = mesos.TaskState

UNREACHABLE: Final = "Unreachable agent re-reregistered"  # both as Mesos writes them
UNKNOWN: Final = "Unknown agent reregistered"


def adopt(
    state: State,
    agent: Agent,
    message: link.Reregister,
    surprise: str | None,
    now_ms: int,
    step: Effects,
) -> None:
    """Make the master's view of the agent what the agent says.

    `surprise` is what schedulers are told of each task of an agent that was not expected. The
    caller tells the allocator afterwards, with `used_by`.
    """
    _adopt_frameworks(state, agent, message, now_ms, step)
    _adopt_executors(state, agent, message, now_ms)
    reported = {
        (FrameworkId(task.framework_id.value), TaskId(task.task_id.value)): task
        for task in message.tasks
    }
    for key, unknown in list(agent.tasks.items()):
        if key not in reported:
            _lose(state, unknown, now_ms, step)
    taken_in: dict[FrameworkId, set[TaskId]] = {}
    for (framework_id, task_id), found in reported.items():
        framework = state.frameworks.get(framework_id)
        if framework is None:
            continue  # completed: its agent was told to shut it down
        known = agent.tasks.get((framework_id, task_id))
        if known is not None:
            tasks.change_state(state, known, found.state, now_ms)
            continue
        task = _take_in(state, framework, agent, found, step, was_away=surprise is not None)
        if task is None:
            continue
        taken_in.setdefault(framework_id, set()).add(task_id)
        if surprise is not None:
            reason = Reason.REASON_AGENT_REREGISTERED
            status = statuses.latest(task, task.state, reason, surprise, now_ms)
            statuses.tell(framework, status, step)
    for framework_id, task_ids in taken_in.items():
        _remove_from_history(state.frameworks[framework_id], task_ids)


def used_by(agent: Agent) -> dict[tuple[FrameworkId, Role], Resources]:
    """What the agent's tasks and executors use, by framework and role."""
    parts: dict[tuple[FrameworkId, Role], list[Resources]] = {}
    users: list[Task | Executor] = [*agent.tasks.values(), *agent.every_executor()]
    for user in users:
        parts.setdefault((user.framework_id, user.role), []).append(user.held)
    return {client: Resources.total(held) for client, held in parts.items()}


def _adopt_frameworks(
    state: State, agent: Agent, message: link.Reregister, now_ms: int, step: Effects
) -> None:
    assert agent.link is not None
    for info in message.frameworks:
        assert info.id is not None
        framework_id = FrameworkId(info.id.value)
        framework = state.frameworks.get(framework_id)
        if framework_id in state.completed_frameworks:
            step.then.append(SendToAgent(agent.link, link.ShutdownFramework(framework_id)))
        elif framework is None:
            recover_framework(state, info, now_ms, step)
        elif framework.info != info:
            step.then.append(SendToAgent(agent.link, link.UpdateFramework(framework.info)))


def _adopt_executors(state: State, agent: Agent, message: link.Reregister, now_ms: int) -> None:
    reported = {
        (FrameworkId(one.framework_id), ExecutorId(one.info.executor_id.value)): one.info
        for one in message.executors
    }
    for known in agent.every_executor():
        if (known.framework_id, ExecutorId(known.info.executor_id.value)) not in reported:
            tasks.remove_executor(state, known, now_ms)
    for (framework_id, executor_id), info in reported.items():
        framework = state.frameworks.get(framework_id)
        if framework is None or executor_id in agent.executors_of(framework_id):
            continue
        role = _role_of(info.resources, framework)
        resources = Resources.of(info.resources)
        executor = Executor(
            info=info,
            framework_id=framework.id,
            agent_id=agent.id,
            role=role,
            resources=resources,
        )
        tasks.add_executor(framework, agent, executor)


def _lose(state: State, task: Task, now_ms: int, step: Effects) -> None:
    """The agent does not know the task: it never arrived, or did not outlive the agent."""
    framework = state.frameworks[task.framework_id]
    if task.terminal:
        tasks.forget_task(state, framework, task)
        return
    status = statuses.made_by_master(
        task.id,
        task.agent_id,
        statuses.lost_or(framework, TaskState.TASK_DROPPED),
        Reason.REASON_RECONCILIATION,
        "Reconciliation: Task is unknown to the agent",
        now_ms,
    )
    tasks.end_by_master(state, framework, task, status, now_ms, step)


def _take_in(
    state: State,
    framework: Framework,
    agent: Agent,
    found: mesos.Task,
    step: Effects,
    *,
    was_away: bool,
) -> Task | None:
    """The framework and the agent have the task, which is returned; None if it is not to be."""
    task_id = TaskId(found.task_id.value)
    if task_id in framework.tasks:
        # The id was used again elsewhere while this agent was away: what it has is killed.
        assert agent.link is not None
        step.then.append(SendToAgent(agent.link, link.KillTask(framework.id, task_id, None)))
        return None
    role = _role_of(found.resources, framework)
    wire, resources = shared_resources(found.resources)
    info = _info_of(found, agent, wire)
    found = replace(found, statuses=shared_statuses(found.statuses, info))
    elsewhere = framework.unreachable_tasks.get(task_id)
    if elsewhere is not None:
        unreachable.discard(state, elsewhere)  # it was to be there, and is here
    task = Task(
        id=task_id,
        framework_id=framework.id,
        agent_id=agent.id,
        executor_id=None if found.executor_id is None else ExecutorId(found.executor_id.value),
        role=role,
        resources=resources,
        info=info,
        state=found.state,
        statuses=found.statuses,
        update=_unacknowledged(agent, found),
        forwarded=found.status_update_state or TaskState.TASK_STAGING,
    )
    if _is_over(agent, found):
        if was_away:
            tasks.add_to_history(state, framework, task)
        return None
    tasks.add_task(state, framework, agent, task, step)
    return task


def _remove_from_history(framework: Framework, task_ids: set[TaskId]) -> None:
    """These have not ended after all (Mesos: MESOS-9940)."""
    if any(task.id in task_ids for task in framework.completed_tasks):
        kept = [task for task in framework.completed_tasks if task.id not in task_ids]
        framework.completed_tasks = deque(kept)


def _is_over(agent: Agent, found: mesos.Task) -> bool:
    """The end of the task is acknowledged, only its agent does not know that yet."""
    sent_its_end = found.status_update_state in TERMINAL_STATES
    return sent_its_end and agent.has_acknowledged(found.status_update_uuid)


def _unacknowledged(agent: Agent, found: mesos.Task) -> mesos.TaskStatus | None:
    """The update that the agent waits to have acknowledged: its scheduler may do so any time."""
    uuid = found.status_update_uuid
    if uuid is None or agent.has_acknowledged(uuid):
        return None
    return next((status for status in found.statuses if status.uuid == uuid), None)


def _role_of(wire: tuple[mesos.Resource, ...], framework: Framework) -> Role:
    """The role they are allocated to; a guess when they do not say."""
    return Role(allocation_role(wire) or next(iter(framework.roles), "*"))


def _info_of(found: mesos.Task, agent: Agent, resources: Wire) -> mesos.TaskInfo:
    """The parts of the task's description that an agent's report has."""
    return mesos.TaskInfo(
        name=found.name,
        task_id=found.task_id,
        agent_id=agent.info.id if agent.info.id == found.agent_id else found.agent_id,
        resources=resources,
        container=found.container,
        health_check=found.health_check,
        kill_policy=found.kill_policy,
        labels=found.labels,
        discovery=found.discovery,
        limits=found.limits,
    )
