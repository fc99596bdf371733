"""Task launches through one master: real HTTP, real links, agents that run nothing.

    bench/run launch --per-accept 1 --updates 3
    bench/run launch --per-accept 10 --updates 2

The load is one process: agents, schedulers and all. A scheduler launches as long as fewer than
`--in-flight` tasks have not ended, and acknowledges every update.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import tempfile
from array import array
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Literal

from msgspec import Struct

from bench import faults, limits, processes
from bench.agents import STATES, FakeAgent
from bench.calls import Calls, Offer, Scheduler, Status
from bench.faults import fault, until
from bench.processes import MB, tepui
from bench.table import Row, measured, percentile, show

GOALS = {(1, 3): 3_300, (10, 2): 8_000}  # tasks/s by tasks per ACCEPT and updates per task
LIMIT_S = 3.0
CPUS = 0.1
MEM = 32.0


class Options(Struct, frozen=True):
    """What is launched, and how."""

    per_accept: int = 1
    updates: Literal[2, 3] = 3
    seconds: float = 10.0
    warm_up_s: float = 1.0
    agents: int = 500
    schedulers: int = 1
    connections: int = 64  # of all schedulers
    in_flight: int = 200  # tasks of all schedulers
    pipeline: int = 1  # requests under way on each connection
    profile: Literal["calls", "samples"] | None = None

    @property
    def requests(self) -> float:
        """Scheduler calls that a task costs."""
        return 1 / self.per_accept + self.updates

    @property
    def title(self) -> str:
        """What the table is called."""
        text = (
            f"launch: {self.per_accept} task(s) per ACCEPT, {self.updates} updates each;"
            f" {self.agents} agents, {self.schedulers} scheduler(s), {self.seconds:g} s"
        )
        return text if self.pipeline == 1 else f"{text}; {self.pipeline} requests pipelined"


class Launcher(Scheduler):
    """Launches `per_accept` tasks on an agent whenever so much of it is offered."""

    def __init__(self, port: int, name: str, options: Options) -> None:
        super().__init__(port, name, options.pipeline)
        self._per_accept = options.per_accept
        self._in_flight_max = max(options.per_accept, options.in_flight // options.schedulers)
        self._states = [state.name for state in STATES[options.updates]]
        self._held: dict[str, list[Offer]] = {}  # by agent, together not yet enough
        self._ready: deque[tuple[str, list[str]]] = deque()  # agents and offers for one ACCEPT
        self._updates: dict[str, int] = {}  # of each task that has not ended
        self._accepted_s: dict[str, float] = {}  # when tasks without an update were launched
        self._launched = 0
        self._prefix = f"{name}.0f1e2d3c-4b5a-6978"
        self.is_launching = True
        self.finished = 0
        self.first_update_s = array("d")  # from an ACCEPT, each

    @property
    def idle(self) -> bool:
        """All that was launched has ended, and the master knows that we know."""
        return not self._updates and self.calls.idle

    def tell_lost(self) -> None:
        """Count what has not come as faults."""
        for updates in self._updates.values():
            fault(f"{self._states[updates]} did not come to the scheduler")
        if not self.calls.idle:
            fault("a scheduler has calls without an answer")

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
        task_id = status.task_id.value
        before = self._updates.get(task_id)
        if before is None:
            fault(f"a task that has ended, or was not launched, is {status.state}")
            return
        if status.state != self._states[before]:
            fault(f"{status.state} where {self._states[before]} must follow: {status.message}")
        if before == 0:
            self.first_update_s.append(perf_counter() - self._accepted_s.pop(task_id))
        if before + 1 < len(self._states):
            self._updates[task_id] = before + 1
            return
        del self._updates[task_id]
        self.finished += 1
        self._launch()

    def _launch(self) -> None:
        while (
            self.is_launching
            and self._ready
            and len(self._updates) + self._per_accept <= self._in_flight_max
        ):
            agent_id, offer_ids = self._ready.popleft()
            now_s = perf_counter()
            tasks = []
            for _ in range(self._per_accept):
                self._launched += 1
                task_id = f"{self._prefix}.{self._launched:08}"
                self._accepted_s[task_id] = now_s
                self._updates[task_id] = 0
                tasks.append(self.task(task_id, agent_id, "true", CPUS, MEM))
            self.accept(offer_ids, tasks)


class Window(Struct, frozen=True):
    """What happened in the seconds that count."""

    seconds: float
    server_s: float  # of processor time
    load_s: float
    others_s: float  # of all else on the machine
    answer_ms: tuple[float, float]  # p50 and p99
    answers: int


class Measured(Struct, frozen=True):
    """A master under load."""

    window: Window
    tasks: int
    first_update_ms: tuple[float, float]  # p50 and p99
    rss_start_mb: float
    rss_end_mb: float
    body_bytes: list[int]  # of the calls of one ACCEPT


def main() -> None:
    """Run, and print the table."""
    default = Options()
    parser = argparse.ArgumentParser(prog="bench/run launch", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="the median counts")
    for name, text in (
        ("per_accept", "tasks of one ACCEPT"),
        ("updates", "of each task: 2 or 3"),
        ("seconds", "of each run"),
        ("agents", None),
        ("schedulers", None),
        ("in_flight", "tasks at a time, in all"),
        ("pipeline", "requests under way on each connection"),
    ):
        value = getattr(default, name)
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help=text)
    parser.add_argument("--profile", choices=("calls", "samples"), help="of the master, printed")
    given = vars(parser.parse_args())
    runs = given.pop("runs")
    if given["updates"] not in STATES:
        parser.error("argument --updates: 2 or 3")
    options = Options(**given)
    show([measured("launch", options.title, runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        master = faults.run(measure_master(options, directory), options.seconds)
        limit = faults.run(measure_bare(options, directory, master.body_bytes))
    window = master.window
    goal = GOALS.get((options.per_accept, options.updates))
    goal_text = "" if goal is None else f"≥ {goal:,}"
    master_us = window.server_s / master.tasks * 1e6
    limit_us = limit.server_s / limit.answers * options.requests * 1e6
    bare = f"bare server, {options.requests:g} requests a task"
    return [
        Row(
            "task launches, sustained",
            master.tasks / window.seconds,
            "tasks/s",
            goal_text,
            limit.answers / limit.seconds / options.requests,
            bare,
        ),
        Row(
            "were a core the master's own",
            1e6 / master_us,
            "tasks/s",
            goal_text,
            1e6 / limit_us,
            bare,
        ),
        Row("processor of the master", master_us, "µs/task", "", limit_us, bare),
        Row(
            "processor of the master, share", window.server_s / window.seconds * 100, "% of a core"
        ),
        Row("processor of the load", window.load_s / master.tasks * 1e6, "µs/task"),
        Row("processor of the load, share", window.load_s / window.seconds * 100, "% of a core"),
        Row("processor of others, share", window.others_s / window.seconds * 100, "% of a core"),
        *(
            Row(
                f"a call's HTTP answer, {name}",
                window.answer_ms[at],
                "ms",
                "",
                limit.answer_ms[at],
                "bare server",
            )
            for at, name in enumerate(("p50", "p99"))
        ),
        *(
            Row(
                f"ACCEPT to first update, {name}",
                master.first_update_ms[at],
                "ms",
                "",
                2 * limit.answer_ms[at],
                "two answers of the bare server",
            )
            for at, name in enumerate(("p50", "p99"))
        ),
        Row("memory of the master, agents registered (RSS)", master.rss_start_mb, "MB"),
        Row("memory of the master, at the end (RSS)", master.rss_end_mb, "MB"),
    ]


async def measure_master(options: Options, directory: Path) -> Measured:
    """The figures of a master of its own."""
    port = processes.free_port()
    profile = directory / "profile"
    command = tepui(
        "master",
        f"--port={port}",
        f"--work_dir={directory / 'master'}",
        profile=(options.profile, profile) if options.profile else None,
    )
    with (
        processes.started(command, directory / "master.log") as pid,
        contextlib.ExitStack() as connections,
    ):
        processes.wait_for_port(port, pid)
        resources = f"cpus:{CPUS * options.per_accept:g};mem:{MEM * options.per_accept:g}"
        agents = [
            FakeAgent(number, port, resources, options.updates) for number in range(options.agents)
        ]
        for agent in agents:
            await agent.connect()
            connections.callback(agent.close)
        rss_start = processes.rss_bytes(pid)
        schedulers = [
            Launcher(port, f"bench{number}", options) for number in range(options.schedulers)
        ]
        for scheduler in schedulers:
            await scheduler.subscribe(max(1, options.connections // options.schedulers))
            connections.callback(scheduler.close)
        await asyncio.sleep(options.warm_up_s)

        for scheduler in schedulers:
            scheduler.first_update_s = array("d")
            scheduler.finished = 0
        window = await observed(
            pid,
            [each.calls for each in schedulers],
            options.seconds,
            lambda: any(each.finished for each in schedulers),
        )
        finished = sum(scheduler.finished for scheduler in schedulers)
        rss_end = processes.rss_bytes(pid)
        first_update_s = [time_s for each in schedulers for time_s in each.first_update_s]

        await drain(schedulers, agents)
        body_bytes = sizes(schedulers[0], options.per_accept, options.updates)
    if options.profile:
        print(profile.read_text())
    return Measured(
        window=window,
        tasks=finished,
        first_update_ms=p50_and_p99_ms(first_update_s),
        rss_start_mb=rss_start / MB,
        rss_end_mb=rss_end / MB,
        body_bytes=body_bytes,
    )


async def observed(
    server: int, clients: list[Calls], seconds: float, has_begun: Callable[[], bool]
) -> Window:
    """Let so many seconds pass, and more if nothing was done in them."""
    for client in clients:
        client.answer_s = array("d")
    # The load makes no cycles to speak of, and a collection would look like a slow answer.
    gc.collect()
    gc.disable()
    started_s, busy_s = perf_counter(), processes.busy_s()
    load_s, server_s = processes.own_cpu_s(), processes.cpu_s(server)
    await asyncio.sleep(seconds)
    await until(has_begun, "something was done")
    took_s, busy_s = perf_counter() - started_s, processes.busy_s() - busy_s
    load_s, server_s = processes.own_cpu_s() - load_s, processes.cpu_s(server) - server_s
    gc.enable()
    answer_s = [time_s for client in clients for time_s in client.answer_s]
    return Window(
        seconds=took_s,
        server_s=server_s,
        load_s=load_s,
        others_s=max(0.0, busy_s - server_s - load_s),
        answer_ms=p50_and_p99_ms(answer_s),
        answers=len(answer_s),
    )


async def drain(schedulers: list[Launcher], agents: list[FakeAgent]) -> None:
    """Launch no more; return when all tasks have ended on all sides, or fail: something was lost."""
    for scheduler in schedulers:
        scheduler.is_launching = False
    sides: list[Launcher | FakeAgent] = [*schedulers, *agents]
    try:
        await until(lambda: all(side.idle for side in sides), "all tasks have ended")
    except AssertionError:
        for side in sides:
            side.tell_lost()
        raise


def sizes(scheduler: Scheduler, per_accept: int, updates: int) -> list[int]:
    """The bytes of an ACCEPT and of all the acknowledgements that follow."""
    task = scheduler.task("x" * 36, "x" * 40, "true", CPUS, MEM)
    accept = len(task) * per_accept + 260  # with the ids of framework and offer
    acknowledgement = len(scheduler.acknowledgement("x" * 36, "x" * 40, "x" * 24))
    return [accept] + [acknowledgement] * (per_accept * updates)


async def measure_bare(options: Options, directory: Path, body_bytes: list[int]) -> Window:
    """A server that does nothing: the requests of a launch, from the same code."""
    posted = 0

    def post() -> None:
        nonlocal posted
        posted += 1
        calls.send(requests[posted % len(requests)])

    with limits.bare_server(directory) as (pid, port):
        stream = f"Mesos-Stream-Id: {'x' * 36}\r\n"
        calls = Calls(port, "/api/v1/scheduler", stream, options.pipeline)
        requests = [calls.request(b"x" * size) for size in body_bytes]
        await calls.connect(options.connections)
        calls.answered = post
        for _ in range(options.connections * options.pipeline):
            post()
        await asyncio.sleep(options.warm_up_s / 2)
        window = await observed(
            pid, [calls], min(options.seconds, LIMIT_S), lambda: len(calls.answer_s) > 0
        )
        calls.answered = None
        await until(lambda: calls.idle, "all is answered")
        calls.close()
    return window


def p50_and_p99_ms(times_s: list[float]) -> tuple[float, float]:
    """The percentiles that tables have."""
    return percentile(times_s, 50) * 1e3, percentile(times_s, 99) * 1e3


if __name__ == "__main__":
    main()
