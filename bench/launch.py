"""Task launches through one master: real HTTP, real links, agents that run nothing.

    bench/run launch --per-accept 1 --updates 3
    bench/run launch --per-accept 10 --updates 2

The load is one process: agents, schedulers and all. A scheduler launches as long as fewer than
`--in-flight` tasks have not ended, and acknowledges every update.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median

import uvloop
from msgspec import Struct

from bench import processes
from bench.agents import FakeAgent
from bench.calls import Calls, Offer, Scheduler, Status
from bench.processes import MB, tepui
from bench.table import Row, percentile, show

GOALS = {(1, 3): 3_300, (10, 2): 8_000}  # tasks/s by tasks per ACCEPT and updates per task
WARM_UP_S = 1.0
LIMIT_S = 3.0
DRAIN_S = 10.0
CONNECTIONS = 64
CPUS = 0.1
MEM = 32.0


class Launcher(Scheduler):
    """Launches `per_accept` tasks on an agent whenever so much of it is offered."""

    def __init__(self, port: int, name: str, per_accept: int, in_flight_max: int) -> None:
        super().__init__(port, name)
        self._per_accept = per_accept
        self._in_flight_max = max(per_accept, in_flight_max)
        self._held: dict[str, list[Offer]] = {}  # by agent, together not yet enough
        self._ready: deque[tuple[str, list[str]]] = deque()  # agents and offers for one ACCEPT
        self._accepted_s: dict[str, float] = {}  # tasks without an update, and when launched
        self._in_flight = 0
        self._launched = 0
        self._prefix = f"{name}.0f1e2d3c-4b5a-6978"
        self.is_launching = True
        self.finished = 0
        self.latencies_s: list[float] = []

    @property
    def idle(self) -> bool:
        """All that was launched has ended, and the master knows that we know."""
        return self._in_flight == 0 and self.calls.idle

    def offered(self, offers: list[Offer]) -> None:
        for offer in offers:
            agent_id = offer.agent_id.value
            held = self._held.setdefault(agent_id, [])
            held.append(offer)
            if sum(each.scalar("cpus") for each in held) > CPUS * (self._per_accept - 0.5):
                self._ready.append((agent_id, [each.id.value for each in held]))
                del self._held[agent_id]
        self._launch()

    def updated(self, status: Status) -> None:
        accepted_s = self._accepted_s.pop(status.task_id.value, None)
        if accepted_s is not None:
            self.latencies_s.append(time.perf_counter() - accepted_s)
        if status.state == "TASK_FINISHED":
            self.finished += 1
            self._in_flight -= 1
            self._launch()
        else:
            assert status.state in ("TASK_STARTING", "TASK_RUNNING"), status

    def _launch(self) -> None:
        while (
            self.is_launching
            and self._ready
            and self._in_flight + self._per_accept <= self._in_flight_max
        ):
            agent_id, offer_ids = self._ready.popleft()
            now_s = time.perf_counter()
            tasks = []
            for _ in range(self._per_accept):
                self._launched += 1
                task_id = f"{self._prefix}.{self._launched:08}"
                self._accepted_s[task_id] = now_s
                tasks.append(self.task(task_id, agent_id, "true", CPUS, MEM))
            self._in_flight += self._per_accept
            self.accept(offer_ids, tasks)


class Measured(Struct, frozen=True):
    """The figures of one master under load."""

    tasks_per_s: float
    p50_ms: float
    p99_ms: float
    master_us: float  # of processor time for each task
    load_us: float
    master_cores: float
    load_cores: float
    rss_start_mb: float
    rss_end_mb: float
    body_bytes: list[int]  # of the calls of one ACCEPT


class Run(Struct, frozen=True):
    """One run. What the limits count is divided by the requests that a task needs."""

    master: Measured
    limit_tasks_per_s: float
    limit_us: float  # of the bare server's processor time


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(prog="bench/run launch", description=__doc__)
    parser.add_argument("--per-accept", type=int, default=1, help="tasks of one ACCEPT")
    parser.add_argument("--updates", type=int, choices=(2, 3), default=3, help="of each task")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--schedulers", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=200, help="tasks at a time, in all")
    parser.add_argument("--profile", choices=("calls", "samples"), help="of the master, printed")
    options = parser.parse_args()
    runs = []
    for number in range(options.runs):
        run = uvloop.run(measure(options))
        master = run.master
        print(
            f"run {number + 1}: {master.tasks_per_s:,.0f} tasks/s,"
            f" {master.master_us:.0f} µs of master, {master.load_us:.0f} µs of load for each;"
            f" a bare server {run.limit_tasks_per_s:,.0f} tasks/s, {run.limit_us:.0f} µs"
        )
        runs.append(run)
    report(options, runs)


def report(options: argparse.Namespace, runs: list[Run]) -> None:
    """Print the medians."""

    def middle(figure: Callable[[Run], float]) -> float:
        return median(figure(run) for run in runs)

    goal = GOALS.get((options.per_accept, options.updates))
    requests = 1 / options.per_accept + options.updates
    bare = f"bare server, {requests:g} requests a task"
    goal_text = "" if goal is None else f"≥ {goal:,}"
    master_us, limit_us = middle(lambda run: run.master.master_us), middle(lambda run: run.limit_us)
    show(
        f"{options.per_accept} task(s) per ACCEPT, {options.updates} updates each; {options.agents}"
        f" agents, {options.schedulers} scheduler(s); median of {options.runs} runs of"
        f" {options.seconds:g} s",
        [
            Row(
                "task launches, sustained",
                middle(lambda run: run.master.tasks_per_s),
                "tasks/s",
                goal_text,
                middle(lambda run: run.limit_tasks_per_s),
                bare,
            ),
            Row(
                "the same, were a core the master's own",
                1e6 / master_us,
                "tasks/s",
                goal_text,
                1e6 / limit_us,
                bare,
            ),
            Row("ACCEPT to first update, p50", middle(lambda run: run.master.p50_ms), "ms"),
            Row("ACCEPT to first update, p99", middle(lambda run: run.master.p99_ms), "ms"),
            Row("processor of the master", master_us, "µs/task"),
            Row(
                "processor of the master",
                middle(lambda run: run.master.master_cores) * 100,
                "% of a core",
            ),
            Row("processor of the load", middle(lambda run: run.master.load_us), "µs/task"),
            Row(
                "processor of the load",
                middle(lambda run: run.master.load_cores) * 100,
                "% of a core",
            ),
            Row(
                "RSS of the master, agents registered",
                middle(lambda run: run.master.rss_start_mb),
                "MB",
            ),
            Row("RSS of the master, at the end", middle(lambda run: run.master.rss_end_mb), "MB"),
        ],
    )


async def measure(options: argparse.Namespace) -> Run:
    """One run with a master of its own, then the machine's limit."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        master = await measure_master(options, directory)
        requests_per_s, request_us = await measure_bare(directory, master.body_bytes)
    requests = 1 / options.per_accept + options.updates
    return Run(master, requests_per_s / requests, request_us * requests)


