"""What a core answers: what must be durable, then what must happen.

The one order of the whole system is written here: everything in `save` is durable before
anything in `then` leaves the process. A shell whose save fails ends its process.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Record = TypeVar("Record")
Action = TypeVar("Action")


class Step(Generic[Record, Action]):
    """The effects of one or more events, in order.

    A core's handlers append to the step they are given; a shell reads it. Steps of a batch are
    one `Step`, so that a hundred events share one write and one flush of each socket.
    """

    __slots__ = ("save", "then")

    def __init__(self) -> None:
        self.save: list[Record] = []
        self.then: list[Action] = []

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return False
        return self.save == other.save and self.then == other.then

    __hash__ = None  # type: ignore[assignment]  # it changes while handlers append

    def __repr__(self) -> str:
        return f"Step(save={self.save!r}, then={self.then!r})"
