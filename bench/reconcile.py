"""RECONCILE of unknown tasks: updates per second of one master.

    bench/run reconcile

Four calls are under way; the next follows when the updates of one have come.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from msgspec import Struct

from bench import faults, limits, processes
from bench.calls import Events, Scheduler, Status
from bench.faults import fault, until
from bench.processes import HOST, MB, tepui
from bench.table import Row, measured, show

CALLS_MAX = 4  # under way at a time
WAIT_S = 60.0
READS = 50  # of what a bare server has prepared
GOALS = {1_000: "≥ 84,000"}  # by tasks of a call


class Options(Struct, frozen=True):
    """What is asked, and for how long."""

    tasks: int = 1_000
    seconds: float = 5.0
    warm_up_s: float = 1.0

    @property
    def title(self) -> str:
        """What the table is called."""
        return f"reconcile: {self.tasks:,} unknown tasks per call; {self.seconds:g} s"


class Reconciler(Scheduler):
    """Counts updates; the next call follows when the updates of one have come."""

    def __init__(self, port: int, per_call: int) -> None:
        super().__init__(port, "bench")
        self._per_call = per_call
        self.is_asking = True
        self.asked = 0  # updates
        self.updates = 0
        self.body = b""
        self._wanted = -1
        self._come = asyncio.Event()

    def ask(self) -> None:
        """Call once more."""
        self.asked += self._per_call
        self.calls.post(self.body)

    def updated(self, status: Status) -> None:
        if status.state != "TASK_UNKNOWN":
            fault(f"an unknown task is {status.state}: {status.message}")
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
            await asyncio.wait_for(self._come.wait(), WAIT_S)


class Measured(Struct, frozen=True):
    """A master that is asked."""

    updates_per_s: float
    master_us: float  # of each update
    rss_end_mb: float


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run reconcile", description=__doc__)
    parser.add_argument("--tasks", type=int, default=Options().tasks, help="of one call")
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="of each run")
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    given = parser.parse_args()
    options = Options(given.tasks, given.seconds)
    show([measured("reconcile", options.title, given.runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        master = faults.run(measure_master(options, directory), options.seconds)
        limit = faults.run(measure_bare(options.tasks, directory))
    bare = "bare server, the same bytes prepared"
    goal = GOALS.get(options.tasks, "")
    return [
        Row("updates", master.updates_per_s, "updates/s", goal, limit, bare),
        Row("processor of the master", master.master_us, "µs/update"),
        Row("memory of the master, at the end (RSS)", master.rss_end_mb, "MB"),
    ]


async def measure_master(options: Options, directory: Path) -> Measured:
    """The figures of a master of its own."""
    port = processes.free_port()
    command = tepui("master", f"--port={port}", f"--work_dir={directory / 'master'}")
    with processes.started(command, directory / "master.log") as pid:
        processes.wait_for_port(port, pid)
        scheduler = Reconciler(port, options.tasks)
        await scheduler.subscribe(connections=CALLS_MAX)
        tasks = ",".join(
            f'{{"task_id":{{"value":"bench.0f1e2d3c-4b5a-6978.{number:08}"}}}}'
            for number in range(options.tasks)
        )
        scheduler.body = scheduler.call("RECONCILE", f',"reconcile":{{"tasks":[{tasks}]}}')
        with contextlib.closing(scheduler):
            for _ in range(CALLS_MAX):
                scheduler.ask()
            await asyncio.sleep(options.warm_up_s)
            before, started_s, cpu_s = scheduler.updates, perf_counter(), processes.cpu_s(pid)
            await asyncio.sleep(options.seconds)
            await until(lambda: scheduler.updates > before, "an update has come")
            count, took_s = scheduler.updates - before, perf_counter() - started_s
            cpu_s = processes.cpu_s(pid) - cpu_s
            rss_end = processes.rss_bytes(pid)
            scheduler.is_asking = False
            await scheduler.has(scheduler.asked)
    return Measured(count / took_s, cpu_s / count * 1e6, rss_end / MB)


async def measure_bare(per_call: int, directory: Path) -> float:
    """Updates per second when the server only writes what was prepared, to the same reader."""
    record = (
        b'{"type":"UPDATE","update":{"status":{"task_id":{"value":"bench.0f1e2d3c-4b5a-6978.00000001"}'
        b',"state":"TASK_UNKNOWN","message":"Reconciliation: Task is unknown","source":'
        b'"SOURCE_MASTER","reason":"REASON_RECONCILIATION","timestamp":1700000000.123}}}'
    )
    framed = b"%d\n%b" % (len(record), record)
    prepared = directory / "records"
    prepared.write_bytes(b"%x\r\n%b\r\n" % (len(framed), framed) * per_call)
    with limits.bare_server(directory, str(prepared)) as (_, port):
        request = f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()
        reader = Reconciler(port, per_call)
        reader.is_asking = False
        loop = asyncio.get_running_loop()
        times = []
        for number in range(READS):
            events = Events(request, lambda head: None, reader.take)
            started_s = perf_counter()
            await loop.create_connection(lambda: events, HOST, port)  # noqa: B023  # awaited here
            await reader.has(per_call * (number + 1))
            times.append(perf_counter() - started_s)
            events.close()
    return per_call / median(times)


if __name__ == "__main__":
    main()
