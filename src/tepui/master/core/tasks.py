"""The life of a task in the master: launched, updated, ended, forgotten."""

from __future__ import annotations

from tepui.base.names import ExecutorId
from tepui.master.core import statuses
from tepui.master.core.actions import Effects
from tepui.master.core.publish import publish_task_added, publish_task_updated
from tepui.master.core.state import Agent, Executor, Framework, State, Task
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES


def add_task(state: State, framework: Framework, agent: Agent, task: Task, step: Effects) -> None:
    """The framework and the agent have the task. Its resources are already counted as used."""
    assert task.id not in framework.tasks
    framework.tasks[task.id] = task
    agent.tasks[(framework.id, task.id)] = task
    publish_task_added(state, task, step)


def change_state(state: State, task: Task, to: mesos.TaskState, now_ms: int) -> None:
    """The task is now in this state; a terminal one is never left, and frees the resources."""
    if task.terminal:
        return
    task.state = to
    if to in TERMINAL_STATES:
        state.counters.add(to.lower())
        state.allocator.recover(
            task.framework_id,
            task.role,
            task.agent_id,
            task.resources,
            refuse_ms=None,
            now_ms=now_ms,
        )


def end_by_master(
    state: State,
    framework: Framework,
    task: Task,
    status: mesos.TaskStatus,
    now_ms: int,
    step: Effects,
) -> None:
    """The master itself declares the task ended, tells the scheduler and forgets it."""
    change_state(state, task, status.state, now_ms)
    statuses.remember(task, status)
    publish_task_updated(state, task, status, step)
    statuses.tell(framework, status, step)
    forget_task(state, framework, task)


def forget_task(state: State, framework: Framework, task: Task) -> None:
    """Its end is acknowledged, or needs no acknowledgement: it is history."""
    assert task.terminal
    task.update = None
    del framework.tasks[task.id]
    agent = state.agents.get(task.agent_id)
    if agent is not None:
        agent.tasks.pop((framework.id, task.id), None)
    add_to_history(state, framework, task)


def add_to_history(state: State, framework: Framework, task: Task) -> None:
    """The task is among the framework's last completed ones."""
    framework.completed_tasks.append(task)
    while len(framework.completed_tasks) > state.settings.max_completed_tasks_per_framework:
        framework.completed_tasks.popleft()


def add_executor(framework: Framework, agent: Agent, executor: Executor) -> None:
    """The framework and the agent have the executor. Its resources are counted as used."""
    executor_id = ExecutorId(executor.info.executor_id.value)
    framework.executors[(agent.id, executor_id)] = executor
    agent.executors.setdefault(framework.id, {})[executor_id] = executor


def remove_executor(state: State, executor: Executor, now_ms: int) -> None:
    """The executor is gone and its resources are free."""
    framework_id, agent_id = executor.framework_id, executor.agent_id
    executor_id = ExecutorId(executor.info.executor_id.value)
    del state.frameworks[framework_id].executors[(agent_id, executor_id)]
    of_one = state.agents[agent_id].executors[framework_id]
    del of_one[executor_id]
    if not of_one:
        del state.agents[agent_id].executors[framework_id]
    state.allocator.recover(
        framework_id, executor.role, agent_id, executor.resources, refuse_ms=None, now_ms=now_ms
    )
