"""Executors that subscribe: their containers, calls and events, and how they are shut down.

    sandbox ─▶ container ─▶ REGISTERING ─▶ SUBSCRIBE ─▶ RUNNING ─▶ SHUTDOWN ─▶ its process ends
                                 │ 1 min                                │ 5 s
                                 ▼                                      ▼
                             destroyed                              destroyed

Tasks wait until the executor has subscribed. There is one container per framework and executor id.

Source: Mesos slave.cpp (subscribe, shutdownExecutor), slave/validation.cpp; recorded answers.
"""

from __future__ import annotations

from itertools import groupby

from msgspec import structs

from tepui.agent.core import fitting, lives, saved, starts, updates
from tepui.agent.core.actions import (
    AbandonSandbox,
    AcceptExecutor,
    AnswerExecutor,
    CloseExecutor,
    DestroyContainer,
    SendToExecutor,
)
from tepui.agent.core.allocated import allocated_executor, allocated_task
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.environment import shutdown_grace_ms
from tepui.agent.core.events import (
    ExecutorCalled,
    ExecutorLeft,
    ExecutorSubscribed,
    HeartbeatDue,
    RegistrationExpired,
    ShutdownGraceEnded,
)
from tepui.agent.core.state import (
    NOT_LAUNCHED,
    NOT_STARTED,
    TAKEN_PER_TASK_MAX,
    Ending,
    Executor,
    Framework,
    Kind,
    Phase,
    State,
    Task,
)
from tepui.agent.core.validation import update_error
from tepui.base.durations import format_duration_ms
from tepui.wire import executor as api
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

HELD_UP_MS = 1_000  # a timer that rings so late says that the agent itself was late
TaskState = mesos.TaskState


def run_tasks(
    state: State,
    framework: Framework,
    executor: Executor | None,
    message: link.RunTasks,
    now_ms: int,
    step: Effects,
) -> None:
    """The tasks are queued for their executor, which is launched when it is not there."""
    before = starts.queue(state, framework, executor, Kind.CUSTOM, message, now_ms, step)
    if before is not None and before.connection is not None:
        _deliver(state, framework, before, step)


def started(state: State, executor: Executor, now_ms: int, step: Effects) -> None:
    """The process runs; it may have subscribed already."""
    if executor.phase is Phase.LAUNCHING:
        await_registration(state, executor, now_ms)


def await_registration(state: State, executor: Executor, now_ms: int) -> None:
    """The executor has its time to subscribe, or to subscribe again to a new agent."""
    executor.container.phase = Phase.REGISTERING
    saved.executor_changed(state, executor)
    due_ms = now_ms + _registration_ms(state, executor)
    due = RegistrationExpired(executor.container_id, due_ms)
    executor.registration_timer = state.timers.set(due_ms, due)


def registration_expired(
    state: State, event: RegistrationExpired, now_ms: int, step: Effects
) -> None:
    executor = state.containers.get(event.container_id)
    if executor is None or executor.phase is not Phase.REGISTERING:
        return
    if now_ms - event.due_ms > HELD_UP_MS:
        # The agent, or its machine, has not run: what the executor sent waits to be read. (Differs
        # from Mesos, which ends it.)
        await_registration(state, executor, now_ms)
        return
    executor.container.phase = Phase.TERMINATING
    executor.container.ending = _silent(state, executor)
    saved.executor_changed(state, executor)
    step.then.append(DestroyContainer(executor.container_id))


# Shutting down


def shut_down(state: State, executor: Executor, now_ms: int, step: Effects) -> None:
    """The executor is asked to end, and will be ended when it does not in time."""
    assert executor.kind is Kind.CUSTOM
    match executor.phase:
        case Phase.TERMINATING | Phase.TERMINATED:
            return
        case Phase.PREPARING:
            step.then.append(AbandonSandbox(executor.container_id))
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
            return
        case Phase.PROVISIONING | Phase.LAUNCHING:
            executor.container.phase = Phase.TERMINATING
            saved.executor_changed(state, executor)
            step.then.append(DestroyContainer(executor.container_id))
            return
    executor.container.phase = Phase.TERMINATING
    saved.executor_changed(state, executor)
    if executor.connection is not None:
        _send(executor, api.Event(type=api.Event.Type.SHUTDOWN), step)
    due = ShutdownGraceEnded(executor.container_id)
    due_ms = now_ms + shutdown_grace_ms(state, executor)
    executor.shutdown_timer = state.timers.set(due_ms, due)


def shutdown_grace_ended(
    state: State, event: ShutdownGraceEnded, now_ms: int, step: Effects
) -> None:
    if event.container_id in state.containers:
        step.then.append(DestroyContainer(event.container_id))


def say_kills(framework: Framework, executor: Executor, step: Effects) -> None:
    """The executor is told of the kills that it has not heard of, if it is there.

    Differs from Mesos: there a kill that comes while the executor is away is lost.
    """
    if executor.connection is None:
        return
    for task_id, policy in executor.kills.items():
        task = framework.tasks.get(task_id)
        if task is not None and task.state not in TERMINAL_STATES:
            kill = api.Event.Kill(task_id=task.info.task_id, kill_policy=policy)
            event = api.Event(type=api.Event.Type.KILL, kill=kill)
            _send(executor, event, step)
    executor.kills.clear()


