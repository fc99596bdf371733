"""Google's protobuf runtime with the real schema, and random messages for both sides.

The descriptors are built from `tests/data/mesos-v1-wire.json` alone, so that they share nothing
with the codecs under test.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from functools import cache
from math import inf
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tepui.wire import (
    agent,
    allocator,
    executor,
    maintenance,
    master,
    mesos,
    quota,
    resource_provider,
    scheduler,
)
from tepui.wire.fields import Field, Kind, Label, fields, full_name, parts
from tepui.wire.message import Duration, ProtoEnum, ProtoMessage

FACTS = json.loads((Path(__file__).parents[1] / "data" / "mesos-v1-wire.json").read_text())
MODULES: tuple[types.ModuleType, ...] = (
    mesos,
    scheduler,
    executor,
    agent,
    master,
    quota,
    maintenance,
    allocator,
    resource_provider,
)
T = TypeVar("T")
UNWRITTEN = {"mesos.v1.Resource.role", "mesos.v1.FrameworkInfo.role"}  # deprecated defaults
DEPTH_MAX = 6  # of random messages
STRINGS = ("", "a", "null NaN Infinity", 'café / ∑ 😀 "\\ \x00\x7f\u2028', "00000000000000000000")
BYTES = (b"", b"\x00", b"\xff\xfe\xfd", bytes(range(256)))
DOUBLES = (0.0, 0.1, -1.5, 1e300, 5e-324, 2.0**53, inf, -inf)
INTEGERS = {
    Kind.INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    Kind.UINT32: (0, 1, 2**32 - 1),
    Kind.INT64: (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)),
    Kind.UINT64: (0, 1, 2**63, 2**64 - 1),
}


@cache
def structs() -> dict[str, type[ProtoMessage]]:
    """Every declared message by its full name."""
    return {full_name(cls): cls for cls in _declared(ProtoMessage)}


@cache
def enums() -> dict[str, type[ProtoEnum]]:
    """Every declared enum by its full name."""
    return {full_name(cls): cls for cls in _declared(ProtoEnum)}


def _declared(base: type[T]) -> Iterator[type[T]]:
    waiting: list[object] = [*MODULES]
    while waiting:
        home = waiting.pop()
        module = home.__name__ if isinstance(home, types.ModuleType) else home.__module__
        for value in list(vars(home).values()):
            if not inspect.isclass(value) or value.__module__ != module:
                continue
            if issubclass(value, base):
                yield value
            if issubclass(value, ProtoMessage):
                waiting.append(value)


# The runtime's messages

_PROTO = descriptor_pb2.FieldDescriptorProto


@cache
def runtime(name: str) -> type[Message]:
    """Google's class of the message of that full name."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """One file per package, in the order of their needs."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(duration_pb2.DESCRIPTOR.serialized_pb)
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for name in FACTS["messages"] | FACTS["enums"]:
        package = _package(name)
        if package not in files:
            files[package] = descriptor_pb2.FileDescriptorProto(
                name=f"{package}.proto", package=package, syntax="proto2"
            )
    for name, members in FACTS["messages"].items():
        message = _nested(files[_package(name)], name)
        message.options.map_entry = name.endswith("Entry")
        for field, (number, kind, label, *default) in members.items():
            _add(files, name, message, field, number, kind, label, *default)
    for name, values in FACTS["enums"].items():
        enum = _parent(files[_package(name)], name).enum_type.add(name=name.rpartition(".")[2])
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    added: set[str] = {duration_pb2.DESCRIPTOR.name}
    while waiting := [file for file in files.values() if file.name not in added]:
        ready = next(file for file in waiting if added.issuperset(file.dependency))
        pool.Add(ready)
        added.add(ready.name)
    return pool


def _package(name: str) -> str:
    return ".".join(part for part in name.split(".") if part[0].islower())


def _parent(file: descriptor_pb2.FileDescriptorProto, name: str) -> Any:
    """Where the message or enum of that name is declared: the file or another message."""
    parent = name.rpartition(".")[0]
    return file if parent == file.package else _nested(file, parent)


def _nested(file: descriptor_pb2.FileDescriptorProto, name: str) -> descriptor_pb2.DescriptorProto:
    parent = _parent(file, name)
    siblings = parent.message_type if parent is file else parent.nested_type
    own = name.rpartition(".")[2]
    for sibling in siblings:
        if sibling.name == own:
            assert isinstance(sibling, descriptor_pb2.DescriptorProto)
            return sibling
    made = siblings.add(name=own)
    assert isinstance(made, descriptor_pb2.DescriptorProto)
    return made


