"""RunTasks, and what then happens to sandboxes and containers.

Source: Mesos slave.cpp (run, executorLaunched, executorTerminated); recorded answers.
"""

from __future__ import annotations

from tepui.agent.core import commands, disk, executors, lives, updates
from tepui.agent.core.effects import Effects, note, send
from tepui.agent.core.events import (
    ContainerExited,
    ContainerStarted,
    LaunchFailed,
    SandboxFailed,
    SandboxPrepared,
    SandboxStage,
)
from tepui.agent.core.lives import STATUS_UNKNOWN
from tepui.agent.core.state import Ending, Framework, Phase, State
from tepui.wire import link, mesos

LAUNCH_FAILED = mesos.TaskStatus.Reason.REASON_CONTAINER_LAUNCH_FAILED


def run_tasks(state: State, message: link.RunTasks, now_ms: int, step: Effects) -> None:
    """The tasks are staging, or refused with an update each."""
    assert message.framework.id is not None  # fault_of
    here = state.frameworks.get(message.framework.id.value)
    known = here and [task for task in message.tasks if task.task_id.value in here.tasks]
    if state.stopping is not None or (here is not None and here.ending) or known:
        # The master sends no task twice, and none of a framework that it has shut down.
        framework_id = message.framework.id.value
        note(step, "tasks_ignored", framework=framework_id, task=message.tasks[0].task_id.value)
        return
    framework = lives.framework_of(state, message.framework)
    group = message.group or (
        message.executor is not None and message.executor.type is mesos.ExecutorInfo.Type.DEFAULT
    )
    if state.disk_full is not None:
        disk.refuse(state, framework, message, now_ms, step)
    elif group:
        _refuse_group(state, framework, message, now_ms, step)
    elif message.executor is not None:
        executors.run_tasks(state, framework, message, now_ms, step)
    else:
        for info in message.tasks:
            _run_command(state, framework, info, message.role, now_ms, step)


def sandbox_prepared(state: State, event: SandboxPrepared, now_ms: int, step: Effects) -> None:
    """The container is being launched."""
    executor = state.containers.get(event.container_id)
    if executor is None:
        return  # it was abandoned
    framework = state.frameworks[executor.framework_id]
    command = executor.info.command
    if command is not None and command.uris:
        state.counters.fetches_succeeded += 1
    if executor.built_in:
        commands.start_container(state, framework, executor, step)
    else:
        executors.start_container(state, framework, executor, step)


def sandbox_failed(state: State, event: SandboxFailed, now_ms: int, step: Effects) -> None:
    """The executor is over; its tasks have failed, or are lost when there is no directory."""
    executor = state.containers.get(event.container_id)
    if executor is None:
        return
    framework = state.frameworks[executor.framework_id]
    if event.stage is SandboxStage.FETCH:
        state.counters.fetches_failed += 1
        state.counters.container_launch_errors += 1
        text = f"Failed to launch container: {event.message}"
        executor.ending = Ending(mesos.TaskState.TASK_FAILED, LAUNCH_FAILED, text)
    else:
        reason = mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED
        executor.ending = Ending(updates.lost_state(framework), reason, event.message)
    lives.executor_ended(state, executor, STATUS_UNKNOWN, now_ms, step)


def container_started(state: State, event: ContainerStarted, now_ms: int, step: Effects) -> None:
    """The command runs, or the executor has its time to subscribe; not one that is to end."""
    executor = state.containers.get(event.container_id)
    if executor is None:
        return
    executor.pid = event.pid
    if executor.ending is not None:
        return  # it was killed meanwhile, and its end will come
    framework = state.frameworks[executor.framework_id]
    if executor.built_in:
        commands.started(state, framework, executor, now_ms, step)
    else:
        executors.started(state, executor, now_ms, step)


def launch_failed(state: State, event: LaunchFailed, now_ms: int, step: Effects) -> None:
    """Differs from Mesos: a program that cannot be executed fails here, with the reason.

    Mesos calls such a task running and then says that its command exited with status 1.
    """
    executor = state.containers.get(event.container_id)
    if executor is None:
        return
    state.counters.container_launch_errors += 1
    if executor.ending is None:
        text = f"Failed to launch container: {event.message}"
        executor.ending = Ending(mesos.TaskState.TASK_FAILED, LAUNCH_FAILED, text)
    lives.executor_ended(state, executor, STATUS_UNKNOWN, now_ms, step)


def container_exited(state: State, event: ContainerExited, now_ms: int, step: Effects) -> None:
    """The executor is over, and its tasks with it."""
    executor = state.containers.get(event.container_id)
    if executor is None:
        return
    if executor.built_in:
        commands.exited(state, executor, event.status, event.memory_exceeded, now_ms, step)
        return
    if event.memory_exceeded is not None and executor.ending is None:
        executor.ending = lives.out_of_memory(executor, event.memory_exceeded)
    lives.executor_ended(state, executor, event.status, now_ms, step)


def under_way(state: State) -> bool:
    """Whether tasks have come whose processes do not run yet: an agent that ends now fails them."""
    starting = (Phase.PREPARING, Phase.LAUNCHING)
    return any(executor.phase in starting for executor in state.containers.values())


def _run_command(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    role: str,
    now_ms: int,
    step: Effects,
) -> None:
    before = framework.executors.get(info.task_id.value)
    if before is not None and before.container_id in state.containers:
        # The executor of another kind has this id: Mesos would give it the task.
        text = f"Executor '{before.id}' is already running"
        _refuse(state, framework, info, before.id, text, now_ms, step)
        return
    commands.launch(state, framework, info, role, now_ms, step)


def _refuse_group(
    state: State, framework: Framework, message: link.RunTasks, now_ms: int, step: Effects
) -> None:
    executor_id = "" if message.executor is None else message.executor.executor_id.value
    send(step, link.ExecutorExited(framework.id, executor_id, STATUS_UNKNOWN, built_in=False))
    text = "Failed to launch container: this agent does not run task groups"
    for info in message.tasks:
        _refuse(state, framework, info, executor_id, text, now_ms, step)


def _refuse(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    executor_id: str,
    text: str,
    now_ms: int,
    step: Effects,
) -> None:
    """The task has failed; it lives until that is acknowledged."""
    task = lives.add_refused_task(state, framework, info, executor_id)
    failed = mesos.TaskState.TASK_FAILED
    updates.report_from_agent(state, framework, task, failed, LAUNCH_FAILED, text, now_ms, step)
