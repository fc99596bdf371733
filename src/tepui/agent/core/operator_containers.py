"""Containers that operators launch: standalone, or within any other; and what is asked of all containers.

    LAUNCH ─▶ sandbox ─▶ provisioning ─▶ launch ─▶ it runs ─▶ exited, until REMOVE
       └────────────────── LAUNCH_NESTED_CONTAINER_SESSION ──▶ it runs ─▶ exited

A session shares sandbox, user and environment of the container around it, and ends with the client that
asked for it. The others outlive the agent. What is within another container ends with that, and nothing is
kept of it then. How they go on when something has happened is in operator_lives.py.

Source: Mesos slave/http.cpp, slave/validation.cpp, containerizer/mesos/containerizer.cpp; recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from signal import SIGKILL
from typing import Final

from msgspec import Struct

from tepui.agent.core import operator_lives as lives
from tepui.agent.core import starts
from tepui.agent.core.actions import (
    NO_LIMITS,
    AnswerContainer,
    DestroyContainer,
    FoundContainer,
    LaunchSession,
    Limits,
    PrepareSandbox,
    SignalContainer,
)
from tepui.agent.core.container_limits import gpus_of, limits_of_parts
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import PATH, own_variables, user_of
from tepui.agent.core.events import ContainerAsked, ContainerCalled
from tepui.agent.core.operator_lives import answer, flat
from tepui.agent.core.state import Container, OperatorContainer, Phase, State
from tepui.base.errors import Refused
from tepui.resources.validation import validate_resources
from tepui.wire import agent, mesos

CONTAINERS_MAX: Final = 1_000  # of operators, those that have exited with them
WAITS_MAX: Final = 100  # of one container; above, the oldest is told so
SIGNALS_MAX: Final = 64  # Linux: SIGRTMAX

RUNS: Final = (Phase.RUNNING, Phase.REGISTERING)

Type = agent.Call.Type


class _Around(Struct, frozen=True):
    """The container that another one is to live in."""

    container: Container
    user: str | None
    environment: Mapping[str, str]
    is_session: bool = False


class _Asked(Struct, frozen=True):
    """A launch, whichever call asked for it."""

    container_id: mesos.ContainerID
    command: mesos.CommandInfo
    info: mesos.ContainerInfo | None
    resources: tuple[mesos.Resource, ...] = ()
    limits: Mapping[str, mesos.Value.Scalar] = {}


def container_called(state: State, event: ContainerCalled, now_ms: int, step: Effects) -> None:
    """The call is carried out, or refused; its answer may come when something has happened."""
    call = event.call
    try:
        match call.type:
            case Type.LAUNCH_CONTAINER if call.launch_container is not None:
                part = call.launch_container
                if error := _launch_error(part):
                    raise _no(400, f"Failed to validate agent::Call: {error}")
                command = part.command or mesos.CommandInfo(shell=False)
                asked = _Asked(
                    part.container_id, command, part.container, part.resources, part.limits
                )
                _launch(state, event.request, asked, step)
            case Type.LAUNCH_NESTED_CONTAINER if call.launch_nested_container is not None:
                nested = call.launch_nested_container
                command = nested.command or mesos.CommandInfo(shell=False)
                asked = _Asked(nested.container_id, command, nested.container)
                _launch(state, event.request, asked, step)
            case Type.LAUNCH_NESTED_CONTAINER_SESSION if (
                call.launch_nested_container_session is not None
            ):
                session = call.launch_nested_container_session
                command = session.command or mesos.CommandInfo()
                asked = _Asked(session.container_id, command, session.container)
                _launch_session(state, event.request, asked, step)
            case _:
                _CALLS[call.type](state, event.request, call, step)
    except _Refusal as refusal:
        answer(step, event.request, refusal.status, refusal.text)


def container_asked(state: State, event: ContainerAsked, now_ms: int, step: Effects) -> None:
    """Whoever wants to reach into the container hears where it is."""
    found = _found(state, event.container_id)
    if found is None:
        answer(step, event.request, 404, f"Container {event.container_id} cannot be found")
    else:
        step.then.append(AnswerContainer(event.request, 200, "", found=found))


# Launching


def _launch(state: State, request: int, asked: _Asked, step: Effects) -> None:
    name = flat(asked.container_id)
    if _is_there(state, asked.container_id, name):
        answer(step, request, 202, "")
        return
    around = None
    if asked.container_id.parent is not None:
        around = _around(state, flat(asked.container_id.parent))
    _make_room(state, name, step)
    own = asked.container_id.value
    if around is None:
        directory = f"{state.settings.work_dir}/sandboxes/{own}/sandbox"
        virtual_path = f"/containers/{own}"
        user = None
    else:
        directory, virtual_path = f"{around.container.directory}/containers/{own}", ""
        user = around.user
    one = OperatorContainer(
        container=Container(name, directory, _limits(state, asked)),
        parent=None if around is None else around.container.id,
        command=asked.command,
        info=asked.info,
        environment={"PATH": PATH, "MESOS_SANDBOX": directory} | own_variables(asked.command),
        user=_user(state, asked.command, user),
        asked=request,
    )
    state.operator_containers[name] = one
    lives.changed(state, one)
    step.then.append(PrepareSandbox(name, directory, one.user, asked.command.uris, virtual_path))


def _launch_session(state: State, request: int, asked: _Asked, step: Effects) -> None:
    name = flat(asked.container_id)
    if _is_there(state, asked.container_id, name):
        answer(step, request, 202, "")
        return
    assert asked.container_id.parent is not None, "checked with the call"
    around = _around(state, flat(asked.container_id.parent))
    _make_room(state, name, step)
    one = OperatorContainer(
        container=Container(name, around.container.directory, NO_LIMITS, Phase.LAUNCHING),
        parent=around.container.id,
        command=asked.command,
        info=asked.info,
        environment={**around.environment, **own_variables(asked.command)},
        user=_user(state, asked.command, around.user),
        is_session=True,
        asked=request,
    )
    state.operator_containers[name] = one
    step.then.append(
        LaunchSession(
            name,
            around.container.id,
            one.container.directory,
            asked.command,
            asked.info,
            one.environment,
            one.user,
        )
    )


def _is_there(state: State, container_id: mesos.ContainerID, name: str) -> bool:
    """Whether there is such a container; of one without parent that has exited nothing is kept."""
    if state.stopping is not None:
        raise _no(503, "The agent is ending")
    one = state.operator_containers.get(name)
    if one is not None and one.exited is not None and container_id.parent is None:
        lives.forget(state, one)
        return False
    return one is not None or state.place(name) is not None


def _around(state: State, name: str) -> _Around:
    found = _place_around(state, name)
    if found is None:
        raise _no(400, f"Parent container {name} does not exist")
    if found.is_session:
        raise _no(400, f"Parent container {name} is a session, which can have none within it")
    phase = found.container.phase
    if phase not in RUNS or found.container.ending is not None:
        phase = Phase.TERMINATING if phase in RUNS else phase
        raise _no(400, f"Parent container {name} is in '{phase}' state")
    return found


def _place_around(state: State, name: str) -> _Around | None:
    one = state.operator_containers.get(name)
    if one is not None:
        is_gone = one.exited is not None
        return (
            None if is_gone else _Around(one.container, one.user, one.environment, one.is_session)
        )
    place = state.place(name)
    if place is None:
        return None
    command = starts.command_of(place)
    user = user_of(state, place.framework, command, place.executor.info.command)
    return _Around(place.container, user, starts.environment(state, place))


def _make_room(state: State, name: str, step: Effects) -> None:
    """There may be one more; of those that have exited the oldest is forgotten for it."""
    if len(state.operator_containers) < CONTAINERS_MAX:
        return
    exited = [one for one in state.operator_containers.values() if one.exited is not None]
    if not exited:
        raise _no(503, f"{CONTAINERS_MAX} containers of operators run")
    lives.remove(state, min(exited, key=lambda one: one.number), step)


def _user(state: State, command: mesos.CommandInfo, around: str | None) -> str | None:
    """Of the command, else of the container around it; None: the agent's own."""
    return (command.user or around) if state.settings.switch_user else None


