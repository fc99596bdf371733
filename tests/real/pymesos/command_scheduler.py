"""Runs short command tasks through pymesos's MesosSchedulerDriver, and checks how each ends.

Some fail and some are killed by design. Ends with 0 when each task reached the one terminal state that
was expected of it, once.
"""
# ruff: noqa: N802 -- the callbacks' names are pymesos's

from __future__ import annotations

import sys
import threading

from pymesos import (  # type: ignore[import-not-found]  # lives in an environment of its own
    MesosSchedulerDriver,
    Scheduler,
)

from tests.real.pymesos import running
from tests.real.pymesos.ledger import Ledger
from tests.real.pymesos.shapes import Filters, Id, Offer, SchedulerDriver, Status, Task, scalars
from tests.real.pymesos.shapes import amount as offered

NEEDS = {"cpus": 0.1, "mem": 32.0}
COMMANDS = {
    "TASK_FINISHED": "true",
    "TASK_FAILED": "exit 3",
    "TASK_KILLED": "exec sleep 600",
}
SOON: Filters = {"refuse_seconds": 0.1}
LATER: Filters = {"refuse_seconds": 600.0}


def expected_of(number: int) -> str:
    """The terminal state that task `number` is to reach."""
    if number % 50 == 49:
        return "TASK_KILLED"
    return "TASK_FAILED" if number % 10 == 7 else "TASK_FINISHED"


class CommandScheduler(Scheduler):  # type: ignore[misc]  # pymesos has no types
    """Packs as many tasks into an offer as it holds; declines the first and the needless ones."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.done = threading.Event()
        self.counts = {"offers": 0, "declines": 0, "accepts": 0, "packed_max": 0, "kills": 0}

    def resourceOffers(self, driver: SchedulerDriver, offers: list[Offer]) -> None:
        """Offers are not expected to overlap: each is answered alone."""
        for offer in offers:
            self.counts["offers"] += 1
            first = self.counts["offers"] == 1
            tasks = [] if first else self.packed(offer)
            if tasks:
                self.counts["accepts"] += 1
                self.counts["packed_max"] = max(self.counts["packed_max"], len(tasks))
                driver.launchTasks([offer["id"]], tasks, SOON)
            else:
                self.counts["declines"] += 1
                driver.declineOffer([offer["id"]], SOON if first else LATER)

    def packed(self, offer: Offer) -> list[Task]:
        """The next tasks, as many as the offer holds."""
        room = min(int(offered(offer, name) / need + 1e-6) for name, need in NEEDS.items())
        pending = self.ledger.pending
        return [self.task(pending.pop(), offer["agent_id"]) for _ in range(min(room, len(pending)))]

    def task(self, name: str, agent_id: Id) -> Task:
        return {
            "task_id": {"value": name},
            "agent_id": agent_id,
            "name": name,
            "command": {"value": COMMANDS[self.ledger.expected[name]]},
            "resources": scalars(NEEDS),
        }

    def statusUpdate(self, driver: SchedulerDriver, status: Status) -> None:
        """The driver acknowledges the update when this returns."""
        new = self.ledger.update(status)
        name = status["task_id"]["value"]
        to_kill = self.ledger.expected.get(name) == "TASK_KILLED"
        if new and to_kill and status["state"] == "TASK_RUNNING":
            self.counts["kills"] += 1
            driver.killTask(status["task_id"])
        if self.ledger.complete and not self.done.is_set():
            driver.suppressOffers()
            self.done.set()

    def error(self, driver: SchedulerDriver, message: str) -> None:
        self.ledger.faults.append(f"ERROR event: {message}")
        self.done.set()


def main() -> int:
    given = running.arguments(__doc__ or "")
    ledger = Ledger({f"task-{n:04}": expected_of(n) for n in range(given.tasks)})
    scheduler = CommandScheduler(ledger)
    driver = MesosSchedulerDriver(scheduler, running.framework("pymesos-commands"), given.master)
    return running.run(driver, scheduler.done, ledger, scheduler.counts, given)


if __name__ == "__main__":
    sys.exit(main())
