"""`tepui node`: the machines of the cluster."""

from __future__ import annotations

import click

from tepui.cli.options import json_option, master_option


@click.group("node")
def command() -> None:
    """List and show the machines."""


@command.command("ls")
@master_option
@json_option
def ls(*, master: str, as_json: bool) -> None:
    """List the machines, with what of them is used."""
    from tepui.cli.connect import get_cluster
    from tepui.cli.listing import age, mib, node_rows
    from tepui.cli.tables import print_json, print_table, shown_id

    rows = node_rows(get_cluster(master))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("NODE", "ADDRESS", "STATE", ">TASKS", ">CPUS", ">MEM", ">AGE", "ATTRIBUTES", "ID"),
        [
            (
                row.hostname,
                row.address,
                row.state,
                str(row.tasks),
                f"{row.cpus_used:g}/{row.cpus:g}",
                f"{mib(row.mem_used_mib)}/{mib(row.mem_mib)}",
                age(row.since),
                row.attributes,
                shown_id(row.id),
            )
            for row in rows
        ],
        empty="no agent has registered",
    )


@command.command("show")
@click.argument("node")
@master_option
@json_option
def show(*, node: str, master: str, as_json: bool) -> None:
    """Show one machine: by its id, hostname or address, or a part of its id."""
    from tepui.cli.connect import find_by_id, get_cluster
    from tepui.cli.lacking import lacking
    from tepui.cli.listing import address_of, age, node_rows, task_rows, text_of_resources
    from tepui.cli.tables import print_fields, print_messages, print_table

    cluster = get_cluster(master)
    names = [
        (name, agent)
        for agent in cluster.agents
        for name in (agent.agent_info.hostname, address_of(agent))
        if name == node
    ]
    agent_ids = [
        (agent.agent_info.id.value, agent) for agent in cluster.agents if agent.agent_info.id
    ]
    found = names[0][1] if len(names) == 1 else find_by_id("node", node, agent_ids)
    if as_json:
        print_messages(found)
        return
    row = next(
        row
        for row in node_rows(cluster)
        if found.agent_info.id and row.id == found.agent_info.id.value
    )
    print_fields(
        [
            ("node", row.hostname),
            ("id", row.id),
            ("address", row.address),
            ("state", row.state),
            ("version", found.version),
            ("registered", f"{age(row.since)} ago"),
            ("attributes", row.attributes),
            ("total", text_of_resources(found.total_resources)),
            ("allocated", text_of_resources(found.allocated_resources)),
            ("offered", text_of_resources(found.offered_resources)),
        ]
    )
    if lacks := lacking(row.address) if row.state != "disconnected" else []:
        click.echo()
        print_table(("LACKS", "WHY"), lacks, empty="")
    tasks = [task for task in cluster.tasks if task.agent_id.value == row.id]
    if tasks:
        click.echo()
        print_table(
            ("TASK", "STATE", "FRAMEWORK", ">AGE"),
            [(t.id, t.state, t.framework, age(t.since)) for t in task_rows(cluster, tasks)],
            empty="",
        )
