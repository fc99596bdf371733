"""The executor of `scheduler.py`: reverses the word that a message brings for a task."""

import asyncio

from tepui.sdk import Executor
from tepui.wire import mesos
from tepui.wire.mesos import TaskState


class Reverser(Executor):
    """Its tasks do nothing but wait for their word."""

    async def on_launch(self, task: mesos.TaskInfo) -> None:
        await self.send_update(task.task_id.value, TaskState.TASK_RUNNING)

    async def on_message(self, data: bytes) -> None:
        task_id, _, word = data.decode().partition(" ")
        await self.send_message(word[::-1].encode())
        await self.send_update(task_id, TaskState.TASK_FINISHED)

    async def on_kill(self, task_id: str, kill_policy: mesos.KillPolicy | None) -> None:
        await self.send_update(task_id, TaskState.TASK_KILLED)


if __name__ == "__main__":
    asyncio.run(Reverser().run())
