"""What an agent finds of the one before, and how a container and its task go on with that."""

from __future__ import annotations

from collections.abc import Mapping
from signal import SIGTERM

from msgspec import Struct, structs

from tepui.agent.core import launches, saved, starts, supervision
from tepui.agent.core.actions import AdoptContainer, SignalContainer
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import ContainerExited, ContainerStarted
from tepui.agent.core.kills import kill_until
from tepui.agent.core.reports import say
from tepui.agent.core.saved import Saved, SavedExecutor, SavedSupervision, SavedTask
from tepui.agent.core.state import NOT_LAUNCHED, NOT_STARTED, Container, Ending, Phase, Place, State
from tepui.wire import mesos

UNKNOWN = Ending(
    mesos.TaskState.TASK_FAILED,
    mesos.TaskStatus.Reason.REASON_EXECUTOR_TERMINATED,
    "Abnormal executor termination: unknown container",
)


class Found(Struct, frozen=True):
    """A container that the runtime has: it runs, or its exit was not taken note of."""

    pid: int
    exited: ContainerExited | None = None
    network_infos: tuple[mesos.NetworkInfo, ...] = ()  # where they are known


class Leftovers(Struct, frozen=True):
    """What an agent finds on its machine when it starts."""

    saved: Mapping[str, Saved] = {}  # by key
    containers: Mapping[str, Found] = {}  # by id
    sandboxes: tuple[tuple[str, int], ...] = ()  # directories, and when each was last changed
    docker_away: str = ""  # why Docker Engine cannot say what it has; '' when it did


def awaits_docker(objects: Mapping[str, Saved], default: mesos.ContainerInfo | None = None) -> bool:
    """Whether Docker Engine was given a container of which the end was not taken note of.

    `default` is what the containers of executors are that say nothing.
    """
    of_docker = {
        (one.framework_id, one.executor_id)
        for one in objects.values()
        if isinstance(one, SavedTask) and _is_docker(one.info.container)
    }
    return any(
        one.phase not in NOT_LAUNCHED
        and (
            _is_docker(one.info.container or default)
            or (one.framework_id, one.info.executor_id.value) in of_docker
        )
        for one in objects.values()
        if isinstance(one, SavedExecutor)
    )


def ending_of_lost(state: State, place: Place, left: Leftovers) -> Ending:
    """What ends a container that was not found."""
    if left.docker_away and _is_docker(starts.info_of(state, place)):
        text = f"What has become of the container is not known: {left.docker_away}"
        return structs.replace(UNKNOWN, message=text)
    return UNKNOWN


def _is_docker(info: mesos.ContainerInfo | None) -> bool:
    return info is not None and info.type is mesos.ContainerInfo.Type.DOCKER


def take_up(state: State, container: Container, found: Found, now_ms: int, step: Effects) -> bool:
    """The container that was found is ours again; return whether its start is news."""
    is_new = container.phase in NOT_STARTED
    if found.exited is None:
        step.then.append(AdoptContainer(container.id, container.limits, container.directory))
    if is_new:
        container.phase = Phase.LAUNCHING
        started = ContainerStarted(container.id, found.pid, found.network_infos)
        launches.container_started(state, started, now_ms, step)
    container.pid = found.pid
    return is_new


def begin_again(state: State, place: Place, step: Effects) -> None:
    """A container that was never launched is where it was, on its way to its start.

    What had been provisioned went with the agent, so that is done again.
    """
    if place.container.phase is Phase.PREPARING:
        starts.prepare(state, place, step)
    elif starts.needs_provisioning(state, place):
        starts.provision(state, place, step)


def supervise_again(
    state: State, place: Place, left: Leftovers, now_ms: int, step: Effects
) -> None:
    """The task runs on; a kill that was under way goes on, too."""
    framework, executor, task, container = place
    assert task is not None
    if resume_kill(state, place, left, now_ms):
        step.then.append(SignalContainer(container.id, SIGTERM))  # it may not have come
        return
    if not task.statuses:  # they could not be read
        say(state, framework, executor, task, mesos.TaskState.TASK_RUNNING, now_ms, step)
    supervision.supervise(state, framework, executor, task, now_ms, step)


def resume_kill(state: State, place: Place, left: Leftovers, now_ms: int) -> bool:
    """Whether the task was being killed."""
    task = place.task
    assert task is not None
    assert task.supervision is not None
    match _saved_of(place, left):
        case SavedSupervision(kill_since_ms=int() as since_ms, kill_until_ms=int() as until_ms):
            until_ms = max(now_ms, until_ms)
            task.supervision.kill = kill_until(state, place.framework, task, since_ms, until_ms)
            return True
    return False


def _saved_of(place: Place, left: Leftovers) -> SavedSupervision | None:
    task = place.task
    assert task is not None
    if task.container is None:
        found = left.saved[saved.key_of_executor(place.container.id)]
        assert isinstance(found, SavedExecutor)
        return found.command
    of_task = left.saved[saved.key_of_task(place.framework.id, task.id)]
    assert isinstance(of_task, SavedTask)
    return of_task.supervision
