"""Tasks and executors as the classic endpoints write them, and /tasks.

Source: Mesos common/http.cpp (json of Task, TaskStatus, ExecutorInfo), master/http.cpp
(TaskComparator); recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest, nsmallest
from math import isinf

from msgspec import Raw, Struct

from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.messages import user_of
from tepui.master.core.state import Executor, Framework, State, Task
from tepui.master.core.views.pieces import Parts, Written, list_parts
from tepui.master.core.views.values import JsonValue, amounts_text, labels_of
from tepui.wire import mesos

TASKS_MAX_DEFAULT = 100  # Mesos: master/constants.hpp TASK_LIMIT
SORTED_SHARE = 8  # when less than such a part is wanted, not all are sorted


class TasksAsked(Struct, frozen=True):
    """/tasks: the newest first unless `ascending`; None for `limit` means all."""

    limit: int | None = TASKS_MAX_DEFAULT
    offset: int = 0
    ascending: bool = False
    framework_id: str | None = None
    task_id: str | None = None


def tasks_view(state: State, question: TasksAsked) -> Written:
    """The answer of /tasks."""
    found = list(tasks_asked_for(state, question))
    end = None if question.limit is None else question.offset + question.limit
    if end is None or end * SORTED_SHARE >= len(found):
        found.sort(key=_first_seen, reverse=not question.ascending)
    elif question.ascending:
        found = nsmallest(end, found, key=_first_seen)
    else:
        found = nlargest(end, found, key=_first_seen)
    return {"tasks": tasks_parts(found[question.offset : end])}


def tasks_asked_for(state: State, question: TasksAsked) -> Iterator[Task]:
    """All that the query allows, in no order that says anything."""
    for framework in _frameworks(state, question.framework_id):
        if question.task_id is None:
            yield from tasks_of(framework)
        else:
            yield from _tasks_named(framework, TaskId(question.task_id))


def tasks_to_look_at(state: State, question: TasksAsked) -> int:
    """How many tasks the answer walks."""
    is_one = question.task_id is not None
    return sum(
        len(framework.completed_tasks) if is_one else tasks_count(framework)
        for framework in _frameworks(state, question.framework_id)
    )


def tasks_count(framework: Framework) -> int:
    """How many tasks of it are remembered."""
    known = len(framework.tasks) + len(framework.unreachable_tasks)
    return known + len(framework.completed_tasks)


def tasks_of(framework: Framework) -> Iterable[Task]:
    """All tasks of the framework that are remembered."""
    yield from framework.tasks.values()
    yield from framework.unreachable_tasks.values()
    yield from framework.completed_tasks


def tasks_parts(tasks: Iterable[Task]) -> Parts:
    """The tasks as a list, written a few at a time.

    Of 400,000 tasks the garbage collector would look at every part again and again; bytes it does
    not look at.
    """
    return list_parts(tasks, _task_value)


class TaskValue(Struct, frozen=True, omit_defaults=True, gc=False):
    """One task. A Struct is made and written in a third of the time that a dict takes."""

    id: str
    name: str
    framework_id: str
    executor_id: str
    slave_id: str
    state: mesos.TaskState
    resources: Raw
    role: str
    statuses: list[StatusValue]
    user: str | None = None
    limits: dict[str, JsonValue] | None = None
    labels: tuple[mesos.Label, ...] | None = None
    discovery: mesos.DiscoveryInfo | None = None
    container: mesos.ContainerInfo | None = None
    health_check: mesos.HealthCheck | None = None


class StatusValue(Struct, frozen=True, omit_defaults=True, gc=False):
    """One status of a task."""

    state: mesos.TaskState
    timestamp: float | None
    labels: tuple[mesos.Label, ...] | None = None
    container_status: ContainerValue | None = None
    healthy: bool | None = None


class ContainerValue(Struct, frozen=True, omit_defaults=True, gc=False):
    """As Mesos: the executor's process id is left out."""

    container_id: mesos.ContainerID | None = None
    network_infos: tuple[mesos.NetworkInfo, ...] = ()
    cgroup_info: mesos.CgroupInfo | None = None


def _task_value(task: Task) -> TaskValue:
    info = task.info
    statuses = []
    for status in task.statuses:  # without calls of our own: this is half of what /state costs
        labels, container = status.labels, status.container_status
        statuses.append(
            StatusValue(
                status.state,
                status.timestamp,
                None if labels is None else labels.labels or None,
                None
                if container is None
                else ContainerValue(
                    container.container_id, container.network_infos, container.cgroup_info
                ),
                status.healthy,
            )
        )
    labels = info.labels
    return TaskValue(
        task.id,
        info.name,
        task.framework_id,
        task.executor_id or "",
        task.agent_id,
        task.state,
        amounts_text(task.resources),
        task.role,
        statuses,
        user_of(info),
        {name: _limit(limit) for name, limit in info.limits.items()} if info.limits else None,
        None if labels is None else labels.labels or None,
        info.discovery,
        info.container,
        info.health_check,
    )


def executor_value(executor: Executor) -> JsonValue:
    """One executor."""
    info = executor.info
    value: dict[str, JsonValue] = {
        "executor_id": info.executor_id.value,
        "name": info.name or "",
        "framework_id": executor.framework_id,
        "command": _command(info.command),
        "resources": amounts_text(executor.resources),
        "role": executor.role,
    }
    if (found := labels_of(info.labels)) is not None:
        value["labels"] = found
    if info.type is not None:
        value["type"] = info.type
    value["slave_id"] = executor.agent_id
    return value


def _tasks_named(framework: Framework, task_id: TaskId) -> Iterator[Task]:
    """Those with this id: ids of completed tasks may be used again."""
    for known in (framework.tasks, framework.unreachable_tasks):
        if task_id in known:
            yield known[task_id]
    yield from (task for task in framework.completed_tasks if task.id == task_id)


def _frameworks(state: State, wanted: str | None) -> Iterator[Framework]:
    """The one that is wanted, if it is known; all for None."""
    for known in (state.frameworks, state.completed_frameworks):
        if wanted is None:
            yield from known.values()
        elif (one := known.get(FrameworkId(wanted))) is not None:
            yield one


def _first_seen(task: Task) -> float:
    """When the first status was made. A task without one sorts before all others."""
    return (task.statuses[0].timestamp or 0.0) if task.statuses else -1.0


def _limit(limit: mesos.Value.Scalar) -> JsonValue:
    return "Infinity" if isinf(limit.value) else limit.value


def _command(command: mesos.CommandInfo | None) -> JsonValue:
    if command is None:
        return {"argv": [], "uris": []}
    value: dict[str, JsonValue] = {"shell": command.shell}
    if command.value is not None:
        value["value"] = command.value
    value["argv"] = command.arguments
    if command.environment is not None:
        value["environment"] = command.environment
    value["uris"] = [{"value": u.value, "executable": bool(u.executable)} for u in command.uris]
    return value
