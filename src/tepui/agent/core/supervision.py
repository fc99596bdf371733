"""Tasks whose executor is the agent itself, while they run: command tasks, and those of pods.

STARTING comes together with RUNNING, when the process runs, so that both name its container and a
task that never ran was never said to start. A killed task is TASK_KILLED whatever its exit code.

Source: Mesos launcher/executor.cpp, launcher/default_executor.cpp; recorded answers.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.agent.core import checks, kills, lives, pods, probes, starts
from tepui.agent.core.durations import to_ms
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import CompletionTimeReached
from tepui.agent.core.reports import describe_status, say
from tepui.agent.core.state import (
    Container,
    Ending,
    Executor,
    Framework,
    Kind,
    Phase,
    Place,
    State,
    Supervision,
    Task,
)
from tepui.wire import mesos

OVERDUE = mesos.TaskStatus.Reason.REASON_MAX_COMPLETION_TIME_REACHED
TaskState = mesos.TaskState
FAILURES = (TaskState.TASK_FAILED, TaskState.TASK_KILLED)  # that end the group


class End(Struct, frozen=True):
    """What the executor says of a task that is over."""

    state: mesos.TaskState
    message: str
    reason: mesos.TaskStatus.Reason | None = None
    healthy: bool | None = None
    limitation: mesos.TaskResourceLimitation | None = None


def started(state: State, place: Place, now_ms: int, step: Effects) -> None:
    """The task is running, and its checks begin."""
    framework, executor, task, _ = place
    assert task is not None
    assert task.supervision is not None
    task.supervision.started_ms = now_ms
    starts.move(state, place, Phase.RUNNING)
    for task_state in (TaskState.TASK_STARTING, TaskState.TASK_RUNNING):
        say(state, framework, executor, task, task_state, now_ms, step)
    supervise(state, framework, executor, task, now_ms, step)


def supervise(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    now_ms: int,
    step: Effects,
) -> None:
    """Its time is limited, and its checks begin; called again when it has outlived its agent."""
    supervision = task.supervision
    assert supervision is not None
    assert supervision.started_ms is not None
    limit = task.info.max_completion_time
    if limit is not None and to_ms(limit):  # Mesos: zero is no limit
        due = CompletionTimeReached(framework.id, task.id)
        due_ms = max(now_ms, supervision.started_ms + to_ms(limit))
        supervision.completion_timer = state.timers.set(due_ms, due)
    checks.begin(state, framework, task, supervision, now_ms)


def ended(
    state: State,
    place: Place,
    status: int | None,
    memory_exceeded: str | None,
    now_ms: int,
    step: Effects,
    text: str = "",
) -> None:
    """The container is gone, or has failed without a status: the terminal update says how.

    `text` is what else is to be told of the end.
    With a command task its executor is over; a task of a pod takes its group with it if it failed.
    """
    framework, executor, task, container = place
    if task is not None:
        assert task.supervision is not None
        probes.end(state, task.supervision, step)
        state.timers.cancel(task.supervision.completion_timer)
        if task.supervision.kill is not None:
            state.timers.cancel(task.supervision.kill.timer)
    if executor.kind is Kind.POD:
        assert task is not None
        _ended_in_pod(state, framework, executor, task, status, memory_exceeded, now_ms, step, text)
        return
    if task is not None and container.ending is None and status is not None:
        assert task.supervision is not None
        if memory_exceeded is not None and task.supervision.kill is None:
            container.ending = lives.out_of_memory(container.limits, memory_exceeded)
        else:
            end = _end_of_process(task.supervision, status, text)
            _say(state, framework, executor, task, end, now_ms, step)
    lives.executor_ended(
        state, executor, lives.STATUS_UNKNOWN if status is None else status, now_ms, step
    )


def _ended_in_pod(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    status: int | None,
    memory_exceeded: str | None,
    now_ms: int,
    step: Effects,
    text: str,
) -> None:
    supervision, container = task.supervision, task.container
    assert supervision is not None
    assert container is not None
    ending = container.ending
    if ending is None and memory_exceeded is not None and supervision.kill is None:
        ending = _out_of_memory(executor, container, status, memory_exceeded)
    if ending is not None:
        end = End(ending.state, ending.message, ending.reason, None, ending.limitation)
    else:
        assert status is not None
        end = _end_of_process(supervision, status, text)
    _say(state, framework, executor, task, end, now_ms, step)
    pods.task_over(state, framework, task, step)
    if end.state in FAILURES:
        kills.end_group(state, framework, executor, task, now_ms, step)
    pods.settle(state, framework, executor, now_ms, step)


def _out_of_memory(
    executor: Executor, container: Container, status: int | None, memory_exceeded: str
) -> Ending:
    """It was killed for its memory: its own limit was reached, or that of the pod."""
    own = container.limits
    limits = executor.container.limits if own.mem_limit_bytes is None else own
    text = "" if status is None else f"Command {describe_status(status)}: "
    return lives.out_of_memory(limits, text + memory_exceeded)


def _end_of_process(supervision: Supervision, status: int, note: str) -> End:
    text = "Command " + describe_status(status) + (f"; {note}" if note else "")
    if supervision.overdue:
        return End(TaskState.TASK_FAILED, text, OVERDUE)
    healthy = False if supervision.unhealthy else None
    if supervision.kill is not None:
        return End(TaskState.TASK_KILLED, text, healthy=healthy)
    state = TaskState.TASK_FINISHED if status == 0 else TaskState.TASK_FAILED
    return End(state, text, healthy=healthy)


def _say(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    end: End,
    now_ms: int,
    step: Effects,
) -> None:
    say(
        state,
        framework,
        executor,
        task,
        end.state,
        now_ms,
        step,
        message=end.message,
        reason=end.reason,
        healthy=end.healthy,
        limitation=end.limitation,
    )