# Calls of executors


def executor_subscribed(
    state: State, event: ExecutorSubscribed, now_ms: int, step: Effects
) -> None:
    """The stream begins with SUBSCRIBED, and what was queued follows."""
    found = _find(state, event.call)
    if isinstance(found, str):
        step.then.append(AnswerExecutor(event.connection, 400, found))
        return
    framework, executor = found
    if executor.phase in NOT_LAUNCHED:  # whoever calls, it was not started by us
        step.then.append(AnswerExecutor(event.connection, 400, "Executor cannot be found"))
        return
    assert event.call.subscribe is not None
    if executor.phase in (Phase.TERMINATING, Phase.TERMINATED):
        shutdown = api.Event(type=api.Event.Type.SHUTDOWN)
        step.then.append(AcceptExecutor(event.connection))
        step.then.append(SendToExecutor(event.connection, shutdown))
        step.then.append(CloseExecutor(event.connection))
        return
    if executor.connection is not None:  # a newer stream takes the place of the older
        step.then.append(CloseExecutor(executor.connection))
        del state.connections[executor.connection]
    executor.connection = event.connection
    state.connections[event.connection] = executor.container_id
    step.then.append(AcceptExecutor(event.connection))
    state.timers.cancel(executor.registration_timer)
    executor.registration_timer = None
    executor.container.phase = Phase.RUNNING
    saved.executor_changed(state, executor)
    _schedule_heartbeat(state, executor, now_ms)
    if not executor.ever_sent and not executor.queued:
        shut_down(state, executor, now_ms, step)  # its tasks were killed before it came
        return
    subscribed = api.Event.Subscribed(
        executor_info=allocated_executor(executor.info, executor.role),
        framework_info=framework.info,
        agent_info=state.info,
        container_id=mesos.ContainerID(value=executor.container_id),
    )
    _send(executor, api.Event(type=api.Event.Type.SUBSCRIBED, subscribed=subscribed), step)
    for update in event.call.subscribe.unacknowledged_updates:
        if update_error(event.call, update.status) is None:
            _take_update(state, framework, executor, update.status, now_ms, step)
    known = {task.task_id.value for task in event.call.subscribe.unacknowledged_tasks}
    _give_up_unknown(state, framework, executor, known, now_ms, step)
    _deliver(state, framework, executor, step)
    say_kills(framework, executor, step)


def executor_called(state: State, event: ExecutorCalled, now_ms: int, step: Effects) -> None:
    """Any call but SUBSCRIBE is answered, and done. Its form was checked before."""
    if event.call.type is api.Call.Type.HEARTBEAT:  # those of Mesos's own library name nobody
        step.then.append(AnswerExecutor(event.request, 202, ""))
        return
    found = _find(state, event.call)
    if isinstance(found, str):
        step.then.append(AnswerExecutor(event.request, 400, found))
        return
    framework, executor = found
    if executor.phase in (*NOT_STARTED, Phase.REGISTERING):
        step.then.append(AnswerExecutor(event.request, 403, "Executor is not subscribed"))
        return
    call = event.call
    if call.update is not None and call.type is api.Call.Type.UPDATE:
        _take_update(state, framework, executor, call.update.status, now_ms, step)
    elif call.message is not None and call.type is api.Call.Type.MESSAGE:
        send(step, link.ExecutorMessage(framework.id, executor.id, call.message.data))
    else:
        assert call.type is api.Call.Type.UNKNOWN
        step.then.append(AnswerExecutor(event.request, 501, "501 Not Implemented."))
        return
    step.then.append(AnswerExecutor(event.request, 202, ""))


def executor_left(state: State, event: ExecutorLeft, now_ms: int, step: Effects) -> None:
    """The executor may come back; only its process's end ends it."""
    container_id = state.connections.pop(event.connection, None)
    executor = None if container_id is None else state.containers.get(container_id)
    if executor is not None:
        executor.connection = None
        state.timers.cancel(executor.heartbeat_timer)
        executor.heartbeat_timer = None


def heartbeat_due(state: State, event: HeartbeatDue, now_ms: int, step: Effects) -> None:
    executor = state.containers.get(event.container_id)
    if executor is not None and executor.connection is not None:
        _send(executor, api.Event(type=api.Event.Type.HEARTBEAT), step)
        _schedule_heartbeat(state, executor, now_ms)


def _registration_ms(state: State, executor: Executor) -> int:
    settings = state.settings
    if executor.ever_sent:
        return settings.executor_reregistration_timeout_ms
    return settings.executor_registration_timeout_ms


def _silent(state: State, executor: Executor) -> Ending:
    """What to say of the tasks of an executor that has not subscribed in time."""
    timeout = format_duration_ms(_registration_ms(state, executor))
    reason = mesos.TaskStatus.Reason
    if executor.ever_sent:
        gone = updates.gone_state(state.frameworks[executor.framework_id])
        text = f"Executor did not reregister within {timeout}"
        return Ending(gone, reason.REASON_EXECUTOR_REREGISTRATION_TIMEOUT, text)
    text = f"Executor did not register within {timeout}"
    return Ending(TaskState.TASK_FAILED, reason.REASON_EXECUTOR_REGISTRATION_TIMEOUT, text)


