"""What an agent that is back says, at length, for tests that look at it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tepui.wire import link, mesos
from tepui.wire.link_tasks import Alike, ReportedTask, statuses_of


def in_full(message: link.Return) -> link.Reregister:
    """The same at length."""
    assert message.info.id is not None
    return link.Reregister(
        info=message.info,
        version=message.version,
        address=message.address,
        frameworks=message.frameworks,
        executors=message.executors,
        tasks=at_length(message.info.id, message.alike, message.tasks),
    )


def at_length(
    agent_id: mesos.AgentID, alike: Sequence[Alike], tasks: Iterable[ReportedTask]
) -> tuple[mesos.Task, ...]:
    """The tasks that were `reported`."""
    return tuple(_at_length(agent_id, alike[task.number], task) for task in tasks)


def _at_length(agent_id: mesos.AgentID, alike: Alike, task: ReportedTask) -> mesos.Task:
    task_id = mesos.TaskID(task.task_id)
    return mesos.Task(
        name=alike.name,
        task_id=task_id,
        framework_id=mesos.FrameworkID(alike.framework_id),
        executor_id=None if task.executor_id is None else mesos.ExecutorID(task.executor_id),
        agent_id=agent_id,
        state=task.state,
        resources=alike.resources,
        statuses=statuses_of(task, task_id, agent_id, task.container_status),
        status_update_state=task.update_state,
        status_update_uuid=task.update_uuid,
        labels=alike.labels,
        discovery=alike.discovery,
        container=alike.container,
        health_check=alike.health_check,
        kill_policy=alike.kill_policy,
        user=alike.user,
        limits=alike.limits,
    )
