"""Large reads: /state of a cluster with many tasks, alone and while others work.

    bench/run state
    bench/run state --agents 5000 --tasks-per-agent 20

One load process has the agents and the scheduler; they bring their tasks when they register. The
pollers are a process of their own: what they read must not look like a slow master.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import tempfile
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import cast

import msgspec
import uvloop
from msgspec import Raw, Struct, field
from msgspec.structs import replace

import tepui
from bench import faults, limits, processes
from bench.agents import FakeAgent
from bench.calls import Calls
from bench.faults import until
from bench.launch import CPUS, MEM, Launcher
from bench.launch import Options as LaunchOptions
from bench.processes import HOST, MB
from bench.table import Row, measured, percentile, show
from tepui.resources import parse_resources
from tepui.wire import link, mesos

STATE_S_GOAL = 3
CALL_MS_GOAL = 100
FREE_AGENTS_MAX = 200  # agents that have room for a further task: the scheduler works with these
CONNECTING_MAX = 50  # agents at a time
IN_FLIGHT = 4  # tasks of the scheduler: it shall be there, not fill the machine
ALONE_READS = 3
LIMIT_READS = 3
SAMPLE = 20_000  # tasks that are encoded for the limit
FILES_SPARE = 400  # descriptors, besides those of the agents
AGENTS = 20_000  # or as many as the system lets a process open; the tasks are as many then
TASKS = 400_000
POLLERS_S = 240.0  # the pollers have ended by then
FRAMEWORK_ID = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0-0000"

TaskState = mesos.TaskState
Status = mesos.TaskStatus


class Options(Struct, frozen=True):
    """What there is to read, and how often it is asked for."""

    agents: int = field(default_factory=lambda: agents_that_fit())
    tasks_per_agent: int = field(default_factory=lambda: -(-TASKS // agents_that_fit()))
    pollers: int = 20
    seconds: float = 30.0
    path: str = "/state"
    free_agents: int = FREE_AGENTS_MAX

    @property
    def tasks(self) -> int:
        """Of all agents."""
        return self.agents * self.tasks_per_agent

    @property
    def title(self) -> str:
        """What the table is called."""
        return (
            f"state: {self.path} of {self.agents:,} agents and {self.tasks:,} tasks;"
            f" {self.pollers} pollers for {self.seconds:g} s"
        )


class PeopledAgent(FakeAgent):
    """An agent that brings tasks of a framework that has not subscribed."""

    def __init__(self, number: int, port: int, options: Options) -> None:
        amount = options.tasks_per_agent + (number < options.free_agents)
        super().__init__(number, port, f"cpus:{CPUS * amount:g};mem:{MEM * amount:g}", 3)
        self._number = number
        self._count = options.tasks_per_agent

    def _first_messages(self) -> tuple[link.LinkMessage, ...]:
        hello, _ = super()._first_messages()
        return hello, self._all_it_has()

    def _all_it_has(self) -> link.Return:
        agent_id = mesos.AgentID(f"{FRAMEWORK_ID[:-5]}-S{self._number}")
        first = self._number * self._count
        tasks = tuple(_task(first + each, agent_id) for each in range(self._count))
        info = replace(self._info, id=agent_id)
        frameworks = (_framework(),)
        return link.in_short(
            link.Reregister(info, tepui.__version__, self._address, frameworks, (), tasks)
        )


def _framework() -> mesos.FrameworkInfo:
    kind = mesos.FrameworkInfo.Capability
    return mesos.FrameworkInfo(
        user="root",
        name="services",
        id=mesos.FrameworkID(FRAMEWORK_ID),
        roles=("services",),
        capabilities=(kind(type=kind.Type.MULTI_ROLE), kind(type=kind.Type.PARTITION_AWARE)),
        failover_timeout=604_800.0,
    )


def _task(number: int, agent_id: mesos.AgentID) -> mesos.Task:
    """A task of a service, as an orchestrator names it; it runs."""
    name = f"service-{number // 100}"
    task_id = mesos.TaskID(f"{name}.instance-0f1e2d3c-4b5a-6978-8796-{number:012x}")
    address = mesos.NetworkInfo.IPAddress(ip_address=f"10.{number >> 16 & 255}.0.1")
    container = mesos.ContainerStatus(
        container_id=mesos.ContainerID(value=f"1f2e3d4c-5b6a-7988-9786-{number:012x}"),
        network_infos=(mesos.NetworkInfo(ip_addresses=(address,)),),
        executor_pid=4711,
    )
    statuses = tuple(
        Status(
            task_id=task_id,
            state=state,
            source=Status.Source.SOURCE_EXECUTOR,
            agent_id=agent_id,
            executor_id=mesos.ExecutorID(task_id.value),
            timestamp=1_700_000_000.0 + number / 1_000 + at,
            uuid=(2 * number + at).to_bytes(6, "big") + b"\x40\x00\x80\x00bench\x00",
            container_status=container,
        )
        for at, state in enumerate((TaskState.TASK_STARTING, TaskState.TASK_RUNNING))
    )
    return mesos.Task(
        name=name,
        task_id=task_id,
        framework_id=mesos.FrameworkID(FRAMEWORK_ID),
        agent_id=agent_id,
        state=TaskState.TASK_RUNNING,
        resources=_RESOURCES,
        statuses=statuses,
        labels=mesos.Labels(labels=(mesos.Label(key="team", value="web"),)),
    )


_RESOURCES = parse_resources(f"cpus:{CPUS};mem:{MEM:g}").to_wire(role="services", refinement=True)


class Measured(Struct, frozen=True):
    """A master that is asked."""

    alone_s: float
    child_s: float  # of processor time of the child that answers, if there is one
    body_bytes: int
    poll_s: list[float]  # of the pollers' reads
    quiet_ms: tuple[float, float]  # of a call's answer, p50 and p99, while nobody reads
    busy_ms: tuple[float, float, float]  # the same while all poll, and the longest
    launches_per_s: float
    empty_mb: float
    full_mb: float
    end_mb: float


def main() -> None:
    """Run, and print the table."""
    default = Options()
    parser = argparse.ArgumentParser(
        prog="bench/run state",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=1, help="the median counts")
    parser.add_argument("--agents", type=int, default=default.agents)
    parser.add_argument("--tasks-per-agent", type=int, default=default.tasks_per_agent)
    parser.add_argument("--pollers", type=int, default=default.pollers)
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of polling")
    parser.add_argument("--path", default=default.path, help="what is read")
    given = vars(parser.parse_args())
    runs = given.pop("runs")
    options = Options(**given)
    show([measured("state", options.title, runs, lambda: rows(options))])


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    allow_files(options.agents + FILES_SPARE)
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        directory = Path(name)
        found = faults.run(measure_master(options, directory))
        written_s = faults.run(measure_bare(directory, found.body_bytes))
        encoded_s = encoding_s((directory / "body").read_bytes(), found.body_bytes)
    is_whole = options.tasks >= Options().tasks and options.path == Options().path
    goal = f"< {STATE_S_GOAL}" if is_whole else ""
    written, encoded = "the same bytes from a bare server", "msgspec encoding such tasks"
    reads = len(found.poll_s)
    objects_mb = found.full_mb - found.empty_mb
    return [
        Row("one read alone", found.alone_s, "s", goal, encoded_s, encoded),
        Row("one read alone, to the machine's writing", found.alone_s, "s", "", written_s, written),
        Row("processor of the snapshot's child", found.child_s, "s"),
        Row("size of the answer", found.body_bytes / MB, "MB"),
        Row("a read among all pollers, p50", percentile(found.poll_s, 50), "s"),
        Row("a read among all pollers, p99", percentile(found.poll_s, 99), "s"),
        Row("reads of all pollers", reads / options.seconds, "reads/s"),
        Row("a call's HTTP answer, nobody reads, p50", found.quiet_ms[0], "ms"),
        Row("a call's HTTP answer, nobody reads, p99", found.quiet_ms[1], "ms"),
        Row("a call's HTTP answer, all poll, p50", found.busy_ms[0], "ms"),
        Row("a call's HTTP answer, all poll, p99", found.busy_ms[1], "ms", f"< {CALL_MS_GOAL}"),
        Row("a call's HTTP answer, all poll, longest", found.busy_ms[2], "ms"),
        Row("task launches, all poll", found.launches_per_s, "tasks/s"),
        Row("memory of the master, empty (PSS)", found.empty_mb, "MB"),
        Row("memory of the master, all registered (PSS)", found.full_mb, "MB"),
        Row("memory of a task with its share of an agent", objects_mb / options.tasks * 1e3, "kB"),
        Row("memory of the master, at the end (PSS)", found.end_mb, "MB"),
    ]


def agents_that_fit(wanted: int = AGENTS) -> int:
    """So many agents, or as many as one process may have connections to."""
    _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files_max == resource.RLIM_INFINITY else min(wanted, files_max - FILES_SPARE)


def allow_files(count: int) -> None:
    """This process and those it starts may open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert count <= hard, f"{count} files are needed, and ulimit -Hn allows {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


