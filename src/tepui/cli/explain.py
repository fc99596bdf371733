"""`tepui explain`: why a task or framework does not run, in plain lines."""

from __future__ import annotations

import asyncio

import click

from tepui.cli.options import json_option, master_option


@click.command("explain")
@click.argument("task_or_framework")
@click.option("--framework", metavar="ID", help="The framework of the task.")
@master_option
@json_option
def command(*, task_or_framework: str, framework: str | None, master: str, as_json: bool) -> None:
    """Say why a task or a framework does not run, or that it does."""
    asyncio.run(_explain(master, task_or_framework, framework, as_json=as_json))


async def _explain(master: str, given: str, framework: str | None, *, as_json: bool) -> None:
    from tepui.cli.connect import find_framework, find_task, open_master
    from tepui.cli.listing import Cluster
    from tepui.cli.tables import print_json
    from tepui.cli.why import Explanation

    async with open_master(master) as client:
        cluster = Cluster.of(await client.get_state())
        try:
            info = find_framework(cluster, framework or given).framework_info
            framework_id = info.id.value if info.id else ""
            params = {"framework_id": framework_id}
            if framework is not None:
                params["task_id"] = given
        except click.ClickException:
            if framework is not None:
                raise
            task = find_task(cluster, given, None)
            params = {"framework_id": task.framework_id.value, "task_id": task.task_id.value}
        found = await client.get_json("/explain", params)
    if as_json:
        print_json(found)
        return
    explanation = Explanation.of(found)
    click.secho(explanation.summary, bold=True)
    for line in explanation.lines:
        click.echo(f"  {line}")
