"""The table that each benchmark ends with: figure, goal, the machine's own limit, the ratio."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

COLUMNS = ("", "figure", "goal", "machine limit", "ratio")


class Row(Struct, frozen=True):
    """One figure. `limit` is what this machine could do at best, in the unit of the figure."""

    what: str
    figure: float
    unit: str
    goal: str = ""
    limit: float | None = None
    limit_is: str = ""


def show(title: str, rows: Sequence[Row]) -> None:
    """Print the table."""
    cells = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(COLUMNS))]
    print(f"\n{title}")
    for line in cells:
        first, *others = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  " + "  ".join((first, *others)).rstrip())


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _cells(row: Row) -> tuple[str, ...]:
    figure = f"{_number(row.figure)} {row.unit}"
    if row.limit is None:
        return (row.what, figure, row.goal, "", "")
    limit = f"{_number(row.limit)} {row.unit}"
    if row.limit_is:
        limit += f" ({row.limit_is})"
    return (row.what, figure, row.goal, limit, f"{row.figure / row.limit:.2f}")


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
