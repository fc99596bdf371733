"""Good and hostile clients against a real master and real agents; at the end PASS, or what failed.

    bench/run soak --minutes 60
    bench/run soak --minutes 1 --kinds slow_body flood_wrong_1

Good clients are in this process. Hostile ones take turns, each kind in a process of its own; after
each turn everything must come to rest: all tasks have ended, and the daemons have no more files
open than before. Figures are printed for each turn; they do not fail the run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import logging
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import psutil
import uvloop
from msgspec import Struct

from bench import processes
from bench.hostile import KINDS
from bench.processes import MB, cpu_s, pss_bytes
from bench.soak_agents import SoakAgent
from bench.soak_clients import Client, HandClient, SdkClient
from bench.soak_ledger import Ledger, Task
from bench.soak_load import Connect, Load, Shared, visit
from bench.soak_operators import Operators
from bench.soak_service import Service
from bench.table import percentile
from tepui.sdk import OperatorClient, framework_info
from tepui.wire import mesos
from tepui.wire.media import Media
from tests.real.cluster import Cluster, Daemon

QUIET: Final = "(none)"  # a turn without hostile clients
PHASE_S_MAX: Final = 60.0
PHASE_S_MIN: Final = 3.0
REST_S: Final = 2.0  # of a turn, what coming to rest takes; for planning only
WARM_UP_S: Final = 8.0  # a run of minutes; a shorter one has less
DRAIN_S: Final = 60.0  # for tasks to end once the hostile client has gone
FILES_S: Final = 30.0  # for the daemons to notice closed connections
FILES_MORE: Final = 40  # connections of good clients come and go
HARM_MORE_S: Final = 30.0  # for a hostile client to end after its time
LONGER: Final = 1.5  # a run may take so many times as long as was asked for,
LONGER_S: Final = 180.0  # and so much more
STALL_S: Final = 10.0  # some task ends at least so often, while tasks are launched
# Whoever may subscribe has a share: hundreds of frameworks that sit on their offers leave little to
# others, whatever the master does. Against them there are roles, quota and authentication.
SHARING: Final = frozenset(("frameworks", "hoarder"))
AGENTS_WAIT_S: Final = 60.0
SAMPLE_S: Final = 1.0
BREAKS_S: Final = 2.0  # between two links that are broken
GROWTH: Final = 0.10
GROWTH_BYTES: Final = 10 * MB
ROUNDS_MIN: Final = 3  # for a verdict on memory: the first one warms up
WARM_GROWTH: Final = 1.0  # what a run of fewer rounds may grow by
WARM_GROWTH_BYTES: Final = 100 * MB
REAL_TASKS_PER_S: Final = 1.5  # of each of the schedulers
BAD_LINES: Final = re.compile(
    r"Traceback|Exception|never retrieved|never awaited|Segmentation| CRITICAL | ERROR "
)
IDLE: Final = re.compile(r"tasks_(running|staging|starting|killing)$|outstanding|_allocated$")
MASTER_FLAGS: Final = (
    "--max_completed_frameworks=5",  # history is full soon, and memory flat from then on
    "--max_completed_tasks_per_framework=20",
    "--offer_timeout=5secs",  # against schedulers that never answer offers
)
AGENT_FLAGS: Final = ("--gc_delay=20secs", "--max_completed_executors_per_framework=5")
RESOURCES: Final = "cpus:4;mem:4096;disk:10240;ports:[31000-32000]"


class Options(Struct, frozen=True):
    """What is chosen on the command line."""

    minutes: float
    kinds: tuple[str, ...]
    seed: int = 1
    rate: float = 200.0
    agents: int = 100
    real_agents: int = 2
    schedulers: int = 4
    share: float = 0.4
    directory: Path | None = None


class Phase(Struct):
    """One turn and its figures."""

    kind: str
    round: int
    launched_per_s: float = 0.0
    calls_s: list[float] = []
    reads_s: list[float] = []
    first_update_s: list[float] = []
    errors: dict[str, int] = {}
    stall_s: float = 0.0  # the longest time without the end of a task, while they are launched
    lag_s: float = 0.0  # the longest delay of this process' own loop
    rest_s: float = 0.0  # until everything was at rest again
    master_cpus: float = 0.0
    peak_bytes: int = 0  # of the master's PSS in the turn
    memory: dict[str, int] = {}  # PSS at rest by daemon
    files: dict[str, int] = {}  # open at rest by daemon
    did: dict[str, int] = {}  # what the hostile client says it did


class Soak:
    """One run against one cluster."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster = cluster
        self._options = options
        self._random = Random(options.seed)
        self._port = int(cluster.master_address.rpartition(":")[2])
        self.ledger = Ledger()
        self._service = Service()
        hosts = frozenset(f"real-{number}" for number in range(1, len(cluster.agents) + 1))
        self._shared = Shared(self.ledger, self._service, hosts)
        self._agents = [
            SoakAgent(number, cluster.master_address, self.ledger.fault)
            for number in range(options.agents)
        ]
        self._loads: list[Load] = []
        self._visits = 0
        self._visiting = True
        self._lag_s = 0.0
        self._peak_bytes = 0
        self._told = 0  # of the ledger's faults
        self.phases: list[Phase] = []
        addresses = tuple(agent.address for agent in cluster.agents)
        self.operators = Operators(cluster.master_address, addresses, self._service, self.ledger)

    @property
    def _daemons(self) -> list[Daemon]:
        return [self._cluster.master, *self._cluster.agents]

    async def run(self) -> None:
        """All turns, then the comparison with what the master says."""
        for agent in self._agents:
            agent.start()
        try:
            await self._run()
            await self._compare()
        finally:
            for agent in self._agents:
                await agent.stop()

    async def _run(self) -> None:
        await self._until(self._all_registered, AGENTS_WAIT_S, "all agents are registered")
        self._loads = [self._load(number) for number in range(self._options.schedulers)]
        for load in self._loads:
            await load.start()
        background = [
            asyncio.create_task(one)
            for one in (self.operators.run(), self._watch(), self._sample(), self._break_links())
        ]
        visitors = [asyncio.create_task(self._visitors(at)) for at in range(2)]
        try:
            await self._phase(QUIET, 0, min(WARM_UP_S, 2 * self._phase_s()))
            for number, kind in self._plan():
                await self._phase(kind, number, self._phase_s())
                self._check_alive([*background, *visitors])
        finally:
            self._visiting = False
            await asyncio.gather(*visitors, return_exceptions=True)
            for load in self._loads:
                await load.stop()
            for one in background:
                one.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    # Turns

    def _plan(self) -> Iterator[tuple[int, str]]:
        for number in range(1, self._rounds() + 1):
            kinds = list(self._options.kinds)
            self._random.shuffle(kinds)
            yield number, QUIET
            for kind in kinds:
                yield number, kind
        yield self._rounds() + 1, QUIET

    def _turns(self) -> int:
        """Of one round."""
        return len(self._options.kinds) + 1

    def _rounds(self) -> int:
        wanted = self._options.minutes * 60 / (self._turns() * PHASE_S_MAX / 2)
        return max(1, round(wanted))

    def _phase_s(self) -> float:
        each = self._options.minutes * 60 / (self._rounds() * self._turns()) - REST_S
        return min(PHASE_S_MAX, max(PHASE_S_MIN, each))

    async def _phase(self, kind: str, number: int, seconds: float) -> None:
        phase = Phase(kind=kind, round=number)
        self.phases.append(phase)
        self._service.reset()
        self.ledger.turn()
        self._lag_s, self._peak_bytes = 0.0, 0
        launched, began_s = self.ledger.launched, time.monotonic()
        cpu_began_s = cpu_s(self._cluster.master.process.pid)
        self._shared.launches = True
        stalls = asyncio.create_task(self._stalls(phase))
        if kind == QUIET:
            await asyncio.sleep(seconds)
        else:
            phase.did = await self._harm(kind, seconds)
        lasted_s = time.monotonic() - began_s
        phase.launched_per_s = (self.ledger.launched - launched) / lasted_s
        phase.master_cpus = (cpu_s(self._cluster.master.process.pid) - cpu_began_s) / lasted_s
        rest_began_s = time.monotonic()
        await self._rest(kind)
        stalls.cancel()
        phase.rest_s = time.monotonic() - rest_began_s
        phase.calls_s, phase.reads_s = self._service.calls_s, self._service.reads_s
        phase.errors = dict(self._service.errors)
        phase.first_update_s = self.ledger.first_update_s
        phase.lag_s, phase.peak_bytes = self._lag_s, self._peak_bytes
        for daemon in self._daemons:
            phase.memory[daemon.name] = pss_bytes(daemon.process.pid)
            phase.files[daemon.name] = files_of(daemon)
        if phase.stall_s > STALL_S and kind not in SHARING:
            self.ledger.fault(f"{kind}: no task ended for {phase.stall_s:.1f} s")
        print(row_of(phase), flush=True)
        for fault in self.ledger.faults[self._told :]:
            print(f"      fault: {fault}", flush=True)
        self._told = len(self.ledger.faults)

    async def _harm(self, kind: str, seconds: float) -> dict[str, int]:
        ports = [agent.address.rpartition(":")[2] for agent in self._cluster.agents]
        harm = (
            *("-m", "bench.hostile", kind, "--master", str(self._port)),
            *(word for port in ports for word in ("--agent", port)),
            *("--seconds", str(seconds), "--seed", str(self._random.getrandbits(32))),
            *("--share", str(self._options.share)),
        )
        code, said = await processes.output(harm, seconds + HARM_MORE_S)
        if code != 0:
            self.ledger.fault(f"the hostile client '{kind}' itself ended with {code}")
            return {}
        did: dict[str, int] = json.loads(said)
        return did

    async def _rest(self, kind: str) -> None:
        """All tasks end, and the daemons have closed what the hostile client has left."""
        self._shared.launches = False
        if not await self._holds(lambda: not self.ledger.open, DRAIN_S):
            async with OperatorClient(self._cluster.master_address) as master:
                tasks = await master.get_tasks()
            known = {one.task_id.value: one for one in tasks.tasks}
            self.ledger.write_off(
                f"{kind}: not within {DRAIN_S:.0f} s", lambda task: self._known(task, known)
            )
        base = self.phases[0].files
        for daemon in self._daemons if base else []:
            may_have = base[daemon.name] + FILES_MORE
            if not await self._holds(lambda: files_of(daemon) <= may_have, FILES_S):  # noqa: B023
                count = files_of(daemon)
                self.ledger.fault(f"{kind}: {daemon.name} has {count} open files, not {may_have}")

    def _known(self, task: Task, known: dict[str, mesos.Task]) -> str:
        """What master and agent know of a task."""
        at_master = known.get(task.id)
        found = [agent.knows(task.agent_id, task.id) for agent in self._agents]
        at_agent = next((each for each in found if each), "the agent is a real one")
        if at_master is None:
            return f"the master does not know it; {at_agent}"
        return (
            f"the master has it {at_master.state.name}, told {at_master.status_update_state};"
            f" {at_agent}"
        )

    # In the background

    def _load(self, number: int) -> Load:
        schedulers = self._options.schedulers
        return Load(
            f"good-{number}",
            self._connector(f"good-{number}", number),
            self._shared,
            Random(f"{self._options.seed} {number}"),
            tasks_per_s=self._options.rate / schedulers,
            real_tasks_per_s=REAL_TASKS_PER_S,
        )

    def _connector(self, name: str, number: int) -> Connect:
        """Each of the four kinds of clients in turn."""
        media = (Media.JSON, Media.PROTOBUF)[number % 2]

        def connect(framework_id: str | None) -> Client:
            framework = framework_info(name, framework_id=framework_id, user="root")
            if number % 4 < 2:
                return HandClient(self._port, framework, media, self._service)
            return SdkClient(self._port, framework, media, self._service)

        return connect

    async def _visitors(self, lane: int) -> None:
        """New frameworks, one after the other."""
        while self._visiting:
            if self._shared.launches:
                self._visits += 1
                name = f"visitor-{lane}-{self._visits}"
                random = Random(f"{self._options.seed} {name}")
                connect = self._connector(name, self._visits)
                load = Load(name, connect, self._shared, random, tasks_per_s=10, is_moody=False)
                await visit(load, random)
            await asyncio.sleep(0.2)

    async def _break_links(self) -> None:
        """Now and then an agent's connection breaks."""
        while True:
            await asyncio.sleep(BREAKS_S)
            self._random.choice(self._agents).break_link()

    async def _watch(self) -> None:
        """How late this process itself is."""
        while True:
            began_s = time.monotonic()
            await asyncio.sleep(0.05)
            self._lag_s = max(self._lag_s, time.monotonic() - began_s - 0.05)

    async def _sample(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                pss = pss_bytes(self._cluster.master.process.pid)
                self._peak_bytes = max(self._peak_bytes, pss)
            await asyncio.sleep(SAMPLE_S)

    async def _stalls(self, phase: Phase) -> None:
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(0.1)
            if self._shared.launches:  # else few are left, and one update that was lost comes late
                since_s = time.monotonic() - max(began_s, self.ledger.last_end_s)
                phase.stall_s = max(phase.stall_s, since_s)

    def _check_alive(self, background: list[asyncio.Task[None]]) -> None:
        for daemon in self._daemons:
            code = daemon.process.poll()
            assert code is None, f"{daemon.name} ended with {code}:\n{daemon.log_end()}"
        for one in background:
            if one.done():
                one.result()
                raise AssertionError(f"{one} has ended")

    # The end

    async def _compare(self) -> None:
        """The master knows no task any more, and has all to give."""
        async with OperatorClient(self._cluster.master_address) as master:
            await self._until(self._all_registered, AGENTS_WAIT_S, "all agents are back")
            state = await master.get_state()
            tasks, frameworks = state.get_tasks, state.get_frameworks
            left = [task.task_id.value for task in tasks.tasks] if tasks else []
            known = [one.framework_info.name for one in frameworks.frameworks] if frameworks else []
            metrics = await master.get_metrics()
        for what, found in (("tasks", left), ("frameworks", known)):
            if found:
                self.ledger.fault(f"at the end the master still has {what}: {found[:20]}")
        for name, value in metrics.items():
            if IDLE.search(name) and value:
                self.ledger.fault(f"at the end {name} is {value}")
        for state_name, count in self.ledger.ended.items():
            counted = metrics.get(f"master/{state_name.lower().replace('task_', 'tasks_')}")
            if counted is not None and counted < count:
                self.ledger.fault(f"{count} tasks were {state_name}, the master counts {counted}")

    async def _all_registered(self) -> bool:
        async with OperatorClient(self._cluster.master_address) as master:
            found = (await master.get_agents()).agents
        names = {agent.agent_info.hostname for agent in found if agent.active}
        wanted = {f"soak-{number}" for number in range(len(self._agents))} | self._shared.hosts
        return wanted <= names

    async def _until(self, holds: Callable[[], object], seconds: float, what: str) -> None:
        until_s = time.monotonic() + seconds
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            assert time.monotonic() < until_s, f"not within {seconds:.0f} s: {what}"
            await asyncio.sleep(0.2)

    async def _holds(self, holds: Callable[[], object], seconds: float) -> bool:
        try:
            await self._until(holds, seconds, "")
        except AssertionError:
            return False
        return True


def files_of(daemon: Daemon) -> int:
    """How many files it has open."""
    return psutil.Process(daemon.process.pid).num_fds()


HEAD: Final = (
    f"{'round':>5} {'hostile':18} {'launch/s':>8} {'call p50':>8} {'p99 ms':>7} {'read p99':>8}"
    f" {'update p99':>10} {'stall s':>7} {'rest s':>6} {'lag s':>5} {'master %':>8} {'MB':>5}"
    f" {'peak':>5} {'agents MB':>9} {'files':>5}  errors; what it did"
)


def row_of(phase: Phase) -> str:
    """A line of the table."""

    def ms(times_s: list[float], percent: float) -> float:
        return percentile(times_s, percent) * 1e3

    agents = "+".join(f"{size / MB:.0f}" for name, size in phase.memory.items() if name != "master")
    errors = ", ".join(f"{count}× {text}" for text, count in sorted(phase.errors.items())[:4])
    did = ", ".join(f"{text} {count:,}" for text, count in sorted(phase.did.items()))
    return (
        f"{phase.round:5} {phase.kind:18} {phase.launched_per_s:8.0f}"
        f" {ms(phase.calls_s, 50):8.1f} {ms(phase.calls_s, 99):7.0f} {ms(phase.reads_s, 99):8.0f}"
        f" {ms(phase.first_update_s, 99):10.0f} {phase.stall_s:7.1f} {phase.rest_s:6.1f}"
        f" {phase.lag_s:5.1f} {phase.master_cpus * 100:8.0f} {phase.memory['master'] / MB:5.0f}"
        f" {phase.peak_bytes / MB:5.0f} {agents:>9} {phase.files['master']:5}  {errors or '-'}; {did or '-'}"
    )


def memory_faults(phases: list[Phase]) -> list[str]:
    """Daemons that grew: the last turn of each kind against that in the second tenth of the run."""
    rounds = max(phase.round for phase in phases)
    is_long = rounds > ROUNDS_MIN
    first = max(2, round(rounds * 0.15)) if is_long else 0
    share, some = (GROWTH, GROWTH_BYTES) if is_long else (WARM_GROWTH, WARM_GROWTH_BYTES)
    faults = []
    for daemon in phases[0].memory:
        before = {p.kind: p.memory[daemon] for p in phases if p.round == first}
        after = {p.kind: p.memory[daemon] for p in phases if p.round >= rounds - 1}
        kinds = before.keys() & after.keys()
        if not kinds:
            continue
        was, now = median(before[kind] for kind in kinds), median(after[kind] for kind in kinds)
        print(f"memory of {daemon}: {was / MB:.1f} MB, at the end {now / MB:.1f} MB")
        if now > was * (1 + share) + some:
            faults.append(f"{daemon} grew from {was / MB:.1f} to {now / MB:.1f} MB")
    return faults


def log_faults(daemons: list[Daemon]) -> list[str]:
    """Lines of the logs that no client may cause."""
    faults = []
    for daemon in daemons:
        lines = daemon.log.read_text(errors="replace").splitlines()
        bad = [number for number, line in enumerate(lines) if BAD_LINES.search(line)]
        if bad:
            shown = "\n      ".join(lines[bad[0] : bad[0] + 25])
            faults.append(f"{daemon.name}: {len(bad)} bad lines in its log, first:\n      {shown}")
    return faults


async def in_time(run: Soak, seconds: float) -> None:
    """The run; fails with all that waits when it does not end."""
    running = asyncio.create_task(run.run())
    await asyncio.wait((running,), timeout=seconds)
    if not running.done():
        waiting = io.StringIO()
        for task in asyncio.all_tasks():
            task.print_stack(file=waiting)
        raise AssertionError(f"not ended within {seconds:.0f} s:\n{waiting.getvalue()}")
    await running


def soak(options: Options) -> list[str]:
    """Run; the faults."""
    faults: list[str] = []
    with contextlib.ExitStack() as stack:
        if options.directory is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="tepui-soak-"))
            directory = Path(name)
        else:
            directory = options.directory
            directory.mkdir(parents=True)
        directory.chmod(0o755)
        cluster = Cluster(
            directory,
            agents=0,
            resources=RESOURCES,
            master_flags=MASTER_FLAGS,
            agent_flags=AGENT_FLAGS,
        )
        daemons: list[Daemon] = []
        run: Soak | None = None
        try:
            with cluster:
                for number in range(1, options.real_agents + 1):
                    cluster.start_agent(f"--hostname=real-{number}")
                cluster.wait_for_agents(options.real_agents)
                daemons = [cluster.master, *cluster.agents]
                print(HEAD)
                run = Soak(cluster, options)
                uvloop.run(in_time(run, options.minutes * 60 * LONGER + LONGER_S))
        except AssertionError as error:
            faults.append(str(error))
        faults += log_faults(daemons)
        if run is not None:
            ledger = run.ledger
            if run.phases and run.phases[-1].memory:
                faults += memory_faults(run.phases)
            print(
                f"{ledger.launched} tasks launched; ended: {dict(ledger.ended)};"
                f" {ledger.repeated} updates came again, {ledger.foreign} of unknown tasks;"
                f" operators saw {run.operators.events} events, {run.operators.bytes_read} bytes"
            )
            faults += ledger.faults
            if ledger.fault_count > len(ledger.faults):
                faults.append(f"and {ledger.fault_count - len(ledger.faults)} more")
    return faults


def main() -> None:
    """Run, and say PASS or what failed."""
    parser = argparse.ArgumentParser(prog="bench/run soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="in all; each kind runs once")
    parser.add_argument("--kinds", nargs="*", default=sorted(KINDS), choices=sorted(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0, help="tasks/s of all good schedulers")
    parser.add_argument("--agents", type=int, default=100, help="simulated ones")
    parser.add_argument("--real-agents", type=int, default=2)
    parser.add_argument("--schedulers", type=int, default=4, help="that stay")
    parser.add_argument("--share", type=float, default=0.4, help="of a processor, for hostile ones")
    parser.add_argument("--directory", type=Path, help="a new one; logs and all stay there")
    # An end from outside must end the cluster, too, which is of other process groups.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = vars(parser.parse_args())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.getLogger("tepui").setLevel(logging.CRITICAL)  # what clients meet is in the table
    faults = soak(Options(**{**chosen, "kinds": tuple(chosen["kinds"])}))
    for fault in faults:
        print(f"FAILED: {fault}")
    print("FAILED" if faults else "PASS")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
