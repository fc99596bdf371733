"""What can happen to a master. Names are past; timers hold events too."""

from __future__ import annotations

from typing import NewType, TypeAlias

from msgspec import Struct

from tepui.base.names import AgentId, FrameworkId, OfferId, StreamId, TaskId
from tepui.wire import master, scheduler
from tepui.wire.link import FromAgent
from tepui.wire.media import Media

LinkId = NewType("LinkId", int)  # one connection of an agent
RequestId = NewType("RequestId", int)  # an HTTP request that waits for its Answer


class SubscribeReceived(Struct, frozen=True):
    """A scheduler sent SUBSCRIBE; `stream` is the answer that it now reads.

    Whoever puts this event has checked the call's own form (`validation.call_error`).
    """

    stream: StreamId
    call: scheduler.Call
    principal: str | None = None


class CallReceived(Struct, frozen=True):
    """A scheduler sent another call, with the stream id of its header."""

    request: RequestId
    call: scheduler.Call
    stream: StreamId | None
    principal: str | None = None


class StreamClosed(Struct, frozen=True):
    """The scheduler that read a stream has left."""

    stream: StreamId


class OperatorCallReceived(Struct, frozen=True):
    """An operator sent a call of the v1 operator API other than SUBSCRIBE."""

    request: RequestId
    call: master.Call
    principal: str | None = None
    accepted: Media = Media.JSON  # how the answer shall be encoded


class OperatorSubscribed(Struct, frozen=True):
    """An operator wants to read events; `stream` begins once the request is answered with 200."""

    request: RequestId
    stream: StreamId
    principal: str | None = None
    accepted: Media = Media.JSON  # how the events shall be encoded


class OperatorLeft(Struct, frozen=True):
    """An operator reads events no longer."""

    stream: StreamId


class TeardownAsked(Struct, frozen=True):
    """An operator wants a framework gone."""

    request: RequestId
    framework_id: FrameworkId


class KillAsked(Struct, frozen=True):
    """An operator wants a task killed."""

    request: RequestId
    framework_id: FrameworkId
    task_id: TaskId


class Asked(Struct, frozen=True):
    """A reader wants to know; `question` is one of `core.views.questions`."""

    request: RequestId
    question: Struct


class SnapshotDue(Struct, frozen=True):
    """Somebody waits for a snapshot, and one can be taken."""


class LinkOpened(Struct, frozen=True):
    """An agent has connected; it says next who it is."""

    link: LinkId
    ip: str


class LinkReceived(Struct, frozen=True):
    """An agent sent this."""

    link: LinkId
    message: FromAgent


class LinkClosed(Struct, frozen=True):
    """An agent's connection is gone."""

    link: LinkId


# Timers


class HeartbeatDue(Struct, frozen=True):
    """A stream has been told nothing for a while."""

    stream: StreamId


class FailoverTimeoutPassed(Struct, frozen=True):
    """A framework has not come back in time."""

    framework_id: FrameworkId


class OfferTimedOut(Struct, frozen=True):
    """A framework has kept an offer too long."""

    offer_id: OfferId


class RegistrationDue(Struct, frozen=True):
    """Whoever opened the link has not registered in time."""

    link: LinkId


class PingDue(Struct, frozen=True):
    """An agent is to be pinged, or has missed the last ping."""

    agent_id: AgentId


class RecoveryDue(Struct, frozen=True):
    """Agents that were admitted before this master began to lead had their time to come back."""


class RegistryCollectionDue(Struct, frozen=True):
    """It is time to forget who is away for too long."""


class CallsTurnCame(Struct, frozen=True):
    """A call has waited long enough for the rate limit of its principal."""

    queue: str
    call: CallReceived


class AllocationDue(Struct, frozen=True):
    """Agents have resources that may be offered."""


FROM_PEERS = (
    SubscribeReceived,
    CallReceived,
    OperatorCallReceived,
    OperatorSubscribed,
    TeardownAsked,
    KillAsked,
    Asked,
    LinkReceived,
)  # peers can send any number of these; too many are refused

Event: TypeAlias = (
    SubscribeReceived
    | CallReceived
    | StreamClosed
    | OperatorCallReceived
    | OperatorSubscribed
    | OperatorLeft
    | TeardownAsked
    | KillAsked
    | Asked
    | SnapshotDue
    | LinkOpened
    | LinkReceived
    | LinkClosed
    | HeartbeatDue
    | FailoverTimeoutPassed
    | OfferTimedOut
    | RegistrationDue
    | PingDue
    | RecoveryDue
    | RegistryCollectionDue
    | CallsTurnCame
    | AllocationDue
)

# Answers that may take milliseconds. An operator's leaving is among them because it must not
# overtake the subscription.
READS = frozenset((Asked, OperatorCallReceived, OperatorSubscribed, OperatorLeft))


def slow_lane(event: Event) -> str | None:
    """Where an event waits that only asks; a RECONCILE may ask of all tasks of a framework."""
    kind = type(event)
    if kind is CallReceived:
        is_slow = event.call.type is scheduler.Call.Type.RECONCILE  # type: ignore[union-attr]  # kind
        return "reconciliations" if is_slow else None
    return "reads" if kind in READS else None
