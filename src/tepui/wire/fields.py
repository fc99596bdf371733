"""What the fields of a message are: the annotations of its Struct, read once per class.

The tolerant JSON decoder and the protobuf codec are both built from this.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import NODEFAULT, Meta, Struct, structs

from tepui.wire.message import Duration, Int32, Int64, ProtoEnum, ProtoMessage, UInt32, UInt64


class Kind(Enum):
    """The protobuf type of a field, or of the values of a map."""

    BOOL = auto()
    INT32 = auto()
    UINT32 = auto()
    INT64 = auto()
    UINT64 = auto()
    DOUBLE = auto()
    STRING = auto()
    BYTES = auto()
    ENUM = auto()
    MESSAGE = auto()


class Label(Enum):
    """How often a field occurs. A MAP goes from strings to values of the field's `kind`."""

    REQUIRED = auto()
    OPTIONAL = auto()
    REPEATED = auto()
    MAP = auto()


class Field(Struct, frozen=True):
    """One field. `message` and `enum` are set for those kinds only.

    `default` makes the value of an absent field when the schema declares one.
    """

    name: str
    number: int
    kind: Kind
    label: Label
    message: type[ProtoMessage] | None = None
    enum: type[ProtoEnum] | None = None
    default: Callable[[], object] | None = None


def _bounds(annotated: object) -> tuple[object, object]:
    (meta,) = (m for m in get_args(annotated)[1:] if isinstance(m, Meta))
    return meta.ge, meta.le


_SCALARS = {bool: Kind.BOOL, float: Kind.DOUBLE, str: Kind.STRING, bytes: Kind.BYTES}
_INTEGERS = {
    _bounds(Int32): Kind.INT32,
    _bounds(UInt32): Kind.UINT32,
    _bounds(Int64): Kind.INT64,
    _bounds(UInt64): Kind.UINT64,
}


@cache
def fields(cls: type[ProtoMessage]) -> tuple[Field, ...]:
    """The fields of `cls`, in the order of their declaration."""
    return tuple(_field(info) for info in structs.fields(cls))


@cache
def is_recursive(cls: type[ProtoMessage]) -> bool:
    """Whether a `cls` can hold, at any depth, a message that can hold its own kind."""
    return any(part in _parts(part) for part in (cls, *_parts(cls)))


def parts(cls: type[ProtoMessage]) -> tuple[type[ProtoMessage], ...]:
    """Every kind of message a `cls` can hold, at any depth, each once."""
    return _parts(cls)


def full_name(cls: type[ProtoMessage] | type[ProtoEnum]) -> str:
    """The protobuf name: `mesos.v1.scheduler.Call.Accept`."""
    if cls is Duration:
        return "google.protobuf.Duration"
    module = cls.__module__.rpartition(".")[2]
    package = "mesos.v1" if module == "mesos" else f"mesos.v1.{module}"
    return f"{package}.{cls.__qualname__}"


@cache
def _parts(cls: type[ProtoMessage]) -> tuple[type[ProtoMessage], ...]:
    found: dict[type[ProtoMessage], None] = {}
    waiting = [cls]
    while waiting:
        for field in fields(waiting.pop()):
            if field.message is not None and field.message not in found:
                found[field.message] = None
                waiting.append(field.message)
    return tuple(found)


def _field(info: structs.FieldInfo) -> Field:
    annotation, number = _numbered(info.type)
    label = Label.OPTIONAL
    if get_origin(annotation) is tuple:
        label, annotation = Label.REPEATED, get_args(annotation)[0]
    elif get_origin(annotation) is dict:
        label, annotation = Label.MAP, get_args(annotation)[1]
    elif info.required:
        label = Label.REQUIRED
    else:
        annotation = _without_none(annotation)
    default = None
    if label is Label.OPTIONAL and info.default_factory is not NODEFAULT:
        default = info.default_factory
    bare = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    kind = _kind(annotation, bare)
    return Field(
        name=info.name,
        number=number,
        kind=kind,
        label=label,
        message=bare if kind is Kind.MESSAGE else None,
        enum=bare if kind is Kind.ENUM else None,
        default=default,
    )


def _numbered(annotation: Any) -> tuple[Any, int]:
    """The annotation without its field number, and the number."""
    assert get_origin(annotation) is Annotated, annotation
    inner, *marks = get_args(annotation)
    (number,) = (m for m in marks if isinstance(m, int))
    for mark in marks:
        if isinstance(mark, Meta):  # Annotated[Int32, 3] arrives flattened
            inner = Annotated[inner, mark]
    return inner, number


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    (some,) = (a for a in get_args(annotation) if a is not type(None))
    return some


def _kind(annotation: Any, bare: type) -> Kind:
    if bare is int:
        return _INTEGERS[_bounds(annotation)]
    if issubclass(bare, ProtoMessage):
        return Kind.MESSAGE
    if issubclass(bare, ProtoEnum):
        return Kind.ENUM
    return _SCALARS[bare]
