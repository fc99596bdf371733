"""Carries out the plan: finds the targets, does the fault, and ends it again."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.real.chaos.fleet import Fleet
from tests.real.chaos.network import Network, Rule
from tests.real.chaos.plan import Fault, Kind, Target
from tests.real.cluster import END_S

SERVES_S = 60.0  # for ZooKeeper's servers to serve again
ENSEMBLE = frozenset(f"zookeeper-{number}" for number in (1, 2, 3))
ALL_MASTERS = frozenset(("master", "master-2", "master-3"))


class Skipped(Exception):
    """The fault can't be done now: its target suffers another one."""


class Injector:
    """One run's faults; they overlap, though no process is killed or paused twice at a time."""

    def __init__(self, fleet: Fleet, network: Network, record: Path) -> None:
        self._fleet = fleet
        self._network = network
        self._record = record
        self._busy: set[str] = set()
        self._zookeeper_is_hurt = False
        self.done: Counter[str] = Counter()  # by what they are
        self.skipped = 0
        self.problems: list[str] = []

    async def run(self, faults: list[Fault]) -> None:
        """All of them, at their times; return when the last one is over."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                group.create_task(self._do(fault))

    async def _do(self, fault: Fault) -> None:
        if fault.hurts_zookeeper and self._zookeeper_is_hurt:
            self.skipped += 1
            return
        self._zookeeper_is_hurt |= fault.hurts_zookeeper
        try:
            if fault.hurts_zookeeper and not await asyncio.to_thread(self._fleet.zookeeper_serves):
                raise Skipped
            await (self._break(fault) if fault.kind is Kind.BREAK else self._harm(fault))
        except Skipped:
            self.skipped += 1
        else:
            if fault.hurts_zookeeper and not await asyncio.to_thread(
                self._fleet.await_zookeeper, SERVES_S
            ):
                self.problems.append(f"zookeeper does not serve {SERVES_S:.0f} s after {fault}")
        finally:
            if fault.hurts_zookeeper:
                self._zookeeper_is_hurt = False

    async def _harm(self, fault: Fault) -> None:
        """A process: kill it and start it again, or pause it."""
        name = await self._target(fault)
        if name in self._busy:
            raise Skipped
        self._busy.add(name)
        try:
            self._note(fault, name)
            if fault.kind is Kind.PAUSE:
                self._fleet.pause(name)
                try:
                    await asyncio.sleep(fault.seconds)
                finally:
                    self._fleet.go_on(name)
            else:
                await asyncio.to_thread(self._end, name, fault.kind)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self._start, name)
        finally:
            self._busy.discard(name)

    async def _break(self, fault: Fault) -> None:
        """The network, for a while."""
        clients, servers = await self._sides(fault)
        rule = Rule(clients, servers, fault.mode, fault.direction)
        between = f"{'+'.join(sorted(clients))} -> {'+'.join(sorted(servers))}"
        self._note(fault, f"{between} {fault.direction.value}")
        self._network.add(rule)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            self._network.remove(rule)

    async def _sides(self, fault: Fault) -> tuple[frozenset[str], frozenset[str]]:
        """Who connects, and to whom."""
        agents = [daemon.name for daemon in self._fleet.agents]
        one_agent = agents[fault.pick % len(agents)]
        match fault.target:
            case Target.AGENT_MASTERS:
                return frozenset((one_agent,)), ALL_MASTERS
            case Target.LEADER_AGENTS:
                some = frozenset(name for i, name in enumerate(agents) if fault.pick >> i & 1)
                return some or frozenset(agents), frozenset((await self._leader(fault),))
            case Target.LEADER_ZOOKEEPER:
                return frozenset((await self._leader(fault),)), ENSEMBLE
            case Target.MASTER_ZOOKEEPER:
                return frozenset((sorted(ALL_MASTERS)[fault.pick % 3],)), ENSEMBLE
            case Target.AGENT_ZOOKEEPER:
                return frozenset((one_agent,)), ENSEMBLE
            case Target.FRAMEWORK_MASTERS:
                framework = self._fleet.frameworks[fault.pick % 2]
                return frozenset((framework.name,)), ALL_MASTERS
            case _:
                # Followers connect to their leader: if it is not this one, one follower is away.
                one = frozenset((sorted(ENSEMBLE)[fault.pick % 3],))
                return (ENSEMBLE, one) if fault.pick & 4 else (one, ENSEMBLE)

    async def _target(self, fault: Fault) -> str:
        match fault.target:
            case Target.LEADER:
                return await self._leader(fault)
            case Target.MASTER:
                return sorted(ALL_MASTERS)[fault.pick % 3]
            case Target.AGENT:
                return self._fleet.agents[fault.pick % len(self._fleet.agents)].name
            case Target.FRAMEWORK:
                return self._fleet.frameworks[fault.pick % 2].name
            case Target.ZOOKEEPER_LEADER:
                for server in self._fleet.zookeeper.servers:
                    if await asyncio.to_thread(server.mode) == "leader":
                        return f"zookeeper-{server.number}"
                raise Skipped
            case _:
                return sorted(ENSEMBLE)[fault.pick % 3]

    async def _leader(self, fault: Fault) -> str:
        """The leading master; any, while there is none that says so."""
        found = await asyncio.to_thread(self._fleet.leader)
        return sorted(ALL_MASTERS)[fault.pick % 3] if found is None else found.name

    def _end(self, name: str, kind: Kind) -> None:
        if (server := self._fleet.server(name)) is not None:
            server.kill()
        elif (framework := self._fleet.framework(name)) is not None:
            framework.kill()
        elif (daemon := self._fleet.daemon(name)) is not None:
            if kind is Kind.KILL:
                daemon.kill()
                return
            daemon.wanted, daemon.killed = False, True  # something outlives an agent
            daemon.process.send_signal(signal.SIGTERM)
            try:
                code = daemon.process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.problems.append(f"{name} did not end within {END_S:.0f} s when asked to")
                daemon.kill()
            else:
                if code != 0:
                    self.problems.append(f"{name} ended with {code} when asked to")

    def _start(self, name: str) -> None:
        for found in (
            self._fleet.server(name),
            self._fleet.framework(name),
            self._fleet.daemon(name),
        ):
            if found is not None:
                found.start()

    def is_busy(self, name: str) -> bool:
        """A fault of this process is under way."""
        return name in self._busy

    def _note(self, fault: Fault, whom: str) -> None:
        self.done[fault.name] += 1
        at = time.strftime("%H:%M:%S")
        line = {
            "at": at,
            "at_s": time.time(),
            "fault": fault.name,
            "whom": whom,
            "seconds": fault.seconds,
        }
        with self._record.open("a") as record:
            record.write(json.dumps(line) + "\n")
