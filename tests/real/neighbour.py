"""A task that counts beside one that is tried, and must not notice anything of it."""

from __future__ import annotations

import asyncio

import psutil

from tepui.wire.mesos import TaskState
from tests.real.container_lab import Lab, Scheduler

COUNT = "i=0; while true; do echo $i; i=$((i+1)); usleep 20000; done"
FURTHER = 3  # numbers that it counts after all is over


class Neighbour:
    """A container that counts: it runs on, and leaves no number out, whatever is done meanwhile."""

    def __init__(self, scheduler: Scheduler, lab: Lab) -> None:
        self._scheduler = scheduler
        self._lab = lab

    async def __aenter__(self) -> psutil.Process:
        line = f"echo of the neighbour >file; {COUNT}"
        await self._scheduler.running(self._lab.task("neighbour", line, self._lab.images.plain))
        self._process = self._scheduler.process("neighbour")
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
        assert (await self._scheduler.kill("neighbour")).state is TaskState.TASK_KILLED
        numbers = self._numbers()
        assert numbers == [str(number) for number in range(len(numbers))]

    def _numbers(self) -> list[str]:
        """All whole lines."""
        return self._scheduler.output("neighbour").split("\n")[:-1]