def _limits(state: State, asked: _Asked) -> Limits:
    if asked.container_id.parent is not None and not asked.resources and not asked.limits:
        return NO_LIMITS
    cfs = state.settings.cgroups_enable_cfs
    return limits_of_parts([(asked.resources, asked.limits)], cfs=cfs)


def _launch_error(launch: agent.Call.LaunchContainer) -> str | None:
    """What is wrong with resources and limits."""
    try:
        validate_resources(launch.resources)
    except Refused as refused:
        return f"Invalid resources: {refused.text}"
    if gpus_of(launch.resources):
        return "'launch_container.resources' may not have gpus: only tasks are given GPUs"
    parent = launch.container_id.parent
    for one in launch.resources if parent is None else ():
        if one.reservations or one.reservation is not None or (one.role or "*") != "*":
            return "'launch_container.resources' must be unreserved"
        if one.disk is not None and one.disk.persistence is not None:
            return "'launch_container.resources' may not use persistent volumes"
        if one.revocable is not None:
            return "'launch_container.resources' must be non-revocable"
    if parent is not None and parent.parent is not None:
        rule = "'launch_container' is invalid: containers nested at the second level or greater"
        if launch.resources:
            return f"{rule} cannot specify resources"
        if launch.limits:
            return f"{rule} cannot specify resource limits"
        linux = None if launch.container is None else launch.container.linux_info
        if linux is not None and not linux.share_cgroups:
            return f"{rule} cannot set 'share_cgroups' to 'false'"
    return None


