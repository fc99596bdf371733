"""What every message of the Mesos v1 API is made of.

A message is a frozen msgspec Struct. The annotation of each field carries its protobuf number,
so JSON and protobuf come from one declaration:

    class TaskID(ProtoMessage, frozen=True):
        value: Annotated[str, 1]

- required in protobuf: no default; optional: `T | None = None`; repeated: a tuple;
- optional with a default in the schema: `default(value)`. Such a field is always written, as
  Mesos writes it; an absent optional and an empty list are left out;
- enums are members of a `ProtoEnum`: their value is the name, `number` is the wire number.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, TypeVar

from msgspec import Meta, Struct, field

T = TypeVar("T")

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
UInt64 = Annotated[int, Meta(ge=0)]  # msgspec takes no bound above 2**63; the codecs check this one


class ProtoMessage(Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of all messages; see the module.

    They are frozen, so none can hold itself: the garbage collector need not look at the millions
    that a master keeps, and each is 16 bytes smaller.
    """


class ProtoEnum(StrEnum):
    """An enum of the API: JSON writes the name, protobuf the `number`."""

    number: int

    def __new__(cls, name: str, number: int) -> ProtoEnum:
        member = str.__new__(cls, name)
        member._value_ = name
        member.number = number
        return member


def default(value: T) -> T:
    """A field that is written even when it holds its default."""
    return field(default_factory=lambda: value)


def default_of(make: Callable[[], T]) -> T:
    """The same, for a default that is declared further down: an enum of another message."""
    return field(default_factory=make)


class Duration(ProtoMessage, frozen=True, kw_only=True):
    """`google.protobuf.Duration`."""

    seconds: Annotated[Int64, 1] = default(0)
    nanos: Annotated[Int32, 2] = default(0)
