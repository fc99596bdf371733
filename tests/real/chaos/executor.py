"""The executor of some of the own library's tasks: each notes its start and end, and sleeps between."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tepui.sdk import Executor
from tepui.wire import mesos
from tepui.wire.mesos import TaskState


class Noting(Executor):
    """A task's data are the seconds it takes."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._running: dict[str, asyncio.Task[None]] = {}

    async def on_launch(self, task: mesos.TaskInfo) -> None:
        name = task.task_id.value
        self._note(name, "start")
        await self.send_update(name, TaskState.TASK_RUNNING)
        self._running[name] = asyncio.create_task(self._work(name, float(task.data or b"0")))

    async def _work(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._note(name, "end")
        del self._running[name]
        await self.send_update(name, TaskState.TASK_FINISHED)

    def _note(self, name: str, what: str) -> None:
        with (self._directory / name).open("a") as note:
            note.write(f"{what} {os.getpid()}\n")


if __name__ == "__main__":
    asyncio.run(Noting(Path(sys.argv[1])).run())
