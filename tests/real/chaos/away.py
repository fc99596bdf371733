"""The other scenario: ZooKeeper is away, as a whole, for a while.

Then nobody leads. What runs goes on, nothing new starts, and when ZooKeeper is back so is all else.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from tests.real.chaos.fleet import Fleet
from tests.real.chaos.ledger import entries_of
from tests.real.chaos.run import Report, staged

BEFORE_S = 15.0  # the frameworks work
LEASE_S = 6.0  # for the leader to notice, and for what it has sent to start; its session lasts 3 s
AFTER_S = 15.0  # the frameworks work again
MORE_S = 20.0  # by which the longest tasks outlast it


async def run(directory: Path, seed: int, seconds: float) -> Report:
    """ZooKeeper is away for so long; then the verdict, as of any run."""
    async with staged(directory, seed, longest_s=seconds + MORE_S) as stage:
        fleet, faults = stage.fleet, stage.report.faults
        ids = frozenset(await asyncio.to_thread(fleet.used))
        await asyncio.sleep(BEFORE_S)
        for server in fleet.zookeeper.servers:
            server.kill()
        await asyncio.sleep(LEASE_S)
        if (leader := await asyncio.to_thread(fleet.leader)) is not None:
            faults.append(f"{leader.name} leads without ZooKeeper")
        started, updates = _started(fleet), _updates(fleet)
        await asyncio.sleep(max(0.0, seconds - LEASE_S))
        if more := _started(fleet) - started:
            faults.append(f"started while ZooKeeper was away: {sorted(more)}")
        if (more_updates := _updates(fleet) - updates) != 0:
            faults.append(f"{more_updates} updates came while ZooKeeper was away")
        outlasting = _running(fleet)
        print(f"outlast it: {len(outlasting)} tasks", flush=True)
        if not outlasting:
            faults.append("no task has outlasted it")
        faults += [f"{name}: its process has gone" for name, runs in outlasting.items() if not runs]
        for server in fleet.zookeeper.servers:
            server.start()
        await stage.healed(ids)
        await asyncio.sleep(AFTER_S)
        if not _started(fleet) - started:
            faults.append(f"nothing new has started {AFTER_S:.0f} s after ZooKeeper was back")
        await stage.drain()
        await stage.freed()
    return stage.report


def _started(fleet: Fleet) -> set[str]:
    """The tasks that have begun."""
    return {path.name for path in fleet.notes.iterdir()}


def _running(fleet: Fleet) -> dict[str, bool]:
    """The tasks that have not said that they ended, and whether their processes are there."""
    found = {}
    for path in fleet.notes.iterdir():
        lines = path.read_text().splitlines()
        if len(lines) == 1:
            found[path.name] = psutil.pid_exists(int(lines[0].split()[1]))
    return found


def _updates(fleet: Fleet) -> int:
    """How many the frameworks were told."""
    return sum(
        entry["kind"] == "update"
        for framework in fleet.frameworks
        for entry in entries_of(framework.ledger)
    )
