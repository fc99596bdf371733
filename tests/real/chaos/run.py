"""One run: start all, let the frameworks work under the faults, heal, and judge."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct, field

from tests.real.chaos import work
from tests.real.chaos.fleet import AGENTS, Fleet, Framework
from tests.real.chaos.injector import Injector
from tests.real.chaos.network import network
from tests.real.chaos.plan import plan
from tests.real.chaos.verdict import Verdict, judge
from tests.real.pymesos import environment

HEALED_S = 60.0  # for a leader to have all agents, and ZooKeeper all servers
DRAINED_S = 150.0  # for all tasks to end, and what is left of updates to come
FREED_S = 30.0  # for nothing to be in use, when the frameworks have gone
RESTARTED_S = 1.0  # after which a framework that has ended by itself is started again
TURN_S = 0.2
FAULTS_TOLD_MAX = 20


class Options(Struct, frozen=True):
    """What is chosen on the command line."""

    minutes: float
    seed: int
    directory: Path


class Report(Struct):
    """What a run has come to; without faults all is well."""

    faults: list[str] = field(default_factory=list)
    injected: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    starts: dict[str, int] = field(default_factory=dict)  # of the frameworks' schedulers
    ended_by_themselves: dict[str, int] = field(default_factory=dict)
    connections: int = 0
    unknown: int = 0  # of them, whose process was not found
    took_s: float = 0.0

    def text(self) -> str:
        """For people."""
        verdict = self.verdict
        lines = [
            f"faults injected: {sum(self.injected.values())}, skipped: {self.skipped}",
            *(f"  {count:4} {name}" for name, count in sorted(self.injected.items())),
            f"tasks: {verdict.outcomes.total()}",
            *(f"  {count:4} {name}" for name, count in verdict.outcomes.most_common()),
            f"updates: {verdict.updates}, and again before they were acknowledged:"
            f" {verdict.repeated}, meanwhile: {verdict.crossed}, and afterwards, to the next"
            f" subscription: {verdict.repeated_by_next}",
            f"leaders: {verdict.leaders}, subscriptions: {verdict.subscriptions},"
            f" schedulers started: {self.starts}, ended by themselves: {self.ended_by_themselves}",
            f"connections: {self.connections}, of unknown processes: {self.unknown};"
            f" took {self.took_s:.0f} s",
            *(f"FAULT {fault}" for fault in self.faults[:FAULTS_TOLD_MAX]),
            "PASS" if not self.faults else f"FAIL: {len(self.faults)} faults",
        ]
        return "\n".join(lines)


class Stage:
    """What a scenario has to its hands, between start and verdict."""

    def __init__(self, fleet: Fleet, injector: Injector, report: Report) -> None:
        self.fleet = fleet
        self.injector = injector
        self.report = report
        self._ended: set[str] = set()
        self._is_draining = False

    async def supervise(self, framework: Framework) -> None:
        """Start it again when it has ended by itself, until it has drained."""
        while True:
            await asyncio.sleep(TURN_S)
            process = framework.process
            if self.injector.is_busy(framework.name) or process is None:
                continue
            code = process.poll()
            if code is None or framework.process is not process:
                continue
            if code == 0 and self._is_draining:
                self._ended.add(framework.name)
                return
            counts = self.report.ended_by_themselves
            counts[framework.name] = counts.get(framework.name, 0) + 1
            if framework.name == "sdk":  # of pymesos it is known, see its program
                self.report.faults.append(f"{framework.log}: ended with {code}")
            await asyncio.sleep(RESTARTED_S)
            if not self.injector.is_busy(framework.name):
                framework.start()

    async def drain(self) -> None:
        """The frameworks submit no more, and have ended; or it is a fault that they have not."""
        self._is_draining = True
        for framework in self.fleet.frameworks:
            framework.drain()
        until_s = time.monotonic() + DRAINED_S
        while len(self._ended) < len(self.fleet.frameworks):
            if time.monotonic() > until_s:
                missing = [one.name for one in self.fleet.frameworks if one.name not in self._ended]
                self.report.faults.append(f"not drained within {DRAINED_S:.0f} s: {missing}")
                return
            await asyncio.sleep(TURN_S)

    async def healed(self, ids: frozenset[str]) -> None:
        """All agents are there, as the same ones, and ZooKeeper's servers."""
        if not await asyncio.to_thread(self.fleet.await_zookeeper, HEALED_S):
            self.report.faults.append(f"zookeeper does not serve after {HEALED_S:.0f} s")
        await asyncio.to_thread(self.fleet.wait_for_agents, AGENTS, HEALED_S)
        found = frozenset(await asyncio.to_thread(self.fleet.used))
        if found != ids:
            self.report.faults.append(f"the agents were {sorted(ids)}, and are {sorted(found)}")

    async def freed(self) -> None:
        """Nothing is in use when all tasks have ended and their frameworks have gone."""
        until_s = time.monotonic() + FREED_S
        while any((used := await asyncio.to_thread(self.fleet.used)).values()):
            if time.monotonic() > until_s:
                self.report.faults.append(f"cpus are still in use after {FREED_S:.0f} s: {used}")
                return
            await asyncio.sleep(TURN_S)