def _give_up_unknown(
    state: State,
    framework: Framework,
    executor: Executor,
    known: set[str],
    now_ms: int,
    step: Effects,
) -> None:
    """What was sent on a stream that broke, and never came there, is lost."""
    for task_id in executor.tasks:
        task = framework.tasks[task_id]
        is_sent = task_id not in executor.queued and task_id not in known
        if is_sent and task.state is mesos.TaskState.TASK_STAGING:
            reason = mesos.TaskStatus.Reason.REASON_AGENT_RESTARTED
            text = "Task launched during agent restart"
            lost = updates.lost_state(framework)
            updates.report_from_agent(state, framework, task, lost, reason, text, now_ms, step)


def _deliver(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """All queued tasks are sent, the container's limits first."""
    if not executor.queued:
        return
    fitting.fit(state, framework, executor, step)
    waiting = [framework.tasks[task_id] for task_id in executor.queued]
    for group, tasks in groupby(waiting, key=lambda task: task.group):
        infos = tuple(allocated_task(task.info, executor.role) for task in tasks)
        if group:
            whole = api.Event.LaunchGroup(task_group=mesos.TaskGroupInfo(tasks=infos))
            _send(executor, api.Event(type=api.Event.Type.LAUNCH_GROUP, launch_group=whole), step)
            continue
        for info in infos:
            launch = api.Event.Launch(task=info)
            _send(executor, api.Event(type=api.Event.Type.LAUNCH, launch=launch), step)
    executor.queued.clear()
    executor.ever_sent = True
    saved.executor_changed(state, executor)


def _find(state: State, call: api.Call) -> tuple[Framework, Executor] | str:
    """The caller, or the sentence that refuses it."""
    framework = state.frameworks.get(call.framework_id.value)
    if framework is None:
        return "Framework cannot be found"
    executor = framework.executors.get(call.executor_id.value)
    if executor is None or executor.kind is not Kind.CUSTOM:
        return "Executor cannot be found"
    if executor.container_id not in state.containers:
        return "Executor cannot be found"
    return framework, executor


def _take_update(
    state: State,
    framework: Framework,
    executor: Executor,
    status: mesos.TaskStatus,
    now_ms: int,
    step: Effects,
) -> None:
    """The update is in its task's stream and acknowledged to the executor.

    One that came before is only acknowledged again; one of a task that has ended changes nothing.
    """
    assert status.uuid is not None
    task = framework.tasks.get(status.task_id.value)
    if task is None or task.executor_id != executor.id:
        state.counters.invalid_status_updates += 1
        note(step, "update_of_unknown_task", executor=executor.id, task=status.task_id.value)
    elif status.uuid not in task.taken:
        is_over = task.state in TERMINAL_STATES
        container = _container_status(state, executor, status.container_status)
        status = structs.replace(status, container_status=container)
        begun = task.updates_begun
        updates.report(state, framework, task, status, now_ms, step)
        _remember_taken(state, framework, task, status, is_new=task.updates_begun > begun)
        if not is_over and task.state in TERMINAL_STATES:
            if task.id in executor.queued:  # an executor that knows of what it was not given
                executor.queued.remove(task.id)
            fitting.fit(state, framework, executor, step)
    assert status.uuid is not None
    acknowledged = api.Event.Acknowledged(task_id=status.task_id, uuid=status.uuid)
    event = api.Event(type=api.Event.Type.ACKNOWLEDGED, acknowledged=acknowledged)
    if executor.connection is not None:
        _send(executor, event, step)


def _remember_taken(
    state: State, framework: Framework, task: Task, status: mesos.TaskStatus, *, is_new: bool
) -> None:
    """Its executor sends it again if the acknowledgement is lost."""
    assert status.uuid is not None
    task.taken[status.uuid] = task.updates_begun - 1 if is_new else -1
    if len(task.taken) > TAKEN_PER_TASK_MAX:
        oldest = next(iter(task.taken))
        saved.update_forgotten(state, framework, task, task.taken.pop(oldest))


def _container_status(
    state: State, executor: Executor, given: mesos.ContainerStatus | None
) -> mesos.ContainerStatus:
    """What the executor says of the container comes before what the agent knows."""
    known = updates.container_status(state, executor)
    if given is None:
        return known
    return structs.replace(
        given,
        container_id=given.container_id or known.container_id,
        network_infos=given.network_infos or known.network_infos,
        executor_pid=given.executor_pid or known.executor_pid,
    )


def _schedule_heartbeat(state: State, executor: Executor, now_ms: int) -> None:
    state.timers.cancel(executor.heartbeat_timer)
    due = HeartbeatDue(executor.container_id)
    executor.heartbeat_timer = state.timers.set(now_ms + state.settings.heartbeat_ms, due)


def _send(executor: Executor, event: api.Event, step: Effects) -> None:
    assert executor.connection is not None
    step.then.append(SendToExecutor(executor.connection, event))
