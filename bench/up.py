"""How soon a cluster is up: from the start of `tepui up` to the first offer.

bench/run up
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path
from time import perf_counter

from bench import faults, limits, processes
from bench.cluster import Waiting
from bench.processes import tepui
from bench.table import Row, measured, show

TITLE = "up: a cluster on this machine"
# What a cluster's three kinds of process import, in one process.
IMPORTS = (
    "import tepui.cli.main, tepui.cli.cluster, tepui.master.daemon.main, tepui.agent.daemon.main"
)


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run up", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="the median counts")
    show([measured("up", TITLE, parser.parse_args().runs, rows)])


def rows() -> list[Row]:
    """The figures of one start."""
    imports_s, python_s = limits.python_s(IMPORTS), limits.python_s("pass")
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        up_s = faults.run(measure(directory))
    imports = "Python that imports the same"
    return [
        Row("`tepui up` to the first offer", up_s, "s", "< 1.0", imports_s, imports),
        Row(imports, imports_s, "s", "", python_s, "python -c pass"),
    ]


async def measure(directory: Path) -> float:
    """Seconds until the first offer; the scheduler comes as soon as it can connect."""
    port = processes.free_port(2)
    work_dir = f"--work-dir={directory / 'up'}"
    command = tepui("up", f"--port={port}", work_dir, "--resources=cpus:4;mem:1024")
    started_s = perf_counter()
    with processes.started(command, directory / "up.log") as pid:
        await asyncio.to_thread(processes.wait_for_port, port, pid)
        scheduler = Waiting(port, "up")
        await scheduler.subscribe(connections=1)
        with contextlib.closing(scheduler):
            offered_s, _ = await scheduler.next_offers()
    return offered_s - started_s


if __name__ == "__main__":
    main()
