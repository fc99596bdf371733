"""Killing tasks: SIGTERM to every process, then SIGKILL when the grace period is over.

A task that was not delivered yet is TASK_KILLED at once. A task of an executor that subscribes is
killed by that executor.

Source: Mesos slave.cpp (killTask), launcher/executor.cpp; recorded answers.
"""

from __future__ import annotations

import signal

from tepui.agent.core import executors, lives, probes, saved, updates
from tepui.agent.core.actions import (
    AbandonSandbox,
    DestroyContainer,
    SignalContainer,
)
from tepui.agent.core.durations import to_ms
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.events import CompletionTimeReached, KillGraceEnded
from tepui.agent.core.reports import say, task_of
from tepui.agent.core.state import Ending, Executor, Framework, Kill, Phase, State
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

GRACE_MS = 3_000  # Mesos: mesos.proto, KillPolicy

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
    if executor.built_in:
        kill_command(state, framework, executor, message.kill_policy, now_ms, step)
    elif task.id in executor.queued:
        executor.queued.remove(task.id)
        _report_killed_during_launch(state, framework, task.id, now_ms, step)
        if not executor.ever_sent and not executor.queued:
            executors.shut_down(state, executor, now_ms, step)
    else:
        executor.kills[task.id] = message.kill_policy
        executors.say_kills(framework, executor, step)


def kill_command(
    state: State,
    framework: Framework,
    executor: Executor,
    policy: mesos.KillPolicy | None,
    now_ms: int,
    step: Effects,
) -> None:
    """The command is ending. `policy` is that of the KILL; the task's own comes second.

    A second kill can only make the grace period shorter.
    """
    command = executor.command
    assert command is not None
    match executor.phase:
        case Phase.PREPARING:
            step.then.append(AbandonSandbox(executor.container_id))
            executor.ending = KILLED_DURING_LAUNCH
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        case Phase.LAUNCHING:
            if executor.ending is None:
                executor.ending = KILLED_DURING_LAUNCH
                saved.executor_changed(state, executor)
                step.then.append(DestroyContainer(executor.container_id))
        case Phase.RUNNING if command.kill is None:
            is_told = framework.has(mesos.FrameworkInfo.Capability.Type.TASK_KILLING_STATE)
            if is_told and not command.overdue:
                say(state, framework, executor, mesos.TaskState.TASK_KILLING, now_ms, step)
            probes.end(state, command, step)
            step.then.append(SignalContainer(executor.container_id, signal.SIGTERM))
            grace_ms = _grace_ms(framework, executor, policy)
            command.kill = kill_until(state, executor, now_ms, now_ms + grace_ms)
            saved.executor_changed(state, executor)
        case Phase.RUNNING if command.kill is not None:
            kill = command.kill
            until_ms = max(now_ms, kill.since_ms + _grace_ms(framework, executor, policy))
            if until_ms < kill.until_ms:
                state.timers.cancel(kill.timer)
                command.kill = kill_until(state, executor, kill.since_ms, until_ms)
                saved.executor_changed(state, executor)
        case _:
            pass


def kill_grace_ended(state: State, event: KillGraceEnded, now_ms: int, step: Effects) -> None:
    executor = state.executor(event.framework_id, event.task_id)
    if executor is not None and executor.container_id in state.containers:
        step.then.append(DestroyContainer(executor.container_id))


def completion_time_reached(
    state: State, event: CompletionTimeReached, now_ms: int, step: Effects
) -> None:
    executor = state.executor(event.framework_id, event.task_id)
    if executor is None or executor.command is None or executor.command.kill is not None:
        return
    framework = state.frameworks[event.framework_id]
    executor.command.overdue = True
    at_once = mesos.KillPolicy(grace_period=mesos.DurationInfo(nanoseconds=0))
    kill_command(state, framework, executor, at_once, now_ms, step)


def kill_until(state: State, executor: Executor, since_ms: int, until_ms: int) -> Kill:
    """The kill that is under way, its grace period timed."""
    due = KillGraceEnded(executor.framework_id, executor.id)
    return Kill(since_ms, until_ms, state.timers.set(until_ms, due))


def _grace_ms(framework: Framework, executor: Executor, policy: mesos.KillPolicy | None) -> int:
    for one in (policy, task_of(framework, executor).info.kill_policy):
        if one is not None and one.grace_period is not None:
            return to_ms(one.grace_period)
    return GRACE_MS


def _report_killed_during_launch(
    state: State, framework: Framework, task_id: str, now_ms: int, step: Effects
) -> None:
    killed = KILLED_DURING_LAUNCH
    task = framework.tasks[task_id]
    updates.report_from_agent(
        state, framework, task, killed.state, killed.reason, killed.message, now_ms, step
    )
