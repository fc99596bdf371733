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
    """Make the directory, owned by `user`, and fetch the URIs into it."""

    container_id: str
    directory: str
    user: str | None
    uris: tuple[mesos.CommandInfo.URI, ...]
    virtual_path: str  # by which /files also knows it


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


class Limits(Struct, frozen=True):
    """What a container may use. A None limit is none."""

    cpus_milli: int  # its share
    cpus_limit_milli: int | None  # it is throttled above
    mem_bytes: int  # its share
    mem_limit_bytes: int | None  # it is killed above
    disk_bytes: int


class LaunchContainer(Action, frozen=True):
    """Start the command in a container of its own."""

    container_id: str
    directory: str
    command: mesos.CommandInfo
    container: mesos.ContainerInfo | None
    environment: Mapping[str, str]
    user: str | None
    limits: Limits


class AdoptContainer(Action, frozen=True):
    """The container runs, started by an agent before; it is told of like any other."""

    container_id: str
    limits: Limits


class SignalContainer(Action, frozen=True):
    """Send the signal to every process of the container."""

    container_id: str
    signal: int


class DestroyContainer(Action, frozen=True):
    """Kill every process of the container, whatever state it is in."""

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
    """Run a command beside the task, in its sandbox and environment."""

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


class TcpProbe(Struct, frozen=True, tag=True):
    """Connect and close."""

    ip: str
    port: int


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


Reply: TypeAlias = AcceptExecutor | AnswerExecutor | AnswerClassic | AnswerOperator


class Note(Action, frozen=True):
    """An unusual fact for the log: a constant text, and fields."""

    text: str
    fields: tuple[tuple[str, str], ...]
