"""A container's way to its start, whatever runs in it: sandbox, provisioning, launch.

    PREPARING ─▶ PROVISIONING ─▶ (PROVISIONED) ─▶ LAUNCHING ─▶ it runs
                      │                               ▲
                      └── not without ContainerInfo ──┘

Until LAUNCHING nothing has run, so an agent that finds a container so at its start goes on with it
(recovery.py). A container of a pod waits until all of its task's group are as far (pods.py).
"""

from __future__ import annotations

from msgspec import structs

from tepui.agent.core import lives, saved
from tepui.agent.core.actions import LaunchContainer, PrepareSandbox, ProvisionContainer
from tepui.agent.core.container_limits import gpus_of, limits_of
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import (
    environment_in_pod,
    environment_of,
    task_link,
    user_of,
    virtual_path_of,
)
from tepui.agent.core.fitting import limits_now
from tepui.agent.core.state import Executor, Framework, Kind, Phase, Place, State
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

NO_COMMAND = mesos.CommandInfo()


def begin(state: State, framework: Framework, executor: Executor, step: Effects) -> None:
    """The sandbox of the executor's container is being made."""
    place = state.place(executor.container_id)
    assert place is not None
    prepare(state, place, step)


def queue(
    state: State,
    framework: Framework,
    executor: Executor | None,
    kind: Kind,
    message: link.RunTasks,
    now_ms: int,
    step: Effects,
) -> Executor | None:
    """The tasks wait for their executor: for the one that is returned, or a new one that has been begun."""
    assert message.executor is not None
    before = executor
    if executor is None:
        info = structs.replace(message.executor, framework_id=mesos.FrameworkID(framework.id))
        limits = limits_of(info.resources, message.tasks, cfs=state.settings.cgroups_enable_cfs)
        executor = lives.begin_executor(
            state, framework, info, kind, message.role, limits, now_ms, step
        )
    is_group = message.group or kind is Kind.POD
    group = tuple(info.task_id.value for info in message.tasks) if is_group else ()
    for task_info in message.tasks:
        task = lives.add_task(state, framework, executor, task_info, group)
        executor.queued.append(task.id)
    if before is None:
        begin(state, framework, executor, step)
    return before


def prepare(state: State, place: Place, step: Effects) -> None:
    """The container's sandbox is being made."""
    framework, executor, task, container = place
    command = command_of(place)
    uris = () if command is None else command.uris
    user = user_of(state, framework, command, executor.info.command)
    move(state, place, Phase.PREPARING)
    if task is not None and task.container is not None:
        path, link = "", task_link(executor, task.id)
    else:
        path, link = virtual_path_of(framework.id, executor.id), ""
    has_image = _has_image(info_of(state, place))
    step.then.append(
        PrepareSandbox(container.id, container.directory, user, uris, path, link, has_image)
    )


def needs_provisioning(state: State, place: Place) -> bool:
    """Whether it may need image, volumes or networks."""
    return info_of(state, place) is not None


def provision(state: State, place: Place, step: Effects) -> None:
    """What the container needs is being got."""
    framework, executor, _, container = place
    info = info_of(state, place)
    assert info is not None
    move(state, place, Phase.PROVISIONING)
    user = user_of(state, framework, command_of(place), executor.info.command)
    step.then.append(
        ProvisionContainer(container.id, container.directory, info, user, _parent(place))
    )


def launch(state: State, place: Place, step: Effects) -> None:
    """The container is being launched."""
    framework, executor, _, container = place
    if executor.kind is not Kind.COMMAND and container is executor.container:
        container.limits = limits_now(state, framework, executor)
    move(state, place, Phase.LAUNCHING)
    command = command_of(place)
    if command is None and not is_pod(place):
        command = NO_COMMAND
    step.then.append(
        LaunchContainer(
            container.id,
            container.directory,
            command,
            info_of(state, place),
            environment(state, place),
            user_of(state, framework, command, executor.info.command),
            container.limits,
            _parent(place),
            _gpus(place),
        )
    )


def move(state: State, place: Place, phase: Phase) -> None:
    """The container is so far."""
    place.container.phase = phase
    changed(state, place)


def changed(state: State, place: Place) -> None:
    """What is to be saved of the container, or of the task's supervision, is another."""
    if place.task is not None and place.task.container is not None:
        saved.task_changed(state, place.framework, place.task)
    else:
        saved.executor_changed(state, place.executor)


def environment(state: State, place: Place) -> dict[str, str]:
    """What its process finds; a pod has none."""
    framework, executor, task, container = place
    if is_pod(place):
        return {}
    command = command_of(place) or NO_COMMAND
    if task is not None and task.container is not None:
        return environment_in_pod(state, executor, container, command)
    return environment_of(state, framework, executor, command)


def is_pod(place: Place) -> bool:
    """Whether it is the container of a pod itself."""
    return place.executor.kind is Kind.POD and place.task is None


def has_uris(place: Place) -> bool:
    """Whether something was fetched into its sandbox."""
    command = command_of(place)
    return command is not None and bool(command.uris)


def command_of(place: Place) -> mesos.CommandInfo | None:
    """What runs in it; None: nothing does, or nothing was named."""
    if place.task is not None:
        return place.task.info.command
    return None if is_pod(place) else place.executor.info.command


def info_of(state: State, place: Place) -> mesos.ContainerInfo | None:
    """What its container is to be; None: a process.

    The agent's default is that of executors, so of command tasks and pods, too, but not of what is
    within a pod (Mesos: slave.cpp, __run). A pod has what its framework could have asked for.
    """
    _, executor, task, container = place
    own = (executor.info if task is None else task.info).container
    default = state.settings.default_container_info
    if own is not None or default is None or container is not executor.container:
        return own
    if executor.kind is not Kind.POD:
        return default
    if default.type is not mesos.ContainerInfo.Type.MESOS:
        return None
    return structs.replace(default, mesos=None)  # an image is of no use to what runs nothing


def _has_image(info: mesos.ContainerInfo | None) -> bool:
    if info is None:
        return False
    return info.docker is not None or (info.mesos is not None and info.mesos.image is not None)


def _gpus(place: Place) -> int:
    """The GPUs of its own: of a task, or of an executor and the tasks that wait for it.

    Differs from Mesos: an executor gets none for tasks that come later, nor loses any with its tasks. A
    pod's are those of its tasks.
    """
    framework, executor, task, _ = place
    if task is not None:
        return gpus_of(task.info.resources)
    if executor.kind is Kind.POD:
        return 0
    tasks = [framework.tasks[name] for name in executor.tasks]
    waiting = [one.info.resources for one in tasks if one.state not in TERMINAL_STATES]
    return gpus_of(executor.info.resources, *waiting)


def _parent(place: Place) -> str | None:
    return None if place.container is place.executor.container else place.executor.container_id
