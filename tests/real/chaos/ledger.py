"""What a framework knows, on disk, so that its scheduler can be killed at any moment.

One line of JSON an entry, one file for each time the scheduler is started. An entry is written before
what it tells of leaves the process (`submit`), or after it was certain (`ack`). Also read by the
Pythons that pymesos needs: no more than 3.8 offers.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional  # noqa: UP035 -- Python 3.8

TERMINAL = frozenset(
    (
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    )
)
UNKNOWN = "TASK_UNKNOWN"  # to a master; an agent that is away may have it
# Said by a master, without a uuid: nothing of the task is anywhere. (Of a task that has finished, the
# update of its agent is still to come.)
NOWHERE = TERMINAL - {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED"} | {UNKNOWN}

Entry = Dict[str, Any]  # noqa: UP006 -- as it stands in the file


class Ledger:
    """The entries of one framework; opening it begins another file."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.framework_id: Optional[str] = None  # noqa: UP045
        self.submitted = 0
        self.open: Dict[str, str] = {}  # noqa: UP006 -- task: agent
        self.missing: Dict[str, str] = {}  # noqa: UP006 -- unknown to a master, not heard of since
        self._is_settled = False
        files = sorted(directory.glob("*.jsonl"))
        for entry in entries_of(directory):
            self._learn(entry)
        self._file = os.open(
            str(directory / f"{len(files):04}.jsonl"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644
        )

    def write(self, kind: str, **fields: object) -> None:
        """Note it, with the time."""
        entry: Entry = {"kind": kind, "at_s": time.time(), **fields}
        os.write(self._file, (json.dumps(entry) + "\n").encode())
        self._learn(entry)

    def _learn(self, entry: Entry) -> None:
        kind = entry["kind"]
        if kind == "subscribed":
            self.framework_id = entry["framework"]
        elif kind == "submit":
            self.submitted += 1
            self.open[entry["task"]] = entry["agent"]
        elif kind == "update":
            self._updated(entry["task"], entry["state"], by_master=not entry["uuid"])
        elif kind == "ack" and entry["state"] in TERMINAL:
            self._forget(entry["task"])

    def settle(self) -> None:
        """All agents are there: what is unknown from now on is nowhere."""
        self._is_settled = True
        self.open.update(self.missing)
        self.missing.clear()

    def _updated(self, task: str, state: str, *, by_master: bool) -> None:
        if state == UNKNOWN and not self._is_settled:
            if task in self.open:
                self.missing[task] = self.open.pop(task)
        elif by_master and state in NOWHERE:
            self._forget(task)
        elif task in self.missing:
            self.open[task] = self.missing.pop(task)

    def _forget(self, task: str) -> None:
        self.open.pop(task, None)
        self.missing.pop(task, None)


def entries_of(directory: Path) -> Iterator[Entry]:
    """All entries, in the order they were written; a line that a kill cut in two is left out."""
    for path in sorted(directory.glob("*.jsonl")):
        lines: List[str] = path.read_text().split("\n")  # noqa: UP006
        for line in lines[:-1]:
            yield json.loads(line)
