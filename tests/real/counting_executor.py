"""An executor whose tasks count on its standard output until they are killed."""

from __future__ import annotations

import asyncio

from tepui.sdk import Executor
from tepui.wire import mesos
from tepui.wire.mesos import TaskState

PAUSE_S = 0.02


class Counting(Executor):
    """Counts for each task."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, asyncio.Task[None]] = {}

    async def on_launch(self, task: mesos.TaskInfo) -> None:
        task_id = task.task_id.value
        self._counts[task_id] = asyncio.create_task(_count())
        await self.send_update(task_id, TaskState.TASK_RUNNING)

    async def on_kill(self, task_id: str, kill_policy: mesos.KillPolicy | None) -> None:
        self._counts.pop(task_id).cancel()
        await self.send_update(task_id, TaskState.TASK_KILLED)


async def _count() -> None:
    number = 0
    while True:
        print(number, flush=True)
        number += 1
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(Counting().run())
