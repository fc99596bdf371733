"""The link between master and agent: one connection from the agent, both ways.

Each message is a msgpack array of its tag and fields, behind its length (4 bytes, big endian).
The first message each way is `Hello`, which both send at once; then both speak the newest protocol
that both know. Without one the connection is closed, and both say so.

What is new in a protocol: fields are appended, with defaults, for a reader leaves out those that it
does not know; and messages, which are sent only to who speaks their protocol. All else stays as it is.

    1   what is not named below
    2   Registered.epoch, Condition
    3   Return, RunTasks.launches_executor

Order and loss: a connection delivers in order or breaks. What was sent on a broken connection
may or may not have arrived. An agent that connects again first says all it has (`Return`), and
the master compares; so nothing else needs a number or a retry, but status updates, which
the agent sends again until they are acknowledged (Mesos: docs/reconciliation.md).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

import tepui
from tepui.wire import mesos
from tepui.wire.errors import Malformed
from tepui.wire.link_tasks import Alike, ReportedTask, reported
from tepui.wire.message import Int32, Int64

Decoded = TypeVar("Decoded")

PROTOCOL: Final = 3  # the newest that we speak
PROTOCOL_OLDEST: Final = 1
PROTOCOL_OF_CONDITION: Final = 2
PROTOCOL_OF_RETURN: Final = 3
SAID_CHARS_MAX: Final = 200  # of what a peer says of itself, in a line of the log
MESSAGE_BYTES_MAX: Final = 256 * 1024 * 1024  # a re-registration carries all tasks of an agent


class LinkMessage(Struct, frozen=True, tag=True, array_like=True):
    """Base of what travels on the link."""


class Hello(LinkMessage, frozen=True):
    """The greeting of both sides: the link's protocols that they speak and the software's version.

    The oldest comes first, for peers of protocol 1 know no newest and close unless it is 1.
    """

    oldest: Int32
    version: str
    newest: Int32 = 0  # 0: the oldest


# From the agent


class Register(LinkMessage, frozen=True):
    """An agent without an id asks for one."""

    info: mesos.AgentInfo
    version: str
    address: str  # host:port of the agent's own HTTP server


class RunningExecutor(Struct, frozen=True, array_like=True):
    """An executor that an agent has."""

    framework_id: str
    info: mesos.ExecutorInfo


class Reregister(LinkMessage, frozen=True):
    """What `Return` says, to masters that do not know that."""

    info: mesos.AgentInfo  # its `id` is set
    version: str
    address: str
    frameworks: tuple[mesos.FrameworkInfo, ...]
    executors: tuple[RunningExecutor, ...]
    tasks: tuple[mesos.Task, ...]


class Return(LinkMessage, frozen=True):
    """An agent that has an id says all that runs on it."""

    info: mesos.AgentInfo  # its `id` is set
    version: str
    address: str
    frameworks: tuple[mesos.FrameworkInfo, ...]
    executors: tuple[RunningExecutor, ...]
    alike: tuple[Alike, ...]
    tasks: tuple[ReportedTask, ...]


class StatusUpdated(LinkMessage, frozen=True):
    """A task's status; sent again until `AcknowledgeUpdate` names its uuid."""

    framework_id: str
    status: mesos.TaskStatus  # agent_id, timestamp, source and uuid are set
    latest_state: mesos.TaskState  # what the task is by now; terminal frees its resources


class ExecutorMessage(LinkMessage, frozen=True):
    """An executor has bytes for its scheduler; may be lost."""

    framework_id: str
    executor_id: str
    data: bytes


class ExecutorExited(LinkMessage, frozen=True):
    """The executor is gone; its resources are free. `status` is the raw wait status."""

    framework_id: str
    executor_id: str
    status: Int32
    built_in: bool  # the executor of a command task: schedulers are not told


class Pong(LinkMessage, frozen=True):
    """The answer to a Ping."""

    sequence: Int64


class Unregister(LinkMessage, frozen=True):
    """The agent ends, and all of its tasks with it."""


class Condition(LinkMessage, frozen=True):
    """Whether the agent takes tasks; one that has just registered does until it says otherwise."""

    accepts_tasks: bool
    reason: str  # why not, for logs


FromAgent = (
    Hello
    | Register
    | Reregister
    | Return
    | StatusUpdated
    | ExecutorMessage
    | ExecutorExited
    | Pong
    | Unregister
    | Condition
)


# From the master


class Registered(LinkMessage, frozen=True):
    """The agent is admitted, or back, under this id."""

    agent_id: str
    ping_timeout_ms: Int64  # without a ping for this long, the agent connects anew
    epoch: Int64 = 0  # in which the master leads; 0: it does not say


class RunTasks(LinkMessage, frozen=True):
    """Launch one task, or a task group on one executor."""

    framework: mesos.FrameworkInfo  # its `id` is set
    executor: mesos.ExecutorInfo | None  # None: a command task
    tasks: tuple[mesos.TaskInfo, ...]
    group: bool
    role: str  # the role that the resources are allocated to
    # Whether the master counts the executor from this message on; if not, one that is gone has not
    # been told yet, and none is begun. None: the master does not say.
    launches_executor: bool | None = None


