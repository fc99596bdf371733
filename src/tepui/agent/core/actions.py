"""What the shell of an agent is told to do, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from tepui.wire import agent, executor, link, mesos


class Action(Struct, frozen=True, tag=True):
    """Base of the actions."""


class Record(Struct, frozen=True, tag=True):
    """Base of what is checkpointed: see saved.py."""


# The link


class SendToMaster(Action, frozen=True):
    """Put the message on the link."""

    message: link.FromAgent


class OpenLink(Action, frozen=True):
    """Connect again: all that was to be said on the link that is lost has been carried out."""


class CloseLink(Action, frozen=True):
    """Close the connection and open another."""

    reason: str


class AdoptId(Action, frozen=True):
    """The master has registered the agent over the link that is open, and this is its id."""

    agent_id: str


class EndAgent(Action, frozen=True):
    """End the daemon: no container is left."""

    message: str


# Sandboxes and containers


class PrepareSandbox(Action, frozen=True):
    """Make the directory, owned by `user`, and fetch the URIs into it.

    An agent may have begun with it before, and was killed: it may be there, with whatever is in it.
    """

    container_id: str
    directory: str
    user: str | None
    uris: tuple[mesos.CommandInfo.URI, ...]
    virtual_path: str  # by which /files also knows it; '': it lies within its executor's
    link: str = ""  # a symbolic link that is to lead to it, for people who know its task; '': none
    has_image: bool = False  # then the image may know a `user` whom the machine does not


class AttachSandbox(Action, frozen=True):
    """The directory was made by an agent before: /files knows it, also by `virtual_path`."""

    directory: str
    virtual_path: str


class AbandonSandbox(Action, frozen=True):
    """Stop fetching; nobody waits for it any more."""

    container_id: str


class RemoveSandbox(Action, frozen=True):
    """Remove the directory with all that is in it."""

    directory: str
    within: str = ""  # the sandbox of the outermost container around it, whose task may lay links


class Limits(Struct, frozen=True):
    """What a container may use. A None limit is none."""

    cpus_milli: int  # its share
    cpus_limit_milli: int | None  # it is throttled above
    mem_bytes: int  # its share
    mem_limit_bytes: int | None  # it is killed above
    disk_bytes: int


NO_LIMITS = Limits(0, None, 0, None, 0)  # of a container that shares those of its parent


class ProvisionContainer(Action, frozen=True):
    """Get what the container needs to be launched: image, volumes, networks. Nothing runs.

    ContainerProvisioned or LaunchFailed follows. An agent may have asked for it before, and was
    killed: nothing is left of that, or it is of use. Asked only of a container with `container`.
    """

    container_id: str
    directory: str
    container: mesos.ContainerInfo
    user: str | None
    parent: str | None = None


class LaunchContainer(Action, frozen=True):
    """Start the command in a container of its own, which was provisioned if it has `container`.

    ContainerStarted or LaunchFailed follows, and after the former ContainerExited at some time.
    """

    container_id: str  # of a nested one: its parent's, a dot, and its own name
    directory: str
    command: mesos.CommandInfo | None  # None: a pod's, without process, until it is destroyed
    container: mesos.ContainerInfo | None
    environment: Mapping[str, str]
    user: str | None
    limits: Limits
    parent: str | None = None  # a container that it lives in: a pod's, or a task's
    gpus: int = 0  # of its own, whole ones, for as long as it runs


class LaunchSession(Action, frozen=True):
    """Start the command in a container that runs: for the client that asks, and as long as it is there.

    ContainerStarted or LaunchFailed follows, and after the former ContainerExited at some time.
    """

    container_id: str
    parent: str
    directory: str
    command: mesos.CommandInfo
    container: mesos.ContainerInfo | None
    environment: Mapping[str, str]
    user: str | None


class AdoptContainer(Action, frozen=True):
    """The container runs, started by an agent before; it is told of like any other."""

    container_id: str
    limits: Limits
    directory: str


class SignalContainer(Action, frozen=True):
    """Send the signal to every process of the container."""

    container_id: str
    signal: int


class DestroyContainer(Action, frozen=True):
    """Kill every process of the container, whatever state it is in.

    One that is being provisioned, or was, is given up: LaunchFailed or ContainerExited follows.
    """

    container_id: str


class UpdateContainer(Action, frozen=True):
    """Give the container other limits."""

    container_id: str
    limits: Limits


class ForgetContainer(Action, frozen=True):
    """The container has exited and all of it is known."""

    container_id: str


# Checks


class CommandProbe(Struct, frozen=True, tag=True):
    """Run a command in the task's container, in its sandbox and environment."""

    container_id: str  # of the probe itself
    beside: str  # the task's container
    directory: str
    command: mesos.CommandInfo
    container: mesos.ContainerInfo | None
    environment: Mapping[str, str]
    user: str | None
    limits: Limits


class HttpProbe(Struct, frozen=True, tag=True):
    """Ask for a page."""

    url: str
    beside: str | None = None  # the container from whose network it is asked; None: the agent's


class TcpProbe(Struct, frozen=True, tag=True):
    """Connect and close."""

    ip: str
    port: int
    beside: str | None = None  # as of HttpProbe


Probe = CommandProbe | HttpProbe | TcpProbe


class RunCheck(Action, frozen=True):
    """Probe; answer with CheckFinished, after `timeout_ms` at the latest."""

    check_id: int
    probe: Probe
    timeout_ms: int


class AbandonCheck(Action, frozen=True):
    """Nobody waits for the check any more."""

    check_id: int


# Executors


class AcceptExecutor(Action, frozen=True):
    """Answer the SUBSCRIBE with a stream; events follow."""

    connection: int


class SendToExecutor(Action, frozen=True):
    """Put the event on the stream."""

    connection: int
    event: executor.Event


class CloseExecutor(Action, frozen=True):
    """End the stream."""

    connection: int


class AnswerExecutor(Action, frozen=True):
    """Answer a call, or refuse a SUBSCRIBE: a status, and a sentence unless it is 202."""

    request: int
    status: int
    text: str


# Views

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class AnswerClassic(Action, frozen=True):
    """The JSON of a classic endpoint; the shell adds what it alone knows."""

    request: int
    body: Json


class AnswerOperator(Action, frozen=True):
    """The response of the operator API."""

    request: int
    response: agent.Response


class FoundContainer(Struct, frozen=True):
    """Where a container is that somebody wants to reach into."""

    container_id: str
    directory: str
    pid: int | None  # None: it does not run yet; 0: it has no process of its own
    has_terminal: bool
    network_infos: tuple[mesos.NetworkInfo, ...] = ()  # on networks of its own


class AnswerContainer(Action, frozen=True):
    """Answer a call about a container: a status, with a sentence, a response or where it is."""

    request: int
    status: int
    text: str
    response: agent.Response | None = None
    found: FoundContainer | None = None


Reply: TypeAlias = (
    AcceptExecutor | AnswerExecutor | AnswerClassic | AnswerOperator | AnswerContainer
)


class Note(Action, frozen=True):
    """An unusual fact for the log: a constant text, and fields."""

    text: str
    fields: tuple[tuple[str, str], ...]
