"""RECONCILE and KILL: what a scheduler is told of tasks, known and unknown.

Source: Mesos docs/reconciliation.md, master.cpp Master::reconcileTasks; texts as a real master
answers.
"""

from __future__ import annotations

from tepui.base.names import AgentId, TaskId
from tepui.master.core import statuses
from tepui.master.core.actions import Answer, Effects, SendToAgent
from tepui.master.core.events import KillAsked
from tepui.master.core.state import Framework, State, Task
from tepui.wire import link, mesos, scheduler

TaskState = mesos.TaskState
RECONCILIATION = mesos.TaskStatus.Reason.REASON_RECONCILIATION


def reconcile(
    state: State, framework: Framework, call: scheduler.Call.Reconcile, now_ms: int, step: Effects
) -> None:
    """Say the latest state of the named tasks, or of all when none is named."""
    state.counters.add("messages_reconcile_tasks")
    if not call.tasks:
        for task in framework.tasks.values():
            _tell_latest(framework, task.id, now_ms, step)
        return
    for wanted in call.tasks:
        agent_id = None if wanted.agent_id is None else wanted.agent_id.value
        _tell(state, framework, wanted.task_id.value, agent_id, now_ms, step)


def kill(
    state: State, framework: Framework, call: scheduler.Call.Kill, now_ms: int, step: Effects
) -> None:
    """Have the task killed; of a task that is not known, say what a reconciliation would."""
    state.counters.add("messages_kill_task")
    agent_id = None if call.agent_id is None else call.agent_id.value
    task = framework.tasks.get(TaskId(call.task_id.value))
    if task is None:
        _tell(state, framework, call.task_id.value, agent_id, now_ms, step)
        return
    if agent_id is not None and agent_id != task.agent_id:
        return  # as Mesos: it is not the task that was meant
    _kill(state, task, call.kill_policy, step)


def kill_asked(state: State, event: KillAsked, now_ms: int, step: Effects) -> None:
    """An operator has a task killed; its scheduler hears of it by the task's updates."""
    framework = state.frameworks.get(event.framework_id)
    task = None if framework is None else framework.tasks.get(event.task_id)
    if framework is None or task is None:
        what = f"task '{event.task_id}'" if framework else f"framework '{event.framework_id}'"
        step.then.append(Answer(event.request, 404, f"unknown {what}"))
        return
    _kill(state, task, None, step)
    step.then.append(Answer(event.request, 200))


def _kill(state: State, task: Task, policy: mesos.KillPolicy | None, step: Effects) -> None:
    task.kill_wanted = True
    task.kill_policy = policy
    agent = state.agents[task.agent_id]
    if agent.link is not None:
        step.then.append(SendToAgent(agent.link, link.KillTask(task.framework_id, task.id, policy)))


def _tell(
    state: State,
    framework: Framework,
    task_id: str,
    agent_id: str | None,
    now_ms: int,
    step: Effects,
) -> None:
    if task_id in framework.tasks:
        _tell_latest(framework, TaskId(task_id), now_ms, step)
        return
    if state.recovered_agents and (agent_id is None or agent_id in state.recovered_agents):
        return  # an agent that is yet to come back may have it
    unreachable_ms: int | None = None
    if agent_id is not None and (absent := state.unreachable_agents.get(AgentId(agent_id))):
        wanted, text = TaskState.TASK_UNREACHABLE, "Reconciliation: Task is unreachable"
        unreachable_ms = absent.since_ms
    elif agent_id is not None and agent_id in state.gone_agents:
        wanted, text = TaskState.TASK_GONE_BY_OPERATOR, "Reconciliation: Task is gone"
    elif agent_id is not None and agent_id in state.agents:
        wanted, text = TaskState.TASK_GONE, "Reconciliation: Task is unknown to the agent"
    else:
        wanted, text = TaskState.TASK_UNKNOWN, "Reconciliation: Task is unknown"
    status = statuses.made_by_master(
        task_id,
        agent_id,
        statuses.lost_or(framework, wanted),
        RECONCILIATION,
        text,
        now_ms,
        unreachable_ms=unreachable_ms,
    )
    statuses.tell(framework, status, step)


def _tell_latest(framework: Framework, task_id: TaskId, now_ms: int, step: Effects) -> None:
    text = "Reconciliation: Latest task state"
    task = framework.tasks[task_id]
    # Not more than was forwarded: the scheduler hears of an end by its update only.
    status = statuses.latest(task, task.forwarded, RECONCILIATION, text, now_ms)
    statuses.tell(framework, status, step)
