"""An executor on pymesos's MesosExecutorDriver: each task waits for a message, echoes it, and ends as told.

The task's data is the state to end with; TASK_KILLED waits for the kill. A message `NAME:TEXT` for the task
NAME is sent back as `echo:NAME:TEXT`.
"""
# ruff: noqa: N802 -- the callbacks' names are pymesos's

from __future__ import annotations

import sys

from pymesos import (  # type: ignore[import-not-found]  # lives in an environment of its own
    Executor,
    MesosExecutorDriver,
    decode_data,
    encode_data,
)

from tests.real.pymesos.shapes import ExecutorDriver, Id, Task


class Echo(Executor):  # type: ignore[misc]  # pymesos has no types
    """All callbacks come from the driver's one thread."""

    def __init__(self) -> None:
        self.tasks: dict[str, str] = {}  # those that run -> the state to end with

    def launchTask(self, driver: ExecutorDriver, task: Task) -> None:
        name = task["task_id"]["value"]
        self.tasks[name] = decode_data(task["data"]).decode()
        driver.sendStatusUpdate({"task_id": task["task_id"], "state": "TASK_RUNNING"})

    def frameworkMessage(self, driver: ExecutorDriver, message: str) -> None:
        text = decode_data(message).decode()
        driver.sendFrameworkMessage(encode_data(f"echo:{text}".encode()))
        name = text.partition(":")[0]
        state = self.tasks[name]
        if state != "TASK_KILLED":
            del self.tasks[name]
            driver.sendStatusUpdate({"task_id": {"value": name}, "state": state})

    def killTask(self, driver: ExecutorDriver, task_id: Id) -> None:
        if self.tasks.pop(task_id["value"], None) is not None:
            driver.sendStatusUpdate({"task_id": task_id, "state": "TASK_KILLED"})


if __name__ == "__main__":
    MesosExecutorDriver(Echo()).run()
    sys.exit(0)
