"""`tepui task`: the tasks of the cluster, their logs, and ways into them."""

from __future__ import annotations

import asyncio

import click

from tepui.cli.options import json_option, master_option

framework_option = click.option("--framework", metavar="ID", help="Of this framework only.")


@click.group("task")
def command() -> None:
    """List, show, kill tasks; read their logs; go into them."""


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


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.option("-i", "--interactive", is_flag=True, help="Send what is typed here.")
@click.option("-t", "--tty", "terminal", is_flag=True, help="On a terminal of its own.")
@framework_option
@master_option
@click.argument("task")
@click.argument("arguments", metavar="CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(
    *,
    task: str,
    arguments: tuple[str, ...],
    interactive: bool,
    terminal: bool,
    framework: str | None,
    master: str,
) -> int:
    """Run a command in the container of a task; ends with its exit code."""
    from tepui.cli.exec import execute
    from tepui.cli.inside import find_inside

    inside = find_inside(master, task, framework)
    command = arguments[1:] if arguments[0] == "--" and len(arguments) > 1 else arguments
    return asyncio.run(execute(inside, command, interactive=interactive, terminal=terminal))


@command.command("attach")
@click.option("--no-stdin", is_flag=True, help="Only look on.")
@framework_option
@master_option
@click.argument("task")
def attach_(*, task: str, no_stdin: bool, framework: str | None, master: str) -> int:
    """Be at the terminal of a task that has one; Ctrl-P Ctrl-Q leaves it."""
    from tepui.cli.exec import attach
    from tepui.cli.inside import find_inside

    return asyncio.run(attach(find_inside(master, task, framework), interactive=not no_stdin))


@command.command("top")
@click.option("--once", is_flag=True, help="Print the table one time.")
@click.option("--interval", "interval_s", default=2.0, show_default=True, metavar="SECONDS")
@framework_option
@master_option
@json_option
@click.argument("task")
def top(
    *, task: str, once: bool, interval_s: float, framework: str | None, master: str, as_json: bool
) -> None:
    """Show the processes of a task and what they use."""
    from tepui.cli.inside import find_inside
    from tepui.cli.top import show_top

    inside = find_inside(master, task, framework)
    asyncio.run(show_top(inside, once=once, interval_s=max(0.1, interval_s), as_json=as_json))


@command.command("cp")
@framework_option
@master_option
@click.argument("source")
@click.argument("target")
def cp(*, source: str, target: str, framework: str | None, master: str) -> None:
    """Copy files out of a task (TASK:PATH LOCAL) or into it (LOCAL TASK:PATH)."""
    from tepui.cli.copy import copy_in, copy_out
    from tepui.cli.inside import find_inside

    from_task, is_out, from_path = source.partition(":")
    to_task, is_in, to_path = target.partition(":")
    if bool(is_out) == bool(is_in):
        raise click.UsageError("one of the two is TASK:PATH, the other a local path")
    if is_out:
        inside = find_inside(master, from_task, framework)
        asyncio.run(copy_out(inside, from_path, target))
    else:
        inside = find_inside(master, to_task, framework)
        asyncio.run(copy_in(inside, source, to_path))


@command.command("port-forward")
@framework_option
@master_option
@click.argument("task")
@click.argument("ports", metavar="[LOCAL:]REMOTE...", nargs=-1, required=True)
def port_forward(*, task: str, ports: tuple[str, ...], framework: str | None, master: str) -> None:
    """Have local ports lead to ports of a task, until interrupted."""
    from tepui.cli.inside import find_inside, ports_of
    from tepui.cli.port_forward import forward

    wanted = [ports_of(one) for one in ports]
    asyncio.run(forward(find_inside(master, task, framework), wanted))
