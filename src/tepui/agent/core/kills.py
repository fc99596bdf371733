"""Killing tasks: SIGTERM to every process, then SIGKILL when the grace period is over.

A task that was not delivered yet is TASK_KILLED at once, and its group with it. A task of an
executor that subscribes is killed by that executor. A group in a pod that does not run as a whole
is killed as a whole; of one that does, the others are killed when the first is gone.

Source: Mesos slave.cpp (killTask), launcher/executor.cpp, launcher/default_executor.cpp; recorded
answers.
"""

from __future__ import annotations

import signal

from tepui.agent.core import executors, lives, pods, probes, saved, starts, updates
from tepui.agent.core.actions import (
    AbandonSandbox,
    DestroyContainer,
    SignalContainer,
)
from tepui.agent.core.durations import to_ms
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.environment import shutdown_grace_ms
from tepui.agent.core.events import CompletionTimeReached, KillGraceEnded
from tepui.agent.core.reports import say
from tepui.agent.core.state import (
    Ending,
    Executor,
    Framework,
    Kill,
    Kind,
    Phase,
    Place,
    State,
    Task,
    container_of,
)
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

GRACE_MS = 3_000  # Mesos: mesos.proto, KillPolicy
AT_ONCE = mesos.KillPolicy(grace_period=mesos.DurationInfo(nanoseconds=0))

KILLED_DURING_LAUNCH = Ending(
    mesos.TaskState.TASK_KILLED,
    mesos.TaskStatus.Reason.REASON_TASK_KILLED_DURING_LAUNCH,
    "Killed before delivery to the executor",
)


def kill_task(state: State, message: link.KillTask, now_ms: int, step: Effects) -> None:
    """The task is being killed; one that is unknown or has ended is left alone."""
    framework = state.frameworks.get(message.framework_id)
    task = state.task(message.framework_id, message.task_id)
    if framework is None or task is None or task.state in TERMINAL_STATES:
        note(step, "kill_of_unknown_task", framework=message.framework_id, task=message.task_id)
        return
    executor = framework.executors[task.executor_id]
    if executor.kind is not Kind.CUSTOM:
        kill(state, framework, executor, task, message.kill_policy, now_ms, step)
    elif task.id in executor.queued:
        for name in task.group or (task.id,):
            if name in executor.queued:
                executor.queued.remove(name)
                one = framework.tasks[name]
                _report_end(state, framework, one, KILLED_DURING_LAUNCH, now_ms, step)
        if not executor.ever_sent and not executor.queued:
            executors.shut_down(state, executor, now_ms, step)
    else:
        executor.kills[task.id] = message.kill_policy
        executors.say_kills(framework, executor, step)


def kill(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    policy: mesos.KillPolicy | None,
    now_ms: int,
    step: Effects,
) -> None:
    """The task is ending. `policy` is that of the KILL; the task's own comes second.

    A second kill can only make the grace period shorter.
    """
    if executor.kind is Kind.COMMAND:
        _kill(state, framework, executor, task, policy, KILLED_DURING_LAUNCH, now_ms, step)
        return
    group = pods.living(framework, executor, task)
    is_whole = all(one.container and one.container.phase is Phase.RUNNING for one in group)
    for one in [task] if is_whole else group:
        _kill(state, framework, executor, one, policy, KILLED_DURING_LAUNCH, now_ms, step)
    pods.settle(state, framework, executor, now_ms, step)


def end_group(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    now_ms: int,
    step: Effects,
) -> None:
    """The task has failed or was killed: the others of its group are ending.

    Differs from Mesos: they have the grace of their own kill policies.
    """
    reason = mesos.TaskStatus.Reason.REASON_TASK_KILLED_DURING_LAUNCH
    text = f"Task group failure: task '{task.id}' of its group has ended"
    never_ran = Ending(mesos.TaskState.TASK_KILLED, reason, text)
    for one in pods.living(framework, executor, task):
        assert one.supervision is not None
        if one.supervision.kill is None:
            _kill(state, framework, executor, one, None, never_ran, now_ms, step)