async def measure_master(options: Options, directory: Path) -> Measured:
    """The figures of a master of its own."""
    port = processes.free_port()
    command = processes.tepui("master", f"--port={port}", f"--work_dir={directory / 'master'}")
    with (
        processes.started(command, directory / "master.log") as pid,
        contextlib.ExitStack() as connections,
    ):
        processes.wait_for_port(port, pid)
        empty = processes.pss_bytes(pid)
        agents = [PeopledAgent(number, port, options) for number in range(options.agents)]
        await connect(agents)
        for agent in agents:
            connections.callback(agent.close)
        full = processes.pss_bytes(pid)
        launch = LaunchOptions(in_flight=IN_FLIGHT, agents=options.agents)
        scheduler = Launcher(port, "bench", launch)
        await scheduler.subscribe(connections=IN_FLIGHT)
        connections.callback(scheduler.close)
        await until(lambda: scheduler.finished > 0, "a task has ended")
        quiet = await answers(scheduler.calls, options.seconds / 3)

        scheduler.is_launching = False
        await until(lambda: scheduler.idle, "every task has ended")
        alone = []
        children_s = processes.cpu_s(pid, with_reaped=True) - processes.cpu_s(pid)
        for _ in range(ALONE_READS):
            found = await child(str(port), options.path, "1", "0", str(directory / "body"))
            alone += json.loads(found)
        children_s = processes.cpu_s(pid, with_reaped=True) - processes.cpu_s(pid) - children_s
        scheduler.is_launching = True
        scheduler.offered([])
        before = scheduler.finished
        poll = asyncio.create_task(
            child(str(port), options.path, str(options.pollers), str(options.seconds), "")
        )
        started_s = perf_counter()
        busy = await answers(scheduler.calls, options.seconds)
        launches = (scheduler.finished - before) / (perf_counter() - started_s)
        poll_s = json.loads(await poll)
        scheduler.is_launching = False
        await until(lambda: scheduler.idle, "every task has ended")
        end = processes.pss_bytes(pid)
    return Measured(
        alone_s=median(alone),
        child_s=children_s / ALONE_READS,
        body_bytes=(directory / "body").stat().st_size,
        poll_s=poll_s,
        quiet_ms=(percentile(quiet, 50) * 1e3, percentile(quiet, 99) * 1e3),
        busy_ms=(percentile(busy, 50) * 1e3, percentile(busy, 99) * 1e3, max(busy) * 1e3),
        launches_per_s=launches,
        empty_mb=empty / MB,
        full_mb=full / MB,
        end_mb=end / MB,
    )


