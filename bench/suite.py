"""The whole table: every benchmark, on this machine, with the machine's own limits.

    bench/run table
    bench/run table --only launch,agent --runs 1 --seconds 10
    bench/run table --json figures.json

Ends with 1 when a run of a benchmark failed: something was lost, came twice or out of order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from bench import (
    agent,
    allocator,
    disk,
    failover,
    failover_leader,
    failover_return,
    idle,
    launch,
    reconcile,
    state,
    up,
    usage,
)
from bench.machine import Machine, machine
from bench.table import Row, Section, measured, show

SUSTAINED_S = 60.0
RECONCILE_S_MAX = 10.0
POLLED_S_MAX = 30.0


class Bench(Struct, frozen=True):
    """One section of the table; what `one_run` returns are its lines."""

    name: str
    title: str
    one_run: Callable[[], list[Row]]


class Report(Struct, frozen=True):
    """All that `--json` writes."""

    machine: Machine
    runs: int
    seconds: float
    sections: list[Section]


def main() -> None:
    """Run, and print the table."""
    names = sorted({bench.name for bench in benches(SUSTAINED_S)})
    parser = argparse.ArgumentParser(
        prog="bench/run table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join(names)}; with commas")
    parser.add_argument("--runs", type=int, default=3, help="of each; medians count [3]")
    parser.add_argument("--seconds", type=float, default=SUSTAINED_S, help="of launches [60]")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where the figures go as data")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("argument --runs: at least 1")
    wanted = set(options.only.split(",")) if options.only else set(names)
    if unknown := wanted.difference(names):
        parser.error(f"argument --only: '{min(unknown)}' is none of {', '.join(names)}")

    before = machine()
    print(before.describe(), flush=True)
    sections = [
        measured(bench.name, bench.title, options.runs, bench.one_run)
        for bench in benches(options.seconds)
        if bench.name in wanted
    ]
    report = Report(before, options.runs, options.seconds, sections)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    print(f"\n{before.describe()}\nmedians of {options.runs} run(s); limits of the same runs")
    show(sections)
    sys.exit(any(section.failures for section in sections))


def benches(seconds: float) -> list[Bench]:
    """All of them, in the order of the table; allocator last: it leaves a big process behind."""
    one = launch.Options(per_accept=1, updates=3, seconds=seconds)
    ten = launch.Options(per_accept=10, updates=2, seconds=seconds)
    tasks = agent.Options()
    updates = reconcile.Options(seconds=min(seconds, RECONCILE_S_MAX))
    reads = state.Options(seconds=min(seconds, POLLED_S_MAX))
    looks = usage.Options()
    failovers = failover.parts(failover_leader.Options(), failover_return.Options())
    return [
        Bench("launch", one.title, lambda: launch.rows(one)),
        Bench("launch", ten.title, lambda: launch.rows(ten)),
        Bench("agent", tasks.title, lambda: agent.rows(tasks)),
        Bench("up", up.TITLE, up.rows),
        Bench("idle", idle.TITLE, idle.rows),
        Bench("reconcile", updates.title, lambda: reconcile.rows(updates)),
        Bench("state", reads.title, lambda: state.rows(reads)),
        *(Bench("failover", part.title, part.one_run) for part in failovers),
        Bench("usage", looks.title, lambda: usage.rows(looks)),
        Bench("disk", disk.TITLE, disk.rows),
        Bench("allocator", allocator.TITLE, allocator.rows),
    ]


if __name__ == "__main__":
    main()
