"""Status updates: one stream per task, in order, each sent until it is acknowledged.

Of a task only the first unacknowledged update is under way; it is sent again after 10 s, then 20 s
and so on up to 10 min, and whenever the agent registers. An acknowledgement names the uuid; with
that of a terminal update the task is over. What is sent tells the latest state as well, so that
the master knows it although the scheduler is slow.

Source: Mesos task_status_update_manager.cpp, slave/constants.hpp.
"""

from __future__ import annotations

from msgspec import msgpack, structs

from tepui.agent.core import saved
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.events import ResendDue
from tepui.agent.core.state import (
    PENDING_BYTES_PER_TASK_MAX,
    PENDING_PER_TASK_MAX,
    STATUSES_PER_TASK_MAX,
    Container,
    Executor,
    Framework,
    State,
    Task,
)
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

RESEND_MIN_MS = 10_000  # Mesos: STATUS_UPDATE_RETRY_INTERVAL_MIN
RESEND_MAX_MS = 600_000  # Mesos: STATUS_UPDATE_RETRY_INTERVAL_MAX

PARTITION_AWARE = mesos.FrameworkInfo.Capability.Type.PARTITION_AWARE
SOURCE_AGENT = mesos.TaskStatus.Source.SOURCE_AGENT
SOURCE_EXECUTOR = mesos.TaskStatus.Source.SOURCE_EXECUTOR

_encode = msgpack.Encoder().encode


def report(
    state: State,
    framework: Framework,
    task: Task,
    status: mesos.TaskStatus,
    now_ms: int,
    step: Effects,
) -> None:
    """The update is in the task's stream, with agent, executor, time and uuid filled in.

    Nothing happens when the task has ended, or when its framework is being shut down.
    """
    if framework.ending or task.state in TERMINAL_STATES:
        return
    status = structs.replace(
        status,
        agent_id=state.agent_id,
        executor_id=status.executor_id or mesos.ExecutorID(task.executor_id),
        timestamp=now_ms / 1000 if status.timestamp is None else status.timestamp,
        uuid=state.uuids.next_bytes() if status.uuid is None else status.uuid,
    )
    task.state = status.state
    state.counters.valid_status_updates += 1
    if task.state in TERMINAL_STATES:
        counts = state.counters.terminal_tasks
        counts[task.state] = counts.get(task.state, 0) + 1
    remember(task, status)
    size = size_bytes(status)
    is_full = (
        len(task.pending) >= PENDING_PER_TASK_MAX
        or task.pending_bytes + size > PENDING_BYTES_PER_TASK_MAX
    )
    if is_full and task.state not in TERMINAL_STATES:
        note(step, "update_dropped", task=task.id, state=status.state.name)
        return  # a scheduler that is so far behind will learn of the end all the same
    task.pending.append(status)
    task.pending_bytes += size
    task.updates_begun += 1
    saved.update_added(state, framework, task)
    if len(task.pending) == 1:
        task.backoff_ms = RESEND_MIN_MS
        forward(state, framework, task, now_ms, step)


def report_from_agent(
    state: State,
    framework: Framework,
    task: Task,
    task_state: mesos.TaskState,
    reason: mesos.TaskStatus.Reason | None,
    message: str,
    now_ms: int,
    step: Effects,
    limitation: mesos.TaskResourceLimitation | None = None,
) -> None:
    """The agent itself says what has become of the task."""
    status = mesos.TaskStatus(
        task_id=task.info.task_id,
        state=task_state,
        message=message,
        source=SOURCE_AGENT,
        reason=reason,
        limitation=limitation,
    )
    report(state, framework, task, status, now_ms, step)


def forward(state: State, framework: Framework, task: Task, now_ms: int, step: Effects) -> None:
    """The first pending update is sent, and will be again; without a link it waits."""
    state.timers.cancel(task.resend_timer)
    task.resend_timer = None
    if not state.registered or not task.pending:
        return
    status = task.pending[0]
    task.sent_state, task.sent_uuid = status.state, status.uuid
    send(step, link.StatusUpdated(framework.id, status, task.state))
    due = ResendDue(framework.id, task.id)
    task.resend_timer = state.timers.set(now_ms + task.backoff_ms, due)


def resend_due(state: State, event: ResendDue, now_ms: int, step: Effects) -> None:
    """The update is sent again, and the time until the next is twice as long."""
    framework = state.frameworks.get(event.framework_id)
    task = state.task(event.framework_id, event.task_id)
    if framework is None or task is None:
        return
    task.resend_timer = None
    task.backoff_ms = min(2 * task.backoff_ms, RESEND_MAX_MS)
    forward(state, framework, task, now_ms, step)


