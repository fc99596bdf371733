"""Command tasks: the agent itself supervises them; there is no executor process.

    RunTasks ─▶ sandbox, URIs ─▶ container ─▶ STARTING, RUNNING ─▶ its process ends
                    │                │                                   │
                    ▼                ▼                                   ▼
            FAILED, LOST, KILLED: from the agent          FINISHED, FAILED or KILLED

STARTING comes together with RUNNING, when the process runs, so that both name its pid and a task
that never ran was never said to start. A killed task is TASK_KILLED whatever its exit code.

Source: Mesos launcher/executor.cpp; recorded answers.
"""

from __future__ import annotations

from tepui.agent.core import checks, lives, probes, saved
from tepui.agent.core.actions import LaunchContainer
from tepui.agent.core.container_limits import limits_of
from tepui.agent.core.durations import to_ms
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import environment_of, user_of
from tepui.agent.core.events import CompletionTimeReached
from tepui.agent.core.reports import describe_status, say, task_of
from tepui.agent.core.state import Command, Executor, Framework, Phase, State, Task
from tepui.wire import mesos

COMMAND_SHOWN_MAX = 15  # characters of a command in its executor's name (Mesos: slave.cpp)

OVERDUE = mesos.TaskStatus.Reason.REASON_MAX_COMPLETION_TIME_REACHED


def launch(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    role: str,
    now_ms: int,
    step: Effects,
) -> None:
    """The task is staging: its sandbox is being prepared."""
    assert info.command is not None
    executor = lives.begin_executor(
        state,
        framework,
        _executor_info(framework, info, info.command),
        role=role,
        command=Command(),
        limits=limits_of((), (info,), cfs=state.settings.cgroups_enable_cfs),
        user=user_of(state, framework, info.command),
        uris=info.command.uris,
        now_ms=now_ms,
        step=step,
    )
    lives.add_task(state, framework, executor, info)


def start_container(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """The sandbox is ready: the container is being launched."""
    task = task_of(framework, executor)
    assert task.info.command is not None
    executor.phase = Phase.LAUNCHING
    saved.executor_changed(state, executor)
    step.then.append(
        LaunchContainer(
            executor.container_id,
            executor.directory,
            task.info.command,
            task.info.container,
            environment_of(state, framework, executor, task.info.command),
            user_of(state, framework, task.info.command),
            executor.limits,
        )
    )


def started(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """The task is running, and its checks begin."""
    assert executor.command is not None
    task = task_of(framework, executor)
    executor.phase = Phase.RUNNING
    executor.command.started_ms = now_ms
    saved.executor_changed(state, executor)
    for task_state in (mesos.TaskState.TASK_STARTING, mesos.TaskState.TASK_RUNNING):
        say(state, framework, executor, task_state, now_ms, step)
    supervise(state, framework, executor, executor.command, task, now_ms, step)


def supervise(
    state: State,
    framework: Framework,
    executor: Executor,
    command: Command,
    task: Task,
    now_ms: int,
    step: Effects,
) -> None:
    """Its time is limited, and its checks begin; called again when it has outlived its agent."""
    assert command.started_ms is not None
    limit = task.info.max_completion_time
    if limit is not None and to_ms(limit):  # Mesos: zero is no limit
        due = CompletionTimeReached(framework.id, task.id)
        due_ms = max(now_ms, command.started_ms + to_ms(limit))
        command.completion_timer = state.timers.set(due_ms, due)
    checks.begin(state, framework, executor, task, now_ms, step)


def exited(
    state: State,
    executor: Executor,
    status: int,
    memory_exceeded: str | None,
    now_ms: int,
    step: Effects,
) -> None:
    """The process is gone: the terminal update says how, and the executor is over."""
    command = executor.command
    assert command is not None
    framework = state.frameworks[executor.framework_id]
    probes.end(state, command, step)
    state.timers.cancel(command.completion_timer)
    if command.kill is not None:
        state.timers.cancel(command.kill.timer)
    if executor.tasks and executor.ending is None:
        text = "Command " + describe_status(status)
        if memory_exceeded is not None and command.kill is None:
            executor.ending = lives.out_of_memory(executor, memory_exceeded)
        elif command.overdue:
            say(
                state,
                framework,
                executor,
                mesos.TaskState.TASK_FAILED,
                now_ms,
                step,
                message=text,
                reason=OVERDUE,
            )
        else:
            healthy = False if command.unhealthy else None
            outcome = _outcome(command, status)
            say(state, framework, executor, outcome, now_ms, step, message=text, healthy=healthy)
    lives.executor_ended(state, executor, status, now_ms, step)


def _outcome(command: Command, status: int) -> mesos.TaskState:
    if command.kill is not None:
        return mesos.TaskState.TASK_KILLED
    return mesos.TaskState.TASK_FINISHED if status == 0 else mesos.TaskState.TASK_FAILED


def _executor_info(
    framework: Framework, info: mesos.TaskInfo, command: mesos.CommandInfo
) -> mesos.ExecutorInfo:
    """The built-in executor as the views show it. It has no resources of its own."""
    return mesos.ExecutorInfo(
        executor_id=mesos.ExecutorID(info.task_id.value),
        framework_id=mesos.FrameworkID(framework.id),
        command=command,
        name=f"Command Executor (Task: {info.task_id.value}) (Command: {_shown(command)})",
        source=info.task_id.value,
        labels=info.labels,
        discovery=info.discovery,
    )


def _shown(command: mesos.CommandInfo) -> str:
    """The command, shortened (Mesos: slave.cpp, getExecutorInfo)."""
    if command.shell:
        if command.value is None:
            return "NO COMMAND"
        return f"sh -c '{_shortened(command.value)}'"
    if command.value is None:
        return "NO EXECUTABLE"
    return f"[{_shortened(', '.join((command.value, *command.arguments)))}]"


def _shortened(text: str) -> str:
    return text if len(text) <= COMMAND_SHOWN_MAX else text[: COMMAND_SHOWN_MAX - 3] + "..."
