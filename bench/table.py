"""The tables that benchmarks end with: figure, goal, the machine's own limit, and the ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from subprocess import SubprocessError
from typing import Literal

from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.faults import Failed

COLUMNS_MIN = 170  # of a line that goes to a file
COLUMNS = ("", "figure", "min – max", "goal", "machine limit", "ratio")
RIGHT = ("figure", "min – max", "ratio")


class Row(Struct, frozen=True):
    """One figure of one run. `limit` is what this machine does at best, in the figure's unit."""

    what: str  # unique in its table
    figure: float
    unit: str
    goal: str = ""  # "≥ 200", "< 15", "0", or none
    limit: float | None = None
    limit_is: str = ""


class Line(Struct, frozen=True):
    """One figure of all runs: medians."""

    what: str
    unit: str
    figure: float
    figure_min: float
    figure_max: float
    goal: str
    is_met: bool | None  # None: there is no goal
    limit: float | None
    limit_is: str
    ratio: float | None  # of figure to limit in the same run
    figures: list[float]  # in the order of the runs


class Section(Struct, frozen=True):
    """The lines of one benchmark, and what made runs fail; lines of all runs that did not."""

    name: str
    title: str
    lines: list[Line]
    failures: list[str]


def measured(name: str, title: str, runs: int, one_run: Callable[[], list[Row]]) -> Section:
    """The lines of so many runs; each run says on a line of its own what it found first."""
    whole: list[list[Row]] = []
    failures: list[str] = []
    for number in range(1, runs + 1):
        try:
            rows = one_run()
        except (Failed, AssertionError, OSError, SubprocessError) as failed:
            failures.append(f"run {number}: {failed}")
            print(f"  run {number} of {name} FAILED: {failed}", flush=True)
        else:
            whole.append(rows)
            print(f"  run {number} of {name}: {rows[0].what} {_cell(rows[0])}", flush=True)
    lines = [merged(rows) for rows in zip(*whole, strict=True)]
    return Section(name, title, lines, failures)


def merged(rows: Sequence[Row]) -> Line:
    """The same figure of several runs."""
    first = rows[0]
    assert all(row.what == first.what for row in rows), rows
    figures = [row.figure for row in rows]
    limits = [row.limit for row in rows if row.limit]
    ratios = [row.figure / row.limit for row in rows if row.limit]
    return Line(
        what=first.what,
        unit=first.unit,
        figure=median(figures),
        figure_min=min(figures),
        figure_max=max(figures),
        goal=first.goal,
        is_met=meets(median(figures), first.goal),
        limit=median(limits) if limits else None,
        limit_is=first.limit_is,
        ratio=median(ratios) if ratios else None,
        figures=figures,
    )


def meets(figure: float, goal: str) -> bool | None:
    """Whether the figure is as the goal wants it; None without a goal."""
    if not goal:
        return None
    sign, _, number = goal.rpartition(" ")
    wanted = float(number.replace(",", ""))
    match sign:
        case "≥":
            return figure >= wanted
        case "<":
            return figure < wanted
        case _:
            assert sign == "", f"goal '{goal}' must begin with ≥ or <, or be a number"
            return figure == wanted


def show(sections: Sequence[Section]) -> None:
    """Print the sections under one heading, their columns in line."""
    console = terminal()
    cells = [list(map(_cells, section.lines)) for section in sections]
    lines = [line for some in cells for line in some]
    widths = [
        max([len(title), *(len(line[at]) for line in lines)]) for at, title in enumerate(COLUMNS)
    ]
    console.print(_grid(widths, [tuple(Text(title, style="bold") for title in COLUMNS)]))
    for section, some in zip(sections, cells, strict=True):
        console.print(Text(f"\n{section.title}", style="bold"))
        console.print(_grid(widths, some))
        for failure in section.failures:
            console.print(Text(f"  FAILED {failure}", style="bold red"))


def terminal() -> Console:
    """Where tables go; a file has room for all columns."""
    console = Console()
    return console if console.is_terminal else Console(width=COLUMNS_MIN)


def _grid(widths: Sequence[int], lines: Sequence[tuple[Text, ...]]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for title, width in zip(COLUMNS, widths, strict=True):
        justify: Literal["left", "right"] = "right" if title in RIGHT else "left"
        grid.add_column(min_width=width, justify=justify)
    for line in lines:
        grid.add_row(*line)
    return grid


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _cells(line: Line) -> tuple[Text, ...]:
    style = {None: "", True: "green", False: "red"}[line.is_met]
    goal = {None: "", True: f"{line.goal} ✓", False: f"{line.goal} ✗"}[line.is_met]
    spread = f"{number(line.figure_min)} – {number(line.figure_max)}"
    limit = "" if line.limit is None else f"{number(line.limit)} {line.limit_is}"
    return (
        Text(f"  {line.what}"),
        Text(f"{number(line.figure)} {line.unit}", style=style),
        Text(spread if len(line.figures) > 1 else ""),
        Text(goal, style=style),
        Text(limit),
        Text("" if line.ratio is None else number(line.ratio)),
    )


def _cell(row: Row) -> str:
    return f"{number(row.figure)} {row.unit}"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
