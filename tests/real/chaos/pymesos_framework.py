"""A framework on PyPI's pymesos, unmodified: it submits tasks until it is told to drain.

It may be killed at any moment and started again. Told to drain by a file in its ledger, it waits until
its tasks have ended, ends the framework and returns 0. pymesos ends its own thread when a call of its
own fails, as when a master dies in the middle: then this program ends with 9, and is to be started
again.
"""
# ruff: noqa: N802 -- the callbacks' names are pymesos's

from __future__ import annotations

import argparse
import getpass
import logging
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple  # noqa: UP035 -- Python 3.8

from pymesos import (  # type: ignore[import-not-found]  # lives in an environment of its own
    MesosSchedulerDriver,
    Scheduler,
)

from tests.real.chaos import work
from tests.real.chaos.ledger import Ledger
from tests.real.pymesos.shapes import Filters, Offer, SchedulerDriver, Status, Task, scalars
from tests.real.pymesos.shapes import amount as offered

NEEDS = {"cpus": work.CPUS, "mem": work.MEM_MIB}
SOON: Filters = {"refuse_seconds": work.REFUSE_S}
TURN_S = 0.2
ENDED_BY_ITSELF = 9

log = logging.getLogger("framework")


class Submitting(Scheduler):  # type: ignore[misc]  # pymesos has no types
    """All callbacks come from the driver's one thread; what they raise would end it."""

    def __init__(self, ledger: Ledger, notes: Path, seed: int, longest_s: float) -> None:
        self.ledger = ledger
        self.drains = False
        self._notes = notes
        self._longest_s = longest_s
        self._chance = random.Random(f"{seed} {ledger.submitted} pymesos")
        self._lock = threading.Lock()  # of the ledger
        self._leader = ""

    def registered(self, driver: Any, framework_id: Dict[str, str], master: object) -> None:  # noqa: UP006
        """The first time; the id must outlive this process."""
        self._subscribed(driver)

    def reregistered(self, driver: Any, master: object) -> None:
        """Any other time."""
        self._subscribed(driver)

    def _subscribed(self, driver: Any) -> None:
        self._leader = f"{driver.master} {driver.stream_id}"
        self._write("subscribed", framework=driver.framework_id, leader=self._leader)
        self.ask(driver)

    def resourceOffers(self, driver: SchedulerDriver, offers: List[Offer]) -> None:  # noqa: UP006
        """A few tasks on each, as long as not too many are open."""
        for offer in offers:
            tasks = [] if self.drains else self._tasks(offer)
            names = [task["task_id"]["value"] for task in tasks]
            for task in tasks:
                self._write(
                    "submit", task=task["task_id"]["value"], agent=offer["agent_id"]["value"]
                )
            try:
                if tasks:
                    driver.launchTasks([offer["id"]], tasks, SOON)
                else:
                    driver.declineOffer([offer["id"]], SOON)
            except Exception as error:
                log.warning("call_failed tasks=%s error=%s", names, error)
                self._write("unsure", tasks=names, error=str(error))
            else:
                self._write("accepted", tasks=names)

    def _tasks(self, offer: Offer) -> List[Task]:  # noqa: UP006
        room = min(int(offered(offer, name) / need + 1e-6) for name, need in NEEDS.items())
        free = work.OPEN_MAX - len(self.ledger.open)
        many = min(room, free, self._chance.randint(1, work.TASKS_PER_OFFER_MAX))
        return [self._task(number, offer) for number in range(many)]

    def _task(self, number: int, offer: Offer) -> Task:
        number += self.ledger.submitted
        name = f"p-{number:05}"
        seconds = work.length_s(self._chance, self._longest_s, number)
        return {
            "task_id": {"value": name},
            "agent_id": offer["agent_id"],
            "name": name,
            "command": {"value": work.command(self._notes, name, seconds)},
            "resources": scalars(NEEDS),
        }

    def statusUpdate(self, driver: Any, status: Status) -> None:
        """Noted, then acknowledged, then that is noted."""
        task, state, uuid = status["task_id"]["value"], status["state"], status.get("uuid", "")
        self._write(
            "update",
            task=task,
            state=state,
            uuid=uuid,
            leader=self._leader,
            text=status.get("message", ""),
            pid=_pid(status),
        )
        if not uuid or not driver.connected:
            return
        try:
            driver.acknowledgeStatusUpdate(status)
        except Exception as error:
            log.warning("acknowledgement_failed task=%s error=%s", task, error)
        else:
            self._write("ack", task=task, state=state, uuid=uuid, leader=self._leader)

    def error(self, driver: SchedulerDriver, message: str) -> None:
        """The master holds the framework for ended."""
        self._write("fault", text=f"ERROR event: {message}")

    def drain(self) -> None:
        """Submit no more."""
        self.drains = True
        with self._lock:
            self.ledger.settle()

    def ask(self, driver: Any) -> None:
        """Reconcile what is open."""
        with self._lock:
            tasks = [{"task_id": {"value": task}} for task in self.ledger.open]
        if not tasks:
            return  # an empty list would ask for all
        try:
            driver.reconcileTasks(tasks)
        except Exception as error:
            log.warning("reconciliation_failed error=%s", error)

    def _write(self, kind: str, **fields: object) -> None:
        with self._lock:
            self.ledger.write(kind, **fields)


def _pid(status: Any) -> int:
    return int(status.get("container_status", {}).get("executor_pid", 0))


def arguments() -> Tuple[argparse.Namespace, Ledger]:  # noqa: UP006
    """The command line, and the ledger that it names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--master", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--longest-s", type=float, default=work.LENGTH_S_MAX)
    given = parser.parse_args()
    return given, Ledger(given.ledger)


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    given, ledger = arguments()
    scheduler = Submitting(ledger, given.notes, given.seed, given.longest_s)
    framework: Dict[str, Any] = {  # noqa: UP006
        "user": getpass.getuser(),
        "name": "chaos-pymesos",
        "hostname": "localhost",
        "checkpoint": True,
        "failover_timeout": 86400.0,
        "capabilities": [{"type": "PARTITION_AWARE"}],
    }
    if ledger.framework_id is not None:
        framework["id"] = {"value": ledger.framework_id}
    driver = MesosSchedulerDriver(
        scheduler,
        framework,
        given.master,
        implicit_acknowledgements=False,
        failover=True,  # else a driver that ends by itself ends the framework as well
    )
    driver.start()
    asked_s = time.monotonic()
    quiet_since_s = time.monotonic()
    try:
        while not scheduler.drains or time.monotonic() - quiet_since_s < work.QUIET_S:
            time.sleep(TURN_S)
            if not scheduler.drains and (given.ledger / work.DRAIN).exists():
                scheduler.drain()
                asked_s = 0.0
            if ledger.open or not scheduler.drains:
                quiet_since_s = time.monotonic()
            if time.monotonic() - asked_s > work.RECONCILE_S and driver.connected:
                asked_s = time.monotonic()
                scheduler.ask(driver)
    except BaseException as error:  # what ended the driver's thread is raised here
        log.warning("driver_ended error=%s: %s", type(error).__name__, error)
        return ENDED_BY_ITSELF
    driver.stop()
    driver.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
