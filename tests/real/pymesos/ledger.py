"""Keeps what became of each task of a run, and says what is wrong with it."""

from __future__ import annotations

from tests.real.pymesos.shapes import Status

TERMINAL = {
    "TASK_FINISHED",
    "TASK_FAILED",
    "TASK_KILLED",
    "TASK_ERROR",
    "TASK_LOST",
    "TASK_DROPPED",
    "TASK_GONE",
    "TASK_UNKNOWN",
}
EXAMPLES = 5  # of each fault in the summary


class Ledger:
    """Compares the updates with what was expected of each task."""

    def __init__(self, expected: dict[str, str]) -> None:
        self.expected = expected
        self.pending = list(reversed(expected))  # not launched yet; the next one is the last
        self.ended: dict[str, str] = {}
        self.running: set[str] = set()
        self.updates = 0
        self.repeated = 0  # the same update once more, which at-least-once delivery allows
        self.faults: list[str] = []
        self._seen: set[str] = set()

    @property
    def complete(self) -> bool:
        """Every task has ended."""
        return len(self.ended) == len(self.expected)

    def update(self, status: Status) -> bool:
        """Note an update; False for one that was there before."""
        task, state = status["task_id"]["value"], status["state"]
        self.updates += 1
        uuid = status.get("uuid", "")
        if uuid and uuid in self._seen:
            self.repeated += 1
            return False
        self._seen.add(uuid)
        if task not in self.expected:
            self.faults.append(f"{task}: {state}, but there is no such task")
        elif task in self.ended:
            self.faults.append(f"{task}: {state} after {self.ended[task]}")
        elif state in TERMINAL:
            self.ended[task] = state
            if state != self.expected[task]:
                message = status.get("message", "")
                self.faults.append(f"{task}: {state}, not {self.expected[task]}: {message}")
            elif task not in self.running:
                self.faults.append(f"{task}: {state} without TASK_RUNNING")
        elif state == "TASK_RUNNING":
            self.running.add(task)
        return True

    def summary(self) -> dict[str, object]:
        """What happened, for the one who started the program; `faults` empty when all is right."""
        missing = [task for task in self.expected if task not in self.ended]
        faults = [*self.faults, *(f"{task}: has not ended" for task in missing)]
        states = sorted(set(self.ended.values()))
        return {
            "tasks": len(self.expected),
            "states": {s: list(self.ended.values()).count(s) for s in states},
            "updates": self.updates,
            "repeated": self.repeated,
            "faults_total": len(faults),
            "faults": faults[:EXAMPLES],
        }
