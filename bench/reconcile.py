"""RECONCILE of unknown tasks: updates per second of one master.

bench/run reconcile
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

import uvloop
from msgspec import Struct

from bench import processes
from bench.calls import Events, Scheduler, Status
from bench.processes import HOST, MB, tepui
from bench.table import Row, show

CALLS_MAX = 4  # under way at a time
WAIT_S = 60.0


class Reconciler(Scheduler):
    """Counts updates; the next call follows when the updates of one have come."""

    def __init__(self, port: int, per_call: int) -> None:
        super().__init__(port, "bench")
        self._per_call = per_call
        self.is_asking = True
        self.updates = 0
        self.body = b""
        self._wanted = 0
        self._come = asyncio.Event()

    def ask(self) -> None:
        """Call once more."""
        self.calls.post(self.body)

    def updated(self, status: Status) -> None:
        self.updates += 1
        if self.updates == self._wanted:
            self._come.set()
        if self.updates % self._per_call == 0 and self.is_asking:
            self.ask()

    async def has(self, updates: int) -> None:
        """Return when so many have come."""
        self._wanted = updates
        self._come.clear()
        if self.updates < updates:
            await self._come.wait()


class Run(Struct, frozen=True):
    """The figures of one run."""

    updates_per_s: float
    master_us: float
    rss_end_mb: float
    limit_updates_per_s: float


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run reconcile", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000, help="of one call")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    options = parser.parse_args()
    runs = [uvloop.run(measure(options.tasks, options.seconds)) for _ in range(options.runs)]
    show(
        f"RECONCILE of {options.tasks:,} unknown tasks per call; median of {options.runs} runs",
        [
            Row(
                "updates",
                median(run.updates_per_s for run in runs),
                "updates/s",
                "≥ 84,000" if options.tasks == 1_000 else "",
                median(run.limit_updates_per_s for run in runs),
                "bare server, the same bytes prepared",
            ),
            Row("processor of the master", median(run.master_us for run in runs), "µs/update"),
            Row("RSS of the master, at the end", median(run.rss_end_mb for run in runs), "MB"),
        ],
    )


async def measure(per_call: int, seconds: float) -> Run:
    """One run, then the machine's limit."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        port = processes.free_port()
        command = tepui("master", f"--port={port}", f"--work_dir={directory / 'master'}")
        with processes.started(command, directory / "master.log") as pid:
            processes.wait_for_port(port)
            scheduler = Reconciler(port, per_call)
            await scheduler.subscribe(connections=CALLS_MAX)
            tasks = ",".join(
                f'{{"task_id":{{"value":"bench.0f1e2d3c-4b5a-6978.{number:08}"}}}}'
                for number in range(per_call)
            )
            scheduler.body = scheduler.call("RECONCILE", f',"reconcile":{{"tasks":[{tasks}]}}')
            for _ in range(CALLS_MAX):
                scheduler.ask()
            await asyncio.sleep(1.0)
            before, started_s, cpu_s = scheduler.updates, time.perf_counter(), processes.cpu_s(pid)
            await asyncio.sleep(seconds)
            count, took_s = scheduler.updates - before, time.perf_counter() - started_s
            cpu_s = processes.cpu_s(pid) - cpu_s
            rss_end = processes.rss_bytes(pid)
            scheduler.is_asking = False
            scheduler.close()
        limit = await measure_bare(directory, per_call)
    return Run(count / took_s, cpu_s / count * 1e6, rss_end / MB, limit)


async def measure_bare(directory: Path, per_call: int) -> float:
    """Updates per second when the server only writes what was prepared, to the same reader."""
    record = (
        b'{"type":"UPDATE","update":{"status":{"task_id":{"value":"bench.0f1e2d3c-4b5a-6978.00000001"}'
        b',"state":"TASK_UNKNOWN","message":"Reconciliation: Task is unknown","source":'
        b'"SOURCE_MASTER","reason":"REASON_RECONCILIATION","timestamp":1700000000.123}}}'
    )
    framed = b"%d\n%b" % (len(record), record)
    prepared = directory / "records"
    prepared.write_bytes(b"%x\r\n%b\r\n" % (len(framed), framed) * per_call)
    port = processes.free_port()
    request = f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
    reader = Reconciler(port, per_call)
    reader.is_asking = False
    command = ["-m", "bench.bare", str(port), str(prepared)]
    with processes.started(command, directory / "bare.log"):
        processes.wait_for_port(port)
        loop = asyncio.get_running_loop()
        times = []
        for number in range(50):
            events = Events(request, lambda head: None, reader.take)
            started_s = time.perf_counter()
            await loop.create_connection(lambda: events, HOST, port)  # noqa: B023  # awaited here
            async with asyncio.timeout(WAIT_S):
                await reader.has(per_call * (number + 1))
            times.append(time.perf_counter() - started_s)
            events.close()
    return per_call / median(times)


if __name__ == "__main__":
    main()
