"""Runs a scheduler driver to the end of its work, and prints one JSON summary."""

from __future__ import annotations

import argparse
import getpass
import json
import socket
import threading
import time

from tests.real.pymesos.ledger import Ledger
from tests.real.pymesos.shapes import Framework, SchedulerDriver

TURN_S = 0.2  # pymesos reports its end by an interrupt, which is seen between waits only


def arguments(purpose: str) -> argparse.Namespace:
    """The command line of both programs."""
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--master", required=True, help="HOST:PORT")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--deadline-s", type=float, default=240.0, help="for all tasks to end")
    parser.add_argument(
        "--quiet-s", type=float, default=0.0, help="listen for late updates so long"
    )
    return parser.parse_args()


def framework(name: str) -> Framework:
    """How the program introduces itself."""
    return {"user": getpass.getuser(), "name": name, "hostname": socket.gethostname()}


def run(
    driver: SchedulerDriver,
    done: threading.Event,
    ledger: Ledger,
    counts: dict[str, int],
    given: argparse.Namespace,
) -> int:
    """Run the driver until `done` and a quiet time, or the deadline; return the exit code."""
    began = time.monotonic()
    took_s: float | None = None
    try:
        driver.start()
        if _wait(done, began + given.deadline_s, driver):
            took_s = round(time.monotonic() - began, 2)
            _wait(threading.Event(), time.monotonic() + given.quiet_s, driver)
        else:
            ledger.faults.append(f"not done after {time.monotonic() - began:.0f} s")
        if driver.aborted:
            ledger.faults.append("the driver has ended by itself")
        driver.stop()
        driver.join()
    except (Exception, KeyboardInterrupt) as error:  # what ended the driver's thread
        ledger.faults.append(f"the driver ended: {type(error).__name__}: {error}")
    summary = {**ledger.summary(), **counts, "took_s": took_s}
    print(json.dumps(summary), flush=True)
    return 1 if summary["faults_total"] else 0


def _wait(event: threading.Event, until: float, driver: SchedulerDriver) -> bool:
    while not event.wait(min(TURN_S, max(0.0, until - time.monotonic()))):
        if time.monotonic() >= until or driver.aborted:
            return False
    return True