def _add(
    files: dict[str, descriptor_pb2.FileDescriptorProto],
    owner: str,
    message: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: str,
    label: str,
    default: str | None = None,
) -> None:
    field = message.field.add(name=name, number=number)
    field.label = _PROTO.Label.Value(f"LABEL_{label.upper()}")
    if default is not None:
        field.default_value = default
    if "." not in kind:
        field.type = _PROTO.Type.Value(f"TYPE_{kind.upper()}")
        return
    field.type_name = f".{kind}"
    field.type = _PROTO.TYPE_ENUM if kind in FACTS["enums"] else _PROTO.TYPE_MESSAGE
    file = files[_package(owner)]
    needed = duration_pb2.DESCRIPTOR.name
    if kind != "google.protobuf.Duration":
        needed = f"{_package(kind)}.proto"
    if needed != file.name and needed not in file.dependency:
        file.dependency.append(needed)


def with_defaults(message: Any) -> Any:
    """`message`, changed so that every absent field with a default in the schema holds it.

    Deprecated fields excepted: Mesos does not write those either.
    """
    for field in message.DESCRIPTOR.fields:
        if field.full_name in UNWRITTEN:
            continue
        if field.has_default_value and not message.HasField(field.name):
            setattr(message, field.name, field.default_value)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for key in value:
                    with_defaults(value[key])
        elif field.is_repeated:
            for part in value:
                with_defaults(part)
        elif field.message_type.full_name != "google.protobuf.Duration":
            with_defaults(value)
    return message


# Random messages


def random_struct(cls: type[ProtoMessage], random: Random, depth: int = 0) -> ProtoMessage:
    """A `cls` with some of its optional fields."""
    values: dict[str, object] = {}
    for field in fields(cls):
        if field.label is not Label.REQUIRED and not _present(random, depth):
            continue
        if field.label is Label.REPEATED:
            count = random.randrange(3)
            values[field.name] = tuple(_struct_value(field, random, depth) for _ in range(count))
        elif field.label is Label.MAP:
            keys = random.sample(STRINGS, random.randrange(3))
            values[field.name] = {key: _struct_value(field, random, depth) for key in keys}
        else:
            values[field.name] = _struct_value(field, random, depth)
    return cls(**values)


def random_runtime(name: str, random: Random, depth: int = 0) -> Any:
    """A message of Google's runtime with some of its optional fields."""
    message: Any = runtime(name)()
    _fill(message, random, depth)
    return message


def _present(random: Random, depth: int) -> bool:
    return depth < DEPTH_MAX and random.random() < 0.6 ** (depth + 1) + 0.1


def _struct_value(field: Field, random: Random, depth: int) -> object:
    if field.message is not None:
        return random_struct(field.message, random, depth + 1)
    if field.enum is not None:
        return random.choice(list(field.enum))
    return random.choice(_scalars(field.kind))


def _scalars(kind: Kind) -> tuple[Any, ...]:
    match kind:
        case Kind.BOOL:
            return (False, True)
        case Kind.DOUBLE:
            return DOUBLES
        case Kind.STRING:
            return STRINGS
        case Kind.BYTES:
            return BYTES
        case _:
            return INTEGERS[kind]


_KINDS = {
    FieldDescriptor.TYPE_BOOL: Kind.BOOL,
    FieldDescriptor.TYPE_INT32: Kind.INT32,
    FieldDescriptor.TYPE_UINT32: Kind.UINT32,
    FieldDescriptor.TYPE_INT64: Kind.INT64,
    FieldDescriptor.TYPE_UINT64: Kind.UINT64,
    FieldDescriptor.TYPE_DOUBLE: Kind.DOUBLE,
    FieldDescriptor.TYPE_STRING: Kind.STRING,
    FieldDescriptor.TYPE_BYTES: Kind.BYTES,
}


def _fill(message: Any, random: Random, depth: int) -> None:
    message.SetInParent()
    for field in message.DESCRIPTOR.fields:
        if not field.is_required and not _present(random, depth):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _fill_map(getattr(message, field.name), field.message_type, random, depth)
        elif field.is_repeated:
            for _ in range(random.randrange(3)):
                if field.message_type is not None:
                    _fill(getattr(message, field.name).add(), random, depth + 1)
                else:
                    getattr(message, field.name).append(_runtime_scalar(field, random))
        elif field.message_type is not None:
            _fill(getattr(message, field.name), random, depth + 1)
        else:
            setattr(message, field.name, _runtime_scalar(field, random))


def _fill_map(entries: Any, entry: Any, random: Random, depth: int) -> None:
    value = entry.fields_by_name["value"]
    for key in random.sample(STRINGS, random.randrange(3)):
        if value.message_type is not None:
            _fill(entries[key], random, depth + 1)
        else:
            entries[key] = _runtime_scalar(value, random)


def _runtime_scalar(field: Any, random: Random) -> Any:
    if field.enum_type is not None:
        return random.choice(field.enum_type.values).number
    return random.choice(_scalars(_KINDS[field.type]))


def holds_duration(cls: type[ProtoMessage]) -> bool:
    """Whether a google.protobuf.Duration may be inside, which Google writes otherwise in JSON."""
    return Duration in parts(cls)
