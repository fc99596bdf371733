"""Statuses on their way to schedulers, and those that a master makes itself.

The latter have no uuid, so nobody acknowledges them.

Source: Mesos common/protobuf_utils createStatusUpdate; texts as a real master answers.
"""

from __future__ import annotations

from msgspec.structs import replace

from tepui.base.names import ExecutorId
from tepui.master.core.actions import Effects, SendEvent
from tepui.master.core.sharing import shared_status
from tepui.master.core.state import Framework, Task
from tepui.wire import mesos, scheduler

TaskState = mesos.TaskState
Reason = mesos.TaskStatus.Reason
MASTER = mesos.TaskStatus.Source.SOURCE_MASTER


def made_by_master(
    task_id: str,
    agent_id: str | None,
    state: mesos.TaskState,
    reason: mesos.TaskStatus.Reason,
    message: str,
    now_ms: int,
    *,
    executor_id: ExecutorId | None = None,
    unreachable_ms: int | None = None,
) -> mesos.TaskStatus:
    """A status of the master's own."""
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=state,
        message=message,
        source=MASTER,
        reason=reason,
        agent_id=None if agent_id is None else mesos.AgentID(agent_id),
        executor_id=None if executor_id is None else mesos.ExecutorID(executor_id),
        timestamp=now_ms / 1000,
        unreachable_time=(
            None
            if unreachable_ms is None
            else mesos.TimeInfo(nanoseconds=unreachable_ms * 1_000_000)
        ),
    )


def latest(
    task: Task,
    state: mesos.TaskState,
    reason: mesos.TaskStatus.Reason,
    message: str,
    now_ms: int,
) -> mesos.TaskStatus:
    """How the task is, with the health and the container that were last heard of."""
    last = task.statuses[-1] if task.statuses else None
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task.id),
        state=state,
        message=message,
        source=MASTER,
        reason=reason,
        agent_id=mesos.AgentID(task.agent_id),
        executor_id=None if task.executor_id is None else mesos.ExecutorID(task.executor_id),
        timestamp=now_ms / 1000,
        healthy=last.healthy if last else None,
        check_status=last.check_status if last else None,
        container_status=last.container_status if last else None,
    )


def lost_or(framework: Framework, state: mesos.TaskState) -> mesos.TaskState:
    """`state` for a PARTITION_AWARE framework, TASK_LOST for one that does not know it."""
    return state if "PARTITION_AWARE" in framework.capabilities else TaskState.TASK_LOST


def tell(framework: Framework, status: mesos.TaskStatus, step: Effects) -> None:
    """Send an update to the framework's scheduler, if it is connected."""
    if framework.subscription is not None:
        event = scheduler.Event(
            type=scheduler.Event.Type.UPDATE, update=scheduler.Event.Update(status=status)
        )
        step.then.append(SendEvent(framework.subscription.stream, event))


def remember(task: Task, status: mesos.TaskStatus) -> None:
    """Keep the status for views: the last of each state, without its data.

    Differs from Mesos: there a task that goes to and fro between two states is remembered at
    every turn, without end.
    """
    last = task.statuses[-1] if task.statuses else None
    kept = shared_status(
        status if status.data is None else replace(status, data=None), task.info, last
    )
    task.statuses = (*[one for one in task.statuses if one.state is not status.state], kept)
