"""A task that counts beside one that is tried, and must not notice anything of it."""

from __future__ import annotations

import asyncio

import psutil

from tepui.wire.mesos import TaskInfo, TaskState
from tests.real.container_lab import Lab, Scheduler

NAME = "neighbour"
COUNT = "i=0; while true; do echo $i; i=$((i+1)); usleep 20000; done"
LINE = f"echo of the neighbour >file; {COUNT}"
FURTHER = 3  # numbers that it counts after all is over


class Neighbour:
    """A container that counts: it runs on, and leaves no number out, whatever is done meanwhile.

    `task`, with NAME and LINE, is it where it is of another kind than those with an image.
    """

    def __init__(self, scheduler: Scheduler, lab: Lab, task: TaskInfo | None = None) -> None:
        self._scheduler = scheduler
        self._lab = lab
        self._task = task or lab.task(NAME, LINE, lab.images.plain)

    async def __aenter__(self) -> psutil.Process:
        await self._scheduler.running(self._task)
        self._process = self._scheduler.process(NAME)
        return self._process

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return  # what has failed is to be told
        assert self._process.is_running()
        so_far = len(self._numbers())
        await asyncio.to_thread(
            self._lab.cluster.wait_until,
            lambda: len(self._numbers()) >= so_far + FURTHER,
            "the neighbour counts on",
        )
        assert (await self._scheduler.kill(NAME)).state is TaskState.TASK_KILLED
        numbers = self._numbers()
        assert numbers == [str(number) for number in range(len(numbers))]

    def _numbers(self) -> list[str]:
        """All whole lines."""
        return self._scheduler.output(NAME).split("\n")[:-1]
