"""A framework on the own library: it submits tasks until it is told to drain.

It may be killed at any moment and started again. Told to drain by a file in its ledger, it waits until
its tasks have ended, ends the framework and returns 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tepui.sdk import (
    Room,
    SchedulerClient,
    SdkError,
    command_task,
    executor_info,
    executor_task,
    framework_info,
)
from tepui.sdk.core import events as ev
from tepui.sdk.core import session
from tepui.sdk.driver import Driver
from tepui.wire import mesos, scheduler
from tests.real.chaos import work
from tests.real.chaos.ledger import Ledger
from tests.real.cluster import PROJECT

EXECUTOR_SHARE = 0.25  # of the tasks
TURN_S = 0.2

log = logging.getLogger("framework")


class Watched(SchedulerClient):
    """Notes each update that comes, also those that the library knows and does not deliver again."""

    def __init__(self, master: str, framework: mesos.FrameworkInfo, ledger: Ledger) -> None:
        super().__init__(master, framework, tasks=dict(ledger.open), explicit_acknowledgements=True)
        self.ledger = ledger
        step = self._driver._step

        def watched(events: Sequence[ev.Event], now_ms: int) -> session.Effects:
            for event in events:
                if isinstance(event, ev.Received):
                    self._note(event.event)
            return step(events, now_ms)

        self._driver = Driver(watched, self._act, lambda: self._state.timers.next_ms())

    @property
    def stream(self) -> str:
        """The master and its stream, as they stand in the ledger."""
        at = self._subscription
        return "" if at is None else f"{at.master.removeprefix('http://')} {at.stream_id}"

    def _note(self, event: scheduler.Event) -> None:
        if event.subscribed is not None:
            framework_id = event.subscribed.framework_id.value
            self.ledger.write("subscribed", framework=framework_id, leader=self.stream)
        elif event.error is not None:
            self.ledger.write("fault", text=f"ERROR event: {event.error.message}")
        elif event.update is not None:
            status = event.update.status
            container = status.container_status
            self.ledger.write(
                "update",
                task=status.task_id.value,
                state=status.state.name,
                uuid=(status.uuid or b"").hex(),
                leader=self.stream,
                text=status.message or "",
                pid=0 if container is None else container.executor_pid or 0,
            )


class Submitting:
    """Accepts offers and acknowledges updates; one event after the other."""

    def __init__(self, client: Watched, notes: Path, seed: int, longest_s: float) -> None:
        self._client = client
        self._ledger = client.ledger
        self._notes = notes
        self._longest_s = longest_s
        self._chance = random.Random(f"{seed} {self._ledger.submitted} sdk")
        self.drains = False

    @property
    def has_open(self) -> bool:
        """Tasks that have not ended, as far as is known."""
        return bool(self._ledger.open)

    def drain(self) -> None:
        """Submit no more."""
        self.drains = True
        self._ledger.settle()

    async def ask(self) -> None:
        """Reconcile what is open: the library does not ask again for what a master does not know."""
        if self.has_open:  # else it would ask for all
            with contextlib.suppress(SdkError):
                await self._client.reconcile(dict(self._ledger.open))

    async def run(self) -> None:
        """Until it is cancelled."""
        async for event in self._client.events():
            for offer in () if event.offers is None else event.offers.offers:
                await self._answer(offer)
            if event.update is not None and event.update.status.uuid:
                await self._acknowledge(event, event.update.status)

    async def _answer(self, offer: mesos.Offer) -> None:
        tasks = [] if self.drains else self._tasks(offer)
        names = [task.task_id.value for task in tasks]
        try:
            await self._client.accept(offer, tasks, refuse_seconds=work.REFUSE_S)
        except SdkError as error:
            log.warning("call_failed tasks=%s error=%s", names, error)
            self._ledger.write("unsure", tasks=names, error=str(error))
        else:
            self._ledger.write("accepted", tasks=names)

    def _tasks(self, offer: mesos.Offer) -> list[mesos.TaskInfo]:
        room, tasks = Room(offer), list[mesos.TaskInfo]()
        for _ in range(self._chance.randint(1, work.TASKS_PER_OFFER_MAX)):
            task = self._task(offer.agent_id)
            if len(self._ledger.open) >= work.OPEN_MAX or not room.place(task):
                break
            self._ledger.write("submit", task=task.task_id.value, agent=offer.agent_id.value)
            tasks.append(task)
        return tasks

    def _task(self, agent_id: mesos.AgentID) -> mesos.TaskInfo:
        number = self._ledger.submitted
        name = f"s-{number:05}"
        seconds = work.length_s(self._chance, self._longest_s, number)
        if self._chance.random() < EXECUTOR_SHARE:
            own = shlex.join([sys.executable, "-m", "tests.real.chaos.executor", str(self._notes)])
            path = f"PYTHONPATH={PROJECT / 'src'}:{PROJECT}"
            run_by = executor_info("noting", f"{path} exec {own}")
            data = str(seconds).encode()
            return executor_task(
                name, agent_id, run_by, cpus=work.CPUS, mem_mib=work.MEM_MIB, data=data
            )
        line = work.command(self._notes, name, seconds)
        return command_task(name, agent_id, line, cpus=work.CPUS, mem_mib=work.MEM_MIB)

    async def _acknowledge(self, event: scheduler.Event, status: mesos.TaskStatus) -> None:
        task, uuid = status.task_id.value, (status.uuid or b"").hex()
        stream = self._client.stream
        try:
            await self._client.acknowledge(event)
        except SdkError as error:
            log.warning("acknowledgement_failed task=%s error=%s", task, error)
        else:
            self._ledger.write("ack", task=task, state=status.state.name, uuid=uuid, leader=stream)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--master", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--longest-s", type=float, default=work.LENGTH_S_MAX)
    given = parser.parse_args()
    ledger = Ledger(given.ledger)
    framework = framework_info(
        "chaos-sdk", framework_id=ledger.framework_id, failover_timeout_s=86_400.0
    )
    async with Watched(given.master, framework, ledger) as client:
        submitting = Submitting(client, given.notes, given.seed, given.longest_s)
        await submit_until_drained(submitting, given.ledger / work.DRAIN)
        await client.teardown()


async def submit_until_drained(submitting: Submitting, told: Path) -> None:
    """Return when it is told to drain, by this file, and has."""
    running = asyncio.create_task(submitting.run())
    drained = asyncio.create_task(_drained(told, submitting))
    await asyncio.wait((running, drained), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def _drained(told: Path, submitting: Submitting) -> None:
    """Return when it is told to drain, and has for a while."""
    while not told.exists():  # noqa: ASYNC110 -- another process makes it
        await asyncio.sleep(TURN_S)
    submitting.drain()
    quiet_since_s = time.monotonic()
    asked_s = 0.0
    while time.monotonic() - quiet_since_s < work.QUIET_S:
        if submitting.has_open:
            quiet_since_s = time.monotonic()
        if time.monotonic() - asked_s > work.RECONCILE_S:
            asked_s = time.monotonic()
            await submitting.ask()
        await asyncio.sleep(TURN_S)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    asyncio.run(main())