async def run(options: Options) -> Report:
    """The faults of the seed, then the verdict. Raises Unavailable of ZooKeeper's or pymesos's."""
    faults = plan(options.seed, options.minutes * 60)
    async with staged(options.directory, options.seed) as stage:
        ids = frozenset(await asyncio.to_thread(stage.fleet.used))
        await stage.injector.run(faults)
        await stage.healed(ids)
        await stage.drain()
        await stage.freed()
    return stage.report


@asynccontextmanager
async def staged(
    directory: Path, seed: int, longest_s: float = work.LENGTH_S_MAX
) -> AsyncIterator[Stage]:
    """All processes run; afterwards they are ended, and the report is complete."""
    pymesos = await asyncio.to_thread(environment.interpreter)
    directory.mkdir(parents=True, exist_ok=True)
    report = Report()
    began_s = time.monotonic()
    fleets: list[Fleet] = []
    async with network(lambda: fleets[0].pids()) as proxies:
        fleet = Fleet(directory, proxies, longest_s)
        fleets.append(fleet)
        await fleet.prepare(str(pymesos), seed)
        injector = Injector(fleet, proxies, directory / "faults.jsonl")
        stage = Stage(fleet, injector, report)
        has_begun = False
        try:
            async with _entered(fleet.zookeeper), _entered(fleet), _supervised(stage):
                has_begun = True
                yield stage
        except AssertionError as error:  # of the fleet: something is left, or has ended by itself
            if not has_begun:
                raise
            report.faults.append(str(error))
        report.connections, report.unknown = proxies.connections, proxies.unknown
    _complete(report, stage, time.monotonic() - began_s)
    (directory / "report.txt").write_text(report.text() + "\n")


def _complete(report: Report, stage: Stage, took_s: float) -> None:
    fleet = stage.fleet
    logs = [*(fleet.root / "cluster").glob("*.log"), *(fleet.root / "frameworks").glob("sdk.log")]
    ledgers = {framework.name: framework.ledger for framework in fleet.frameworks}
    report.verdict = judge(ledgers, fleet.notes, sorted(logs))
    report.faults += [*stage.injector.problems, *report.verdict.faults]
    report.injected = dict(stage.injector.done)
    report.skipped = stage.injector.skipped
    report.starts = {framework.name: framework.starts for framework in fleet.frameworks}
    report.took_s = took_s


@asynccontextmanager
async def _entered(processes: contextlib.AbstractContextManager[object]) -> AsyncIterator[None]:
    """Its processes run; starting and ending them takes its time, and the proxies' loop goes on."""
    await asyncio.to_thread(processes.__enter__)
    try:
        yield
    except BaseException as error:
        await asyncio.to_thread(processes.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(processes.__exit__, None, None, None)


@asynccontextmanager
async def _supervised(stage: Stage) -> AsyncIterator[None]:
    """The frameworks run, and have ended or are killed afterwards."""
    fleet = stage.fleet
    for framework in fleet.frameworks:
        framework.start()
    watching = [asyncio.create_task(stage.supervise(one)) for one in fleet.frameworks]
    try:
        yield
    finally:
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        for name in list(fleet.paused):
            fleet.go_on(name)
        for framework in fleet.frameworks:
            framework.kill()