def forward_all(state: State, now_ms: int, step: Effects) -> None:
    """All that is unacknowledged is sent again; called when the agent has registered."""
    for framework in state.frameworks.values():
        for task in framework.tasks.values():
            task.backoff_ms = RESEND_MIN_MS
            forward(state, framework, task, now_ms, step)


def acknowledged(
    state: State, message: link.AcknowledgeUpdate, now_ms: int, step: Effects
) -> Task | None:
    """The next update is sent; the answer is the task when that was its terminal one."""
    framework = state.frameworks.get(message.framework_id)
    task = state.task(message.framework_id, message.task_id)
    if framework is None or task is None or not task.pending:
        return None
    if task.pending[0].uuid != message.uuid:
        note(step, "acknowledgement_of_another_update", task=message.task_id)
        return None
    status = task.pending.popleft()
    task.pending_bytes -= size_bytes(status)
    if status.state in TERMINAL_STATES:
        drop(state, framework, task)
        return task
    saved.update_acknowledged(state, framework, task, status)
    task.backoff_ms = RESEND_MIN_MS
    forward(state, framework, task, now_ms, step)
    return None


def drop(state: State, framework: Framework, task: Task) -> None:
    """Nothing more is sent of the task."""
    saved.updates_dropped(state, framework, task)
    state.timers.cancel(task.resend_timer)
    task.resend_timer = None
    task.pending.clear()
    task.pending_bytes = 0


def size_bytes(status: mesos.TaskStatus) -> int:
    """What the update takes on the link."""
    return len(_encode(status))


def lost_state(framework: Framework) -> mesos.TaskState:
    """What a task is that the agent could not take."""
    if framework.has(PARTITION_AWARE):
        return mesos.TaskState.TASK_DROPPED
    return mesos.TaskState.TASK_LOST


def gone_state(framework: Framework) -> mesos.TaskState:
    """What a task is that ran here, and of which nothing is left."""
    if framework.has(PARTITION_AWARE):
        return mesos.TaskState.TASK_GONE
    return mesos.TaskState.TASK_LOST


def container_status(
    state: State, executor: Executor, nested: Container | None = None
) -> mesos.ContainerStatus:
    """What is said of the executor's container, or of that of a task within it."""
    own = executor.container
    found = nested or own
    return mesos.ContainerStatus(
        container_id=wire_id(found.id),
        network_infos=found.network_infos or own.network_infos or _of_machine(state),
        executor_pid=found.pid or None,
    )


def wire_id(container_id: str) -> mesos.ContainerID:
    """The id as Mesos's message: those of the containers that it lies within are its parents."""
    parent, _, own = container_id.rpartition(".")
    return mesos.ContainerID(value=own, parent=wire_id(parent) if parent else None)


def _of_machine(state: State) -> tuple[mesos.NetworkInfo, ...]:
    protocol = (
        mesos.NetworkInfo.Protocol.IPv6
        if ":" in state.settings.ip
        else mesos.NetworkInfo.Protocol.IPv4
    )
    address = mesos.NetworkInfo.IPAddress(protocol=protocol, ip_address=state.settings.ip)
    return (mesos.NetworkInfo(ip_addresses=(address,)),)


def to_wire(framework: Framework, executor: Executor | None, task: Task) -> mesos.Task:
    """The task as Mesos's message; a command task names no executor in it."""
    info = task.info
    return mesos.Task(
        name=info.name,
        task_id=info.task_id,
        framework_id=mesos.FrameworkID(framework.id),
        executor_id=None if info.executor is None else info.executor.executor_id,
        agent_id=info.agent_id,
        state=task.state,
        resources=info.resources,
        statuses=tuple(task.statuses),
        status_update_state=task.sent_state,
        status_update_uuid=task.sent_uuid,
        labels=info.labels,
        discovery=info.discovery,
        container=info.container,
        health_check=info.health_check,
        kill_policy=info.kill_policy,
        limits=info.limits,
        user=named_user_of(framework, info, executor),
    )


def named_user_of(
    framework: Framework, info: mesos.TaskInfo, executor: Executor | None
) -> str | None:
    """The user that the task names itself (Mesos: common/protobuf_utils.cpp)."""
    for command in (info.command, None if executor is None else executor.info.command):
        if command is not None and command.user is not None:
            return command.user
    return None


def remember(task: Task, status: mesos.TaskStatus) -> None:
    """The views show each state once, with its last status (Mesos: slave.cpp, recordTaskStatus).

    Its data, which may be large, is kept for the scheduler only.
    """
    if status.data is not None:
        status = structs.replace(status, data=None)
    if task.statuses and task.statuses[-1].state is status.state:
        task.statuses.pop()
    task.statuses.append(status)
    del task.statuses[:-STATUSES_PER_TASK_MAX]
