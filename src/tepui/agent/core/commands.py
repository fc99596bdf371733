"""Command tasks: the agent itself is their executor; there is no executor process.

    RunTasks ─▶ sandbox, URIs ─▶ container ─▶ STARTING, RUNNING ─▶ its process ends
                    │                │                                   │
                    ▼                ▼                                   ▼
            FAILED, LOST, KILLED: from the agent          FINISHED, FAILED or KILLED

What is done while it runs is the same as for a task of a pod: supervision.py, kills.py, checks.py.

Source: Mesos launcher/executor.cpp, slave.cpp (getExecutorInfo); recorded answers.
"""

from __future__ import annotations

from tepui.agent.core import lives, starts
from tepui.agent.core.container_limits import limits_of
from tepui.agent.core.effects import Effects
from tepui.agent.core.state import Framework, Kind, State
from tepui.wire import mesos

COMMAND_SHOWN_MAX = 15  # characters of a command in its executor's name (Mesos: slave.cpp)


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
    described = _executor_info(framework, info, info.command)
    limits = limits_of((), (info,), cfs=state.settings.cgroups_enable_cfs)
    executor = lives.begin_executor(
        state, framework, described, Kind.COMMAND, role, limits, now_ms, step
    )
    lives.add_task(state, framework, executor, info)
    starts.begin(state, framework, executor, step)


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
