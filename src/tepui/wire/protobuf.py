"""Protobuf of the Mesos v1 API: messages to bytes and back, over Google's runtime.

The runtime's descriptors come from the annotations of the Structs: one small file per message and
per enum, added to the pool when it is first needed. Their names are our own, for they never travel.

Differs from Mesos: strings must be UTF-8 and no double may be NaN, since JSON could not carry them
on. Fields with a default in the schema are always written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from tepui.wire import errors
from tepui.wire.fields import Field, Kind, Label, fields, full_name, parts
from tepui.wire.message import ProtoEnum, ProtoMessage

M = TypeVar("M", bound=ProtoMessage)
Read = Callable[[Any], Any]  # a runtime message, or a field's value in it, to ours
Write = Callable[[Any], dict[str, Any]]  # a Struct to the arguments of its runtime message

_PROTO = descriptor_pb2.FieldDescriptorProto
_FEATURES = descriptor_pb2.FeatureSet
_TYPES = {
    Kind.BOOL: _PROTO.TYPE_BOOL,
    Kind.INT32: _PROTO.TYPE_INT32,
    Kind.UINT32: _PROTO.TYPE_UINT32,
    Kind.INT64: _PROTO.TYPE_INT64,
    Kind.UINT64: _PROTO.TYPE_UINT64,
    Kind.DOUBLE: _PROTO.TYPE_DOUBLE,
    Kind.STRING: _PROTO.TYPE_STRING,
    Kind.BYTES: _PROTO.TYPE_BYTES,
    Kind.ENUM: _PROTO.TYPE_ENUM,
    Kind.MESSAGE: _PROTO.TYPE_MESSAGE,
}
ASKED_FIELDS_MAX = 4  # beyond these, listing the fields that are there costs less (measured)
_POOL = descriptor_pool.DescriptorPool()


def encode(message: ProtoMessage) -> bytes:
    """`message` in protobuf: the same bytes for the same message, whatever the order in its maps."""
    made, write, deterministic = _encoder(type(message))
    return made(**write(message)).SerializeToString(deterministic=deterministic)


def decode(cls: type[M], body: bytes) -> M:
    """The `cls` that `body` holds; raises Malformed. Unknown fields and enum values are dropped."""
    made, read = _decoder(cls)
    try:
        found = made.FromString(body)
        if not found.IsInitialized():
            missing = ", ".join(found.FindInitializationErrors())  # type: ignore[attr-defined]
            raise _malformed(cls, f"missing required fields: {missing}")
        value: M = read(found)
    except (DecodeError, _NotANumber) as error:
        raise _malformed(cls, str(error)) from None
    return value


class _NotANumber(Exception):
    """A double is NaN."""


def _malformed(cls: type[ProtoMessage], detail: str) -> errors.Malformed:
    return errors.Malformed(detail, errors.Kind.PROTOBUF, cls.__name__)


@cache
def _encoder(cls: type[ProtoMessage]) -> tuple[type[Message], Write, bool]:
    has_maps = any(f.label is Label.MAP for part in (cls, *parts(cls)) for f in fields(part))
    return _runtime(cls), _writer(cls), has_maps


@cache
def _decoder(cls: type[ProtoMessage]) -> tuple[type[Message], Read]:
    return _runtime(cls), _reader(cls)


# Descriptors


@cache
def _runtime(cls: type[ProtoMessage]) -> type[Message]:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(_message_name(cls)))


@cache
def _message_name(cls: type[ProtoMessage]) -> str:
    """The name of the message in the pool, where it now is."""
    file = _new_file(cls)
    message = file.message_type.add(name="It")
    for field in fields(cls):
        entry = message
        if field.label is Label.MAP:
            entry = message.nested_type.add(name=_camel_case(field.name) + "Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_PROTO.TYPE_STRING, label=1)
            repeated = _PROTO.LABEL_REPEATED
            of = f".{file.package}.It.{entry.name}"
            message.field.add(
                name=field.name,
                number=field.number,
                type=_PROTO.TYPE_MESSAGE,
                label=repeated,
                type_name=of,
            )
        _add_field(file, cls, entry, field)
    _POOL.Add(file)
    return f"{file.package}.It"


def _add_field(
    file: descriptor_pb2.FileDescriptorProto,
    cls: type[ProtoMessage],
    into: descriptor_pb2.DescriptorProto,
    field: Field,
) -> None:
    """Add `field` to a message, or the value of a map `field` to its entry."""
    added = into.field.add(
        name="value" if field.label is Label.MAP else field.name,
        number=2 if field.label is Label.MAP else field.number,
        type=_TYPES[field.kind],
        label=_PROTO.LABEL_REPEATED if field.label is Label.REPEATED else _PROTO.LABEL_OPTIONAL,
    )
    if field.label is Label.REQUIRED:
        added.options.features.field_presence = _FEATURES.LEGACY_REQUIRED
    if field.message is cls:
        added.type_name = f".{file.package}.It"
        return
    named = _message_name(field.message) if field.message else None
    named = _enum_name(field.enum) if field.enum else named
    if named is not None:
        added.type_name = f".{named}"
        dependency = f"{named.removesuffix('.It')}.proto"
        if dependency not in file.dependency:
            file.dependency.append(dependency)


@cache
def _enum_name(enum: type[ProtoEnum]) -> str:
    """The name of the enum in the pool, where it now is."""
    file = _new_file(enum)
    proto = file.enum_type.add(name="It")
    for member in enum:
        proto.value.add(name=member.value, number=member.number)
    _POOL.Add(file)
    return f"{file.package}.It"


def _new_file(cls: type[ProtoMessage] | type[ProtoEnum]) -> descriptor_pb2.FileDescriptorProto:
    package = "tepui." + full_name(cls).replace(".", "_")
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto",
        package=package,
        syntax="editions",
        edition=descriptor_pb2.EDITION_2023,
    )
    file.options.features.enum_type = _FEATURES.CLOSED
    file.options.features.repeated_field_encoding = _FEATURES.EXPANDED
    file.options.features.utf8_validation = _FEATURES.VERIFY
    return file


def _camel_case(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


# Runtime messages to Structs


@cache
def _reader(cls: type[ProtoMessage]) -> Read:
    """A function that makes a `cls` of its runtime message."""
    optional = sum(field.label is not Label.REQUIRED for field in fields(cls))
    if optional > ASKED_FIELDS_MAX or any(field.message is cls for field in fields(cls)):
        return _sparse_reader(cls)
    return _dense_reader(cls)


def _dense_reader(cls: type[ProtoMessage]) -> Read:
    """Asks for each field: faster while there are few that could be absent."""
    names: dict[str, Any] = {"It": cls}
    arguments = []
    for field in fields(cls):
        convert = _field_reader(field, _value_reader(field))
        value = f"it.{field.name}"
        if convert is not None:
            names[f"read_{field.name}"] = convert
            value = f"read_{field.name}({value})"
        if field.label is Label.OPTIONAL:
            names[f"default_{field.name}"] = field.default() if field.default else None
            value += f" if it.HasField({field.name!r}) else default_{field.name}"
        arguments.append(f"{field.name}={value}")
    return _compiled(cls, "read", [f"    return It({', '.join(arguments)})"], names)


def _sparse_reader(cls: type[ProtoMessage]) -> Read:
    """Asks for the fields that are there."""
    table: dict[Any, tuple[str, Read | None]] = {}

    def read(message: Any) -> ProtoMessage:
        values = {}
        for descriptor, value in message.ListFields():
            name, convert = table[descriptor]
            values[name] = value if convert is None else convert(value)
        return cls(**values)

    by_name = _runtime(cls).DESCRIPTOR.fields_by_name
    for field in fields(cls):
        one = read if field.message is cls else _value_reader(field)
        table[by_name[field.name]] = (field.name, _field_reader(field, one))
    return read


def _field_reader(field: Field, one: Read | None) -> Read | None:
    if field.label is Label.REPEATED:
        if one is None:
            return tuple
        return lambda values: tuple([one(value) for value in values])
    if field.label is Label.MAP:
        if one is None:
            return dict
        return lambda entries: {key: one(entries[key]) for key in entries}
    return one


def _value_reader(field: Field) -> Read | None:
    """What makes one value of the field ours; None when it is already."""
    if field.message is not None:
        return _reader(field.message)
    if field.enum is not None:
        return {member.number: member for member in field.enum}.__getitem__
    if field.kind is Kind.DOUBLE:
        return _number_reader(field)
    return None


def _number_reader(field: Field) -> Read:
    def read(value: float) -> float:
        if value != value:
            raise _NotANumber(f"field '{field.name}' is NaN")
        return value

    return read


# Structs to runtime messages


@cache
def _writer(cls: type[ProtoMessage]) -> Write:
    """A function that makes the arguments of the runtime message of a `cls`.

    It is generated: straight code without a loop over the fields takes half the time.
    """
    names: dict[str, Any] = {}
    required = []
    lines = []
    for field in fields(cls):
        one = _value_source(cls, field, names)
        if field.label is Label.REQUIRED or field.default is not None:
            required.append(f"{field.name!r}: {one.format(f'it.{field.name}')}")
        elif field.label is Label.OPTIONAL:
            lines.append(f"    if (v := it.{field.name}) is not None:")
            lines.append(f"        found[{field.name!r}] = {one.format('v')}")
        else:
            lines.append(f"    if v := it.{field.name}:")
            lines.append(f"        found[{field.name!r}] = {_many_source(field, one)}")
    body = [f"    found = {{{', '.join(required)}}}", *lines, "    return found"]
    return _compiled(cls, "write", body, names)


def _value_source(cls: type[ProtoMessage], field: Field, names: dict[str, Any]) -> str:
    """The expression for one value, `{}` standing for it; `names` gets what it calls."""
    if field.message is not None:
        writer = "write" if field.message is cls else f"write_{field.name}"
        if field.message is not cls:
            names[writer] = _writer(field.message)
        if field.label is not Label.MAP:
            return f"{writer}({{}})"
        names[f"make_{field.name}"] = _runtime(field.message)  # maps take no plain arguments
        return f"make_{field.name}(**{writer}({{}}))"
    return "{}.number" if field.kind is Kind.ENUM else "{}"


def _many_source(field: Field, one: str) -> str:
    if one == "{}":
        return "v"
    if field.label is Label.MAP:
        return f"{{k: {one.format('x')} for k, x in v.items()}}"
    return f"[{one.format('x')} for x in v]"


def _compiled(
    cls: type[ProtoMessage], verb: str, body: list[str], names: dict[str, Any]
) -> Callable[[Any], Any]:
    """The function `verb(it)` with these lines, which may use `names`."""
    source = "\n".join([f"def {verb}(it):", *body])
    exec(compile(source, f"<{verb} {full_name(cls)}>", "exec"), names)
    made: Callable[[Any], Any] = names[verb]
    return made
