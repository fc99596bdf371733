"""Runs tasks on a custom executor, both on pymesos's drivers, with a framework message to and fro for each.

Ends with 0 when each task reached the one terminal state that was expected of it, once, and each message
came back as it was sent.
"""
# ruff: noqa: N802 -- the callbacks' names are pymesos's

from __future__ import annotations

import os
import shlex
import sys
import threading
from pathlib import Path

from pymesos import (  # type: ignore[import-not-found]  # lives in an environment of its own
    MesosSchedulerDriver,
    Scheduler,
    decode_data,
    encode_data,
)

from tests.real.pymesos import running
from tests.real.pymesos.ledger import Ledger
from tests.real.pymesos.shapes import (
    Executor,
    Filters,
    Id,
    Offer,
    SchedulerDriver,
    Status,
    Task,
    scalars,
)
from tests.real.pymesos.shapes import amount as offered

PROJECT = Path(__file__).resolve().parents[3]
EXECUTOR_ID: Id = {"value": "echo"}
EXECUTOR_NEEDS = {"cpus": 0.1, "mem": 64.0}
TASK_NEEDS = {"cpus": 0.05, "mem": 8.0}
SOON: Filters = {"refuse_seconds": 0.1}
LATER: Filters = {"refuse_seconds": 600.0}


def expected_of(number: int) -> str:
    """The terminal state that task `number` is to reach."""
    if number % 50 == 49:
        return "TASK_KILLED"
    return "TASK_FAILED" if number % 10 == 7 else "TASK_FINISHED"


def executor() -> Executor:
    """The same for all tasks, so that each agent starts it once."""
    program = f"{shlex.quote(sys.executable)} -m tests.real.pymesos.executor"
    return {
        "executor_id": EXECUTOR_ID,
        "name": "echo",
        "command": {"value": f"cd {shlex.quote(str(PROJECT))} && exec {program}"},
        "resources": scalars(EXECUTOR_NEEDS),
    }


class ExecutorScheduler(Scheduler):  # type: ignore[misc]  # pymesos has no types
    """Greets each task that runs, with text of its own; kills some when they have answered."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.done = threading.Event()
        self.greeted: dict[str, str] = {}
        self.echoed: set[str] = set()
        self.agents: set[str] = set()
        self.counts = {
            "accepts": 0,
            "kills": 0,
            "messages_sent": 0,
            "messages_back": 0,
            "agents": 0,
        }

    def resourceOffers(self, driver: SchedulerDriver, offers: list[Offer]) -> None:
        for offer in offers:
            tasks = self.packed(offer)
            if tasks:
                self.counts["accepts"] += 1
                driver.launchTasks([offer["id"]], tasks, SOON)
            else:
                driver.declineOffer([offer["id"]], LATER if not self.ledger.pending else SOON)

    def packed(self, offer: Offer) -> list[Task]:
        """The next tasks, as many as the offer holds beside the executor, if it is not there yet."""
        agent = offer["agent_id"]["value"]
        room = {name: offered(offer, name) for name in TASK_NEEDS}
        if agent not in self.agents:
            room = {name: have - EXECUTOR_NEEDS[name] for name, have in room.items()}
        many = min(int(room[name] / need + 1e-6) for name, need in TASK_NEEDS.items())
        pending = self.ledger.pending
        tasks = [
            self.task(pending.pop(), offer["agent_id"]) for _ in range(min(many, len(pending)))
        ]
        if tasks:
            self.agents.add(agent)
            self.counts["agents"] = len(self.agents)
        return tasks

    def task(self, name: str, agent_id: Id) -> Task:
        return {
            "task_id": {"value": name},
            "agent_id": agent_id,
            "name": name,
            "executor": executor(),
            "data": encode_data(self.ledger.expected[name].encode()),
            "resources": scalars(TASK_NEEDS),
        }

    def statusUpdate(self, driver: SchedulerDriver, status: Status) -> None:
        """The driver acknowledges the update when this returns."""
        name = status["task_id"]["value"]
        if self.ledger.update(status) and status["state"] == "TASK_RUNNING":
            self.greeted[name] = text = f"{name}:{os.urandom(8).hex()} 1 ✓"
            self.counts["messages_sent"] += 1
            data = encode_data(text.encode())
            driver.sendFrameworkMessage(EXECUTOR_ID, status["agent_id"], data)
        self.look_whether_done(driver)

    def frameworkMessage(
        self, driver: SchedulerDriver, executor_id: Id, agent_id: Id, message: str
    ) -> None:
        self.counts["messages_back"] += 1
        echo, _, text = decode_data(message).decode().partition(":")
        name = text.partition(":")[0]
        if echo != "echo" or executor_id != EXECUTOR_ID or self.greeted.get(name) != text:
            self.ledger.faults.append(f"message from {executor_id} on {agent_id}: {message}")
        elif name in self.echoed:
            self.ledger.faults.append(f"{name}: its message came back twice")
        self.echoed.add(name)
        if self.ledger.expected.get(name) == "TASK_KILLED":
            self.counts["kills"] += 1
            driver.killTask({"value": name})
        self.look_whether_done(driver)

    def look_whether_done(self, driver: SchedulerDriver) -> None:
        echoed = len(self.echoed) == len(self.ledger.expected)
        if self.ledger.complete and echoed and not self.done.is_set():
            driver.suppressOffers()
            self.done.set()

    def executorLost(
        self, driver: SchedulerDriver, executor_id: Id, agent_id: Id, status: int
    ) -> None:
        if not self.done.is_set():
            self.ledger.faults.append(f"lost the executor of {agent_id}, status {status}")

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self.ledger.faults.append(f"ERROR event: {message}")
        self.done.set()


def main() -> int:
    given = running.arguments(__doc__ or "")
    ledger = Ledger({f"task-{n:04}": expected_of(n) for n in range(given.tasks)})
    scheduler = ExecutorScheduler(ledger)
    driver = MesosSchedulerDriver(scheduler, running.framework("pymesos-executor"), given.master)
    return running.run(driver, scheduler.done, ledger, scheduler.counts, given)


if __name__ == "__main__":
    sys.exit(main())
