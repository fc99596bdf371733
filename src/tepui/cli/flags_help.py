"""Writes the help of a daemon from its table of flags."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from tepui.cli.flags import Flag, Group, Kind

COLUMNS_MAX = 100
INDENT = " " * 6
PLACEHOLDERS = {
    Kind.TEXT: "TEXT",
    Kind.PATH: "PATH",
    Kind.INTEGER: "N",
    Kind.NUMBER: "N",
    Kind.DURATION: "DURATION",
}


def flags_help(usage: str, opening: str, groups: Sequence[Group], variable: str) -> str:
    """The whole page. `variable` is the first prefix of the environment's variables."""
    width = min(shutil.get_terminal_size().columns, COLUMNS_MAX)
    lines = [f"Usage: {usage}", "", *textwrap.wrap(opening, width), ""]
    for group in groups:
        lines += [f"{group.title}:"]
        for flag in group.flags:
            lines += _flag_lines(flag, width)
        lines += [""]
    closing = (
        f"A flag may also stand in the environment, as {variable}NAME or MESOS_NAME; "
        "the command line goes first. Dashes and underscores in names are the same. "
        "A value file:///path is read from that file. Durations are a number and one of "
        "ns, us, ms, secs, mins, hrs, days, weeks."
    )
    return "\n".join([*lines, *textwrap.wrap(closing, width)])


def _flag_lines(flag: Flag, width: int) -> list[str]:
    if flag.kind is Kind.SWITCH:
        head = f"  --[no-]{flag.name}"
    else:
        head = f"  --{flag.name}={PLACEHOLDERS[flag.kind]}"
    if flag.default is not None:
        head += f"  (default: {flag.default})"
    text = flag.meaning if flag.note is None else f"{flag.meaning} Note: {flag.note}."
    return [head, *textwrap.wrap(text, width, initial_indent=INDENT, subsequent_indent=INDENT)]