async def measure_master(options: argparse.Namespace, directory: Path) -> Measured:
    """The figures of a master of its own."""
    port = processes.free_port()
    profile = directory / "profile"
    command = tepui(
        "master",
        f"--port={port}",
        f"--work_dir={directory / 'master'}",
        profile=(options.profile, profile) if options.profile else None,
    )
    with processes.started(command, directory / "master.log") as pid:
        processes.wait_for_port(port)
        cpus, mem = CPUS * options.per_accept, MEM * options.per_accept
        agents = [
            FakeAgent(number, port, f"cpus:{cpus:g};mem:{mem:g}", options.updates)
            for number in range(options.agents)
        ]
        for agent in agents:
            await agent.connect()
        in_flight = max(1, options.in_flight // options.schedulers)
        schedulers = [
            Launcher(port, f"bench{number}", options.per_accept, in_flight)
            for number in range(options.schedulers)
        ]
        rss_start = processes.rss_bytes(pid)
        gc.freeze()
        for scheduler in schedulers:
            await scheduler.subscribe(CONNECTIONS // options.schedulers)
        await asyncio.sleep(WARM_UP_S)

        for scheduler in schedulers:
            scheduler.latencies_s.clear()
        finished = sum(scheduler.finished for scheduler in schedulers)
        started_s, own_s, master_s = time.perf_counter(), own_cpu_s(), processes.cpu_s(pid)
        await asyncio.sleep(options.seconds)
        seconds = time.perf_counter() - started_s
        own_s, master_s = own_cpu_s() - own_s, processes.cpu_s(pid) - master_s
        finished = sum(scheduler.finished for scheduler in schedulers) - finished
        rss_end = processes.rss_bytes(pid)

        latencies_s = [each for scheduler in schedulers for each in scheduler.latencies_s]
        await drain(schedulers)
        body_bytes = sizes(schedulers[0], options.per_accept, options.updates)
        for scheduler in schedulers:
            scheduler.close()
        for agent in agents:
            agent.close()
    if options.profile:
        print(profile.read_text())
    return Measured(
        tasks_per_s=finished / seconds,
        p50_ms=percentile(latencies_s, 50) * 1e3,
        p99_ms=percentile(latencies_s, 99) * 1e3,
        master_us=master_s / finished * 1e6,
        load_us=own_s / finished * 1e6,
        master_cores=master_s / seconds,
        load_cores=own_s / seconds,
        rss_start_mb=rss_start / MB,
        rss_end_mb=rss_end / MB,
        body_bytes=body_bytes,
    )


def sizes(scheduler: Scheduler, per_accept: int, updates: int) -> list[int]:
    """The bytes of an ACCEPT and of all the acknowledgements that follow."""
    task = scheduler.task("x" * 36, "x" * 40, "true", CPUS, MEM)
    accept = len(task) * per_accept + 260  # with the ids of framework and offer
    acknowledgement = len(scheduler.acknowledgement("x" * 36, "x" * 40, "x" * 24))
    return [accept] + [acknowledgement] * (per_accept * updates)


async def drain(schedulers: list[Launcher]) -> None:
    """Launch no more; return when all tasks have ended, or fail: something was lost."""
    for scheduler in schedulers:
        scheduler.is_launching = False
    until_s = time.perf_counter() + DRAIN_S
    while not all(scheduler.idle for scheduler in schedulers):
        assert time.perf_counter() < until_s, "tasks or updates were lost"
        await asyncio.sleep(0.01)


async def measure_bare(directory: Path, body_bytes: list[int]) -> tuple[float, float]:
    """Requests per second of a server that does nothing, and its processor time for each, in µs.

    The requests are those of a launch, from the same code over as many connections.
    """
    port = processes.free_port()
    bodies = [b"x" * size for size in body_bytes]
    answers = 0

    def answered() -> None:
        nonlocal answers
        answers += 1
        calls.post(bodies[answers % len(bodies)])

    with processes.started(["-m", "bench.bare", str(port)], directory / "bare.log") as pid:
        processes.wait_for_port(port)
        calls = Calls(port, "/api/v1/scheduler", f"Mesos-Stream-Id: {'x' * 36}\r\n")
        await calls.connect(CONNECTIONS)
        calls.answered = answered
        for body in (bodies * CONNECTIONS)[:CONNECTIONS]:
            calls.post(body)
        await asyncio.sleep(WARM_UP_S / 2)
        before, started_s, server_s = answers, time.perf_counter(), processes.cpu_s(pid)
        await asyncio.sleep(LIMIT_S)
        count, seconds = answers - before, time.perf_counter() - started_s
        server_s = processes.cpu_s(pid) - server_s
        calls.answered = None
        await asyncio.sleep(0.1)  # what is under way
        calls.close()
    return count / seconds, server_s / count * 1e6


def own_cpu_s() -> float:
    """The processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
