"""The declared messages agree with the facts of the v1 API, field by field."""

from __future__ import annotations

from tepui.wire.fields import Field, Kind, Label, fields, full_name
from tests.wire.oracle import FACTS, UNWRITTEN, enums, structs


def _schema_default(field: Field) -> list[str]:
    if field.default is None:
        return []
    value = field.default()
    if isinstance(value, bool):
        return [str(value).lower()]
    return [f"{value:g}" if isinstance(value, float) else str(value)]


def _type_name(field: Field) -> str:
    if field.message is not None:
        return full_name(field.message)
    if field.enum is not None:
        return full_name(field.enum)
    return field.kind.name.lower()


def _facts_of(field: Field, owner: str) -> tuple[list[object], dict[str, object] | None]:
    """What the facts file says of a field, and of the entry message of a map field."""
    if field.label is not Label.MAP:
        label = field.label.name.lower()
        return [field.number, _type_name(field), label, *_schema_default(field)], None
    entry = "".join(word.capitalize() for word in field.name.split("_")) + "Entry"
    key, value = [1, "string", "optional"], [2, _type_name(field), "optional"]
    return [field.number, f"{owner}.{entry}", "repeated"], {"key": key, "value": value}


def test_every_message_and_field_is_declared_as_in_the_schema() -> None:
    declared: dict[str, dict[str, object]] = {}
    for name, cls in structs().items():
        declared[name] = {}
        for field in fields(cls):
            facts, entry = _facts_of(field, name)
            if (name, field.name) == ("mesos.v1.MasterInfo", "port"):
                facts.append("5050")  # the default of a required field, which never applies
            if f"{name}.{field.name}" in UNWRITTEN:
                facts.append("*")
            declared[name][field.name] = facts
            if entry is not None:
                declared[str(facts[1])] = entry
    assert declared == FACTS["messages"]


def test_fields_are_declared_in_the_order_of_the_schema() -> None:
    for name, cls in structs().items():
        assert [field.name for field in fields(cls)] == list(FACTS["messages"][name]), name


def test_every_enum_is_declared_as_in_the_schema() -> None:
    declared = {
        name: {member.value: member.number for member in enum} for name, enum in enums().items()
    }
    assert declared == FACTS["enums"]
    assert [list(values) for values in declared.values()] == [
        list(FACTS["enums"][name]) for name in declared
    ]


def test_strings_bytes_and_doubles_are_told_apart() -> None:
    kinds = {field.kind for cls in structs().values() for field in fields(cls)}
    assert kinds == set(Kind)
