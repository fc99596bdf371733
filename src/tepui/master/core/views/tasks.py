"""Tasks and executors as the classic endpoints write them, and /tasks.

Source: Mesos common/http.cpp (json of Task, TaskStatus, ExecutorInfo), master/http.cpp
(TaskComparator); recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isinf

from msgspec import Raw, Struct

from tepui.master.core.messages import user_of
from tepui.master.core.state import Executor, Framework, State, Task
from tepui.master.core.views.values import JsonValue, amounts, encode, labels
from tepui.wire import mesos

TASKS_MAX_DEFAULT = 100  # Mesos: master/constants.hpp TASK_LIMIT


class TasksAsked(Struct, frozen=True):
    """/tasks: the newest first unless `ascending`; None for `limit` means all."""

    limit: int | None = TASKS_MAX_DEFAULT
    offset: int = 0
    ascending: bool = False
    framework_id: str | None = None
    task_id: str | None = None


def tasks_view(state: State, question: TasksAsked) -> JsonValue:
    """The answer of /tasks."""
    found = [
        task
        for framework in _frameworks(state)
        if question.framework_id in (None, framework.id)
        for task in tasks_of(framework)
        if question.task_id in (None, task.id)
    ]
    found.sort(key=_first_seen, reverse=not question.ascending)
    end = None if question.limit is None else question.offset + question.limit
    return {"tasks": tasks_value(found[question.offset : end])}


def tasks_of(framework: Framework) -> Iterable[Task]:
    """All tasks of the framework that are remembered."""
    yield from framework.tasks.values()
    yield from framework.unreachable_tasks.values()
    yield from framework.completed_tasks


def tasks_value(tasks: Iterable[Task]) -> Raw:
    """The tasks as a list, written at once.

    Of 400,000 tasks the garbage collector would look at every part again and again; bytes it does
    not look at.
    """
    return Raw(b"[" + b",".join([task_bytes(task) for task in tasks]) + b"]")


def task_bytes(task: Task) -> bytes:
    """One task."""
    info = task.info
    value: dict[str, JsonValue] = {
        "id": task.id,
        "name": info.name,
        "framework_id": task.framework_id,
        "executor_id": task.executor_id or "",
        "slave_id": task.agent_id,
        "state": task.state,
        "resources": amounts(task.resources),
        "role": task.role,
        "statuses": [status_value(status) for status in task.statuses],
    }
    if (user := user_of(info)) is not None:
        value["user"] = user
    if info.limits:
        value["limits"] = {name: _limit(limit) for name, limit in info.limits.items()}
    if info.labels is not None and info.labels.labels:
        value["labels"] = labels(info.labels)
    if info.discovery is not None:
        value["discovery"] = info.discovery
    if info.container is not None:
        value["container"] = info.container
    if info.health_check is not None:
        value["health_check"] = info.health_check
    return encode(value)


def status_value(status: mesos.TaskStatus) -> JsonValue:
    """One status of a task."""
    value: dict[str, JsonValue] = {"state": status.state, "timestamp": status.timestamp}
    if status.labels is not None and status.labels.labels:
        value["labels"] = labels(status.labels)
    if status.container_status is not None:
        value["container_status"] = _container_value(status.container_status)
    if status.healthy is not None:
        value["healthy"] = status.healthy
    return value


def executor_value(executor: Executor) -> JsonValue:
    """One executor."""
    info = executor.info
    value: dict[str, JsonValue] = {
        "executor_id": info.executor_id.value,
        "name": info.name or "",
        "framework_id": executor.framework_id,
        "command": _command(info.command),
        "resources": amounts(executor.resources),
        "role": executor.role,
    }
    if info.labels is not None and info.labels.labels:
        value["labels"] = labels(info.labels)
    if info.type is not None:
        value["type"] = info.type
    value["slave_id"] = executor.agent_id
    return value


def _frameworks(state: State) -> Iterable[Framework]:
    yield from state.frameworks.values()
    yield from state.completed_frameworks.values()


def _first_seen(task: Task) -> float:
    """When the first status was made. A task without one sorts before all others."""
    return (task.statuses[0].timestamp or 0.0) if task.statuses else -1.0


def _container_value(status: mesos.ContainerStatus) -> JsonValue:
    """As Mesos: the executor's process id is left out."""
    value: dict[str, JsonValue] = {}
    if status.container_id is not None:
        value["container_id"] = status.container_id
    if status.network_infos:
        value["network_infos"] = status.network_infos
    if status.cgroup_info is not None:
        value["cgroup_info"] = status.cgroup_info
    return value


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
