"""`tepui framework`: the frameworks of the cluster."""

from __future__ import annotations

import asyncio

import click

from tepui.cli.options import json_option, master_option


@click.group("framework")
def command() -> None:
    """List, show and end frameworks."""


@command.command("ls")
@click.option("--all", "with_ended", is_flag=True, help="Those that have ended, too.")
@master_option
@json_option
def ls(*, with_ended: bool, master: str, as_json: bool) -> None:
    """List the frameworks."""
    from tepui.cli.connect import get_cluster
    from tepui.cli.listing import age, framework_rows, mib
    from tepui.cli.tables import print_json, print_table, shown_id

    cluster = get_cluster(master)
    rows = framework_rows(cluster, cluster.frameworks, ended=False)
    if with_ended:
        rows += framework_rows(cluster, cluster.completed_frameworks, ended=True)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NAME", "STATE", "ROLES", "USER", ">TASKS", ">CPUS", ">MEM", ">AGE", "ID"),
        [
            (
                row.name,
                row.state,
                row.roles,
                row.user,
                str(row.tasks),
                f"{row.cpus:g}",
                mib(row.mem_mib),
                age(row.since),
                shown_id(row.id),
            )
            for row in rows
        ],
        empty="no frameworks; --all shows those that have ended",
    )


@command.command("show")
@click.argument("framework")
@master_option
@json_option
def show(*, framework: str, master: str, as_json: bool) -> None:
    """Show one framework: by its id, a part of it, or its name."""
    from tepui.cli.connect import find_framework, get_cluster
    from tepui.cli.listing import age, framework_rows, task_rows, text_of_resources
    from tepui.cli.tables import print_fields, print_messages, print_table

    cluster = get_cluster(master)
    found = find_framework(cluster, framework)
    if as_json:
        print_messages(found)
        return
    info = found.framework_info
    ended = found not in cluster.frameworks
    (row,) = framework_rows(cluster, [found], ended=ended)
    capabilities = ", ".join(one.type.value for one in info.capabilities if one.type)
    print_fields(
        [
            ("framework", row.name),
            ("id", row.id),
            ("state", row.state),
            ("roles", row.roles),
            ("user", row.user),
            ("since", f"{age(row.since)} ago"),
            ("capabilities", capabilities),
            ("failover timeout", f"{info.failover_timeout:g} s"),
            ("web page", info.webui_url or ""),
            ("allocated", text_of_resources(found.allocated_resources)),
            ("offered", text_of_resources(found.offered_resources)),
        ]
    )
    tasks = [task for task in cluster.all_tasks() if task.framework_id.value == row.id]
    if tasks:
        click.echo()
        print_table(
            ("TASK", "STATE", "NODE", ">AGE", "MESSAGE"),
            [(t.id, t.state, t.node, age(t.since), t.message) for t in task_rows(cluster, tasks)],
            empty="",
        )


@command.command("teardown")
@click.argument("framework")
@click.option("--yes", is_flag=True, help="Do not ask.")
@master_option
@json_option
def teardown(*, framework: str, yes: bool, master: str, as_json: bool) -> None:
    """End a framework: all its tasks are killed, and its id cannot be used again."""
    from tepui.cli.connect import find_framework, get_cluster, open_master
    from tepui.cli.tables import print_json

    found = find_framework(get_cluster(master), framework)
    info = found.framework_info
    assert info.id is not None  # the master gives each framework an id
    framework_id = info.id.value
    if not yes:
        click.confirm(f"end '{info.name}' ({framework_id}) and kill its tasks?", abort=True)

    async def end() -> None:
        async with open_master(master) as client:
            await client.teardown(framework_id)

    asyncio.run(end())
    if as_json:
        print_json({"framework_id": framework_id, "name": info.name})
    else:
        click.echo(f"ended {info.name} ({framework_id})")
