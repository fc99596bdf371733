"""Command tasks on one real agent: many at once, and one at a time.

    bench/run agent

Master, agent and launcher are processes; the scheduler here is lean.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from statistics import median

from msgspec import Struct

from bench import faults, limits, processes
from bench.calls import Offer
from bench.cluster import TERMINAL, Cluster, Waiting, cluster
from bench.faults import fault
from bench.processes import MB
from bench.table import Row, measured, percentile, show

CPUS, MEM = 0.1, 32.0  # of each of many tasks
AGAIN_S = 1.0  # an update that is sent again comes by then
SAMPLE_S = 0.2
HOPS = 3  # from ACCEPT to TASK_RUNNING: scheduler to master, to agent, and the way back
# Long enough for its RUNNING to be acknowledged before it ends; it says itself when it does.
ONE_COMMAND = "sleep 0.05; date +%s.%N > {end}"


class Options(Struct, frozen=True):
    """How many tasks."""

    tasks: int = 1_000
    one_at_a_time: int = 50

    @property
    def title(self) -> str:
        """What the table is called."""
        return (
            f"agent: {self.tasks:,} tasks `true` in one ACCEPT on one agent;"
            f" then one task at a time, {self.one_at_a_time} times"
        )


class Many(Struct, frozen=True):
    """The figures of many tasks in one ACCEPT."""

    seconds: float
    cpu_s: float
    repeated: int  # updates that came more than once
    pss_peak_bytes: int
    daemons_peak_bytes: int  # RSS, at the highest, of master, agent and launcher together


class One(Struct, frozen=True):
    """The figures of a task by itself, and the offer of what it left."""

    starting_s: float
    running_s: float
    again_from_end_s: float  # from the command's own end to the next offer
    again_from_update_s: float  # from TASK_FINISHED to the next offer
    offers: list[Offer]


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run agent", description=__doc__)
    parser.add_argument("--tasks", type=int, default=Options().tasks, help="of the one ACCEPT")
    parser.add_argument("--one-at-a-time", type=int, default=Options().one_at_a_time)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    given = parser.parse_args()
    options = Options(given.tasks, given.one_at_a_time)
    show([measured("agent", options.title, given.runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        many, ones = faults.run(measure(directory, options))
        round_trip_s = faults.run(limits.round_trip_s(directory))
        with limits.bare_server(directory) as (one, _), limits.bare_server(directory) as (two, _):
            bare_bytes = processes.pss_bytes(one) + processes.pss_bytes(two)
    return _rows_of_many(options.tasks, many, bare_bytes) + _rows_of_ones(ones, round_trip_s)


def _rows_of_many(tasks: int, many: Many, bare_bytes: int) -> list[Row]:
    spawned = limits.spawns(tasks)
    bare = "bare posix_spawn, one by one"
    return [
        Row("whole lives of tasks", tasks / many.seconds, "tasks/s", "≥ 200", spawned.per_s, bare),
        Row("processor of all", many.cpu_s / tasks * 1e3, "ms/task", "", spawned.cpu_s * 1e3, bare),
        Row("updates that came again", many.repeated, "updates", "0"),
        Row(
            "memory of all, peak (PSS)",
            many.pss_peak_bytes / MB,
            "MB",
            "< 500",
            bare_bytes / MB,
            "two bare servers",
        ),
        Row("master, agent and launcher, peaks (RSS)", many.daemons_peak_bytes / MB, "MB"),
    ]


def _rows_of_ones(ones: list[One], round_trip_s: float) -> list[Row]:
    running_s = [one.running_s for one in ones]
    again_s = [one.again_from_end_s for one in ones]
    hop_ms = round_trip_s * 1e3
    started_ms = limits.spawn_s() * 1e3 + HOPS * hop_ms
    started, answer = f"bare posix_spawn and {HOPS} HTTP answers", "one HTTP answer"
    return [
        Row(
            "ACCEPT to TASK_RUNNING, p50",
            median(running_s) * 1e3,
            "ms",
            "< 15",
            started_ms,
            started,
        ),
        Row(
            "ACCEPT to TASK_RUNNING, p99",
            percentile(running_s, 99) * 1e3,
            "ms",
            "",
            started_ms,
            started,
        ),
        Row("ACCEPT to TASK_STARTING, p50", median(one.starting_s for one in ones) * 1e3, "ms"),
        Row(
            "resources free to offered again, p50",
            median(again_s) * 1e3,
            "ms",
            "< 20",
            hop_ms,
            answer,
        ),
        Row(
            "resources free to offered again, p99",
            percentile(again_s, 99) * 1e3,
            "ms",
            "",
            hop_ms,
            answer,
        ),
        Row(
            "of which after TASK_FINISHED, p50",
            median(one.again_from_update_s for one in ones) * 1e3,
            "ms",
        ),
    ]


async def measure(directory: Path, options: Options) -> tuple[Many, list[One]]:
    """The figures of one cluster."""
    cpus, mem = max(1.0, options.tasks * CPUS), max(1024.0, options.tasks * MEM)
    with cluster(directory, f"cpus:{cpus:g};mem:{mem:g};disk:1024;ports:[31000-31099]") as running:
        scheduler = Waiting(running.port, "bench")
        await scheduler.subscribe(connections=16)
        with contextlib.closing(scheduler):
            _, offers = await scheduler.next_offers()
            ones = []
            for number in range(options.one_at_a_time):
                one = await run_one(scheduler, offers[0], f"one{number}", directory / "end")
                offers = one.offers
                ones.append(one)
            many = await run_many(scheduler, running, offers[0], options.tasks)
    return many, ones


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
    assert len(offers) == 1, offers
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
    ended: set[str] = set()
    at_s = started_s
    while len(ended) < count:
        at_s, status = await scheduler.next_update()
        if status.state in TERMINAL:
            ended.add(status.task_id.value)
            if status.state != "TASK_FINISHED":
                fault(f"a task ended as {status.state}: {status.message}")
    seconds = at_s - started_s
    sampling.cancel()
    cpu_s = running.cpu_s() - cpu_s
    await asyncio.sleep(AGAIN_S)
    return Many(
        seconds=seconds,
        cpu_s=cpu_s,
        repeated=sum(times - 1 for times in scheduler.seen.values()),
        pss_peak_bytes=max(peaks),
        daemons_peak_bytes=sum(map(processes.rss_peak_bytes, running.daemons)),
    )


async def sample(running: Cluster, peaks: list[int]) -> None:
    """Note the memory of all processes of the cluster, again and again."""
    while True:
        peaks.append(running.pss_bytes())
        await asyncio.sleep(SAMPLE_S)


if __name__ == "__main__":
    main()
