"""A scheduler's view: every update, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil

from tepui.sdk import Room, SchedulerClient, command_task
from tepui.wire import mesos, scheduler

EVENT_S = 60.0  # for an event that is waited for


class Watcher:
    """Reads the events of a client that acknowledges by itself."""

    def __init__(self, client: SchedulerClient) -> None:
        self.client = client
        self.statuses: dict[str, list[mesos.TaskStatus]] = {}
        self._events = client.events()

    async def until(self, holds: Callable[[scheduler.Event], bool]) -> scheduler.Event:
        """The first event for which it holds."""
        async with asyncio.timeout(EVENT_S):
            async for event in self._events:
                self.saw(event)
                if holds(event):
                    return event
        raise AssertionError("the events have ended")

    def saw(self, event: scheduler.Event) -> None:
        """Take note of it."""
        if event.update is not None:
            status = event.update.status
            self.statuses.setdefault(status.task_id.value, []).append(status)

    async def offer(self) -> mesos.Offer:
        """The next one."""
        event = await self.until(lambda event: event.offers is not None)
        assert event.offers is not None
        return event.offers.offers[0]

    async def launch(self, task_id: str) -> mesos.Offer:
        """A task on the next offer, which is returned; it runs until it is killed."""
        offer = await self.offer()
        task = command_task(task_id, offer.agent_id, "sleep 1000", cpus=0.1, mem_mib=32)
        assert Room(offer).place(task)
        await self.client.accept(offer, [task])
        await self.until_state(task_id, mesos.TaskState.TASK_RUNNING)
        return offer

    async def finish_one(self, task_id: str) -> None:
        """A task, on an offer of the master that leads now; those of the one before are void."""
        while True:
            offer = await self.offer()
            task = command_task(task_id, offer.agent_id, "true", cpus=0.1, mem_mib=32)
            if self.client.is_subscribed and Room(offer).place(task):
                await self.client.accept(offer, [task])
                break
        await self.until_state(task_id, mesos.TaskState.TASK_FINISHED)

    async def until_state(self, task_id: str, state: mesos.TaskState) -> None:
        """Return when the task is said to be in the state."""
        found = self.statuses.get(task_id, [])
        if not any(one.state is state for one in found):
            await self.until(lambda event: _is(event, task_id, state))

    def states(self, task_id: str) -> list[mesos.TaskState]:
        """What the scheduler was told, reconciliations left out."""
        return [one.state for one in self.statuses.get(task_id, ()) if one.uuid is not None]

    def process(self, task_id: str) -> psutil.Process:
        """The main process of the task's container."""
        container = self.statuses[task_id][-1].container_status
        assert container is not None
        assert container.executor_pid is not None
        return psutil.Process(container.executor_pid)


def _is(event: scheduler.Event, task_id: str, state: mesos.TaskState) -> bool:
    if event.update is None:
        return False
    status = event.update.status
    return status.task_id.value == task_id and status.state is state
