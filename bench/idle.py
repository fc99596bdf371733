"""The memory of a master and an agent that have nothing to do.

bench/run idle
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

from bench import faults, limits, processes
from bench.cluster import Waiting, cluster
from bench.processes import MB
from bench.table import Row, measured, show

TITLE = "idle: memory of a registered agent and its master"
SETTLE_S = 1.0  # from the first offer until memory is looked at
BARE = "bare server with uvicorn and msgspec"


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run idle", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds before looking")
    options = parser.parse_args()
    show([measured("idle", TITLE, options.runs, lambda: rows(options.settle))])


def rows(settle_s: float = SETTLE_S) -> list[Row]:
    """The figures of one cluster; the bare server runs beside it and shares as much."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        with (
            cluster(directory, "cpus:4;mem:1024;disk:1024") as running,
            limits.bare_server(directory) as (bare, _),
        ):
            faults.run(_offered(running.port))
            time.sleep(settle_s)
            found = []
            for kind, size in (("RSS", processes.rss_bytes), ("PSS", processes.pss_bytes)):
                limit = size(bare) / MB
                for what, pid in (("master", running.master), ("agent", running.agent)):
                    name = f"{what}, idle ({kind})"
                    found.append(Row(name, size(pid) / MB, "MB", "< 60", limit, BARE))
                launchers = sum(map(size, running.launchers)) / MB
                found.append(Row(f"launcher of the agent, idle ({kind})", launchers, "MB"))
            return found


async def _offered(port: int) -> None:
    """Return when the agent was offered: all that starts has started."""
    scheduler = Waiting(port, "idle")
    await scheduler.subscribe(connections=1)
    with contextlib.closing(scheduler):
        await scheduler.next_offers()


if __name__ == "__main__":
    main()
