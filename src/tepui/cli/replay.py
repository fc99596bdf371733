"""`tepui replay`: what happened, from the journal of a master (`tepui master --journal`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tepui.sim.replay.files import Segment
    from tepui.sim.replay.replay import Replay

MOMENT = "MOMENT"


@click.command("replay")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--at", metavar=MOMENT, help="Show the cluster as it was then.")
@click.option("--state", "wants_state", is_flag=True, help="Print the /state of that moment.")
@click.option(
    "--get", "path", metavar="PATH", help="Print what GET of PATH said: '/tasks?limit=5'."
)
@click.option(
    "--explain",
    metavar="FRAMEWORK",
    help="Why it got no offers then, by id, its end, or name; with --task, why that did not run.",
)
@click.option("--from", "begin", metavar=MOMENT, help="Show what is otherwise since then ...")
@click.option("--to", "end", metavar=MOMENT, help="... and until then; the end without it.")
@click.option("--events", "wants_events", is_flag=True, help="List what happened from ... to ...")
@click.option("--task", metavar="ID", help="Events of this task only; or the end of its id.")
@click.option("--agent", metavar="ID", help="Events of this agent only; or the end of its id.")
@click.option(
    "--framework", metavar="ID", help="Events of this framework only; or the end of its id."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; of events, a line for each.")
def command(
    *,
    directory: Path,
    at: str | None,
    wants_state: bool,
    path: str | None,
    explain: str | None,
    begin: str | None,
    end: str | None,
    wants_events: bool,
    task: str | None,
    agent: str | None,
    framework: str | None,
    as_json: bool,
) -> None:
    """Say what happened, from the journal that a master wrote into DIRECTORY.

    Alone it says what is there. A MOMENT is 2026-11-21T03:12:00Z, or 03:12 or 03:12:30 of the
    journal's last day, or +SECONDS from its start; all in UTC.
    """
    from tepui.sim.replay.files import read_journal
    from tepui.sim.replay.replay import Replay

    wants_one = wants_state or path is not None or explain is not None
    if sum((wants_state, path is not None, explain is not None)) > 1:
        raise click.UsageError("--state, --get and --explain: give one of them")
    if (begin or end or wants_events) and (at or wants_one):
        raise click.UsageError("--from, --to and --events are about a time, --at about a moment")
    if (agent or framework) and not wants_events:
        raise click.UsageError("--agent and --framework are for --events")
    if task and not (wants_events or explain):
        raise click.UsageError("--task is for --events and --explain")
    segments = read_journal(directory)
    replay = Replay(segments)
    first_ms, last_ms = segments[0].begins_ms, segments[-1].last_ms

    def moment(text: str | None, otherwise_ms: int) -> int:
        from tepui.sim.replay.moments import moment_ms

        return otherwise_ms if text is None else moment_ms(text, first_ms, last_ms)

    if wants_one:
        at_ms = moment(at, last_ms)
        if explain is not None:
            path = _explain_path(_framework_id(replay, at_ms, explain), task)
        _print_view(replay, at_ms, path or "/state", as_text=explain and not as_json)
    elif at is not None:
        _print_overview(replay, moment(at, last_ms), as_json=as_json)
    elif begin or end or wants_events:
        begins_ms = moment(begin, first_ms - 1)  # of the start nothing is left out
        ends_ms = moment(end, last_ms)
        if ends_ms < begins_ms:
            if end is None:
                raise click.UsageError(f"--from '{begin}' is after the journal's end")
            raise click.UsageError(f"--to '{end}' is before --from '{begin or '+0'}'")
        if wants_events:
            _print_events(replay, begins_ms, ends_ms, (task, framework, agent), as_json=as_json)
        else:
            _print_difference(replay, begins_ms, ends_ms, as_json=as_json)
    else:
        _print_contents(segments, as_json=as_json)
    for note in replay.notes:
        click.echo(f"note: {note}", err=True)


def _print_contents(segments: Sequence[Segment], *, as_json: bool) -> None:
    from tepui.cli.tables import print_json, print_table
    from tepui.sim.replay.moments import text_of_moment

    if as_json:
        print_json(
            [
                {
                    "term": one.header.term,
                    "from": text_of_moment(one.begins_ms),
                    "to": text_of_moment(one.last_ms),
                    "batches": one.batches,
                    "events": one.events,
                    "bytes": one.bytes,
                    "has_state": one.has_picture,
                    "is_torn": one.is_torn,
                }
                for one in segments
            ]
        )
        return
    print_table(
        ("FROM", "TO", ">BATCHES", ">EVENTS", ">SIZE", "STATE", "TERM", "NOTE"),
        [
            (
                text_of_moment(one.begins_ms),
                text_of_moment(one.last_ms),
                str(one.batches),
                str(one.events),
                _size(one.bytes),
                "yes" if one.has_picture else "missing",
                one.header.term,
                "its end is torn" if one.is_torn else "",
            )
            for one in segments
        ],
        empty="",
    )
    events = sum(one.events for one in segments)
    batches = sum(one.batches for one in segments)
    click.echo(
        f"{text_of_moment(segments[0].begins_ms)} to {text_of_moment(segments[-1].last_ms)}:"
        f" {events} events in {batches} batches, {len(segments)} segments"
    )


def _print_overview(replay: Replay, at_ms: int, *, as_json: bool) -> None:
    from tepui.cli.listing import mib
    from tepui.cli.tables import print_json, print_table, shown_id
    from tepui.sim.replay.moments import text_of_moment
    from tepui.sim.replay.views import overview

    replay.to(at_ms)
    found = overview(replay.state, text_of_moment(at_ms))
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.at}, master {found.master}")
    click.echo()
    print_table(
        ("AGENT", "ADDRESS", "STATE", ">TASKS", ">OFFERS", ">CPUS", ">MEM", "ID"),
        [
            (
                row.hostname,
                row.address,
                row.state,
                str(row.tasks),
                str(row.offers),
                f"{row.cpus_used:g}/{row.cpus:g}",
                f"{mib(row.mem_used_mib)}/{mib(row.mem_mib)}",
                shown_id(row.id),
            )
            for row in sorted(found.agents, key=lambda row: (row.hostname, row.address))
        ],
        empty="no agent was registered",
    )
    for count, what in (
        (found.agents_expected, "expected back"),
        (found.agents_unreachable, "unreachable"),
    ):
        if count:
            click.echo(f"agents {what}: {count}")
    click.echo()
    print_table(
        ("FRAMEWORK", "STATE", "ROLES", "TASKS", ">OFFERS", ">CPUS", ">MEM", "ID"),
        [
            (
                row.name,
                row.state,
                ",".join(row.roles),
                _counts(row.tasks) or "none",
                str(row.offers),
                f"{row.cpus:g}",
                mib(row.mem_mib),
                shown_id(row.id),
            )
            for row in found.frameworks
        ],
        empty="no framework was there",
    )


def _print_view(replay: Replay, at_ms: int, path: str, *, as_text: object) -> None:
    import msgspec

    from tepui.sim.replay.views import view

    replay.to(at_ms)
    body = view(replay.state, path, at_ms)
    if not as_text:
        click.echo(body.decode(errors="replace").rstrip("\n"))
        return
    found = msgspec.json.decode(body)
    click.secho(found["summary"], bold=True)
    for line in found.get("lines", ()):
        click.echo(f"  {line}")


def _print_difference(replay: Replay, begins_ms: int, ends_ms: int, *, as_json: bool) -> None:
    from tepui.cli.tables import print_json, print_table, shown_id
    from tepui.sim.replay.moments import text_of_moment
    from tepui.sim.replay.views import Ledger, difference, overview

    replay.before(begins_ms + 1)
    before = overview(replay.state, text_of_moment(begins_ms))
    ledger = Ledger()
    replay.to(ends_ms, ledger)
    found = difference(before, overview(replay.state, text_of_moment(ends_ms)), ledger)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.begins} to {found.ends}")
    if len(set(found.masters)) > 1:
        click.echo(f"master: {', then '.join(dict.fromkeys(found.masters))}")
    click.echo(f"offers: {_pair(found.offers)}")
    for what, changed in (("weight", found.weights), ("flag", found.flags)):
        for name, values in changed.items():
            old, new = ("none" if value is None else str(value) for value in values)
            click.echo(f"{what} {name}: {old} -> {new}")
    click.echo()
    print_table(
        ("AGENT", "CHANGE", "ID"),
        [(one.hostname, one.change, shown_id(one.id)) for one in found.agents],
        empty="no agent came, went or changed",
    )
    if found.agents:
        click.echo()
    print_table(
        ("FRAMEWORK", "CHANGE", ">LAUNCHED", "ENDED", ">TASKS", ">OFFERS", "ID"),
        [
            (
                one.name,
                one.change,
                str(one.launched),
                _counts(one.ended),
                _pair(one.tasks),
                _pair(one.offers),
                shown_id(one.id),
            )
            for one in found.frameworks
        ],
        empty="no framework came, went or changed",
    )


def _print_events(
    replay: Replay,
    begins_ms: int,
    ends_ms: int,
    ids: tuple[str | None, str | None, str | None],
    *,
    as_json: bool,
) -> None:
    import msgspec

    from tepui.sim.replay.events import Line, Lines, Wanted

    count = 0

    def tell(line: Line) -> None:
        nonlocal count
        count += 1
        click.echo(msgspec.json.encode(line).decode() if as_json else line.text())

    task, framework, agent = ids
    wanted = Wanted(task=task, framework=framework, agent=agent)
    replay.before(begins_ms)
    replay.to(ends_ms, Lines(wanted, tell))
    if not count:
        click.echo("nothing of that kind happened", err=True)


def _framework_id(replay: Replay, at_ms: int, given: str) -> str:
    """Of the one that was there then. Raises ClickException when none fits, or several do."""
    from tepui.cli.connect import find_by_id

    replay.to(at_ms)
    state = replay.state
    everyone = {**state.completed_frameworks, **state.frameworks}
    named = [one.id for one in everyone.values() if one.info.name == given]
    if len(named) == 1:
        return named[0]
    return find_by_id("framework", given, [(str(one), str(one)) for one in everyone])


def _explain_path(framework: str, task: str | None) -> str:
    from urllib.parse import urlencode

    asked = {"framework_id": framework} | ({"task_id": task} if task else {})
    return f"/explain?{urlencode(asked)}"


def _counts(counted: dict[str, int]) -> str:
    return " ".join(f"{name.removeprefix('TASK_')}:{n}" for name, n in counted.items())


def _pair(numbers: tuple[int, int]) -> str:
    old, new = numbers
    return str(new) if old == new else f"{old} -> {new}"


def _size(size_bytes: int) -> str:
    from tepui.cli.listing import mib

    if size_bytes < 1 << 20:
        return f"{-(-size_bytes // 1024)}K"
    return mib(round(size_bytes / (1 << 20), 1))
