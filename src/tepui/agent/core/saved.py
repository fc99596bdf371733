"""What of an agent outlives its process, as it is written: one small object for each thing.

    agent                                    SavedAgent
    frameworks/<framework>                   SavedFramework
    executors/<container>                    SavedExecutor
    tasks/<framework>/<task>                 SavedTask
    updates/<framework>/<task>/<number>      SavedUpdate
    containers/<container>                   SavedOperatorContainer

Only frameworks that ask for it (`FrameworkInfo.checkpoint`) are saved, with all that is theirs.
Handlers say what has changed (`framework_changed` and so on); at the end of each step `collect`
turns that into records. What is over is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from msgspec import Struct, structs

from tepui.agent.core.actions import Limits, Record
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import ContainerExited
from tepui.agent.core.state import (
    Container,
    Ending,
    Executor,
    Framework,
    Kind,
    OperatorContainer,
    Phase,
    State,
    Supervision,
    Task,
)
from tepui.wire import mesos

FORMAT = 1  # of what is saved; another one is not read

AGENT = "agent"


class SavedAgent(Struct, frozen=True, tag="agent"):
    """Who the agent is; without it nothing else that is saved counts."""

    info: mesos.AgentInfo
    boot_id: str  # of the machine that it was on
    format: int = FORMAT
    master_epoch: int = 0  # the greatest that it has seen


class SavedFramework(Struct, frozen=True, tag="framework"):
    """A framework that has something here."""

    info: mesos.FrameworkInfo
    ending: bool


class SavedSupervision(Struct, frozen=True):
    """How far the supervision of a task is."""

    started_ms: int | None
    kill_since_ms: int | None
    kill_until_ms: int | None
    overdue: bool
    unhealthy: bool


class SavedExecutor(Struct, frozen=True, tag="executor"):
    """An executor whose container is not gone."""

    framework_id: str
    info: mesos.ExecutorInfo
    role: str
    container_id: str
    directory: str
    limits: Limits
    phase: Phase
    ever_sent: bool
    ending: Ending | None
    command: SavedSupervision | None  # of a command task
    kind: Kind | None = None  # None: as `command` says
    network_infos: tuple[mesos.NetworkInfo, ...] = ()


class SavedContainer(Struct, frozen=True):
    """The container of a task of a pod."""

    id: str
    directory: str
    limits: Limits
    phase: Phase
    network_infos: tuple[mesos.NetworkInfo, ...]
    ending: Ending | None


class SavedTask(Struct, frozen=True, tag="task"):
    """A task whose end is not acknowledged; how far it is, its updates say."""

    framework_id: str
    executor_id: str
    info: mesos.TaskInfo
    number: int = 0  # tasks come back in the order in which they came
    group: tuple[str, ...] = ()
    container: SavedContainer | None = None  # of a task of a pod, once that is there
    supervision: SavedSupervision | None = None  # of the same


class SavedOperatorContainer(Struct, frozen=True, tag="operator_container"):
    """A container of an operator, until it is removed; a session is none of these."""

    container: SavedContainer
    parent: str | None
    command: mesos.CommandInfo
    info: mesos.ContainerInfo | None
    environment: dict[str, str]
    user: str | None
    exited: ContainerExited | None
    number: int


class SavedUpdate(Struct, frozen=True, tag="update"):
    """One update of a task.

    The last one that was acknowledged is kept for its state; of those before it the uuid is kept,
    for an executor may send them again.
    """

    framework_id: str
    task_id: str
    number: int
    uuid: bytes
    status: mesos.TaskStatus | None
    acknowledged: bool


Saved = (
    SavedAgent | SavedFramework | SavedExecutor | SavedTask | SavedUpdate | SavedOperatorContainer
)


class Save(Record, frozen=True):
    """The object at `key` is this from now on; None: there is none."""

    key: str
    saved: Saved | None


# What has changed


def agent_changed(state: State) -> None:
    """The agent has an id, or has seen another epoch."""
    state.unsaved[AGENT] = _agent_form(state)


def agent_removed(state: State) -> None:
    """The master knows the agent no more: the next one to start here is a new one."""
    state.unsaved[AGENT] = None


def framework_changed(state: State, framework: Framework) -> None:
    """It has come, is another, or has gone."""
    if framework.info.checkpoint:
        state.unsaved[key_of_framework(framework.id)] = framework


def executor_changed(state: State, executor: Executor) -> None:
    """It has begun, is further, or its container is gone."""
    if state.frameworks[executor.framework_id].info.checkpoint:
        state.unsaved[key_of_executor(executor.container_id)] = executor


def operator_container_changed(state: State, one: OperatorContainer) -> None:
    """It has begun, is further, or is removed."""
    state.unsaved[key_of_container(one.container.id)] = one


def task_added(state: State, framework: Framework, task: Task) -> None:
    """The task is here."""
    if framework.info.checkpoint:
        state.unsaved[key_of_task(framework.id, task.id)] = _task_form(framework, task)


def task_changed(state: State, framework: Framework, task: Task) -> None:
    """Its container has begun, is further, or is gone."""
    task_added(state, framework, task)


def task_removed(state: State, framework: Framework, task: Task) -> None:
    """The task is over; its updates were dropped."""
    if framework.info.checkpoint:
        state.unsaved[key_of_task(framework.id, task.id)] = None


def update_added(state: State, framework: Framework, task: Task) -> None:
    """The last of the pending updates is new."""
    if framework.info.checkpoint:
        _save_update(state, framework, task, task.updates_begun - 1, task.pending[-1])


def update_acknowledged(
    state: State, framework: Framework, task: Task, status: mesos.TaskStatus
) -> None:
    """This was the first of the pending updates, and is none any more."""
    before = task.last_acknowledged
    number = task.updates_begun - len(task.pending) - 1
    task.last_acknowledged = (number, structs.replace(status, data=None))
    if framework.info.checkpoint:
        _save_update(state, framework, task, *task.last_acknowledged, acknowledged=True)
        if before is not None:
            _bare_update(state, framework, task, *before)


def update_forgotten(state: State, framework: Framework, task: Task, number: int) -> None:
    """Its executor will not send it again."""
    is_last = task.last_acknowledged is not None and task.last_acknowledged[0] == number
    is_pending = number >= task.updates_begun - len(task.pending)
    if not is_last and not is_pending:
        _remove_update(state, framework, task, number)


def updates_dropped(state: State, framework: Framework, task: Task) -> None:
    """Nobody wants to know any of them; the pending ones are taken away next."""
    for number in sorted(task.saved_updates):
        _remove_update(state, framework, task, number)
    task.last_acknowledged = None
    task.taken.clear()


def collect(state: State, step: Effects) -> None:
    """Called at the end of each step: what has changed is to be saved.

    A store may die after any of the records. So what is new comes first, and a task is removed
    before its updates: one without its end would be ended again. And what a pod has done with is
    saved after the update that says how it ended.
    """
    if not state.unsaved:
        return
    gone: list[str] = []
    closed: list[Save] = []
    for key, what in state.unsaved.items():
        form = _form(state, what)
        if form is None:
            gone.append(key)
        elif isinstance(form, SavedTask) and _is_closed(form):
            closed.append(Save(key, form))
        else:
            step.save.append(Save(key, form))
    step.save.extend(closed)
    step.save.extend(Save(key, None) for key in sorted(gone))
    state.unsaved.clear()


def whole(state: State) -> dict[str, Saved]:
    """All that is to be saved of this state: what all that was collected comes to."""
    forms: dict[str, Saved] = {}
    if state.info.id is not None and state.stopping is None:
        forms[AGENT] = _agent_form(state)
    for framework in state.frameworks.values():
        if not framework.info.checkpoint:
            continue
        forms[key_of_framework(framework.id)] = _framework_form(framework)
        for executor in framework.executors.values():
            if executor.container_id in state.containers:
                key = key_of_executor(executor.container_id)
                forms[key] = _executor_form(framework, executor)
        for task in framework.tasks.values():
            forms[key_of_task(framework.id, task.id)] = _task_form(framework, task)
            for update in _updates(framework, task):
                forms[key_of_update(framework.id, task.id, update.number)] = update
    for one in state.operator_containers.values():
        if not one.is_session:
            forms[key_of_container(one.container.id)] = _operator_container_form(one)
    return forms


# Keys


def key_of_container(container_id: str) -> str:
    return f"containers/{container_id}"


def key_of_framework(framework_id: str) -> str:
    return f"frameworks/{_name(framework_id)}"


def key_of_executor(container_id: str) -> str:
    return f"executors/{container_id}"


def key_of_task(framework_id: str, task_id: str) -> str:
    return f"tasks/{_name(framework_id)}/{_name(task_id)}"


def key_of_update(framework_id: str, task_id: str, number: int) -> str:
    return f"updates/{_name(framework_id)}/{_name(task_id)}/{number}"


def _name(given: str) -> str:
    """An id as one name of a key."""
    return quote(given, safe=" ")


# Forms


def _form(state: State, what: object) -> Saved | None:
    match what:
        case Framework():
            is_here = state.frameworks.get(what.id) is what
            return _framework_form(what) if is_here else None
        case Executor():
            if what.container_id not in state.containers:
                return None
            return _executor_form(state.frameworks[what.framework_id], what)
        case OperatorContainer():
            is_known = state.operator_containers.get(what.container.id) is what
            return _operator_container_form(what) if is_known else None
        case None | SavedAgent() | SavedFramework() | SavedExecutor() | SavedTask() | SavedUpdate():
            return what
        case SavedOperatorContainer():
            return what
    raise AssertionError(what)


def _agent_form(state: State) -> SavedAgent:
    return SavedAgent(state.info, state.settings.boot_id, master_epoch=state.master_epoch)


def _framework_form(framework: Framework) -> SavedFramework:
    return SavedFramework(framework.info, framework.ending)


def _executor_form(framework: Framework, executor: Executor) -> SavedExecutor:
    container = executor.container
    only = framework.tasks.get(executor.id) if executor.kind is Kind.COMMAND else None
    return SavedExecutor(
        framework_id=executor.framework_id,
        info=executor.info,
        role=executor.role,
        container_id=container.id,
        directory=container.directory,
        limits=container.limits,
        phase=container.phase,
        ever_sent=executor.ever_sent,
        ending=container.ending,
        command=None if only is None else _supervision_form(only.supervision),
        kind=executor.kind,
        network_infos=container.network_infos,
    )


def _supervision_form(supervision: Supervision | None) -> SavedSupervision | None:
    if supervision is None:
        return None
    kill = supervision.kill
    return SavedSupervision(
        started_ms=supervision.started_ms,
        kill_since_ms=None if kill is None else kill.since_ms,
        kill_until_ms=None if kill is None else kill.until_ms,
        overdue=supervision.overdue,
        unhealthy=supervision.unhealthy,
    )


def _operator_container_form(one: OperatorContainer) -> SavedOperatorContainer:
    container = _container_form(one.container)
    assert container is not None
    return SavedOperatorContainer(
        container=container,
        parent=one.parent,
        command=one.command,
        info=one.info,
        environment=one.environment,
        user=one.user,
        exited=one.exited,
        number=one.number,
    )


def _container_form(container: Container | None) -> SavedContainer | None:
    if container is None:
        return None
    return SavedContainer(
        id=container.id,
        directory=container.directory,
        limits=container.limits,
        phase=container.phase,
        network_infos=container.network_infos,
        ending=container.ending,
    )


def _task_form(framework: Framework, task: Task) -> SavedTask:
    is_in_pod = task.container is not None
    return SavedTask(
        framework_id=framework.id,
        executor_id=task.executor_id,
        info=task.info,
        number=task.number,
        group=task.group,
        container=_container_form(task.container),
        supervision=_supervision_form(task.supervision) if is_in_pod else None,
    )


def _is_closed(task: SavedTask) -> bool:
    return task.container is not None and task.container.phase is Phase.TERMINATED


def _updates(framework: Framework, task: Task) -> Iterator[SavedUpdate]:
    first = task.updates_begun - len(task.pending)
    for number, status in enumerate(task.pending, first):
        yield _update_form(framework, task, number, status, acknowledged=False)
    last = task.last_acknowledged
    if last is not None:
        yield _update_form(framework, task, *last, acknowledged=True)
    for uuid, number in task.taken.items():
        if 0 <= number < first and (last is None or number != last[0]):
            yield SavedUpdate(framework.id, task.id, number, uuid, None, acknowledged=True)


def _update_form(
    framework: Framework,
    task: Task,
    number: int,
    status: mesos.TaskStatus,
    *,
    acknowledged: bool,
) -> SavedUpdate:
    assert status.uuid is not None  # `report` gives one to each
    return SavedUpdate(
        framework.id, task.id, number, status.uuid, status, acknowledged=acknowledged
    )


# Updates


def _save_update(
    state: State,
    framework: Framework,
    task: Task,
    number: int,
    status: mesos.TaskStatus,
    *,
    acknowledged: bool = False,
) -> None:
    task.saved_updates.add(number)
    form = _update_form(framework, task, number, status, acknowledged=acknowledged)
    state.unsaved[key_of_update(framework.id, task.id, number)] = form


def _bare_update(
    state: State, framework: Framework, task: Task, number: int, status: mesos.TaskStatus
) -> None:
    """Its status is of no interest any more, but its executor may send it again."""
    assert status.uuid is not None
    if task.taken.get(status.uuid) != number:
        _remove_update(state, framework, task, number)
        return
    form = SavedUpdate(framework.id, task.id, number, status.uuid, None, acknowledged=True)
    state.unsaved[key_of_update(framework.id, task.id, number)] = form


def _remove_update(state: State, framework: Framework, task: Task, number: int) -> None:
    if number in task.saved_updates:
        task.saved_updates.discard(number)
        state.unsaved[key_of_update(framework.id, task.id, number)] = None
