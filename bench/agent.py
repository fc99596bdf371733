"""Tasks on one real agent: many at once, one at a time, and how soon a cluster is up.

    bench/run agent

Master, agent and launcher are processes; the scheduler here is lean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import uvloop
from msgspec import Struct

from bench import processes
from bench.calls import Offer, Scheduler, Status
from bench.processes import MB, tepui
from bench.table import Row, percentile, show

CPUS, MEM = 0.1, 32.0  # of each of many tasks
EVENT_S = 60.0  # the next event has come by then
SETTLE_S = 1.0  # from the first offer until memory is looked at
SAMPLE_S = 0.1
SPAWNED_MAX = 32  # bare processes at a time
# Long enough for its RUNNING to be acknowledged before it ends; it says itself when it does.
ONE_COMMAND = "sleep 0.05; date +%s.%N > {end}"
TERMINAL = ("TASK_FINISHED", "TASK_FAILED", "TASK_LOST", "TASK_ERROR", "TASK_KILLED", "TASK_GONE")


class Waiting(Scheduler):
    """Keeps what has come, with its time, until it is taken."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port, name)
        self.offers: asyncio.Queue[tuple[float, list[Offer]]] = asyncio.Queue()
        self.updates: asyncio.Queue[tuple[float, Status]] = asyncio.Queue()
        self.seen: Counter[tuple[str, str]] = Counter()  # by task and uuid

    def offered(self, offers: list[Offer]) -> None:
        self.offers.put_nowait((time.perf_counter(), offers))

    def updated(self, status: Status) -> None:
        self.seen[status.task_id.value, status.uuid or status.state] += 1
        self.updates.put_nowait((time.perf_counter(), status))

    async def next_offers(self) -> tuple[float, list[Offer]]:
        """When the next came, and which."""
        return await asyncio.wait_for(self.offers.get(), EVENT_S)

    async def until(self, task_id: str, *states: str) -> float:
        """When the task came to one of the states."""
        while True:
            at_s, status = await asyncio.wait_for(self.updates.get(), EVENT_S)
            if status.task_id.value == task_id and status.state in states:
                return at_s
            assert status.state not in TERMINAL, status


class Cluster(Struct, frozen=True):
    """The pids of a running cluster."""

    port: int
    master: int
    agent: int
    directory: str

    def all(self) -> set[int]:
        """All of its processes: daemons, launcher and tasks."""
        found = set(processes.marked(self.directory))
        for pid in tuple(found):
            found.update(processes.descendants(pid))
        return found

    def cpu_s(self) -> float:
        """The processor time of all of them, those that have ended included."""
        total = 0.0
        for pid in processes.marked(self.directory):
            with contextlib.suppress(OSError):
                total += processes.cpu_s(pid, with_reaped=True)
        return total


class Many(Struct, frozen=True):
    """The figures of many tasks in one ACCEPT."""

    seconds: float
    cpu_s: float
    repeated: int  # updates that came more than once
    failed: int
    pss_peak_bytes: int
    daemons_peak_bytes: int  # RSS, at the highest, of master, agent and launcher together


