"""A framework on the own library: on each agent two tasks that last, and short ones all the time.

It is told by a file in its ledger to drain: then it submits no more, waits until its tasks have ended,
ends the framework and returns 0.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import sys
from collections import Counter
from pathlib import Path

from tepui.sdk import command_task, executor_info, executor_task, framework_info
from tepui.wire import mesos
from tests.real.chaos import work
from tests.real.chaos.ledger import Ledger
from tests.real.chaos.sdk_framework import Submitting, Watched, submit_until_drained
from tests.real.cluster import PROJECT

HELD_PER_AGENT = 2
SHORT_S_MIN, SHORT_S_MAX = 0.2, 6.0
COMMANDS, EXECUTOR = KINDS = ("commands", "executor")


class Upgraded(Submitting):
    """Its tasks are all commands, or all of one executor."""

    def __init__(self, client: Watched, notes: Path, kind: str, release: Path) -> None:
        super().__init__(client, notes, seed=0, longest_s=SHORT_S_MAX)
        self._kind = kind
        self._release = release
        self._held: Counter[str] = Counter()  # by agent

    def _task(self, agent_id: mesos.AgentID) -> mesos.TaskInfo:
        name = f"{self._kind}-{self._ledger.submitted:04}"
        self._held[agent_id.value] += 1
        seconds = 0.0  # until it is released
        if self._held[agent_id.value] > HELD_PER_AGENT:
            share = self._chance.random() ** 3
            seconds = round(SHORT_S_MIN + (SHORT_S_MAX - SHORT_S_MIN) * share, 2)
        if self._kind == EXECUTOR:
            data = str(seconds).encode()
            return executor_task(
                name, agent_id, self._executor(), cpus=work.CPUS, mem_mib=work.MEM_MIB, data=data
            )
        line = work.command(self._notes, name, seconds)
        if not seconds:
            hold = f"until [ -e {shlex.quote(str(self._release))} ]; do sleep 0.5; done"
            line = line.replace(f"sleep {seconds}", hold)
        return command_task(name, agent_id, line, cpus=work.CPUS, mem_mib=work.MEM_MIB)

    def _executor(self) -> mesos.ExecutorInfo:
        module = [sys.executable, "-m", "tests.real.rolling.executor"]
        line = shlex.join([*module, str(self._notes), str(self._release)])
        return executor_info("holding", f"PYTHONPATH={PROJECT / 'src'}:{PROJECT} exec {line}")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--master", required=True)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--release", type=Path, required=True)
    given = parser.parse_args()
    framework = framework_info(given.kind, failover_timeout_s=86_400.0, checkpoint=True)
    async with Watched(given.master, framework, Ledger(given.ledger)) as client:
        submitting = Upgraded(client, given.notes, given.kind, given.release)
        await submit_until_drained(submitting, given.ledger / work.DRAIN)
        await client.teardown()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    asyncio.run(main())
