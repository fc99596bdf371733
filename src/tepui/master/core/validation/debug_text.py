"""A message as protobuf prints it for people: the text format, one field a line."""

from __future__ import annotations

from msgspec import UNSET

from tepui.wire.fields import Field, Kind, Label, fields
from tepui.wire.message import ProtoMessage

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "'": "\\'", "\\": "\\\\"}


def debug_text(message: ProtoMessage) -> str:
    """All fields that are set, in the order of their numbers; a default counts as not set."""
    lines: list[str] = []
    _message(message, "", lines)
    return "".join(f"{line}\n" for line in lines)


def _message(message: ProtoMessage, indent: str, lines: list[str]) -> None:
    for field in sorted(fields(type(message)), key=lambda each: each.number):
        value = getattr(message, field.name)
        match field.label:
            case Label.REPEATED:
                for item in value:
                    _field(field, item, indent, lines)
            case Label.MAP:
                for key, item in sorted(value.items()):
                    lines.append(f"{indent}{field.name} {{")
                    lines.append(f"{indent}  key: {_quoted(key)}")
                    _value("value", field, item, indent + "  ", lines)
                    lines.append(f"{indent}}}")
            case _:
                if value is not None and value is not UNSET and not _is_default(field, value):
                    _field(field, value, indent, lines)


def _is_default(field: Field, value: object) -> bool:
    return field.default is not None and field.default() == value


def _field(field: Field, value: object, indent: str, lines: list[str]) -> None:
    _value(field.name, field, value, indent, lines)


def _value(name: str, field: Field, value: object, indent: str, lines: list[str]) -> None:
    if isinstance(value, ProtoMessage):
        lines.append(f"{indent}{name} {{")
        _message(value, indent + "  ", lines)
        lines.append(f"{indent}}}")
        return
    lines.append(f"{indent}{name}: {_scalar(field.kind, value)}")


def _scalar(kind: Kind, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return _quoted(value.decode("latin-1"))
    if isinstance(value, float):
        return f"{value:.17g}" if float(f"{value:.15g}") != value else f"{value:.15g}"
    if kind is Kind.STRING:
        # Bytes beyond ASCII are written in octal.
        return _quoted(str(value).encode().decode("latin-1"))
    return str(value)


def _quoted(text: str) -> str:
    return '"' + "".join([_escaped(c) for c in text]) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if " " <= character <= "~" else f"\\{ord(character):03o}"
