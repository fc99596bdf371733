"""What is said on the connections of a simulation, besides the messages of the link and of the API."""

from __future__ import annotations

from msgspec import Struct

from tepui.wire import scheduler


class Upgrade(Struct, frozen=True):
    """An agent asks for a link; Upgraded, or Elsewhere, is the answer."""


class Upgraded(Struct, frozen=True):
    """The link begins. The epoch is for bystanders: an agent does not look at it."""

    epoch: int


class Elsewhere(Struct, frozen=True):
    """This master does not lead: `leader` does, or nobody is known to."""

    leader: str | None


class Subscribe(Struct, frozen=True):
    """A scheduler sends SUBSCRIBE; Streaming, or Elsewhere, is the answer."""

    call: scheduler.Call


class Streaming(Struct, frozen=True):
    """Events follow. The number, greater with each stream, is for bystanders."""

    stream: str
    number: tuple[int, int]


class Ask(Struct, frozen=True):
    """A scheduler makes another call; Answered follows some time."""

    number: int
    stream: str
    call: scheduler.Call


class Answered(Struct, frozen=True):
    """The answer to the call of this number."""

    number: int
    status: int
