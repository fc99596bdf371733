"""`tepui task`: the tasks of the cluster and their logs."""

from __future__ import annotations

import asyncio

import click

from tepui.cli.options import json_option, master_option

framework_option = click.option("--framework", metavar="ID", help="Of this framework only.")


@click.group("task")
def command() -> None:
    """List, show, kill tasks; read their logs."""


@command.command("ls")
@click.option("--all", "with_ended", is_flag=True, help="Those that have ended, too.")
@framework_option
@master_option
@json_option
def ls(*, with_ended: bool, framework: str | None, master: str, as_json: bool) -> None:
    """List the tasks."""
    from tepui.cli.connect import find_framework, get_cluster
    from tepui.cli.listing import age, mib, task_rows
    from tepui.cli.tables import print_json, print_table

    cluster = get_cluster(master)
    tasks = cluster.all_tasks() if with_ended else cluster.tasks
    if framework is not None:
        info = find_framework(cluster, framework).framework_info
        tasks = tuple(task for task in tasks if task.framework_id == info.id)
    rows = task_rows(cluster, tasks)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("TASK", "STATE", "FRAMEWORK", "NODE", ">CPUS", ">MEM", ">AGE", "MESSAGE"),
        [
            (
                row.id,
                row.state,
                row.framework,
                row.node,
                f"{row.cpus:g}",
                mib(row.mem_mib),
                age(row.since),
                row.message,
            )
            for row in rows
        ],
        empty="no tasks" if with_ended else "no tasks; --all shows those that have ended",
    )


@command.command("show")
@click.argument("task")
@framework_option
@master_option
@json_option
def show(*, task: str, framework: str | None, master: str, as_json: bool) -> None:
    """Show one task and what became of it."""
    from tepui.cli.connect import find_task, get_cluster
    from tepui.cli.listing import age, task_rows, text_of_resources
    from tepui.cli.tables import print_fields, print_messages, print_table

    cluster = get_cluster(master)
    found = find_task(cluster, task, framework)
    if as_json:
        print_messages(found)
        return
    (row,) = task_rows(cluster, [found])
    labels = found.labels.labels if found.labels else ()
    print_fields(
        [
            ("task", row.id),
            ("name", found.name),
            ("state", row.state),
            ("framework", f"{row.framework} ({row.framework_id})"),
            ("node", f"{row.node} ({row.agent_id})"),
            ("user", found.user or ""),
            ("resources", text_of_resources(found.resources)),
            ("labels", " ".join(f"{label.key}={label.value or ''}" for label in labels)),
        ]
    )
    click.echo()
    print_table(
        ("STATE", ">AGE", "REASON", "MESSAGE"),
        [
            (
                status.state.value.removeprefix("TASK_"),
                age(status.timestamp),
                status.reason.value.removeprefix("REASON_") if status.reason else "",
                status.message or "",
            )
            for status in found.statuses
        ],
        empty="its agent has said nothing of it yet",
    )


@command.command("logs")
@click.argument("task")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task ends.")
@click.option("--stderr", "wants_stderr", is_flag=True, help="Its stderr instead of its stdout.")
@framework_option
@master_option
@json_option
def logs(
    *,
    task: str,
    follow: bool,
    wants_stderr: bool,
    framework: str | None,
    master: str,
    as_json: bool,
) -> None:
    """Print what a task has written."""
    from tepui.cli.logs import print_log

    name = "stderr" if wants_stderr else "stdout"
    asyncio.run(print_log(master, task, framework, name, follow=follow, as_json=as_json))


@command.command("kill")
@click.argument("tasks", metavar="TASK...", nargs=-1, required=True)
@framework_option
@master_option
@json_option
def kill(*, tasks: tuple[str, ...], framework: str | None, master: str, as_json: bool) -> None:
    """Kill tasks: each gets SIGTERM, and SIGKILL after its grace period."""
    from tepui.cli.connect import find_task, get_cluster
    from tepui.cli.kill import kill_task
    from tepui.cli.tables import print_json
    from tepui.sdk import is_terminal

    cluster = get_cluster(master)
    found = [find_task(cluster, task, framework) for task in tasks]
    for one in found:
        if is_terminal(one.state):
            state = one.state.value.removeprefix("TASK_")
            raise click.ClickException(f"task '{one.task_id.value}' has already ended ({state})")

    async def kill_all() -> None:
        for one in found:
            await kill_task(master, one.framework_id.value, one.task_id.value)

    asyncio.run(kill_all())
    if as_json:
        print_json(
            [{"framework_id": t.framework_id.value, "task_id": t.task_id.value} for t in found]
        )
    else:
        for one in found:
            click.echo(f"killing {one.task_id.value}")
