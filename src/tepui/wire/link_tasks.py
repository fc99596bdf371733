"""Tasks as an agent reports them when it is back: what they have alike is said once.

A master that begins to lead hears of every task of the cluster within seconds. The tasks of a service
differ in little more than their ids, and each status repeats the ids of its task; said at length they
are more than three times as many bytes, and as much longer to read.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from tepui.wire import mesos
from tepui.wire.message import Int32

_Status = mesos.TaskStatus


class Alike(Struct, frozen=True, array_like=True):
    """What tasks have alike; fields of `mesos.Task`."""

    framework_id: str
    name: str
    resources: tuple[mesos.Resource, ...] = ()
    labels: mesos.Labels | None = None
    discovery: mesos.DiscoveryInfo | None = None
    container: mesos.ContainerInfo | None = None
    health_check: mesos.HealthCheck | None = None
    kill_policy: mesos.KillPolicy | None = None
    user: str | None = None
    limits: dict[str, mesos.Value.Scalar] = {}


class ShortStatus(Struct, frozen=True, array_like=True):
    """A status of a task; its ids are the task's."""

    state: mesos.TaskState
    timestamp: float | None
    uuid: bytes | None
    source: _Status.Source | None
    healthy: bool | None
    has_executor_id: bool  # that of the task's executor
    has_container: bool  # what the task says of its container
    whole: mesos.TaskStatus | None = None  # without ids of task and agent; of one that says more


class ReportedTask(Struct, frozen=True, array_like=True):
    """A task; what it has alike with others is `alike[number]` of the same message."""

    number: Int32
    task_id: str
    executor_id: str | None  # None: a command task, whose executor has the task's id
    state: mesos.TaskState
    statuses: tuple[ShortStatus, ...] = ()
    container_status: mesos.ContainerStatus | None = None
    update_state: mesos.TaskState | None = None  # as `status_update_state` of `mesos.Task`
    update_uuid: bytes | None = None


def reported(tasks: Iterable[mesos.Task]) -> tuple[tuple[Alike, ...], tuple[ReportedTask, ...]]:
    """The tasks of one agent, and what they have alike, in the order of its first use."""
    numbers: dict[bytes, int] = {}
    every: list[Alike] = []
    found: list[ReportedTask] = []
    for task in tasks:
        alike = _alike(task)
        number = numbers.setdefault(_encode(alike), len(every))
        if number == len(every):
            every.append(alike)
        found.append(_reported(task, number))
    return tuple(every), tuple(found)


def statuses_of(
    task: ReportedTask,
    task_id: mesos.TaskID,
    agent_id: mesos.AgentID,
    container: mesos.ContainerStatus | None,
) -> tuple[mesos.TaskStatus, ...]:
    """The task's statuses at length; all have the same objects for what they have alike.

    `container` is the task's `container_status`, or equal to it.
    """
    executor_id = mesos.ExecutorID(task.executor_id or task.task_id)
    return tuple(
        [
            _Status(
                task_id=task_id,
                state=one.state,
                source=one.source,
                agent_id=agent_id,
                executor_id=executor_id if one.has_executor_id else None,
                timestamp=one.timestamp,
                uuid=one.uuid,
                healthy=one.healthy,
                container_status=container if one.has_container else None,
            )
            if one.whole is None
            else msgspec.structs.replace(one.whole, task_id=task_id, agent_id=agent_id)
            for one in task.statuses
        ]
    )


_encode = msgspec.msgpack.Encoder().encode
_NO_TASK = mesos.TaskID("")


def _alike(task: mesos.Task) -> Alike:
    return Alike(
        framework_id=task.framework_id.value,
        name=task.name,
        resources=task.resources,
        labels=task.labels,
        discovery=task.discovery,
        container=task.container,
        health_check=task.health_check,
        kill_policy=task.kill_policy,
        user=task.user,
        limits=task.limits,
    )


def _reported(task: mesos.Task, number: int) -> ReportedTask:
    container = next((one.container_status for one in reversed(task.statuses)), None)
    return ReportedTask(
        number=number,
        task_id=task.task_id.value,
        executor_id=None if task.executor_id is None else task.executor_id.value,
        state=task.state,
        statuses=tuple(_short(task, status, container) for status in task.statuses),
        container_status=container,
        update_state=task.status_update_state,
        update_uuid=task.status_update_uuid,
    )


def _short(
    task: mesos.Task, status: mesos.TaskStatus, container: mesos.ContainerStatus | None
) -> ShortStatus:
    short = ShortStatus(
        state=status.state,
        timestamp=status.timestamp,
        uuid=status.uuid,
        source=status.source,
        healthy=status.healthy,
        has_executor_id=status.executor_id is not None,
        has_container=status.container_status is not None,
    )
    bare = msgspec.structs.replace(status, task_id=_NO_TASK, agent_id=None)
    executor_id = mesos.ExecutorID((task.executor_id or task.task_id).value)
    said = _Status(
        task_id=_NO_TASK,
        state=short.state,
        source=short.source,
        executor_id=executor_id if short.has_executor_id else None,
        timestamp=short.timestamp,
        uuid=short.uuid,
        healthy=short.healthy,
        container_status=container if short.has_container else None,
    )
    return short if said == bare else msgspec.structs.replace(short, whole=bare)
