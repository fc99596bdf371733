"""What the agent says, as executor, of the tasks that it runs itself."""

from __future__ import annotations

import signal

from tepui.agent.core import updates
from tepui.agent.core.effects import Effects
from tepui.agent.core.state import Executor, Framework, State, Task
from tepui.wire import mesos


def say(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    task_state: mesos.TaskState,
    now_ms: int,
    step: Effects,
    *,
    message: str | None = None,
    reason: mesos.TaskStatus.Reason | None = None,
    healthy: bool | None = None,
    limitation: mesos.TaskResourceLimitation | None = None,
) -> None:
    """The executor reports the state of the task."""
    check = task.info.check
    status = mesos.TaskStatus(
        task_id=task.info.task_id,
        state=task_state,
        message=message,
        source=updates.SOURCE_EXECUTOR,
        reason=reason,
        healthy=healthy,
        check_status=None if check is None else empty_status(check),
        container_status=updates.container_status(state, executor, task.container),
        limitation=limitation,
    )
    updates.report(state, framework, task, status, now_ms, step)


def describe_status(status: int) -> str:
    """The raw wait status in the words of Mesos (stout: WSTRINGIFY)."""
    number = status & 0x7F
    if number == 0:
        return f"exited with status {status >> 8 & 0xFF}"
    dumped = " (core dumped)" if status & 0x80 else ""
    return f"terminated with signal {_signal_name(number)}{dumped}"


def _signal_name(number: int) -> str:
    try:
        return signal.strsignal(number) or f"Unknown signal {number}"
    except ValueError:
        return f"Unknown signal {number}"


def empty_status(check: mesos.CheckInfo) -> mesos.CheckStatusInfo:
    """What is known of a check before its first result."""
    kind = mesos.CheckInfo.Type
    return mesos.CheckStatusInfo(
        type=check.type,
        command=mesos.CheckStatusInfo.Command() if check.type is kind.COMMAND else None,
        http=mesos.CheckStatusInfo.Http() if check.type is kind.HTTP else None,
        tcp=mesos.CheckStatusInfo.Tcp() if check.type is kind.TCP else None,
    )
