"""How the results of `tepui simulate` look: tables, a small picture, and two beside each other."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tepui.cli.tables import print_table
from tepui.sim.study.picture import blocks
from tepui.sim.study.results import FULL, Course, Result, Waits

PICTURE_WIDTH = 60
PICTURE_LINES_MAX = 8  # frameworks in the small picture
REASON_LINES_MAX = 6  # of each job that waits
SPANS = ((48 * 3_600_000, 86_400_000, "d"), (7_200_000, 3_600_000, "h"), (120_000, 60_000, "min"))


def print_result(result: Result) -> None:
    """All tables, and the course as blocks."""
    click.secho(_headline(result), bold=True)
    click.echo()
    _print_frameworks(result)
    click.echo()
    print_table(
        ["ROLE", ">WEIGHT", ">SHARE MEAN", ">SHARE PEAK"],
        [
            [one.name, f"{one.weight:g}", _percent(one.share_mean), _percent(one.share_peak)]
            for one in result.roles
        ],
        "no roles",
    )
    click.echo()
    _print_resources(result)
    click.echo()
    _print_picture(result.course, result.span_ms)
    _print_waiting(result)


def print_compared(before: Result, after: Result) -> None:
    """Each figure of both, beside each other; what differs is marked."""
    rows = []
    other = dict(_figures(after))
    first = dict(_figures(before))
    for name in dict.fromkeys([*first, *other]):
        was, now = first.get(name, "-"), other.get(name, "-")
        rows.append([name, was, now, "" if was == now else "*"])
    print_table(["FIGURE", ">BEFORE", ">AFTER", ""], rows, "no figures")
    click.echo()
    click.echo(f"before: {_speed(before)}; after: {_speed(after)}")


def span(ms: float) -> str:
    """A span of time in a unit that is read easily."""
    for least, unit_ms, unit in SPANS:
        if ms >= least:
            return f"{ms / unit_ms:.1f} {unit}"
    return f"{ms / 1000:.0f} s" if ms >= 10_000 or ms == 0 else f"{ms / 1000:.1f} s"


def _headline(result: Result) -> str:
    text = (
        f"{span(result.span_ms)} of {result.agents} agent{'' if result.agents == 1 else 's'}:"
        f" {result.tasks_finished} tasks finished"
    )
    if result.last_end_ms is not None:
        text += f", the last after {span(result.last_end_ms)}"
    return f"{text} ({_speed(result)})"


def _speed(result: Result) -> str:
    return f"simulated in {result.took_s:.1f} s, {result.speed:,.0f} x real time"


def _print_frameworks(result: Result) -> None:
    lost = any(one.lost for one in result.frameworks)
    coming = any(one.to_come for one in result.frameworks)
    columns = ["FRAMEWORK", "ROLE", ">FINISHED", ">RUNNING", ">WAITING"]
    columns += [">TO COME"] * coming + [">LOST"] * lost
    columns += [">WAIT P50", ">P90", ">MAX", ">SHARE MEAN", ">PEAK"]
    rows = []
    for one in result.frameworks:
        row = [one.name, one.role, str(one.finished), str(one.running), str(one.waiting)]
        row += [str(one.to_come)] * coming + [str(one.lost)] * lost
        row += [*_waits(one.waits), _percent(one.share_mean), _percent(one.share_peak)]
        rows.append(row)
    print_table(columns, rows, "no frameworks")


def _print_resources(result: Result) -> None:
    full = f"{FULL:.0%}"
    columns = ["RESOURCE", ">TOTAL", ">USED MEAN", ">PEAK", f">{full} FULL", ">FIRST", ">LONGEST"]
    rows = []
    for one in result.resources:
        row = [one.name, _amount(one.name, one.total)]
        row += [_percent(one.used_mean), _percent(one.used_peak)]
        if one.full_first_ms is None:
            row += ["never", "", ""]
        else:
            row += [f"{_percent(one.full_fraction)} of the time"]
            row += [f"at {span(one.full_first_ms)}", span(one.full_longest_ms)]
        rows.append(row)
    print_table(columns, rows, "no agents")


def _print_picture(course: Course, span_ms: int) -> None:
    used = {name: values for name, values in course.used.items() if any(values)}
    lines = [(f"{name} used", values, 1.0) for name, values in used.items()]
    chosen = sorted(course.waiting, key=lambda name: -max(course.waiting[name], default=0))
    for name in chosen[:PICTURE_LINES_MAX]:
        most = max(course.waiting[name], default=0.0)
        if most > 0:
            lines.append((f"{name} waiting, at most {most:.0f}", course.waiting[name], most))
    if not lines:
        return
    width = max(len(name) for name, _, _ in lines)
    for name, values, most in lines:
        click.echo(f"{name:<{width}}  |{blocks(values, PICTURE_WIDTH, most)}|")
    drawn = len(blocks(lines[0][1], PICTURE_WIDTH, 1.0))
    end = span(span_ms)
    click.echo(f"{'':<{width}}  0{end:>{max(drawn + 1, len(end))}}")


def _print_waiting(result: Result) -> None:
    for one in result.waiting:
        tasks = "1 task waits" if one.tasks == 1 else f"{one.tasks} tasks wait"
        click.echo()
        click.secho(
            f"{one.framework}, {one.job}: {tasks}, the first for {span(one.longest_ms)}", bold=True
        )
        for line in (one.summary, *one.lines[:REASON_LINES_MAX]):
            click.echo(f"  {line}")


def _figures(result: Result) -> Iterator[tuple[str, str]]:
    yield "agents", str(result.agents)
    yield "tasks finished", str(result.tasks_finished)
    yield "last end", "-" if result.last_end_ms is None else span(result.last_end_ms)
    for one in result.frameworks:
        p50, p90, most = _waits(one.waits)
        yield f"{one.name}: finished", str(one.finished)
        yield f"{one.name}: running", str(one.running)
        yield f"{one.name}: waiting", str(one.waiting)
        yield f"{one.name}: wait p50", p50
        yield f"{one.name}: wait p90", p90
        yield f"{one.name}: wait max", most
        yield f"{one.name}: share mean", _percent(one.share_mean)
    for resource in result.resources:
        yield f"{resource.name}: used mean", _percent(resource.used_mean)
        yield f"{resource.name}: used peak", _percent(resource.used_peak)
        yield f"{resource.name}: {FULL:.0%} full", _percent(resource.full_fraction)


def _waits(waits: Waits | None) -> tuple[str, str, str]:
    if waits is None:
        return "", "", ""
    return (
        _wait(waits.p50_ms, is_open=waits.p50_open),
        _wait(waits.p90_ms, is_open=waits.p90_open),
        _wait(waits.max_ms, is_open=waits.max_open),
    )


def _wait(ms: int, *, is_open: bool) -> str:
    return f"> {span(ms)}" if is_open else span(ms)


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _amount(name: str, amount: float) -> str:
    if name in ("mem", "disk"):
        return f"{amount / 1024:,.0f} GiB" if amount >= 10_240 else f"{amount:g} MiB"
    return f"{amount:g}"
