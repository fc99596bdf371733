"""The tasks of unreachable agents: of each framework the last ones, found by their agent as well.

They are shown until their agent is back, forgotten or marked gone, or their framework is removed.
"""

from __future__ import annotations

from tepui.master.core import statuses, tasks
from tepui.master.core.actions import Effects
from tepui.master.core.publish import publish_task_updated
from tepui.master.core.state import AbsentAgent, State, Task
from tepui.wire import mesos


def remember(state: State, task: Task) -> None:
    """The task is out of sight with its agent; the oldest of too many is forgotten."""
    framework = state.frameworks[task.framework_id]
    framework.unreachable_tasks[task.id] = task
    state.unreachable_agents[task.agent_id].tasks[(framework.id, task.id)] = None
    while len(framework.unreachable_tasks) > state.settings.max_unreachable_tasks_per_framework:
        discard(state, next(iter(framework.unreachable_tasks.values())))


def discard(state: State, task: Task) -> None:
    """The task is no longer among those out of sight."""
    del state.frameworks[task.framework_id].unreachable_tasks[task.id]
    agent = state.unreachable_agents.get(task.agent_id)
    if agent is not None:
        agent.tasks.pop((task.framework_id, task.id), None)


def end(state: State, task: Task, status: mesos.TaskStatus, step: Effects) -> None:
    """The task will not be seen again: it is history, in the state it had if that was an end."""
    discard(state, task)
    if not task.terminal:
        task.state = status.state
    statuses.remember(task, status)
    publish_task_updated(state, task, status, step)
    tasks.add_to_history(state, state.frameworks[task.framework_id], task)


def tasks_of(state: State, agent: AbsentAgent) -> list[Task]:
    """What is remembered of those that the agent had, in the order of their loss."""
    return [
        state.frameworks[framework_id].unreachable_tasks[task_id]
        for framework_id, task_id in agent.tasks
    ]


def discard_all(state: State, agent: AbsentAgent) -> None:
    """None of the agent's tasks are out of sight: it is back, or nobody waits for it."""
    for task in tasks_of(state, agent):
        discard(state, task)
    agent.tasks.clear()  # of one that has left the list