def shut_down_pod(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """All tasks of the pod are ending, and it takes no others."""
    policy = shutdown_policy(state, executor)
    for task in pods.living(framework, executor):
        _kill(state, framework, executor, task, policy, KILLED_DURING_LAUNCH, now_ms, step)
    if executor.phase is Phase.RUNNING and pods.living(framework, executor):
        executor.container.phase = Phase.TERMINATING
        saved.executor_changed(state, executor)
    elif executor.phase is not Phase.TERMINATING or executor.exit_status is not None:
        pods.settle(state, framework, executor, now_ms, step)


def shutdown_policy(state: State, executor: Executor) -> mesos.KillPolicy:
    """How the executor's tasks are killed when it is shut down."""
    grace = mesos.DurationInfo(nanoseconds=shutdown_grace_ms(state, executor) * 1_000_000)
    return mesos.KillPolicy(grace_period=grace)


def kill_grace_ended(state: State, event: KillGraceEnded, now_ms: int, step: Effects) -> None:
    place = _running(state, event.framework_id, event.task_id)
    if place is not None:
        step.then.append(DestroyContainer(place.container.id))


def completion_time_reached(
    state: State, event: CompletionTimeReached, now_ms: int, step: Effects
) -> None:
    place = _running(state, event.framework_id, event.task_id)
    if place is None or place.task is None or place.task.supervision is None:
        return
    if place.task.supervision.kill is None:
        place.task.supervision.overdue = True
        kill(state, place.framework, place.executor, place.task, AT_ONCE, now_ms, step)


def kill_until(
    state: State, framework: Framework, task: Task, since_ms: int, until_ms: int
) -> Kill:
    """The kill that is under way, its grace period timed."""
    due = KillGraceEnded(framework.id, task.id)
    return Kill(since_ms, until_ms, state.timers.set(until_ms, due))


def _kill(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    policy: mesos.KillPolicy | None,
    never_ran: Ending,
    now_ms: int,
    step: Effects,
) -> None:
    """The task is ending; of one that was not started it is said that it `never_ran`."""
    if task.id in executor.queued:
        executor.queued.remove(task.id)
        _report_end(state, framework, task, never_ran, now_ms, step)
        return
    supervision, container = task.supervision, container_of(executor, task)
    assert supervision is not None
    place = Place(framework, executor, task, container)
    if task.container is not None and pods.is_unknown(state, place):
        pods.give_up(state, place, container.ending or never_ran, now_ms, step)
        return
    match container.phase:
        case Phase.PREPARING:
            step.then.append(AbandonSandbox(container.id))
            container.ending = never_ran
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        case Phase.PROVISIONING | Phase.PROVISIONED | Phase.LAUNCHING:
            if container.ending is None:
                container.ending = never_ran
                starts.changed(state, place)
                step.then.append(DestroyContainer(container.id))
        case Phase.RUNNING if supervision.kill is None:
            is_told = framework.has(mesos.FrameworkInfo.Capability.Type.TASK_KILLING_STATE)
            if is_told and not supervision.overdue:
                killing = mesos.TaskState.TASK_KILLING
                say(state, framework, executor, task, killing, now_ms, step)
            probes.end(state, supervision, step)
            step.then.append(SignalContainer(container.id, signal.SIGTERM))
            until_ms = now_ms + _grace_ms(task, policy)
            supervision.kill = kill_until(state, framework, task, now_ms, until_ms)
            starts.changed(state, place)
        case Phase.RUNNING if supervision.kill is not None:
            since_ms = supervision.kill.since_ms
            until_ms = max(now_ms, since_ms + _grace_ms(task, policy))
            if until_ms < supervision.kill.until_ms:
                state.timers.cancel(supervision.kill.timer)
                supervision.kill = kill_until(state, framework, task, since_ms, until_ms)
                starts.changed(state, place)
        case _:
            pass


def _running(state: State, framework_id: str, task_id: str) -> Place | None:
    """Where the task runs, if it does."""
    task = state.task(framework_id, task_id)
    executor = None if task is None else state.executor(framework_id, task.executor_id)
    if task is None or executor is None or executor.container_id not in state.containers:
        return None
    container = container_of(executor, task)
    if container.phase is not Phase.RUNNING:
        return None
    return Place(state.frameworks[framework_id], executor, task, container)


def _grace_ms(task: Task, policy: mesos.KillPolicy | None) -> int:
    for one in (policy, task.info.kill_policy):
        if one is not None and one.grace_period is not None:
            return to_ms(one.grace_period)
    return GRACE_MS


def _report_end(
    state: State, framework: Framework, task: Task, end: Ending, now_ms: int, step: Effects
) -> None:
    updates.report_from_agent(
        state, framework, task, end.state, end.reason, end.message, now_ms, step
    )
