"""What this machine does at best: bare processes, a bare server, a bare Python."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

from msgspec import Struct

from bench import processes
from bench.calls import Calls

ROUND_TRIPS = 300
SPAWNS = 50
IMPORTS = 3
BODY_BYTES = 300  # of a request, as an acknowledgement has
ANSWERED_S = 30.0


class Spawns(Struct, frozen=True):
    """What processes cost."""

    per_s: float
    cpu_s: float  # of each


def spawns(count: int) -> Spawns:
    """`true`, spawned and reaped one after the other, so many times."""
    path = shutil.which("true") or "/bin/true"
    before_s, started_s = _cpu_s(), perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn(path, ["true"], {}), 0)
    return Spawns(count / (perf_counter() - started_s), (_cpu_s() - before_s) / count)


def spawn_s() -> float:
    """From spawning `true` to its end, the median."""
    path = shutil.which("true") or "/bin/true"
    times_s = []
    for _ in range(SPAWNS):
        started_s = perf_counter()
        os.waitpid(os.posix_spawn(path, ["true"], {}), 0)
        times_s.append(perf_counter() - started_s)
    return median(times_s)


@contextlib.contextmanager
def bare_server(directory: Path, *arguments: str) -> Iterator[tuple[int, int]]:
    """The pid and port of a server that does nothing."""
    port = processes.free_port()
    log = directory / f"bare-{port}.log"
    with processes.started(["-m", "bench.bare", str(port), *arguments], log) as pid:
        processes.wait_for_port(port, pid)
        yield pid, port


async def round_trip_s(directory: Path) -> float:
    """A request to a bare server and its answer, on a connection that is open; the median."""
    with bare_server(directory) as (_, port):
        calls = Calls(port, "/api/v1/scheduler")
        await calls.connect(1)
        answered = asyncio.Event()
        calls.answered = answered.set
        for _ in range(ROUND_TRIPS):
            answered.clear()
            calls.post(b"x" * BODY_BYTES)
            await asyncio.wait_for(answered.wait(), ANSWERED_S)
        calls.close()
    return median(calls.answer_s)


def python_s(program: str) -> float:
    """From the start of `python -c PROGRAM` to its end, the median."""
    environment = {**os.environ, "PYTHONPATH": str(processes.SOURCE)}
    times_s = []
    for _ in range(IMPORTS):
        started_s = perf_counter()
        subprocess.run([sys.executable, "-c", program], env=environment, check=True)
        times_s.append(perf_counter() - started_s)
    return median(times_s)


def _cpu_s() -> float:
    """The processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
