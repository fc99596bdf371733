"""What can happen to an agent. Timers of the core hold the events of the last section."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from tepui.wire import agent, executor, link, mesos


class Event(Struct, frozen=True, tag=True):
    """Base of the events."""


# The link to the master


class LinkOpened(Event, frozen=True):
    """The greeting is done; the agent may register."""

    protocol: int = link.PROTOCOL  # that both sides speak


class LinkLost(Event, frozen=True):
    """The connection to the master is gone."""


class MasterSpoke(Event, frozen=True):
    """A message came over the link."""

    message: link.FromMaster


# Sandboxes and containers


class DiskMeasured(Event, frozen=True):
    """So much of the disk of the work_dir may be used, and so much of that is free."""

    capacity_bytes: int
    free_bytes: int


class SandboxStage(StrEnum):
    """Which part of preparing a sandbox failed."""

    DIRECTORY = "DIRECTORY"
    FETCH = "FETCH"


class SandboxPrepared(Event, frozen=True):
    """The directory exists and holds what the URIs name."""

    container_id: str


class SandboxFailed(Event, frozen=True):
    """The directory could not be made, or a URI not be fetched."""

    container_id: str
    stage: SandboxStage
    message: str


class ContainerProvisioned(Event, frozen=True):
    """The container has what it needs to be launched: image, volumes, networks."""

    container_id: str


class ContainerStarted(Event, frozen=True):
    """The container's first process runs; a pod's container has none, and `pid` is 0."""

    container_id: str
    pid: int
    network_infos: tuple[mesos.NetworkInfo, ...] = ()  # with its addresses, on networks of its own


class ContainerProgressed(Event, frozen=True):
    """How far the provisioning of a container is, in words; told now and then."""

    container_id: str
    message: str


class LaunchFailed(Event, frozen=True):
    """The container never ran."""

    container_id: str
    message: str


class ContainerExited(Event, frozen=True):
    """All processes of the container are gone. `status` is the raw wait status of the first."""

    container_id: str
    status: int
    memory_exceeded: str | None = None  # the sentence, when it was killed for its memory
    text: str = ""  # what else is to be known, e.g. what has ended it


class DiskExceeded(Event, frozen=True):
    """The container, or what is within it, holds more on disk than it may: it is to end."""

    container_id: str
    message: str


# Checks


class CommandExited(Struct, frozen=True, tag=True):
    """A check's command ended with this raw wait status."""

    status: int


class HttpAnswered(Struct, frozen=True, tag=True):
    """A check's request was answered."""

    status_code: int


class TcpTried(Struct, frozen=True, tag=True):
    """A check's connection was made or refused."""

    succeeded: bool


class CheckFailed(Struct, frozen=True, tag=True):
    """The check itself did not come to a result: it timed out, or could not be started."""

    message: str


Outcome = CommandExited | HttpAnswered | TcpTried | CheckFailed


class CheckFinished(Event, frozen=True):
    """A check that was asked for has come to an end."""

    check_id: int
    outcome: Outcome


# Executors


class ExecutorSubscribed(Event, frozen=True):
    """A valid SUBSCRIBE came; `connection` is the stream that waits for the answer."""

    connection: int
    call: executor.Call


class ExecutorCalled(Event, frozen=True):
    """Another call came; `request` waits for the answer."""

    request: int
    call: executor.Call


class ExecutorLeft(Event, frozen=True):
    """The stream of an executor is closed."""

    connection: int


# Views


class Classic(StrEnum):
    """The endpoints that answer with JSON of their own."""

    STATE = "STATE"
    CONTAINERS = "CONTAINERS"
    STATISTICS = "STATISTICS"
    METRICS = "METRICS"


class ClassicAsked(Event, frozen=True):
    """Somebody wants to see a classic endpoint."""

    request: int
    view: Classic
    usage: Mapping[str, mesos.ResourceStatistics]  # by container, where the view shows it
    system: Mapping[str, float]  # metrics of the machine, where the view shows it
    show_nested: bool = False  # containers within others, too
    show_standalone: bool = False  # those of operators without a parent, too


class OperatorCalled(Event, frozen=True):
    """A call of the operator API that the state can answer."""

    request: int
    call: agent.Call.Type
    usage: Mapping[str, mesos.ResourceStatistics]
    system: Mapping[str, float]
    show_nested: bool = False  # containers within others, too
    show_standalone: bool = False  # those of operators without a parent, too


class ContainerCalled(Event, frozen=True):
    """A call of the operator API that launches, awaits, kills or removes a container."""

    request: int
    call: agent.Call


class ContainerAsked(Event, frozen=True):
    """Somebody wants to reach into a container."""

    request: int
    container_id: str


class SessionLeft(Event, frozen=True):
    """The client of a session has gone, or heard its end."""

    container_id: str


class StopAsked(Event, frozen=True):
    """Whoever runs the agent wants it to end, and all of its tasks with it."""


# Timers


class ResendDue(Event, frozen=True):
    """An update was not acknowledged in time."""

    framework_id: str
    task_id: str


class PingsMissed(Event, frozen=True):
    """The master has been silent for too long."""


class RegistrationOverdue(Event, frozen=True):
    """The master has not answered the registration in time."""


class KillGraceEnded(Event, frozen=True):
    """A task that the agent runs itself had its time to end by itself."""

    framework_id: str
    task_id: str


class CompletionTimeReached(Event, frozen=True):
    """A task that the agent runs itself has run as long as it may."""

    framework_id: str
    task_id: str


class CheckDue(Event, frozen=True):
    """It is time for the next check of a task that the agent runs itself."""

    framework_id: str
    task_id: str
    health: bool  # the health check, or the check


class RegistrationExpired(Event, frozen=True):
    """An executor did not subscribe by `due_ms`."""

    container_id: str
    due_ms: int


class ShutdownGraceEnded(Event, frozen=True):
    """An executor had its time to shut down."""

    container_id: str


class HeartbeatDue(Event, frozen=True):
    """An executor's stream wants a sign of life."""

    container_id: str


class LingerEnded(Event, frozen=True):
    """A finished command was visible for long enough."""

    framework_id: str
    container_id: str


class SandboxExpired(Event, frozen=True):
    """A sandbox is old enough to be removed."""

    directory: str


class StopExpired(Event, frozen=True):
    """Containers had their time to end before the agent does."""


FROM_PEERS = (
    ExecutorSubscribed,
    ExecutorCalled,
    ClassicAsked,
    OperatorCalled,
    ContainerCalled,
    ContainerAsked,
)  # peers can send any number of these; too many are refused
