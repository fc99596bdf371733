"""The state of an agent that comes back: from what the one before has saved, and what still runs.

    container        afterwards
    runs             as if it had never been alone
    has exited       its exit is told as if it came now
    none             it is prepared or provisioned again if it was not launched yet; else it was lost,
                     or is gone with the machine or the launcher: its tasks have failed

An executor that subscribes has its time to subscribe again, and then says what it has and the
agent does not. What nobody knows any more is ended. What is within a pod is in pod_recovery.py.

Source: Mesos slave.cpp (recover, __recover), docs/agent-recovery.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec import structs

from tepui.agent.core import (
    executors,
    gc,
    launches,
    lives,
    operator_lives,
    pod_recovery,
    saved,
    updates,
)
from tepui.agent.core.actions import (
    AttachSandbox,
    DestroyContainer,
    ForgetContainer,
)
from tepui.agent.core.effects import Effects, note
from tepui.agent.core.environment import virtual_path_of
from tepui.agent.core.leftovers import (
    UNKNOWN,
    Found,
    Leftovers,
    begin_again,
    ending_of_lost,
    resume_kill,
    supervise_again,
    take_up,
)
from tepui.agent.core.saved import (
    Saved,
    SavedAgent,
    SavedExecutor,
    SavedFramework,
    SavedOperatorContainer,
    SavedSupervision,
    SavedTask,
    SavedUpdate,
)
from tepui.agent.core.state import (
    NOT_LAUNCHED,
    Container,
    Executor,
    Framework,
    Kind,
    OperatorContainer,
    Phase,
    Place,
    State,
    Supervision,
    Task,
)
from tepui.wire import mesos
from tepui.wire.states import TERMINAL_STATES

S = TypeVar("S")

RESTARTED = mesos.TaskStatus.Reason.REASON_AGENT_RESTARTED
__all__ = ["Found", "Leftovers", "recover"]


def recover(state: State, left: Leftovers, now_ms: int) -> Effects:
    """The state is what it was, and what has happened meanwhile is taken note of.

    Called once, before the first step, with the state of an agent that knows nothing.
    """
    step = Effects()
    _load(state, left.saved)
    known = {*state.containers, *state.task_containers}
    _collect_sandboxes(state, left.sandboxes, now_ms, step)
    for framework in tuple(state.frameworks.values()):
        for executor in tuple(framework.executors.values()):
            _resume(state, framework, executor, left, now_ms, step)
        _end_strays(state, framework, now_ms, step)
        lives.settle_framework(state, framework)
    known.update(state.operator_containers)
    operator_lives.resume(state, left.containers, now_ms, step)
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
    for operator_container in _of(objects, SavedOperatorContainer):
        _load_operator_container(state, operator_container)
    for saved_executor in _of(objects, SavedExecutor):
        _load_executor(state, saved_executor)
    of_commands = {one.container_id: one.command for one in _of(objects, SavedExecutor)}
    for task in sorted(_of(objects, SavedTask), key=lambda task: task.number):
        _load_task(state, task, of_commands)
    for update in sorted(_of(objects, SavedUpdate), key=lambda update: update.number):
        _load_update(state, update)
    for framework in state.frameworks.values():
        for loaded in framework.tasks.values():
            _number_pending(loaded)
        for executor in framework.executors.values():
            executor.queued = [
                task_id
                for task_id in executor.tasks
                if _is_queued(executor, framework.tasks[task_id])
            ]


def _is_queued(executor: Executor, task: Task) -> bool:
    if task.state in TERMINAL_STATES or executor.kind is Kind.COMMAND:
        return False
    return task.container is None if executor.kind is Kind.POD else not executor.ever_sent


def _load_operator_container(state: State, found: SavedOperatorContainer) -> None:
    container = Container(**structs.asdict(found.container))
    state.operator_containers[container.id] = OperatorContainer(
        container=container,
        parent=found.parent,
        command=found.command,
        info=found.info,
        environment=found.environment,
        user=found.user,
        exited=found.exited,
        number=found.number,
    )
    state.operator_exits = max(state.operator_exits, found.number + 1)


def _load_executor(state: State, found: SavedExecutor) -> None:
    framework = state.frameworks.get(found.framework_id)
    executor_id = found.info.executor_id.value
    if framework is None or executor_id in framework.executors:
        return
    kind = found.kind or (Kind.CUSTOM if found.command is None else Kind.COMMAND)
    executor = Executor(
        framework_id=found.framework_id,
        info=found.info,
        role=found.role,
        kind=kind,
        container=Container(
            id=found.container_id,
            directory=found.directory,
            limits=found.limits,
            phase=found.phase,
            network_infos=found.network_infos,
            ending=found.ending,
        ),
        ever_sent=found.ever_sent,
    )
    framework.executors[executor_id] = executor
    state.containers[executor.container_id] = executor


def _load_task(
    state: State, found: SavedTask, of_commands: Mapping[str, SavedSupervision | None]
) -> None:
    framework = state.frameworks.get(found.framework_id)
    if framework is None:
        return
    task = Task(found.info, found.executor_id, found.number, found.group)
    state.tasks_begun = max(state.tasks_begun, found.number + 1)
    framework.tasks[task.id] = task
    executor = framework.executors.get(task.executor_id)
    if executor is None or (executor.kind is Kind.POD and not task.group):
        return  # the latter: it was refused
    executor.tasks[task.id] = None
    if executor.kind is Kind.CUSTOM:
        return
    of_command = of_commands.get(executor.container_id)
    task.supervision = _supervision(of_command or found.supervision)
    if found.container is not None and executor.kind is Kind.POD:
        own = found.container
        task.container = Container(**structs.asdict(own))
        if own.phase is not Phase.TERMINATED:
            state.task_containers[own.id] = (framework.id, task.id)


def _supervision(found: SavedSupervision | None) -> Supervision:
    if found is None:
        return Supervision()
    return Supervision(found.started_ms, overdue=found.overdue, unhealthy=found.unhealthy)


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
            if not task.pending:  # it may have been sent, and acknowledged to the master
                task.sent_state, task.sent_uuid = status.state, status.uuid
            task.pending.append(status)
            task.pending_bytes += updates.size_bytes(status)
    is_own = status is None or status.source is updates.SOURCE_EXECUTOR
    if executor is not None and executor.kind is Kind.CUSTOM and is_own:
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
    if executor.kind is Kind.POD:
        pod_recovery.resume(state, framework, executor, left, now_ms, step)
        return
    place = state.place(executor.container_id)
    assert place is not None
    container = executor.container
    found = left.containers.get(container.id)
    if executor.built_in and place.task is None:  # what could not be read of it is gone
        container.ending = container.ending or UNKNOWN
    if found is None:
        _not_found(state, place, left, now_ms, step)
        return
    is_new = take_up(state, container, found, now_ms, step)
    if found.exited is not None:
        if place.task is not None:
            resume_kill(state, place, left, now_ms)
        launches.container_exited(state, found.exited, now_ms, step)
    elif (
        container.ending is not None
        or framework.ending
        or container.phase is Phase.TERMINATING
        or (place.task is not None and place.task.state in TERMINAL_STATES)  # its exit was told
    ):
        step.then.append(DestroyContainer(container.id))
    elif is_new:
        return
    elif executor.kind is Kind.CUSTOM:
        executors.await_registration(state, executor, now_ms)
    else:
        supervise_again(state, place, left, now_ms, step)


def _not_found(state: State, place: Place, left: Leftovers, now_ms: int, step: Effects) -> None:
    container = place.container
    is_wanted = container.ending is None and not place.framework.ending
    if is_wanted and container.phase in NOT_LAUNCHED:
        begin_again(state, place, step)
        return
    if container.phase in (Phase.PROVISIONING, Phase.LAUNCHING, Phase.TERMINATING):
        # The launcher may have forked, and not be at the program yet: it tells of none such.
        step.then.append(DestroyContainer(container.id))
    container.ending = container.ending or ending_of_lost(state, place, left)
    lives.executor_ended(state, place.executor, lives.STATUS_UNKNOWN, now_ms, step)


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
