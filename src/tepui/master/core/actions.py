"""What a master's shell must do. Names are imperative; records are what must be durable first."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from tepui.base.effects import Step
from tepui.base.names import Role, StreamId
from tepui.master.core.events import LinkId, RequestId
from tepui.wire import mesos
from tepui.wire.link import FromMaster
from tepui.wire.message import ProtoMessage


class Answer(Struct, frozen=True):
    """Answer a request with a status and a text, empty for 202."""

    request: RequestId
    status: int
    text: str = ""


class AnswerBody(Struct, frozen=True):
    """Answer a request with 200 and a body of this type."""

    request: RequestId
    body: bytes
    content_type: str


class AnswerFromSnapshot(Struct, frozen=True):
    """Answer a request with 200 and what `views.reading.render` writes, from a snapshot.

    Making the answer here would stall everybody else. The shell puts SnapshotDue when it could
    take a snapshot, and one may answer all that wait.
    """

    request: RequestId
    question: Struct
    content_type: str


class TakeSnapshot(Struct, frozen=True):
    """Take a snapshot of the state now, when nothing that was decided is not yet durable.

    What comes behind it in a step is about what changes later.
    """


class SendEvent(Struct, frozen=True):
    """Send a record on a stream, in the form that its reader accepts."""

    stream: StreamId
    event: ProtoMessage


class EndStream(Struct, frozen=True):
    """End a stream properly, after what was sent."""

    stream: StreamId


class SendToAgent(Struct, frozen=True):
    """Send a message on an agent's link."""

    link: LinkId
    message: FromMaster


class CloseLink(Struct, frozen=True):
    """Close an agent's connection, after what was sent."""

    link: LinkId


class Note(Struct, frozen=True):
    """Log an unusual fact: a constant text and fields."""

    text: str
    fields: tuple[tuple[str, str], ...] = ()


Action: TypeAlias = (
    Answer
    | AnswerBody
    | AnswerFromSnapshot
    | TakeSnapshot
    | SendEvent
    | EndStream
    | SendToAgent
    | CloseLink
    | Note
)


class AgentAdmitted(Struct, frozen=True, tag=True):
    """The registry knows the agent from now on, as this."""

    info: mesos.AgentInfo
    deactivated: bool = False  # by the operator: no offers


class AgentUnreachable(Struct, frozen=True, tag=True):
    """The agent is marked unreachable."""

    info: mesos.AgentInfo
    since_ms: int
    deactivated: bool = False


class AgentRemoved(Struct, frozen=True, tag=True):
    """The registry does not know the agent any more."""

    agent_id: str


class AgentGone(Struct, frozen=True, tag=True):
    """The operator has said that the agent will never come back."""

    info: mesos.AgentInfo
    since_ms: int


class WeightSet(Struct, frozen=True, tag=True):
    """The role has this weight from now on."""

    role: Role
    weight: float


class EpochBegan(Struct, frozen=True, tag=True):
    """A master leads in this epoch, which is greater than all before."""

    epoch: int


Record: TypeAlias = (
    AgentAdmitted | AgentUnreachable | AgentRemoved | AgentGone | WeightSet | EpochBegan
)

Effects: TypeAlias = Step[Record, Action]
