"""`tepui simulate`: what a cluster would do with a workload, without either."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tepui.base.errors import Refused
from tepui.cli.options import json_option

if TYPE_CHECKING:
    from tepui.sim.study.results import Result


@click.command("simulate")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from",
    "origin",
    metavar="MASTER|FILE",
    help="Begin with the agents and tasks of a running cluster: HOST:PORT or zk://HOST:PORT,.../PATH "
    "of its master, or a file with its /state.",
)
@click.option(
    "--change",
    "changes",
    metavar="PATH=VALUE",
    multiple=True,
    help="Compare with the same under this change, such as agents.0.count=20; may be repeated.",
)
@click.option("--picture", metavar="FILE.svg", type=click.Path(path_type=Path), help="Draw it.")
@json_option
def command(
    *,
    file: Path | None,
    origin: str | None,
    changes: tuple[str, ...],
    picture: Path | None,
    as_json: bool,
) -> None:
    """Say what a cluster would do with a workload.

    FILE describes both, in YAML or JSON (docs/simulate.md). The production master and agents run
    it, under virtual time: a day takes a minute or less.
    """
    if file is None and origin is None:
        raise click.UsageError("give a FILE, or --from")
    if picture is not None and picture.suffix != ".svg":
        raise click.UsageError(f"--picture '{picture}': expected a name that ends in .svg")
    from tepui.cli.simulated import print_compared, print_result
    from tepui.cli.tables import print_json
    from tepui.sim.study.plan_file import changed, plan_of
    from tepui.sim.study.study import study

    value = _value(file, origin)
    plans = [plan_of(value)]
    if changes:
        other = value
        for change in changes:
            other = changed(other, change)
        plans.append(plan_of(other))
    results = [study(plan) for plan in plans]
    if picture is not None:
        _draw(results, picture)
    if as_json:
        shown = [{"speed": one.speed, "result": one} for one in results]
        print_json(shown[0] if not changes else {"before": shown[0], "after": shown[1]})
    elif changes:
        print_compared(results[0], results[1])
    else:
        print_result(results[0])


def _value(file: Path | None, origin: str | None) -> object:
    """What the file holds, or the cluster, or both together."""
    from tepui.sim.study.plan_file import read_file

    found = None if file is None else read_file(file)
    if origin is None:
        return found
    from tepui.sim.study.observed import joined, plan_value

    if Path(origin).is_file():
        cluster = plan_value(read_file(Path(origin)))
    elif ":" not in origin:
        raise Refused(f"--from '{origin}': there is no such file, and a master is HOST:PORT")
    else:
        cluster = plan_value(*asyncio.run(_ask(origin)))
    if found is None:
        return cluster
    if not isinstance(found, dict):
        raise Refused(f"'{file}': expected a mapping")
    return joined(cluster, found)


async def _ask(address: str) -> tuple[object, object]:
    """The state and the roles of the master."""
    from tepui.cli.connect import open_master

    async with open_master(address.removeprefix("http://").rstrip("/")) as client:
        return await client.get_json("/state"), await client.get_json("/roles")


def _draw(results: list[Result], path: Path) -> None:
    """Of two results the second has `-after` in its name."""
    from tepui.sim.study.picture import write_svg

    for index, result in enumerate(results):
        name = path if index == 0 else path.with_stem(f"{path.stem}-after")
        write_svg(result.course, name)
        click.echo(f"picture: {name}", err=True)