class KillTask(LinkMessage, frozen=True):
    """Kill the task, with this policy before the task's own."""

    framework_id: str
    task_id: str
    kill_policy: mesos.KillPolicy | None


class ShutdownExecutor(LinkMessage, frozen=True):
    """Ask the executor to end, then end it."""

    framework_id: str
    executor_id: str


class SchedulerMessage(LinkMessage, frozen=True):
    """A scheduler has bytes for its executor; may be lost."""

    framework_id: str
    executor_id: str
    data: bytes


class AcknowledgeUpdate(LinkMessage, frozen=True):
    """The scheduler has this update; the next one may come."""

    framework_id: str
    task_id: str
    uuid: bytes


class UpdateFramework(LinkMessage, frozen=True):
    """The framework's info has changed."""

    framework: mesos.FrameworkInfo


class ShutdownFramework(LinkMessage, frozen=True):
    """The framework is gone: end its executors and forget it."""

    framework_id: str


class Ping(LinkMessage, frozen=True):
    """Are you there?"""

    sequence: Int64


class Shutdown(LinkMessage, frozen=True):
    """The master does not want this agent: end all tasks, then yourself."""

    message: str


FromMaster = (
    Hello
    | Registered
    | RunTasks
    | KillTask
    | ShutdownExecutor
    | SchedulerMessage
    | AcknowledgeUpdate
    | UpdateFramework
    | ShutdownFramework
    | Ping
    | Shutdown
)

_ENCODER = msgspec.msgpack.Encoder()
_FROM_AGENT: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_FROM_MASTER: msgspec.msgpack.Decoder[FromMaster] = msgspec.msgpack.Decoder(FromMaster)
_LENGTH = struct.Struct(">I")


def hello() -> Hello:
    """Our greeting."""
    return Hello(PROTOCOL_OLDEST, tepui.__version__, PROTOCOL)


def common_protocol(theirs: Hello) -> int | None:
    """The newest that both speak; None: there is none, see `no_common_protocol`."""
    newest = min(max(theirs.oldest, theirs.newest), PROTOCOL)
    return newest if newest >= max(theirs.oldest, PROTOCOL_OLDEST) else None


def no_common_protocol(theirs: Hello, they: str, we: str) -> str:
    """Who speaks what, for both sides' logs."""
    return (
        f"the {they}, version {theirs.version[:SAID_CHARS_MAX]!r}, speaks link protocol"
        f" {_range(theirs.oldest, max(theirs.oldest, theirs.newest))},"
        f" this {we}, version '{tepui.__version__}', {_range(PROTOCOL_OLDEST, PROTOCOL)}"
    )


def _range(oldest: int, newest: int) -> str:
    return str(oldest) if oldest == newest else f"{oldest} to {newest}"


def in_short(message: Reregister) -> Return:
    """The same with what tasks have alike said once."""
    alike, tasks = reported(message.tasks)
    return Return(
        info=message.info,
        version=message.version,
        address=message.address,
        frameworks=message.frameworks,
        executors=message.executors,
        alike=alike,
        tasks=tasks,
    )


def frame(message: LinkMessage) -> bytes:
    """The message as it travels."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class LinkReader:
    """Puts messages together from the bytes of a connection.

    What is good before a fault is read whether or not it came in the same piece; so what a peer has
    said does not depend on how the network cut it. After Malformed a reader is of no use.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = _LENGTH.size  # so many bytes must be there before there is anything to do

    @property
    def held_bytes(self) -> int:
        """What has come of messages that are not whole, or not taken yet."""
        return len(self._buffer)

    def from_agent(self, data: bytes) -> Iterator[FromAgent]:
        """The messages that `data` completes. Raises Malformed: close the connection."""
        return self._messages(_FROM_AGENT, data)

    def from_master(self, data: bytes) -> Iterator[FromMaster]:
        """The messages that `data` completes. Raises Malformed: close the connection."""
        return self._messages(_FROM_MASTER, data)

    def _messages(
        self, decoder: msgspec.msgpack.Decoder[Decoded], data: bytes
    ) -> Iterator[Decoded]:
        buffer = self._buffer
        buffer += data
        at = 0
        while len(buffer) - at >= self._wanted:
            (length,) = _LENGTH.unpack_from(buffer, at)
            if length > MESSAGE_BYTES_MAX:
                raise Malformed(f"a message of {length} bytes; at most {MESSAGE_BYTES_MAX}")
            end = at + _LENGTH.size + length
            if end > len(buffer):
                self._wanted = _LENGTH.size + length
                break
            with memoryview(buffer) as whole, whole[at + _LENGTH.size : end] as body:
                message = self._decode(decoder, body)
            yield message
            at = end
            self._wanted = _LENGTH.size
        del buffer[:at]

    @staticmethod
    def _decode(decoder: msgspec.msgpack.Decoder[Decoded], body: memoryview) -> Decoded:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Malformed(f"a message that is not of the link: {error}") from error
