"""What an agent that comes back runs, compared with what the master believes.

Three cases: both know the task, only the master does (it never arrived: lost), only the agent
does (it was unreachable, or this master is new: taken in again). Of an agent that nobody expected
any more, schedulers are told how its tasks are.

Source: Mesos master.cpp (__reregisterSlave, reconcileKnownSlave).
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from tepui.base.names import ExecutorId, FrameworkId, Role, TaskId
from tepui.master.core import statuses, tasks, unreachable
from tepui.master.core.actions import Effects, SendToAgent
from tepui.master.core.frameworks import recover_framework
from tepui.master.core.sharing import shared_allocation, shared_container
from tepui.master.core.state import Agent, Executor, Framework, State, Task
from tepui.resources import Resources
from tepui.wire import link, link_tasks, mesos
from tepui.wire.link_tasks import ReportedTask
from tepui.wire.states import TERMINAL_STATES

Reason = mesos.TaskStatus.Reason
TaskState = mesos.TaskState

UNREACHABLE: Final = "Unreachable agent re-reregistered"  # both as Mesos writes them
UNKNOWN: Final = "Unknown agent reregistered"


def adopt(
    state: State,
    agent: Agent,
    message: link.Return,
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
    if agent.tasks:
        _lose_others(state, agent, message, now_ms, step)
    taken_in: dict[FrameworkId, set[TaskId]] = {}
    alike = [_Alike(state, one) for one in message.alike]
    for found in message.tasks:
        shared = alike[found.number]
        framework = shared.framework
        if framework is None:
            continue  # completed: its agent was told to shut it down
        task_id = TaskId(found.task_id)
        known = agent.tasks.get((framework.id, task_id))
        if known is not None:
            tasks.change_state(state, known, found.state, now_ms)
            continue
        if task_id in framework.tasks:
            # The id was used again elsewhere while this agent was away: what it has is killed.
            assert agent.link is not None
            kill = link.KillTask(framework.id, task_id, None)
            step.then.append(SendToAgent(agent.link, kill))
            continue
        task = _task_of(framework, agent, task_id, found, shared)
        if task_id in framework.unreachable_tasks:  # it was to be there, and is here
            unreachable.discard(state, framework.unreachable_tasks[task_id])
        if _is_over(agent, found):
            if surprise is not None:
                tasks.add_to_history(state, framework, task)
            continue
        tasks.add_task(state, framework, agent, task, step)
        if framework.completed_tasks:
            taken_in.setdefault(framework.id, set()).add(task_id)
        if surprise is not None:
            reason = Reason.REASON_AGENT_REREGISTERED
            status = statuses.latest(task, task.state, reason, surprise, now_ms)
            statuses.tell(framework, status, step)
    for framework_id, task_ids in taken_in.items():
        _remove_from_history(state.frameworks[framework_id], task_ids)


def used_by(agent: Agent) -> dict[tuple[FrameworkId, Role], Resources]:
    """What the agent's tasks and executors use, by framework and role."""
    parts: defaultdict[tuple[FrameworkId, Role], list[Resources]] = defaultdict(list)
    for task in agent.tasks.values():
        if task.state not in TERMINAL_STATES:
            parts[task.framework_id, task.role].append(task.resources)
    for executor in agent.every_executor():
        parts[executor.framework_id, executor.role].append(executor.resources)
    return {client: Resources.total(held) for client, held in parts.items()}


def _adopt_frameworks(
    state: State, agent: Agent, message: link.Return, now_ms: int, step: Effects
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


def _adopt_executors(state: State, agent: Agent, message: link.Return, now_ms: int) -> None:
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
        _, resources, role = shared_allocation(info.resources)
        executor = Executor(
            info=info,
            framework_id=framework.id,
            agent_id=agent.id,
            role=_role_in(framework, role),
            resources=resources,
        )
        tasks.add_executor(framework, agent, executor)


def _lose_others(
    state: State, agent: Agent, message: link.Return, now_ms: int, step: Effects
) -> None:
    reported = {(message.alike[task.number].framework_id, task.task_id) for task in message.tasks}
    for key, unknown in list(agent.tasks.items()):
        if key not in reported:
            _lose(state, unknown, now_ms, step)


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


class _Alike:
    """What tasks of one message have alike, as this master keeps it."""

    def __init__(self, state: State, said: link_tasks.Alike) -> None:
        self.framework = state.frameworks.get(FrameworkId(said.framework_id))
        self.said = said
        self.wire, self.resources, role = shared_allocation(said.resources)
        self.role = Role("*") if self.framework is None else _role_in(self.framework, role)


def _task_of(
    framework: Framework, agent: Agent, task_id: TaskId, found: ReportedTask, alike: _Alike
) -> Task:
    """The task as this master keeps it."""
    agent_id = agent.info.id
    assert agent_id is not None
    said = alike.said
    info = mesos.TaskInfo(
        name=said.name,
        task_id=mesos.TaskID(task_id),
        agent_id=agent_id,
        resources=alike.wire,
        container=said.container,
        health_check=said.health_check,
        kill_policy=said.kill_policy,
        labels=said.labels,
        discovery=said.discovery,
        limits=said.limits,
    )
    container = shared_container(found.container_status)
    found_statuses = link_tasks.statuses_of(found, info.task_id, agent_id, container)
    return Task(
        id=task_id,
        framework_id=framework.id,
        agent_id=agent.id,
        executor_id=None if found.executor_id is None else ExecutorId(found.executor_id),
        role=alike.role,
        resources=alike.resources,
        info=info,
        state=found.state,
        statuses=found_statuses,
        update=_unacknowledged(agent, found.update_uuid, found_statuses),
        forwarded=found.update_state or TaskState.TASK_STAGING,
    )


def _remove_from_history(framework: Framework, task_ids: set[TaskId]) -> None:
    """These have not ended after all (Mesos: MESOS-9940)."""
    if any(task.id in task_ids for task in framework.completed_tasks):
        kept = [task for task in framework.completed_tasks if task.id not in task_ids]
        framework.completed_tasks = deque(kept)


def _is_over(agent: Agent, found: ReportedTask) -> bool:
    """The end of the task is acknowledged, only its agent does not know that yet."""
    return found.update_state in TERMINAL_STATES and agent.has_acknowledged(found.update_uuid)


def _unacknowledged(
    agent: Agent, uuid: bytes | None, found: tuple[mesos.TaskStatus, ...]
) -> mesos.TaskStatus | None:
    """The update that the agent waits to have acknowledged: its scheduler may do so any time."""
    if uuid is None or agent.has_acknowledged(uuid):
        return None
    return next((status for status in found if status.uuid == uuid), None)


def _role_in(framework: Framework, said: str | None) -> Role:
    """The role that something is allocated to; a guess when nobody has said."""
    return Role(said or next(iter(framework.roles), "*"))
