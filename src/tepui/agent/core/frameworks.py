"""What the master says of whole frameworks and executors.

Source: Mesos slave.cpp (shutdownFramework, shutdownExecutor, schedulerMessage).
"""

from __future__ import annotations

from tepui.agent.core import executors, kills, lives, saved, updates
from tepui.agent.core.actions import SendToExecutor
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.state import Executor, Framework, Kind, State
from tepui.wire import executor as api
from tepui.wire import link


def update_framework(
    state: State, message: link.UpdateFramework, now_ms: int, step: Effects
) -> None:
    """The framework's info is the new one."""
    assert message.framework.id is not None
    framework = state.frameworks.get(message.framework.id.value)
    if framework is not None:
        lives.describe(state, framework, message.framework)


def shut_down_framework(
    state: State, message: link.ShutdownFramework, now_ms: int, step: Effects
) -> None:
    """Its executors are ending; no update of it is sent or kept any more."""
    framework = state.frameworks.get(message.framework_id)
    if framework is None or framework.ending:
        return
    framework.ending = True
    saved.framework_changed(state, framework)
    for task in tuple(framework.tasks.values()):
        of = framework.executors.get(task.executor_id)
        if of is None or task.id not in of.tasks:  # it was refused
            lives.forget_task(state, framework, task)
        else:
            updates.drop(state, framework, task)
    for executor in tuple(framework.executors.values()):
        if executor.container_id not in state.containers:
            lives.settle(state, framework, executor, now_ms, step)
        else:
            _shut_down(state, framework, executor, now_ms, step)
    lives.settle_framework(state, framework)


def shut_down_executor(
    state: State, message: link.ShutdownExecutor, now_ms: int, step: Effects
) -> None:
    """The executor is ending; one that is not here is left alone."""
    framework = state.frameworks.get(message.framework_id)
    executor = state.executor(message.framework_id, message.executor_id)
    if framework is None or executor is None or executor.container_id not in state.containers:
        note(step, "shutdown_of_unknown_executor", executor=message.executor_id)
        return
    _shut_down(state, framework, executor, now_ms, step)


def scheduler_said(
    state: State, message: link.SchedulerMessage, now_ms: int, step: Effects
) -> None:
    """The executor has the bytes, if it is subscribed; else they are lost."""
    executor = state.executor(message.framework_id, message.executor_id)
    if executor is None or executor.connection is None:
        state.counters.invalid_framework_messages += 1
        note(step, "message_without_executor", executor=message.executor_id)
        return
    state.counters.valid_framework_messages += 1
    event = api.Event(type=api.Event.Type.MESSAGE, message=api.Event.Message(data=message.data))
    step.then.append(SendToExecutor(executor.connection, event))


def _shut_down(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    match executor.kind:
        case Kind.CUSTOM:
            executors.shut_down(state, executor, now_ms, step)
        case Kind.POD:
            kills.shut_down_pod(state, framework, executor, now_ms, step)
        case Kind.COMMAND if executor.id in executor.tasks:
            policy = kills.shutdown_policy(state, executor)
            task = framework.tasks[executor.id]
            kills.kill(state, framework, executor, task, policy, now_ms, step)
