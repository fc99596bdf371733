"""`tepui registry`: what outlives masters; look at it, and move it between SQLite and ZooKeeper."""

from __future__ import annotations

import click

from tepui.cli.options import json_option


@click.group("registry")
def command() -> None:
    """Look at a registry, or move it: from one master to several, or back.

    A registry is sqlite:PATH (a registry.db, or the work_dir it is in) or, of masters with --zk,
    their zk://HOST:PORT,.../PATH. The masters that use it must be stopped before; tasks run on.
    """


@command.command("show")
@click.argument("place", metavar="REGISTRY")
@json_option
def show(*, place: str, as_json: bool) -> None:
    """List the agents, the weights and whatever else is in a registry."""
    import asyncio

    from tepui.cli.registry_places import opened, parse_place, shown
    from tepui.cli.tables import print_json, print_table

    async def read() -> dict[str, bytes]:
        async with opened(parse_place(place), makes=False) as new:
            store = new()
            try:
                return await store.open()
            finally:
                await store.close()

    rows = [shown(key, value) for key, value in sorted(asyncio.run(read()).items())]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("KEY", "IS", ">BYTES", "SAYS"),
        [(row.key, row.kind, str(row.value_bytes), row.says) for row in rows],
        empty="the registry is empty",
    )


@command.command("copy")
@click.option("--from", "source", required=True, metavar="REGISTRY", help="Is left as it is.")
@click.option("--to", "destination", required=True, metavar="REGISTRY", help="Must be empty.")
@click.option("--force", is_flag=True, help="Replace what is in the destination.")
def copy(*, source: str, destination: str, force: bool) -> None:
    """Copy a registry, and read back what was written.

    \b
    tepui registry copy --from=sqlite:/var/lib/tepui --to=zk://z1:2181,z2:2181/mesos
    """
    import asyncio

    from tepui.cli.registry_places import opened, parse_place
    from tepui.storage.copying import Copied, NotEmpty
    from tepui.storage.copying import copy as copy_objects

    one, other = parse_place(source), parse_place(destination)
    if one == other:
        raise click.ClickException(f"--from and --to are the same registry: '{one}'")

    async def run() -> Copied:
        async with opened(one, makes=False) as old, opened(other, makes=True) as new:
            return await copy_objects(old(), new, replace=force)

    try:
        copied = asyncio.run(run())
    except NotEmpty as error:
        raise click.ClickException(f"'{other}': {error}; --force replaces them") from None
    before = f"; {copied.replaced} that were there are replaced" if copied.replaced else ""
    click.echo(
        f"{copied.objects} object{'' if copied.objects == 1 else 's'} ({copied.value_bytes} bytes) copied and read back{before}"
    )
