"""What a scheduler's session hears of (events) and has done (actions)."""

from __future__ import annotations

from msgspec import Struct

from tepui.wire import mesos, scheduler


class Begun(Struct, frozen=True):
    """The client was started."""


class Elected(Struct, frozen=True):
    """Another master leads, or the same again, as ZooKeeper tells."""

    leader: str


class NobodyLeads(Struct, frozen=True):
    """ZooKeeper tells of no leader."""

    cause: str


class LeaderUnknown(Struct, frozen=True):
    """ZooKeeper can't be reached: the leader that it told last may lead still."""

    cause: str


class Opened(Struct, frozen=True):
    """SUBSCRIBE was answered with 200: the stream has begun, its events follow."""


class Answered(Struct, frozen=True):
    """SUBSCRIBE was answered with another status than 200."""

    status: int
    text: str
    location: str | None = None


class Broken(Struct, frozen=True):
    """There is no connection: it could not be made, was cut, or fell silent."""

    cause: str


class Received(Struct, frozen=True):
    """The master sent an event on the stream."""

    event: scheduler.Event


class Handled(Struct, frozen=True):
    """The user's code has dealt with the event; with `acknowledge` its update may be forgotten."""

    event: scheduler.Event
    acknowledge: bool


class Unhandled(Struct, frozen=True):
    """The user's code has not dealt with the event: when its update comes again, it counts."""

    event: scheduler.Event


class Acknowledged(Struct, frozen=True):
    """The user's code has acknowledged the update itself."""

    event: scheduler.Event


class Launching(Struct, frozen=True):
    """A call that launches these tasks is about to be sent."""

    tasks: tuple[mesos.TaskInfo, ...]


class LaunchRefused(Struct, frozen=True):
    """The master did not take the call: these tasks do not run."""

    tasks: tuple[mesos.TaskInfo, ...]


class InfoChanged(Struct, frozen=True):
    """The master has taken new framework info: later subscriptions carry it."""

    subscribe: scheduler.Call.Subscribe


class AnswerOverdue(Struct, frozen=True):
    """The master that was asked has begun no answer in the time it had."""


class RetryDue(Struct, frozen=True):
    """It is time to subscribe again."""


class TimeOver(Struct, frozen=True):
    """The time in which a subscription must succeed has passed."""


class ReconcileDue(Struct, frozen=True):
    """It is time to ask again for the tasks that nothing was heard of."""


Leadership = Elected | NobodyLeads | LeaderUnknown  # what ZooKeeper has to say

Event = (
    Begun
    | Elected
    | NobodyLeads
    | LeaderUnknown
    | Opened
    | Answered
    | Broken
    | Received
    | Handled
    | Unhandled
    | Acknowledged
    | Launching
    | LaunchRefused
    | InfoChanged
    | AnswerOverdue
    | RetryDue
    | TimeOver
    | ReconcileDue
)


class Subscribe(Struct, frozen=True):
    """Open a stream at `master` with this call."""

    master: str
    call: scheduler.Call


class Leave(Struct, frozen=True):
    """Give up the stream, or the attempt to open one, without telling of it; also DropCalls."""


class DropCalls(Struct, frozen=True):
    """Have the calls under way fail as disconnected: nobody answers them."""


class Deliver(Struct, frozen=True):
    """Give the event to the user's code, after those that wait."""

    event: scheduler.Event


class ForgetOffers(Struct, frozen=True):
    """Drop the offers (and rescinds) that wait: they are void."""


class Send(Struct, frozen=True):
    """Send the call; should it fail, nothing needs to be done about it."""

    call: scheduler.Call


class EndRefused(Struct, frozen=True):
    """End the client: the master refuses the subscription."""

    status: int
    text: str


class EndFramework(Struct, frozen=True):
    """End the client: the framework is no more."""

    text: str


class EndUnreachable(Struct, frozen=True):
    """End the client: no master took the first subscription in time."""

    text: str


Action = (
    Subscribe
    | Leave
    | DropCalls
    | Deliver
    | ForgetOffers
    | Send
    | EndRefused
    | EndFramework
    | EndUnreachable
)