# Waiting, killing, removing


def _wait(state: State, request: int, call: agent.Call, step: Effects) -> None:
    is_old = call.wait_nested_container is not None and call.type is Type.WAIT_NESTED_CONTAINER
    part = call.wait_nested_container if is_old else call.wait_container
    assert part is not None, "checked with the call"
    name = flat(part.container_id)
    one = state.operator_containers.get(name)
    if one is not None and one.exited is not None:
        lives.answer_wait(step, request, one.exited, one.container, is_old=is_old)
        return
    if one is None and state.place(name) is None:
        raise _no(404, f"Container {name} cannot be found")
    waiting = state.waits.setdefault(name, [])
    waiting.append((request, is_old))
    if len(waiting) > WAITS_MAX:
        text = f"More than {WAITS_MAX} wait for container {name}"
        answer(step, waiting.pop(0)[0], 503, text)


def _kill(state: State, request: int, call: agent.Call, step: Effects) -> None:
    is_old = call.type is Type.KILL_NESTED_CONTAINER
    part = call.kill_nested_container if is_old else call.kill_container
    assert part is not None, "checked with the call"
    number = SIGKILL if part.signal is None else part.signal
    name = flat(part.container_id)
    one = state.operator_containers.get(name)
    place = None if one is not None else state.place(name)
    if (one is None or one.exited is not None) and place is None:
        raise _no(404, f"Container '{name}' cannot be found (or is already killed)")
    if not 0 < number <= SIGNALS_MAX:
        raise _no(400, f"there is no signal {number}: it must be from 1 to {SIGNALS_MAX}")
    container = one.container if one is not None else place and place.container
    if number != SIGKILL and container is not None and container.phase in RUNS:
        step.then.append(SignalContainer(name, number))
    elif one is not None:
        lives.destroy(state, one, step)
    else:
        step.then.append(DestroyContainer(name))
    answer(step, request, 200, "")


def _remove(state: State, request: int, call: agent.Call, step: Effects) -> None:
    is_old = call.type is Type.REMOVE_NESTED_CONTAINER
    part = call.remove_nested_container if is_old else call.remove_container
    assert part is not None, "checked with the call"
    one = state.operator_containers.get(flat(part.container_id))
    if one is None and state.place(flat(part.container_id)) is None:
        answer(step, request, 200, "")
    elif one is None or one.exited is None:
        nested = part.container_id.parent is not None
        raise _no(500, f"{'Nested container' if nested else 'Container'} has not terminated yet")
    else:
        lives.remove(state, one, step)
        answer(step, request, 200, "")


_CALLS: Final[Mapping[Type | None, Callable[[State, int, agent.Call, Effects], None]]] = {
    Type.WAIT_CONTAINER: _wait,
    Type.WAIT_NESTED_CONTAINER: _wait,
    Type.KILL_CONTAINER: _kill,
    Type.KILL_NESTED_CONTAINER: _kill,
    Type.REMOVE_CONTAINER: _remove,
    Type.REMOVE_NESTED_CONTAINER: _remove,
}
CALLS: Final = frozenset(
    {
        Type.LAUNCH_CONTAINER,
        Type.LAUNCH_NESTED_CONTAINER,
        Type.LAUNCH_NESTED_CONTAINER_SESSION,
        *(one for one in _CALLS if one is not None),
    }
)


# Finding


def _found(state: State, name: str) -> FoundContainer | None:
    one = state.operator_containers.get(name)
    if one is not None:
        return None if one.exited is not None else _described(one.container, one.info)
    place = state.place(name)
    return None if place is None else _described(place.container, starts.info_of(state, place))


def _described(container: Container, info: mesos.ContainerInfo | None) -> FoundContainer:
    return FoundContainer(
        container.id,
        container.directory,
        container.pid,
        has_terminal=info is not None and info.tty_info is not None,
        network_infos=container.network_infos,
    )


class _Refusal(Exception):
    """The call is answered with this, and nothing has changed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _no(status: int, text: str) -> _Refusal:
    return _Refusal(status, text)
