"""The course of a study as a picture: an SVG file, or a few lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import leather

from tepui.base.errors import Refused
from tepui.sim.study.results import Course

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDTH, HEIGHT = 1_200, 720  # of the SVG: two charts beside two
LINES_MAX = 8  # lines of a chart; of more the highest are shown
UNITS = ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "seconds"))
COLOURS = ("#1b6ca8", "#c8553d", "#588b4b", "#8e5ea2", "#d49a2a", "#2a9d8f", "#7a5c3e", "#555555")


def blocks(values: Sequence[float], width: int, most: float) -> str:
    """The values as a line of at most `width` blocks; `most` is a full one."""
    if not values:
        return ""
    width = min(width, len(values))
    shown = []
    for index in range(width):
        part = values[index * len(values) // width : (index + 1) * len(values) // width]
        mean = sum(part) / len(part)
        level = min(len(BLOCKS) - 1, round(mean / most * (len(BLOCKS) - 1))) if most > 0 else 0
        # What is there at all is seen.
        shown.append(BLOCKS[max(1, level) if mean > 0 else 0])
    return "".join(shown)


def write_svg(course: Course, path: Path) -> None:
    """The file holds four charts: utilisation, shares, tasks that run and wait. Raises Refused."""
    unit_ms, unit = _unit(course)
    grid = leather.Grid()
    used = {name: _percent(values) for name, values in course.used.items() if any(values)}
    shares = {name: _percent(values) for name, values in course.shares.items()}
    for title, lines, most in (
        ("Utilisation, % of each resource", used, 100.0),
        ("Dominant share of each framework, %", shares, 100.0),
        ("Running tasks of each framework", course.running, None),
        ("Waiting tasks of each framework", course.waiting, None),
    ):
        grid.add_one(_chart(title, lines, most, course.part_ms / unit_ms, unit))
    try:
        path.write_text(grid.to_svg(width=WIDTH, height=HEIGHT), encoding="utf-8")
    except OSError as error:
        raise Refused(f"picture '{path}': {error.strerror}") from None


def _chart(
    title: str, lines: Mapping[str, Sequence[float]], most: float | None, part: float, unit: str
) -> leather.Chart:
    chart = leather.Chart(title)
    chosen = sorted(lines, key=lambda name: -max(lines[name], default=0.0))[:LINES_MAX]
    highest = 0.0
    for name, colour in zip((n for n in lines if n in chosen), COLOURS, strict=False):
        values = lines[name] or [0.0]
        points = [(index * part, value) for index, value in enumerate(values)]
        points.append((len(values) * part, values[-1]))
        highest = max(highest, *values)
        chart.add_line(points, name=name, stroke_color=colour)
    if not chosen:
        chart.add_line([(0.0, 0.0), (1.0, 0.0)], name="none", stroke_color=COLOURS[0])
    chart.set_y_scale(leather.Linear(0, most if most is not None else max(1.0, highest)))
    chart.set_x_axis(leather.Axis(name=unit))
    return chart


def _percent(values: Sequence[float]) -> list[float]:
    return [min(100.0, 100 * value) for value in values]


def _unit(course: Course) -> tuple[int, str]:
    parts = max((len(values) for values in course.shares.values()), default=1)
    for unit_ms, unit in UNITS:
        if parts * course.part_ms >= 2 * unit_ms:
            return unit_ms, unit
    return UNITS[-1]
