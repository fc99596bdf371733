"""All agents come back to a master that has just begun to lead, and bring their tasks.

The agents are processes of their own and come at once. The framework of the tasks subscribes again
as soon as the master leads, launches a task on what is offered first, and one when all are back.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Literal

import msgspec
from msgspec import Struct, field

from bench import faults, processes, state
from bench.cluster import Waiting
from bench.failover_agents import Back, Load, leading, loads
from bench.failover_masters import ELECTED, LEADING, READ, Master, master, zookeeper
from bench.launch import CPUS, MEM
from bench.processes import HOST, MB
from bench.table import Row

AGENTS = 40_000  # as many as Mesos 1.5 was measured with, or as many as fit
TASKS = 400_000
GOAL_S = 19  # what Mesos 1.5 took for as many (mesos.apache.org/blog/mesos-1-5-0-released)
LOADS = 2
ROLE = "services"  # of the framework that agents of `bench.state` know
KNOWN_S = 60.0  # a master that all agents have registered with counts all tasks by then
LOOK_S = 0.02

Store = Literal["sqlite", "zookeeper"]


class Options(Struct, frozen=True):
    """How much comes back, and where the registry is."""

    store: Store = "sqlite"
    agents: int = field(default_factory=lambda: state.agents_that_fit(AGENTS))
    tasks: int = TASKS
    loads: int = LOADS
    session_s: float = 10.0  # of masters with ZooKeeper: the default of --zk_session_timeout
    profile: Literal["calls", "samples"] | None = None

    @property
    def tasks_per_agent(self) -> int:
        """At least as many in all as were asked for."""
        return -(-self.tasks // self.agents)

    @property
    def title(self) -> str:
        """What the table is called."""
        how = {
            "sqlite": "a master with SQLite is killed and started again",
            "zookeeper": "a standby takes over, the registry is in ZooKeeper",
        }
        brought = self.agents * self.tasks_per_agent
        text = f"failover: {how[self.store]}; {self.agents:,} agents bring {brought:,} tasks"
        if self.agents < AGENTS and self.tasks == TASKS:
            text += f" (not {AGENTS:,}: a process may not have more files open)"
        return text

    @property
    def brought(self) -> state.Options:
        """What each agent has: room for one task more."""
        return state.Options(
            agents=self.agents,
            tasks_per_agent=self.tasks_per_agent,
            free_agents=self.agents,
        )


class Measured(Struct, frozen=True):
    """Seconds from the beginning: the start of the process, or the election."""

    killed_s: float  # before the beginning
    read_s: float
    leading_s: float
    subscribed_s: float
    first_s: float
    all_s: float
    known_s: float
    first_task_s: float
    last_task_s: float
    master_cpu_s: float
    load_cpu_s: float
    others_cpu_s: float
    arriving_s: float  # from when agents saw the master until all were registered
    bare_s: float  # the same with a server that only reads and decodes
    bare_load_cpu_s: float
    retries: int
    brought_bytes: int
    pss_bytes: int


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    state.allow_files(options.agents + state.FILES_SPARE)
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        found = faults.run(measure(options, Path(name)))
    is_whole = options.tasks >= TASKS
    begun = {"sqlite": "process start", "zookeeper": "elected"}[options.store]
    bare = "a bare server that reads and decodes as much"
    rate = options.agents / found.arriving_s
    return [
        Row(
            f"{begun} to a task launched when all are back",
            found.last_task_s,
            "s",
            f"< {GOAL_S}" if is_whole else "",
            found.bare_s,
            bare,
        ),
        Row(f"killed to {begun}", found.killed_s, "s"),
        Row(f"{begun} to registry read", found.read_s, "s"),
        Row(f"{begun} to leading", found.leading_s, "s"),
        Row(f"{begun} to scheduler subscribed", found.subscribed_s, "s"),
        Row(f"{begun} to first agent registered", found.first_s, "s"),
        Row(f"{begun} to first new task's TASK_RUNNING", found.first_task_s, "s"),
        Row(f"{begun} to all agents registered", found.all_s, "s"),
        Row(f"{begun} to all tasks counted by the master", found.known_s, "s"),
        Row("agents registered", rate, "agents/s", "", options.agents / found.bare_s, bare),
        Row("processor of the master, all of it", found.master_cpu_s, "s"),
        Row("processor of the agents", found.load_cpu_s, "s", "", found.bare_load_cpu_s, bare),
        Row("processor of others", found.others_cpu_s, "s"),
        Row("registrations tried again", found.retries, "agents"),
        Row("what the agents said", found.brought_bytes / MB, "MB"),
        Row("memory of the master, at the end (PSS)", found.pss_bytes / MB, "MB"),
    ]


async def measure(options: Options, directory: Path) -> Measured:
    """The figures of two masters, of which one is killed, and of a bare server."""
    port = processes.free_port(2)
    bare_port = processes.free_port()
    ports = (port, port + 1, bare_port)
    with ExitStack() as stack:
        found = stack.enter_context(loads(options.loads, options.brought, ports, directory))
        ready = [await load.ready() for load in found]
        first, second = ExitStack(), stack.enter_context(ExitStack())
        stack.enter_context(first)
        if options.store == "zookeeper":
            url = stack.enter_context(zookeeper(directory / "zookeeper"))
            flags: tuple[str, ...] = (
                f"--zk={url}",
                f"--zk_session_timeout={options.session_s:g}secs",
            )
            second_port = port + 1
        else:
            flags = (f"--work_dir={directory / 'master'}",)
            second_port = port
        killed = first.enter_context(master("master-1", port, directory, *flags))
        await killed.logged(LEADING)
        profile = (options.profile, directory / "profile") if options.profile else None
        end = signal.SIGTERM if profile else signal.SIGKILL  # a report is written at its end
        again = master("master-2", second_port, directory, *flags, profile=profile, end=end)
        await back(found)
        if options.store == "zookeeper":
            next_one = second.enter_context(again)
            killed_s = monotonic()
            first.close()
        else:
            killed_s = monotonic()
            first.close()
            next_one = second.enter_context(again)
        measured = await measure_next(options, next_one, found, killed_s)
        second.close()
        if profile is not None:
            print(profile[1].read_text())
        log = directory / "bare.log"
        stack.enter_context(processes.started(["-m", "bench.failover_bare", str(bare_port)], log))
        bare = await back(found)
    brought = sum(each.frames_bytes for each in ready)
    return msgspec.structs.replace(
        measured,
        brought_bytes=brought,
        bare_s=bare.all_s - bare.looked_s,
        bare_load_cpu_s=bare.cpu_s,
    )


async def measure_next(
    options: Options, next_one: Master, agents: list[Load], killed_s: float
) -> Measured:
    """What happens at the master that takes over."""
    busy_s, own_s = processes.busy_s(), processes.own_cpu_s()
    scheduler = Waiting(next_one.port, ROLE)
    using = asyncio.create_task(use(scheduler, next_one.port))
    all_back = await back(agents)
    subscribed_s, first_task_s = await using
    last_task_s = await launch(scheduler, "last-task")
    known_s = await known(next_one.port, options.agents * options.tasks_per_agent)
    master_cpu_s = processes.cpu_s(next_one.pid)
    busy_s, own_s = processes.busy_s() - busy_s, processes.own_cpu_s() - own_s
    scheduler.close()
    if options.store == "zookeeper":
        began_s = await next_one.logged(ELECTED)
    else:
        began_s = next_one.started_s
    return Measured(
        killed_s=began_s - killed_s,
        read_s=await next_one.logged(READ) - began_s,
        leading_s=await next_one.logged(LEADING) - began_s,
        subscribed_s=subscribed_s - began_s,
        first_s=all_back.first_s - began_s,
        all_s=all_back.all_s - began_s,
        known_s=known_s - began_s,
        first_task_s=first_task_s - began_s,
        last_task_s=last_task_s - began_s,
        master_cpu_s=master_cpu_s,
        load_cpu_s=all_back.cpu_s,
        others_cpu_s=max(0.0, busy_s - master_cpu_s - all_back.cpu_s - own_s),
        arriving_s=all_back.all_s - all_back.looked_s,
        bare_s=0.0,
        bare_load_cpu_s=0.0,
        retries=all_back.retries,
        brought_bytes=0,
        pss_bytes=processes.pss_bytes(next_one.pid),
    )


async def back(agents: list[Load]) -> Back:
    """Return when the agents of all processes are registered."""
    found = [await load.back() for load in agents]
    return Back(
        looked_s=min(each.looked_s for each in found),
        first_s=min(each.first_s for each in found),
        all_s=max(each.all_s for each in found),
        cpu_s=sum(each.cpu_s for each in found),
        retries=sum(each.retries for each in found),
    )


async def use(scheduler: Waiting, port: int) -> tuple[float, float]:
    """When the framework was subscribed again, and its first new task ran."""
    await leading((port,))
    await scheduler.subscribe(1, state.FRAMEWORK_ID)
    return monotonic(), await launch(scheduler, "first-task")


async def launch(scheduler: Waiting, task_id: str) -> float:
    """When a task ran on what is offered next; return when its end was acknowledged."""
    while True:
        _, offers = await scheduler.next_offers()
        offer = next((one for one in offers if one.scalar("cpus") > CPUS / 2), None)
        if offer is not None:
            break
    agent_id = offer.agent_id.value
    task = scheduler.task(task_id, agent_id, "true", CPUS, MEM)
    scheduler.accept([offer.id.value], [task])
    await scheduler.until(task_id, "TASK_RUNNING")
    running_s = monotonic()
    while (await scheduler.next_update())[1].state != "TASK_FINISHED":
        pass
    await faults.until(lambda: scheduler.calls.idle, "the end is acknowledged")
    return running_s


async def known(port: int, tasks: int) -> float:
    """When the master counts so many tasks at least."""
    until_s = monotonic() + KNOWN_S
    while await asyncio.to_thread(running, port) < tasks:
        assert monotonic() < until_s, f"the master does not know {tasks} tasks"
        await asyncio.sleep(LOOK_S)
    return monotonic()


def running(port: int) -> int:
    """How many tasks run, as the master counts them."""
    with contextlib.closing(
        urllib.request.urlopen(f"http://{HOST}:{port}/metrics/snapshot", timeout=KNOWN_S)
    ) as answer:
        metrics: dict[str, float] = msgspec.json.decode(answer.read(), type=dict[str, float])
    return int(metrics["master/tasks_running"])
