"""Tables for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tepui.wire import json as wire_json
from tepui.wire.message import ProtoMessage

PIPE_COLUMNS = 10_000  # lines that go to a program are not folded
RIGHT = ">"
LONG_ID = 37  # a UUID and more: those of agents and frameworks
SHORT_HEX = 4  # digits of the UUID that are left, so that two masters' ids differ

COLOURS = {
    "RUNNING": "green",
    "FINISHED": "dim",
    "FAILED": "red",
    "ERROR": "red",
    "LOST": "red",
    "DROPPED": "red",
    "GONE": "red",
    "UNREACHABLE": "red",
    "KILLED": "yellow",
    "KILLING": "yellow",
    "STAGING": "cyan",
    "STARTING": "cyan",
    "active": "green",
    "ended": "dim",
    "lost": "red",
    "draining": "yellow",
    "disconnected": "yellow",
}


def console() -> Console:
    """Where tables go: as wide as the terminal, or unfolded into a pipe."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(width=width, highlight=False, soft_wrap=False)


def shown_id(one_id: str) -> str:
    """An id of the master's for a table: on a terminal its end, by which it is found, too."""
    if len(one_id) < LONG_ID or not sys.stdout.isatty():
        return one_id
    return one_id[one_id.rindex("-") - SHORT_HEX :] if "-" in one_id else one_id


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print rows under their headings; a heading that begins with '>' is set to the right.

    Without rows `empty` is said on stderr, so that programs read nothing.
    """
    if not rows:
        click.echo(empty, err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in columns:
        is_right = column.startswith(RIGHT)
        table.add_column(
            column.removeprefix(RIGHT),
            justify="right" if is_right else "left",
            overflow="fold",
            no_wrap=is_right,
        )
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    _print(table)


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print one thing: a line for each field that is not empty."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, Text(value, style=COLOURS.get(value, "")))
    _print(table)


def print_json(found: object) -> None:
    """Print Structs, lists and dicts as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


def print_messages(found: ProtoMessage | Sequence[ProtoMessage]) -> None:
    """Print messages of the API in its own JSON."""
    if isinstance(found, ProtoMessage):
        content: object = json.loads(wire_json.encode(found))
    else:
        content = [json.loads(wire_json.encode(message)) for message in found]
    click.echo(json.dumps(content, indent=2))


def _print(table: Table) -> None:
    """Print without the spaces that fill the last column."""
    out = console()
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
