"""Two tables of one machine, side by side.

    bench/run compare before.json after.json

Written by `bench/run table --json`. Of each figure: both medians and the change; and the change of
its ratio to the machine's limit, which is the one to believe when the machine was not idle.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from bench.suite import Report
from bench.table import Line, number, terminal


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(
        prog="bench/run compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    before, after = (
        msgspec.json.decode(path.read_bytes(), type=Report)
        for path in (options.before, options.after)
    )
    print(f"before\n{before.machine.describe()}\nafter\n{after.machine.describe()}")
    terminal().print(compared(before, after))


def compared(before: Report, after: Report) -> Table:
    """The lines that both have."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in ("before", "after", "change", "ratio before", "ratio after", "change of ratio"):
        table.add_column(title, justify="right")
    old = _by_name(before)
    for name, line in _by_name(after).items():
        if (was := old.get(name)) is not None:
            table.add_row(Text(": ".join(name)), *_cells(was, line))
    return table


def _by_name(report: Report) -> dict[tuple[str, str], Line]:
    """What follows `;` in a title, as the seconds, may differ."""
    return {
        (section.title.partition(";")[0], line.what): line
        for section in report.sections
        for line in section.lines
    }


def _cells(was: Line, now: Line) -> tuple[str, ...]:
    figures = (f"{number(was.figure)} {was.unit}", f"{number(now.figure)} {now.unit}")
    change = _change(was.figure, now.figure)
    if was.ratio is None or now.ratio is None:
        return (*figures, change)
    ratios = (number(was.ratio), number(now.ratio))
    return (*figures, change, *ratios, _change(was.ratio, now.ratio))


def _change(was: float, now: float) -> str:
    return f"{(now / was - 1) * 100:+.0f} %" if was else ""


if __name__ == "__main__":
    main()
