"""Flags of the daemons, read as Mesos reads them: `--name=value`, `--switch`, `--no-switch`.

Dashes and underscores are the same in names. What the command line does not say, the environment
may (`TEPUI_MASTER_PORT`, then `MESOS_PORT`), then the default holds. A value `file:///path` stands
for what is in the file. A flag that is not known is noted, not refused: scripts written for Mesos
pass many that mean nothing here.

Source: Mesos docs/configuration.md, 3rdparty/stout/include/stout/flags/flags.hpp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from pathlib import Path

from msgspec import Struct, field

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused

FILE_BYTES_MAX = 16 * 1024 * 1024  # of a value that stands in a file
TRUE = ("true", "1")
FALSE = ("false", "0")


class Kind(Enum):
    """What a value may be."""

    TEXT = auto()
    PATH = auto()  # is never replaced by the content of a file
    INTEGER = auto()
    NUMBER = auto()
    DURATION = auto()
    SWITCH = auto()


class Flag(Struct, frozen=True):
    """One flag. `default` as one would write it; `note` is said to whoever gives the flag."""

    name: str
    kind: Kind
    default: str | None
    meaning: str
    note: str | None = None


class Group(Struct, frozen=True):
    """Flags that belong together, for the help."""

    title: str
    flags: tuple[Flag, ...]


class Values(Struct):
    """What was read. `given` holds what was not left to its default, as text."""

    flags: dict[str, Flag]
    given: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wants_help: bool = False
    wants_version: bool = False

    def text(self, name: str) -> str | None:
        """The value as text; None when there is none."""
        return self.given.get(name, self.flags[name].default)

    def required(self, name: str) -> str:
        """The value as text; raises Refused when there is none."""
        value = self.text(name)
        if not value:
            raise Refused(f"flag --{name} is required: {self.flags[name].meaning}")
        return value

    def switch(self, name: str) -> bool:
        """Whether the switch is on."""
        return _parse_switch(self.text(name) or "false")

    def integer(self, name: str) -> int | None:
        """The value as a whole number; None when there is none."""
        value = self.text(name)
        return None if value is None else _parse_integer(value)

    def number(self, name: str) -> float | None:
        """The value as a number; None when there is none."""
        value = self.text(name)
        return None if value is None else _parse_number(value)

    def duration_ms(self, name: str) -> int | None:
        """The value as a duration; None when there is none."""
        value = self.text(name)
        return None if value is None else parse_duration_ms(value)

    def set_integer(self, name: str) -> int:
        """The value of a flag that has a default."""
        value = self.integer(name)
        assert value is not None, name
        return value

    def set_duration_ms(self, name: str) -> int:
        """The value of a flag that has a default."""
        value = self.duration_ms(name)
        assert value is not None, name
        return value

    def as_text(self) -> dict[str, str]:
        """All flags that have a value, for those who ask which hold (`/flags`)."""
        return {name: text for name in self.flags if (text := self.text(name)) is not None}


def read_flags(
    groups: Sequence[Group],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    prefixes: Sequence[str],
) -> Values:
    """The flags of command line and environment; the first of `prefixes` goes before the next.

    Raises Refused naming the flag, its value and what was expected.
    """
    values = Values({flag.name: flag for group in groups for flag in group.flags})
    for prefix in reversed(prefixes):
        for name in values.flags:
            found = environment.get(prefix + name.upper())
            if found is not None:
                values.given[name] = found
    _read_arguments(values, arguments)
    for name, text in values.given.items():
        values.given[name] = _checked(values.flags[name], text)
        if note := values.flags[name].note:
            values.notes.append(f"flag --{name}: {note}")
    return values


def _read_arguments(values: Values, arguments: Sequence[str]) -> None:
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument in ("-h", "--help", "--help=true"):
            values.wants_help = True
            continue
        if argument in ("--version", "--version=true"):
            values.wants_version = True
            continue
        if not argument.startswith("--") or argument == "--":
            raise Refused(f"unexpected argument '{argument}': flags are written --name=value")
        name, equals, text = argument[2:].partition("=")
        name = name.replace("-", "_")
        flag = values.flags.get(name)
        if flag is None and name.startswith("no_"):
            flag = values.flags.get(name[3:])
            if flag is not None and flag.kind is Kind.SWITCH:
                if equals:
                    raise Refused(f"flag --no-{flag.name} takes no value, got '{text}'")
                values.given[flag.name] = "false"
                continue
            flag = None
        has_next = bool(waiting) and not waiting[-1].startswith("--")
        if flag is None:
            if not equals and has_next:
                waiting.pop()  # taken for its value
            values.notes.append(f"flag --{name} is not known here and is ignored")
        elif equals:
            values.given[flag.name] = text
        elif flag.kind is Kind.SWITCH:
            values.given[flag.name] = "true"
        elif has_next:
            values.given[flag.name] = waiting.pop()
        else:
            raise Refused(f"flag --{name} needs a value: {flag.meaning}")


def _checked(flag: Flag, text: str) -> str:
    """The value, read from its file if it names one; raises Refused when it is of another kind."""
    if text.startswith("file://") and flag.kind is not Kind.PATH:
        text = _content(flag, text.removeprefix("file://"))
    try:
        match flag.kind:
            case Kind.INTEGER:
                _parse_integer(text)
            case Kind.NUMBER:
                _parse_number(text)
            case Kind.DURATION:
                parse_duration_ms(text)
            case Kind.SWITCH:
                _parse_switch(text)
            case Kind.TEXT | Kind.PATH:
                pass
    except Refused as refused:
        raise Refused(f"flag --{flag.name}: {refused.text}") from None
    return text


def _content(flag: Flag, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise Refused(f"flag --{flag.name}: '{path}' is larger than {FILE_BYTES_MAX} bytes")
        return content.decode().strip()
    except OSError as error:
        raise Refused(f"flag --{flag.name}: '{path}': {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"flag --{flag.name}: '{path}' is not UTF-8 text") from None


def _parse_switch(text: str) -> bool:
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise Refused(f"'{text}': expected true or false")


def _parse_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(f"'{text}': expected a whole number") from None


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"'{text}': expected a number") from None