async def connect(agents: Sequence[PeopledAgent]) -> None:
    """Return when all are registered."""
    room = asyncio.Semaphore(CONNECTING_MAX)

    async def one(agent: PeopledAgent) -> None:
        async with room:
            await agent.connect()

    await asyncio.gather(*map(one, agents))


async def answers(calls: Calls, seconds: float) -> list[float]:
    """How long each call's answer took in these seconds."""
    calls.answer_s = array("d")
    await asyncio.sleep(seconds)
    return list(calls.answer_s)


async def child(*arguments: str) -> str:
    """What the pollers print."""
    code, said = await processes.output(("-m", "bench.state", "poll", *arguments), POLLERS_S)
    assert code == 0, f"the pollers ended with {code}"
    return said


def poll_main(port: str, path: str, pollers: str, seconds: str, copy: str) -> None:
    """A process of pollers; each reads at least once."""
    print(json.dumps(uvloop.run(poll(int(port), path, int(pollers), float(seconds), copy))))


async def poll(port: int, path: str, pollers: int, seconds: float, copy: str) -> list[float]:
    """How long each read took; the last body goes into the file `copy`, if there is one."""
    times: list[float] = []
    until_s = perf_counter() + seconds

    async def one() -> None:
        while True:
            started_s = perf_counter()
            reader = BodyReader(path, keeps=bool(copy))
            await asyncio.get_running_loop().create_connection(lambda: reader, HOST, port)  # noqa: B023
            await reader.whole
            times.append(perf_counter() - started_s)
            if copy:
                Path(copy).write_bytes(b"".join(reader.body))
            if perf_counter() > until_s:
                return

    await asyncio.gather(*(one() for _ in range(pollers)))
    return times


