"""`tepui task top`: the processes of a task, with what they use."""

from __future__ import annotations

import asyncio

import click
from msgspec import Struct, convert

from tepui.cli.inside import Inside
from tepui.cli.tables import print_json, print_table
from tepui.sdk import CallRefused, OperatorClient
from tepui.sdk.reach import flat_id

SAMPLE_S = 0.5  # between the two looks of which --once shows the difference
CLEAR = "\x1b[H\x1b[2J"


class Process(Struct, frozen=True):
    """One process, as the agent tells it."""

    pid: int
    parent: int
    user: str
    state: str
    threads: int
    cpu_ms: int
    rss_bytes: int
    started_s: float
    command: str


class Processes(Struct, frozen=True):
    """All of a container at one moment."""

    container_id: str
    at_s: float
    memory_bytes: int
    processes: tuple[Process, ...]


async def show_top(inside: Inside, *, once: bool, interval_s: float, as_json: bool) -> None:
    """Print the table, again and again until interrupted."""
    async with OperatorClient(inside.address) as agent:
        before = await _ask(agent, inside)
        while True:
            await asyncio.sleep(SAMPLE_S if once else interval_s)
            now = await _ask(agent, inside)
            rows = rows_of(before, now)
            if as_json:
                print_json(rows)
            else:
                if not once:
                    click.echo(CLEAR, nl=False)
                _print(rows)
            if once:
                return
            before = now


def rows_of(before: Processes, now: Processes) -> list[dict[str, str | int | float]]:
    """A row for each process; those that use the most cpu first."""
    spent = {(one.pid, one.started_s): one.cpu_ms for one in before.processes}
    passed_ms = max(1.0, (now.at_s - before.at_s) * 1000)
    rows: list[dict[str, str | int | float]] = []
    for one in now.processes:
        used_ms = one.cpu_ms - spent.get((one.pid, one.started_s), 0)
        rows.append(
            {
                "pid": one.pid,
                "user": one.user,
                "state": one.state,
                "threads": one.threads,
                "cpu_percent": round(100 * used_ms / passed_ms, 1),
                "mem_mib": round(one.rss_bytes / (1 << 20), 1),
                "time_s": round(one.cpu_ms / 1000, 2),
                "command": one.command,
            }
        )
    return sorted(rows, key=lambda row: (-float(row["cpu_percent"]), row["pid"]))


async def _ask(agent: OperatorClient, inside: Inside) -> Processes:
    name = flat_id(inside.container_id)
    try:
        answer = await agent.get_json("/containers/processes", {"container_id": name})
    except CallRefused as refused:
        if refused.status != 404:
            raise
        raise click.ClickException(f"'{inside.task.task_id.value}' has ended") from None
    return convert(answer, Processes)


def _print(rows: list[dict[str, str | int | float]]) -> None:
    print_table(
        (">PID", "USER", "S", ">CPU%", ">MEM", ">TIME", "COMMAND"),
        [
            (
                str(row["pid"]),
                str(row["user"]),
                str(row["state"]),
                f"{row['cpu_percent']:.1f}",
                f"{row['mem_mib']:.1f}M",
                f"{row['time_s']:.2f}",
                str(row["command"]),
            )
            for row in rows
        ],
        empty="no processes",
    )
