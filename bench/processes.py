"""Processes under measurement: started, looked at through /proc, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Another checkout's `src` may be measured by the same code: two versions are compared so.
SOURCE = Path(os.environ.get("BENCH_SOURCE") or ROOT / "src").resolve()
HOST = "127.0.0.1"
END_S = 20.0  # a daemon that is asked to end has this long
READY_S = 30.0  # a daemon that was started listens by then
PORTS = range(20_000, 32_000)  # below those that connections are given
POLL_S = 0.002
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000


def free_port(count: int = 1) -> int:
    """The first of `count` ports that nobody listens on, and that no connection is given."""
    for first in random.sample(PORTS, len(PORTS)):
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            for port in range(first, first + count):
                probes.enter_context(socket.socket()).bind((HOST, port))
            return first
    raise AssertionError("all ports are taken")


@contextlib.contextmanager
def started(
    arguments: Sequence[str], log: Path, end: signal.Signals = signal.SIGTERM
) -> Iterator[int]:
    """The pid of `python arguments...`, which is ended with the block by a signal.

    Its log is printed when it did not end well, which fails the block. One that is to end by SIGKILL
    may be killed before.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=log.parent,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # a Ctrl-C ends the benchmark, which then ends this one
        )
    try:
        yield process.pid
    finally:
        process.send_signal(end)
        try:
            code = process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        ends = (0, -signal.SIGTERM, *((-end,) if end is signal.SIGKILL else ()))
        if code not in ends:
            print(f"{arguments} ended with {code}; its log ends with:", file=sys.stderr)
            print(log.read_text(errors="replace")[-2_000:], file=sys.stderr)
    assert code in ends, f"a server ended with {code}"


def environment() -> dict[str, str]:
    """What processes under measurement find in theirs: our source, and no flags."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TEPUI_", "MESOS_", "LIBPROCESS_"))
    }
    return {**kept, "PYTHONPATH": f"{SOURCE}:{ROOT}"}


async def output(arguments: Sequence[str], within_s: float) -> tuple[int, str]:
    """Exit code and output of `python arguments...`, which is killed when it takes longer.

    Not asyncio's subprocesses: in uvloop's, Python runs in the child before the program does, and a
    lock that another thread held at the fork is held there for ever, while the parent waits for both.
    """

    def run() -> tuple[int, str]:
        try:
            done = subprocess.run(
                [sys.executable, *arguments], stdout=subprocess.PIPE, timeout=within_s, text=True
            )
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL, ""
        return done.returncode, done.stdout

    return await asyncio.to_thread(run)


def tepui(*arguments: str, profile: tuple[str, Path] | None = None) -> list[str]:
    """The arguments of python for `tepui arguments...`, perhaps under a profiler."""
    if profile is None:
        return ["-m", "tepui.cli.main", *arguments]
    how, report = profile
    return ["-m", "bench.profiled", how, str(report), *arguments]


def wait_for_port(port: int, pid: int) -> None:
    """Return when the process that was started listens on the port."""
    until_s = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        # Looked at only: `started` is to reap it.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is None, f"a server ended before it listened on port {port}"
        assert time.monotonic() < until_s, f"nobody listens on port {port}"
        time.sleep(POLL_S)


def cpu_s(pid: int, *, with_reaped: bool = False) -> float:
    """The seconds of processor time the process has used, and perhaps those of its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    last = 15 if with_reaped else 13
    return sum(int(field) for field in fields[11:last]) / TICKS_PER_S


def own_cpu_s() -> float:
    """The processor time of this process; finer than `cpu_s`."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def busy_s() -> float:
    """The seconds that all cores of the machine were not idle, since it started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waits_for_disk = fields[3:5]
    return (sum(fields) - idle - waits_for_disk) / TICKS_PER_S


def rss_bytes(pid: int) -> int:
    """The resident memory of the process, what it shares with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def rss_peak_bytes(pid: int) -> int:
    """The most that was resident at any time."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def pss_bytes(pid: int) -> int:
    """The resident memory of the process, what is shared divided among its sharers."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def descendants(pid: int) -> list[int]:
    """The pids below `pid`, as far as they are still there."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            found += map(int, children)
            waiting += map(int, children)
    return found


def marked(mark: str) -> list[int]:
    """The pids of the processes that have `mark` in their command line, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found