class Figures(Struct, frozen=True):
    """All that one cluster has told."""

    many: Many
    master_idle_bytes: int
    agent_idle_bytes: int
    running_s: list[float]
    starting_s: list[float]
    again_from_end_s: list[float]  # from the command's own end to the next offer
    again_from_update_s: list[float]  # from TASK_FINISHED to the next offer


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run agent", description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000, help="of the one ACCEPT")
    parser.add_argument("--one-at-a-time", type=int, default=50, help="tasks, each by itself")
    parser.add_argument("--ups", type=int, default=5, help="starts of `tepui up`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        os.chmod(directory, 0o755)
        figures = uvloop.run(measure(directory, options.tasks, options.one_at_a_time))
        ups_s = [uvloop.run(measure_up(directory / f"up{at}")) for at in range(options.ups)]
    report(options, figures, ups_s)


def report(options: argparse.Namespace, figures: Figures, ups_s: list[float]) -> None:
    """Print the table."""
    many = figures.many
    spawned_s, spawned_cpu_s = measure_spawns(options.tasks)
    one_ms = measure_one_spawn() * 1e3
    show(
        f"{options.tasks:,} tasks `true` in one ACCEPT, one agent",
        [
            Row(
                "whole lives of tasks",
                options.tasks / many.seconds,
                "tasks/s",
                "≥ 200",
                options.tasks / spawned_s,
                "bare posix_spawn",
            ),
            Row(
                "processor of all",
                many.cpu_s / options.tasks * 1e3,
                "ms/task",
                "",
                spawned_cpu_s / options.tasks * 1e3,
                "bare posix_spawn",
            ),
            Row("updates that came again", many.repeated, "updates", "0"),
            Row("tasks that did not finish", many.failed, "tasks", "0"),
            Row("memory of all, peak (PSS, sampled)", many.pss_peak_bytes / MB, "MB", "< 500"),
            Row("master, agent and launcher, peaks (RSS)", many.daemons_peak_bytes / MB, "MB"),
        ],
    )
    show(
        f"one task at a time, {options.one_at_a_time} times",
        [
            Row(
                "ACCEPT to TASK_RUNNING, median",
                median(figures.running_s) * 1e3,
                "ms",
                "< 15",
                one_ms,
                "bare posix_spawn and exit",
            ),
            Row("ACCEPT to TASK_RUNNING, p99", percentile(figures.running_s, 99) * 1e3, "ms"),
            Row("ACCEPT to TASK_STARTING, median", median(figures.starting_s) * 1e3, "ms"),
            Row(
                "command ends to offered again, median",
                median(figures.again_from_end_s) * 1e3,
                "ms",
                "< 20",
            ),
            Row(
                "command ends to offered again, p99",
                percentile(figures.again_from_end_s, 99) * 1e3,
                "ms",
            ),
            Row(
                "of which after TASK_FINISHED, median",
                median(figures.again_from_update_s) * 1e3,
                "ms",
            ),
        ],
    )
    rows = [
        Row("master, idle (RSS)", figures.master_idle_bytes / MB, "MB", "< 60"),
        Row("agent, idle (RSS)", figures.agent_idle_bytes / MB, "MB", "< 60"),
    ]
    if ups_s:
        rows[:0] = [
            Row("`tepui up` to the first offer, median", median(ups_s), "s", "< 1.0"),
            Row("`tepui up` to the first offer, slowest", max(ups_s), "s"),
        ]
    show("a cluster", rows)


async def measure(directory: Path, tasks: int, singles: int) -> Figures:
    """The figures of one cluster."""
    cpus, mem = max(1.0, tasks * CPUS), max(1024.0, tasks * MEM)
    with cluster(directory, f"cpus:{cpus:g};mem:{mem:g};disk:1024;ports:[31000-31099]") as running:
        scheduler = Waiting(running.port, "bench")
        await scheduler.subscribe(connections=16)
        _, offers = await scheduler.next_offers()
        await asyncio.sleep(SETTLE_S)
        master_idle_bytes = processes.rss_bytes(running.master)
        agent_idle_bytes = processes.rss_bytes(running.agent)

        ones = []
        for number in range(singles):
            one = await run_one(scheduler, offers[0], f"one{number}", directory / "end")
            offers = one.offers
            ones.append(one)
        many = await run_many(scheduler, running, offers[0], tasks)
        scheduler.close()
    return Figures(
        many,
        master_idle_bytes,
        agent_idle_bytes,
        running_s=[one.running_s for one in ones],
        starting_s=[one.starting_s for one in ones],
        again_from_end_s=[one.again_from_end_s for one in ones],
        again_from_update_s=[one.again_from_update_s for one in ones],
    )


class One(Struct, frozen=True):
    """The figures of a task by itself, and the offer of what it left."""

    starting_s: float
    running_s: float
    again_from_end_s: float
    again_from_update_s: float
    offers: list[Offer]


async def run_one(scheduler: Waiting, offer: Offer, task_id: str, end: Path) -> One:
    """A task that takes the whole offer and writes the time of its end to `end`."""
    cpus, mem = offer.scalar("cpus"), offer.scalar("mem")
    command = ONE_COMMAND.format(end=end)
    accepted_s = time.perf_counter()
    scheduler.accept(
        [offer.id.value], [scheduler.task(task_id, offer.agent_id.value, command, cpus, mem)]
    )
    starting_s = await scheduler.until(task_id, "TASK_STARTING")
    running_s = await scheduler.until(task_id, "TASK_RUNNING")
    finished_s = await scheduler.until(task_id, "TASK_FINISHED")
    offered_s, offers = await scheduler.next_offers()
    assert len(offers) == 1
    assert offers[0].scalar("cpus") == cpus, offers
    ended_s = float(end.read_text()) - time.time() + time.perf_counter()
    return One(
        starting_s=starting_s - accepted_s,
        running_s=running_s - accepted_s,
        again_from_end_s=offered_s - ended_s,
        again_from_update_s=offered_s - finished_s,
        offers=offers,
    )


async def run_many(scheduler: Waiting, running: Cluster, offer: Offer, count: int) -> Many:
    """Launch all tasks at once, and see them end."""
    agent_id = offer.agent_id.value
    tasks = [
        scheduler.task(f"many{number}", agent_id, "true", CPUS, MEM) for number in range(count)
    ]
    scheduler.seen.clear()
    peaks = [0]
    cpu_s = running.cpu_s()
    started_s = time.perf_counter()
    scheduler.accept([offer.id.value], tasks)
    sampling = asyncio.create_task(sample(running, peaks))
    ended: dict[str, str] = {}
    at_s = started_s
    while len(ended) < count:
        at_s, status = await asyncio.wait_for(scheduler.updates.get(), EVENT_S)
        if status.state in TERMINAL:
            ended[status.task_id.value] = status.state
    seconds = at_s - started_s
    sampling.cancel()
    cpu_s = running.cpu_s() - cpu_s
    await asyncio.sleep(SETTLE_S)  # an update that is sent again would come by now
    return Many(
        seconds=seconds,
        cpu_s=cpu_s,
        repeated=sum(times - 1 for times in scheduler.seen.values()),
        failed=sum(state != "TASK_FINISHED" for state in ended.values()),
        pss_peak_bytes=max(peaks),
        daemons_peak_bytes=sum(map(rss_peak_bytes, processes.marked(running.directory))),
    )


async def sample(running: Cluster, peaks: list[int]) -> None:
    """Note the memory of all processes of the cluster, again and again."""
    while True:
        total = 0
        for pid in running.all():
            with contextlib.suppress(OSError):
                total += processes.pss_bytes(pid)
        peaks.append(total)
        await asyncio.sleep(SAMPLE_S)


def rss_peak_bytes(pid: int) -> int:
    """The most that was resident at any time."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


async def measure_up(directory: Path) -> float:
    """Seconds from the start of `tepui up` to the first offer; the scheduler tries until it is in."""
    port = processes.free_port(2)
    log = directory.with_suffix(".log")
    command = tepui(
        "up", f"--port={port}", f"--work-dir={directory}", "--resources=cpus:4;mem:1024"
    )
    started_s = time.perf_counter()
    with processes.started(command, log):
        await asyncio.to_thread(processes.wait_for_port, port)
        scheduler = Waiting(port, "up")
        await scheduler.subscribe(connections=1)
        offered_s, _ = await scheduler.next_offers()
        scheduler.close()
    return offered_s - started_s


@contextlib.contextmanager
def cluster(directory: Path, resources: str) -> Iterator[Cluster]:
    """One master and one agent, as processes."""
    port = processes.free_port()
    master = tepui("master", f"--port={port}", f"--work_dir={directory / 'master'}")
    agent = tepui(
        "agent",
        f"--master={processes.HOST}:{port}",
        "--port=0",
        f"--work_dir={directory / 'agent'}",
        f"--resources={resources}",
        "--registration_backoff_factor=50ms",
    )
    with processes.started(master, directory / "master.log") as master_pid:
        processes.wait_for_port(port)
        with processes.started(agent, directory / "agent.log") as agent_pid:
            yield Cluster(port, master_pid, agent_pid, str(directory))


def measure_spawns(count: int) -> tuple[float, float]:
    """Seconds, and those of the processor, to spawn `true` and wait for it so many times."""
    path = shutil.which("true") or "/bin/true"
    before = os.times()
    started_s = time.perf_counter()
    running = 0
    for _ in range(count):
        if running == SPAWNED_MAX:
            os.wait()
            running -= 1
        os.posix_spawn(path, ["true"], {})
        running += 1
    for _ in range(running):
        os.wait()
    seconds = time.perf_counter() - started_s
    used = [after - start for after, start in zip(os.times()[:4], before[:4], strict=True)]
    return seconds, sum(used)


def measure_one_spawn() -> float:
    """The median of seconds from spawning `true` to its end."""
    path = shutil.which("true") or "/bin/true"
    times = []
    for _ in range(50):
        started_s = time.perf_counter()
        os.waitpid(os.posix_spawn(path, ["true"], {}), 0)
        times.append(time.perf_counter() - started_s)
    return median(times)


if __name__ == "__main__":
    main()