class BodyReader(asyncio.Protocol):
    """Reads one answer of 200 and counts its bytes."""

    def __init__(self, path: str, *, keeps: bool) -> None:
        self._path = path
        self._keeps = keeps
        self._head = b""
        self._rest_bytes = -1
        self.body: list[bytes] = []
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._transport.write(f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if self._rest_bytes < 0:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            fields = head.decode().lower().split("\r\n")
            if not fields[0].startswith("http/1.1 200"):
                self._fail(f"{fields[0]} {data[:200]!r}")
                return
            (length,) = (f for f in fields if f.startswith("content-length:"))
            self._rest_bytes = int(length.partition(":")[2])
        self._rest_bytes -= len(data)
        if self._keeps:
            self.body.append(data)
        if self._rest_bytes == 0 and not self.whole.done():
            self.whole.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the answer lacks {self._rest_bytes} bytes")

    def _fail(self, text: str) -> None:
        if not self.whole.done():
            self.whole.set_exception(ConnectionError(text))


async def measure_bare(directory: Path, body_bytes: int) -> float:
    """How long a server that does nothing takes for as many bytes."""
    with limits.bare_server(directory, str(directory / "body")) as (_, port):
        times = []
        for _ in range(LIMIT_READS):
            started_s = perf_counter()
            reader = BodyReader("/", keeps=False)
            await asyncio.get_running_loop().create_connection(lambda: reader, HOST, port)  # noqa: B023
            await reader.whole
            times.append(perf_counter() - started_s)
    return median(times)


def encoding_s(body: bytes, body_bytes: int) -> float:
    """How long msgspec takes to write so many bytes of such tasks, when it has them as values."""
    found = msgspec.json.decode(body, type=_State)
    tasks = [task for framework in found.frameworks for task in framework.tasks][:SAMPLE]
    if not tasks:
        return 0.0
    values = [msgspec.json.decode(task) for task in tasks]
    return _fastest_s(lambda: msgspec.json.encode(values)) / sum(map(len, tasks)) * body_bytes


class _Framework(Struct):
    tasks: list[Raw] = []


class _State(Struct):
    frameworks: list[_Framework] = []


def _fastest_s(work: Callable[[], object]) -> float:
    times = []
    for _ in range(LIMIT_READS):
        started_s = perf_counter()
        work()
        times.append(perf_counter() - started_s)
    return min(times)


if __name__ == "__main__":
    if sys.argv[1:2] == ["poll"]:
        poll_main(*sys.argv[2:])
    else:
        main()
