"""The state of an agent that comes back: from what the one before has saved, and what still runs.

    container        afterwards
    runs             as if it had never been alone
    has exited       its exit is told as if it came now
    none             never launched, or gone with the machine or the launcher: its tasks have failed

An executor that subscribes has its time to subscribe again, and then says what it has and the
agent does not. What nobody knows any more is ended.

Source: Mesos slave.cpp (recover, __recover), docs/agent-recovery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from signal import SIGTERM
from typing import TypeVar

from msgspec import Struct, structs

from tepui.agent.core import commands, executors, gc, launches, lives, saved, updates
from tepui.agent.core.actions import (
    AdoptContainer,
    AttachSandbox,
    DestroyContainer,
    ForgetContainer,
    SignalContainer,
)
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.environment import virtual_path_of
from tepui.agent.core.events import ContainerExited, ContainerStarted
from tepui.agent.core.kills import kill_until
from tepui.agent.core.reports import say, task_of
from tepui.agent.core.saved import (
    Saved,
    SavedAgent,
    SavedCommand,
    SavedExecutor,
    SavedFramework,
    SavedTask,
    SavedUpdate,
)
from tepui.agent.core.state import Command, Ending, Executor, Framework, Phase, State, Task
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

S = TypeVar("S")

RESTARTED = mesos.TaskStatus.Reason.REASON_AGENT_RESTARTED
UNKNOWN = Ending(
    mesos.TaskState.TASK_FAILED,
    mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED,
    "Abnormal executor termination: unknown container",
)


class Found(Struct, frozen=True):
    """A container that the runtime has: it runs, or its exit was not taken note of."""

    pid: int
    exited: ContainerExited | None = None


class Leftovers(Struct, frozen=True):
    """What an agent finds on its machine when it starts."""

    saved: Mapping[str, Saved] = {}  # by key
    containers: Mapping[str, Found] = {}  # by id
    sandboxes: tuple[tuple[str, int], ...] = ()  # directories, and when each was last changed


def recover(state: State, left: Leftovers, now_ms: int) -> Effects:
    """The state is what it was, and what has happened meanwhile is taken note of.

    Called once, before the first step, with the state of an agent that knows nothing.
    """
    step = Effects()
    _load(state, left.saved)
    known = set(state.containers)
    _collect_sandboxes(state, left.sandboxes, now_ms, step)
    for framework in tuple(state.frameworks.values()):
        for executor in tuple(framework.executors.values()):
            _resume(state, framework, executor, left, now_ms, step)
        _end_strays(state, framework, now_ms, step)
        lives.settle_framework(state, framework)
    for container_id, found in left.containers.items():
        if container_id not in known:
            note(step, "container_of_nobody", container=container_id)
            is_gone = found.exited is not None
            step.then.append((ForgetContainer if is_gone else DestroyContainer)(container_id))
    _compare(state, left.saved)
    saved.collect(state, step)
    return step


# What was saved


def _load(state: State, objects: Mapping[str, Saved]) -> None:
    """Frameworks, executors, tasks and updates; those that belong to nothing are left out."""
    agent = objects.get(saved.AGENT)
    if not isinstance(agent, SavedAgent):
        return
    state.info = structs.replace(state.info, id=agent.info.id)
    state.master_epoch = agent.master_epoch
    for one in _of(objects, SavedFramework):
        if one.info.id is not None:
            state.frameworks[one.info.id.value] = Framework(one.info, ending=one.ending)
    for saved_executor in _of(objects, SavedExecutor):
        _load_executor(state, saved_executor)
    for task in sorted(_of(objects, SavedTask), key=lambda task: task.number):
        _load_task(state, task)
    for update in sorted(_of(objects, SavedUpdate), key=lambda update: update.number):
        _load_update(state, update)
    for framework in state.frameworks.values():
        for loaded in framework.tasks.values():
            _number_pending(loaded)
        for executor in framework.executors.values():
            if not executor.built_in and not executor.ever_sent:
                executor.queued = [
                    task_id
                    for task_id in executor.tasks
                    if framework.tasks[task_id].state not in TERMINAL_STATES
                ]


def _load_executor(state: State, found: SavedExecutor) -> None:
    framework = state.frameworks.get(found.framework_id)
    executor_id = found.info.executor_id.value
    if framework is None or executor_id in framework.executors:
        return
    command = None
    if found.command is not None:
        command = Command(
            started_ms=found.command.started_ms,
            overdue=found.command.overdue,
            unhealthy=found.command.unhealthy,
        )
    executor = Executor(
        framework_id=found.framework_id,
        info=found.info,
        role=found.role,
        container_id=found.container_id,
        directory=found.directory,
        command=command,
        limits=found.limits,
        phase=found.phase,
        ever_sent=found.ever_sent,
        ending=found.ending,
    )
    framework.executors[executor_id] = executor
    state.containers[executor.container_id] = executor


def _load_task(state: State, found: SavedTask) -> None:
    framework = state.frameworks.get(found.framework_id)
    if framework is None:
        return
    task = Task(found.info, found.executor_id, found.number)
    state.tasks_begun = max(state.tasks_begun, found.number + 1)
    framework.tasks[task.id] = task
    executor = framework.executors.get(task.executor_id)
    if executor is not None:
        executor.tasks[task.id] = None


def _load_update(state: State, found: SavedUpdate) -> None:
    """Called in the order of their numbers."""
    task = state.task(found.framework_id, found.task_id)
    if task is None:
        return
    task.saved_updates.add(found.number)
    task.updates_begun = found.number + 1
    executor = state.executor(found.framework_id, task.executor_id)
    status = found.status
    if status is not None:
        updates.remember(task, status)
        task.state = status.state
        if found.acknowledged:
            task.last_acknowledged = (found.number, status)
            task.sent_state = status.state
        else:
            task.pending.append(status)
            task.pending_bytes += updates.size_bytes(status)
    is_own = status is None or status.source is updates.SOURCE_EXECUTOR
    if executor is not None and not executor.built_in and is_own:
        task.taken[found.uuid] = found.number


def _number_pending(task: Task) -> None:
    """They are numbered without a gap, also when one between them could not be read."""
    for number, status in enumerate(task.pending, task.updates_begun - len(task.pending)):
        task.saved_updates.add(number)
        if status.uuid in task.taken:
            task.taken[status.uuid] = number


def _compare(state: State, objects: Mapping[str, Saved]) -> None:
    """What was saved and is not so any more is saved anew; what is of no use is removed."""
    wanted = saved.whole(state)
    for key in objects:
        if key not in wanted:
            state.unsaved[key] = None
    for key, form in wanted.items():
        if objects.get(key) != form:
            state.unsaved[key] = form


# What has happened meanwhile


def _resume(
    state: State,
    framework: Framework,
    executor: Executor,
    left: Leftovers,
    now_ms: int,
    step: Effects,
) -> None:
    virtual_path = virtual_path_of(framework.id, executor.id)
    step.then.append(AttachSandbox(executor.directory, virtual_path))
    found = left.containers.get(executor.container_id)
    if executor.built_in and not executor.tasks:  # what could not be read of it is gone
        executor.ending = executor.ending or UNKNOWN
    if found is None:
        if executor.phase in (Phase.LAUNCHING, Phase.TERMINATING):
            # The launcher may have forked, and not be at the program yet: it tells of none such.
            step.then.append(DestroyContainer(executor.container_id))
        executor.ending = executor.ending or UNKNOWN
        lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        return
    is_new = executor.phase in (Phase.PREPARING, Phase.LAUNCHING)
    if found.exited is None:
        step.then.append(AdoptContainer(executor.container_id, executor.limits))
    if is_new:
        executor.phase = Phase.LAUNCHING
        started = ContainerStarted(executor.container_id, found.pid)
        launches.container_started(state, started, now_ms, step)
    executor.pid = found.pid
    if found.exited is not None:
        if executor.command is not None:
            _resume_kill(state, executor, left, now_ms)
        launches.container_exited(state, found.exited, now_ms, step)
    elif executor.ending is not None or framework.ending or executor.phase is Phase.TERMINATING:
        step.then.append(DestroyContainer(executor.container_id))
    elif is_new:
        return
    elif executor.command is None:
        executors.await_registration(state, executor, now_ms)
    else:
        _supervise_again(state, framework, executor, executor.command, left, now_ms, step)


def _supervise_again(
    state: State,
    framework: Framework,
    executor: Executor,
    command: Command,
    left: Leftovers,
    now_ms: int,
    step: Effects,
) -> None:
    """The command runs on; a kill that was under way goes on, too."""
    if _resume_kill(state, executor, left, now_ms):
        step.then.append(SignalContainer(executor.container_id, SIGTERM))  # it may not have come
        return
    task = task_of(framework, executor)
    if not task.statuses:  # they could not be read
        say(state, framework, executor, mesos.TaskState.TASK_RUNNING, now_ms, step)
    commands.supervise(state, framework, executor, command, task, now_ms, step)


def _resume_kill(state: State, executor: Executor, left: Leftovers, now_ms: int) -> bool:
    """Whether the command was being killed."""
    found = left.saved[saved.key_of_executor(executor.container_id)]
    assert isinstance(found, SavedExecutor)
    assert executor.command is not None
    match found.command:
        case SavedCommand(kill_since_ms=int() as since_ms, kill_until_ms=int() as until_ms):
            executor.command.kill = kill_until(state, executor, since_ms, max(now_ms, until_ms))
            return True
    return False


def _end_strays(state: State, framework: Framework, now_ms: int, step: Effects) -> None:
    """A task lives on an executor, or has an end that is not acknowledged."""
    for task in tuple(framework.tasks.values()):
        executor = framework.executors.get(task.executor_id)
        if executor is not None and task.id in executor.tasks:
            continue
        if framework.ending or (task.state in TERMINAL_STATES and not task.pending):
            lives.forget_task(state, framework, task)
        elif task.state not in TERMINAL_STATES:
            text = "The agent was restarted, and knows no executor of the task"
            gone = updates.gone_state(framework)
            updates.report_from_agent(state, framework, task, gone, RESTARTED, text, now_ms, step)


def _collect_sandboxes(
    state: State, sandboxes: Iterable[tuple[str, int]], now_ms: int, step: Effects
) -> None:
    """Those of executors that are over wait for their removal, as before.

    A sandbox is known by its container: its path may be spelled in more than one way. And what a
    task says of the time of its sandbox must not keep others from being removed.
    """
    by_age = sorted((min(changed_ms, now_ms), directory) for directory, changed_ms in sandboxes)
    for changed_ms, directory in by_age:
        if directory.rpartition("/")[2] not in state.containers:
            gc.schedule(state, directory, changed_ms, step)


def _of(objects: Mapping[str, Saved], kind: type[S]) -> list[S]:
    return [one for one in objects.values() if isinstance(one, kind)]
