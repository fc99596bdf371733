"""How the containers of operators go on: what has happened to them, and to those around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from tepui.agent.core import saved
from tepui.agent.core.actions import (
    AbandonSandbox,
    AdoptContainer,
    AnswerContainer,
    AttachSandbox,
    DestroyContainer,
    ForgetContainer,
    LaunchContainer,
    ProvisionContainer,
    RemoveSandbox,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import (
    ContainerExited,
    ContainerProgressed,
    ContainerProvisioned,
    ContainerStarted,
    LaunchFailed,
    SandboxFailed,
    SandboxPrepared,
    SandboxStage,
    SessionLeft,
)
from tepui.agent.core.lives import TERMINATED, out_of_memory
from tepui.agent.core.state import NOT_LAUNCHED, Container, Ending, OperatorContainer, Phase, State
from tepui.wire import agent, mesos

STATUS_FAILED: Final = 1 << 8  # exit(1), as a raw wait status
NOTHING_TO_RUN: Final = Ending(
    mesos.TaskState.TASK_FAILED,
    mesos.TaskStatus.Reason.REASON_CONTAINER_LAUNCH_FAILED,
    "the command names nothing to run",
)


def flat(container_id: mesos.ContainerID) -> str:
    """The id of a container as runtimes and actions have it."""
    own = container_id.value
    return own if container_id.parent is None else f"{flat(container_id.parent)}.{own}"


# What has happened; called for containers of operators only


def sandbox_prepared(state: State, event: SandboxPrepared, now_ms: int, step: Effects) -> None:
    """What the container needs is being got, or it is being launched."""
    one = state.operator_containers[event.container_id]
    if one.info is None:
        if has_program(one.command) or one.parent is None:
            _launch(state, one, step)
        else:
            _end_at_once(state, one, now_ms, step)
        return
    _move(state, one, Phase.PROVISIONING)
    container = one.container
    step.then.append(
        ProvisionContainer(container.id, container.directory, one.info, one.user, one.parent)
    )


def sandbox_failed(state: State, event: SandboxFailed, now_ms: int, step: Effects) -> None:
    """There is no such container."""
    one = state.operator_containers[event.container_id]
    is_directory = event.stage is SandboxStage.DIRECTORY
    _failed(state, one, 500 if is_directory else 400, event.message, step)


def container_provisioned(
    state: State, event: ContainerProvisioned, now_ms: int, step: Effects
) -> None:
    """It is being launched."""
    one = state.operator_containers[event.container_id]
    if one.container.ending is None:
        _launch(state, one, step)


def container_progressed(
    state: State, event: ContainerProgressed, now_ms: int, step: Effects
) -> None:
    """Nobody is told: whoever asked for the container waits for its start."""


def container_started(state: State, event: ContainerStarted, now_ms: int, step: Effects) -> None:
    """Whoever asked for it is answered."""
    one = state.operator_containers[event.container_id]
    one.container.pid, one.container.network_infos = event.pid, event.network_infos
    _move(state, one, Phase.RUNNING)
    _answer_launch(one, 200, "", step)


def launch_failed(state: State, event: LaunchFailed, now_ms: int, step: Effects) -> None:
    """There is no such container. It is for whoever asked to know why: mostly it was asked wrongly."""
    _failed(state, state.operator_containers[event.container_id], 400, event.message, step)


def container_exited(state: State, event: ContainerExited, now_ms: int, step: Effects) -> None:
    """Its end is kept until it is removed; of one whose container around it is gone, nothing is."""
    one = state.operator_containers[event.container_id]
    one.exited = event
    one.number = state.operator_exits
    state.operator_exits += 1
    _move(state, one, Phase.TERMINATED)
    _answer_launch(one, 200, "", step)
    if not one.is_session:
        step.then.append(ForgetContainer(one.container.id))
    if state.stopping is not None and one.parent is None:
        remove(state, one, step)
    elif one.is_orphan:
        forget(state, one)


def session_left(state: State, event: SessionLeft, now_ms: int, step: Effects) -> None:
    """The client of a session has gone: its container is to end."""
    one = state.operator_containers.get(event.container_id)
    if one is not None and one.exited is None:
        destroy(state, one, step)


def any_exited(state: State, event: ContainerExited, step: Effects) -> None:
    """Called when any container has exited, before anything else: who waits for it is answered."""
    waiting = state.waits.pop(event.container_id, ())
    container = _container_of(state, event.container_id)
    for request, is_old in waiting:
        answer_wait(step, request, event, container, is_old=is_old)


def any_gone(state: State, container_id: str, step: Effects) -> None:
    """Called when any container may be gone: what is within it ends with it."""
    if container_id in state.operator_containers:
        is_gone = state.operator_containers[container_id].exited is not None
    else:
        is_gone = state.place(container_id) is None
    if not is_gone:
        return
    prefix = container_id + "."
    for name, one in tuple(state.operator_containers.items()):
        if name.startswith(prefix):
            one.is_orphan = True
            if one.exited is not None:
                forget(state, one)
            elif one.container.ending is None:
                destroy(state, one, step)


# What is done with them


def destroy(state: State, one: OperatorContainer, step: Effects) -> None:
    """The container is to end, however far it is."""
    one.container.ending = one.container.ending or TERMINATED
    if one.container.phase is Phase.PREPARING:
        step.then.append(AbandonSandbox(one.container.id))
        _failed(state, one, 400, "the container was killed before it was launched", step)
    else:
        changed(state, one)
        step.then.append(DestroyContainer(one.container.id))


def remove(state: State, one: OperatorContainer, step: Effects) -> None:
    """Nothing is kept of one that has exited, nor of those that were within it."""
    prefix = one.container.id + "."
    for name, other in tuple(state.operator_containers.items()):
        if name.startswith(prefix):
            forget(state, other)
    if not one.is_session:
        step.then.append(_removal(one))
    forget(state, one)


def forget(state: State, one: OperatorContainer) -> None:
    """The core does not know it any more; its sandbox is another matter."""
    del state.operator_containers[one.container.id]
    changed(state, one)


def changed(state: State, one: OperatorContainer) -> None:
    """What is to be saved of it is another."""
    if not one.is_session:
        saved.operator_container_changed(state, one)


def stop(state: State, step: Effects) -> None:
    """The agent ends: so do all of them."""
    for one in tuple(state.operator_containers.values()):
        if one.container.id not in state.operator_containers:
            continue  # it went with one around it
        if one.exited is None:
            destroy(state, one, step)
        elif one.parent is None:
            remove(state, one, step)


def any_lives(state: State) -> bool:
    """Whether some have not exited."""
    return any(one.exited is None for one in state.operator_containers.values())


class InRuntime(Protocol):
    """A container that the runtime has: it runs, or its exit was not taken note of."""

    @property
    def pid(self) -> int: ...

    @property
    def exited(self) -> ContainerExited | None: ...


def resume(state: State, there: Mapping[str, InRuntime], now_ms: int, step: Effects) -> None:
    """Called once, with those that were saved in the state: what the runtime has is taken up again."""
    for name, one in sorted(state.operator_containers.items()):
        if name not in state.operator_containers:
            continue
        virtual_path = f"/containers/{name}"
        if one.parent is None:
            step.then.append(AttachSandbox(one.container.directory, virtual_path))
        if one.exited is not None:
            continue
        if name not in there:  # it never ran, or is gone with the machine or the launcher
            step.then.append(DestroyContainer(name))
            _failed(state, one, 400, "the agent was restarted", step)
            continue
        found = there[name]
        one.container.pid = found.pid
        one.container.phase = Phase.RUNNING
        if found.exited is None:
            step.then.append(AdoptContainer(name, one.container.limits, one.container.directory))
            if one.container.ending is not None:
                step.then.append(DestroyContainer(name))
        else:
            container_exited(state, found.exited, now_ms, step)
    for name, one in tuple(state.operator_containers.items()):
        if one.parent is not None and name in state.operator_containers:
            any_gone(state, one.parent, step)


# Answers


def answer(step: Effects, request: int, status: int, text: str) -> None:
    """The call has this answer."""
    step.then.append(AnswerContainer(request, status, text))


def has_program(command: mesos.CommandInfo) -> bool:
    """Whether the command says what to run, where there is no image that does."""
    return bool(command.value or (command.arguments and not command.shell))


def answer_wait(
    step: Effects,
    request: int,
    exited: ContainerExited,
    container: Container | None,
    *,
    is_old: bool,
) -> None:
    """WAIT_CONTAINER, or WAIT_NESTED_CONTAINER, is answered with how it ended."""
    message = exited.memory_exceeded
    state = reason = limitation = None
    ending = None if container is None else container.ending
    if ending is not None and (ending.limitation is not None or ending == NOTHING_TO_RUN):
        message = ending.message
    elif message is not None and container is not None:
        ending = out_of_memory(container.limits, message)
    if message is not None and ending is not None:
        state, reason, limitation = ending.state, ending.reason, ending.limitation
    if is_old:
        old = agent.Response.WaitNestedContainer(
            exit_status=exited.status,
            state=state,
            reason=reason,
            limitation=limitation,
            message=message,
        )
        kind = agent.Response.Type.WAIT_NESTED_CONTAINER
        response = agent.Response(type=kind, wait_nested_container=old)
    else:
        new = agent.Response.WaitContainer(
            exit_status=exited.status,
            state=state,
            reason=reason,
            limitation=limitation,
            message=message,
        )
        response = agent.Response(type=agent.Response.Type.WAIT_CONTAINER, wait_container=new)
    step.then.append(AnswerContainer(request, 200, "", response=response))


def _answer_launch(one: OperatorContainer, status: int, text: str, step: Effects) -> None:
    if one.asked is not None:
        answer(step, one.asked, status, text)
        one.asked = None


def _container_of(state: State, container_id: str) -> Container | None:
    one = state.operator_containers.get(container_id)
    if one is not None:
        return one.container
    place = state.place(container_id)
    return None if place is None else place.container


def _move(state: State, one: OperatorContainer, phase: Phase) -> None:
    one.container.phase = phase
    changed(state, one)


def _launch(state: State, one: OperatorContainer, step: Effects) -> None:
    _move(state, one, Phase.LAUNCHING)
    container = one.container
    step.then.append(
        LaunchContainer(
            container.id,
            container.directory,
            one.command,
            one.info,
            one.environment,
            one.user,
            container.limits,
            one.parent,
        )
    )


def _end_at_once(state: State, one: OperatorContainer, now_ms: int, step: Effects) -> None:
    """As nested ones do in Mesos, whose launcher finds in them that there is nothing to run."""
    name = one.container.id
    one.container.ending = NOTHING_TO_RUN
    event = ContainerExited(name, STATUS_FAILED)
    any_exited(state, event, step)
    container_exited(state, event, now_ms, step)


def _failed(state: State, one: OperatorContainer, status: int, text: str, step: Effects) -> None:
    """It was launched never, and nothing is kept of it."""
    _answer_launch(one, status, text, step)
    name = one.container.id
    for request, _ in state.waits.pop(name, ()):
        answer(step, request, 404, f"Container {name} cannot be found")
    if one.container.phase not in NOT_LAUNCHED and not one.is_session:
        step.then.append(ForgetContainer(name))
    if not one.is_session:
        step.then.append(_removal(one))
    forget(state, one)


def _removal(one: OperatorContainer) -> RemoveSandbox:
    """Of its sandbox; that of the outermost container around it lies two names up for each level."""
    directory = one.container.directory
    depth = one.container.id.count(".")
    within = directory.rsplit("/", 2 * depth)[0] if depth else ""
    return RemoveSandbox(directory, within)
