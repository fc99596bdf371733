"""Good schedulers: they launch, acknowledge, decline, kill, reconcile, fail over, leave and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from random import Random
from typing import Final

from msgspec import Struct

from bench.soak_agents import PREFIX
from bench.soak_clients import Client
from bench.soak_ledger import Ledger, Task
from bench.soak_service import Service
from tepui.sdk import (
    CallRefused,
    Disconnected,
    FrameworkEnded,
    Room,
    Unreachable,
    command_task,
)
from tepui.wire import mesos, scheduler

TaskState = mesos.TaskState

TICK_S: Final = 0.1
BATCH_MAX: Final = 5  # tasks of one ACCEPT
CPUS: Final = 0.1
MEM_MIB: Final = 16.0
HELD_S: Final = 1.0  # an offer that is not used by then is declined
REFUSED_S: Final = 3600.0  # for offers of strangers
MOOD_S: Final = (3.0, 12.0)  # between two whims of a scheduler
AWAY_S: Final = 1.0
SUBSCRIBE_S: Final = 60.0  # a scheduler is subscribed by then, before it has another whim
KILL_AGAIN_S: Final = 2.0
ASK_AFTER_S: Final = 5.0  # a task that has not ended is reconciled
SAY_S: Final = 30.0  # a call that must be taken is repeated so long
ATTEMPT_S: Final = 0.5
VISIT_TASKS: Final = 3
VISIT_S: Final = 20.0
REPEATED: Final = 503  # the only refusal that a good client may meet: the master is overloaded

LONG: Final = "sleep 300"  # until it is killed
COMMANDS: Final = (
    (0.6, "true", TaskState.TASK_FINISHED),
    (0.15, "sleep 0.2", TaskState.TASK_FINISHED),
    (0.1, "exit 3", TaskState.TASK_FAILED),
    (0.15, LONG, TaskState.TASK_KILLED),
)
TALKING: Final = "echo good; head -c 20000 /dev/zero | tr '\\0' x"

Connect = Callable[[str | None], Client]  # a client of the framework with this id, or of a new one


class Shared(Struct):
    """What all good clients have in common."""

    ledger: Ledger
    service: Service
    hosts: frozenset[str]  # of the real agents
    launches: bool = True  # else they only end what they began


class Load:
    """One scheduler, from `start` to `stop`."""

    def __init__(
        self,
        name: str,
        connect: Connect,
        shared: Shared,
        random: Random,
        *,
        tasks_per_s: float,
        real_tasks_per_s: float = 0.0,
        is_moody: bool = True,
    ) -> None:
        self.name = name
        self.launched = 0
        self.failovers = 0
        self.goes = True  # launches, when all may
        self._connect = connect
        self._shared = shared
        self._ledger = shared.ledger
        self._random = random
        self._rates = {False: tasks_per_s, True: real_tasks_per_s}  # by: is it a real agent
        self._due = {False: 0.0, True: 0.0}
        self._is_moody = is_moody
        self._held: dict[str, tuple[mesos.Offer, float]] = {}
        self._client = connect(None)
        self._doing: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._mood = asyncio.Lock()  # held through a whim: one that is begun is ended
        self._changes = True  # it subscribes or leaves; calls may fail without anybody's fault
        self._is_gone = False  # torn down: what is still told does not count

    @property
    def open_tasks(self) -> list[Task]:
        """Those that have not ended."""
        return self._ledger.of(self.name)

    async def start(self) -> None:
        """Subscribe, and go on by itself."""
        await self._client.open()
        self._do(self._pump(self._client))
        self._do(self._tick())
        self._do(self._ask())
        if self._is_moody:
            self._do(self._moods())

    async def stop(self) -> None:
        """Tear the framework down."""
        async with self._mood:
            self._stopping = True
        self._client.leaves = True
        if not await self._say(lambda client: client.teardown()):
            self._ledger.fault(f"'{self.name}': could not be torn down")
        self._is_gone = True
        self._ledger.torn_down(self.name)
        await self._client.close()
        for one in list(self._doing):
            one.cancel()
        await asyncio.gather(*self._doing, return_exceptions=True)

    # What comes

    async def _pump(self, client: Client) -> None:
        try:
            async for event in client.events():
                self._take(event)
            reason = "the events ended"
        except (FrameworkEnded, CallRefused, Unreachable) as error:
            reason = f"{type(error).__name__}: {error}"
        if client is self._client and not self._changes and not self._stopping:
            self._ledger.fault(f"'{self.name}' lost its framework: {reason}")

    def _take(self, event: scheduler.Event) -> None:
        now_s = time.monotonic()
        if self._is_gone:
            return
        if event.offers is not None:
            for offer in event.offers.offers:
                self._held[offer.id.value] = (offer, now_s)
        elif event.rescind is not None:
            self._held.pop(event.rescind.offer_id.value, None)
        elif event.subscribed is not None:
            self._held.clear()  # offers of the connection before are void
            self._changes = False
            self._ledger.subscribed(self.name)
        elif event.update is not None:
            status = event.update.status
            self._ledger.updated(status, now_s)
            if status.uuid and status.agent_id:
                self._do(self._acknowledge(status.task_id, status.agent_id, status.uuid))

    async def _acknowledge(
        self, task_id: mesos.TaskID, agent_id: mesos.AgentID, uuid: bytes
    ) -> None:
        acknowledge = scheduler.Call.Acknowledge(agent_id=agent_id, task_id=task_id, uuid=uuid)
        call = scheduler.Call(type=scheduler.Call.Type.ACKNOWLEDGE, acknowledge=acknowledge)
        if await self._say(lambda client: client.call(call)):
            self._ledger.acknowledged(task_id.value, uuid, time.monotonic())

    # What is done

    def _do(self, doing: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(doing)
        self._doing.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._doing.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._ledger.fault(f"'{self.name}': a client broke: {error!r}")

    async def _say(
        self,
        call: Callable[[Client], Coroutine[None, None, None]],
        *,
        once: bool = False,
    ) -> bool:
        """Whether the master has taken the call, which is repeated when a connection breaks."""
        until_s = time.monotonic() + SAY_S
        while True:
            client = self._client
            try:
                await call(client)
            except Disconnected as error:
                if client is self._client and not self._changes and not self._stopping:
                    self._shared.service.errors[str(error)[:60]] += 1
            except CallRefused as error:
                self._shared.service.errors[str(error)[:60]] += 1
                if error.status != REPEATED:
                    self._ledger.fault(f"'{self.name}' was refused: {error}")
                    return False
            else:
                return True
            if once or time.monotonic() > until_s:
                return False
            await asyncio.sleep(ATTEMPT_S)

    async def _tick(self) -> None:
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            for is_real, rate in self._rates.items():
                due = self._due[is_real] + rate * (now_s - last_s)
                self._due[is_real] = min(due, max(1.0, rate))
            last_s = now_s
            if self._shared.launches and self.goes:
                self._launch_due(now_s)
            self._decline_old(now_s)

    def _launch_due(self, now_s: float) -> None:
        for offer_id, (offer, _) in list(self._held.items()):
            is_real = offer.hostname in self._shared.hosts
            if not (is_real or offer.hostname.startswith(PREFIX)) or self._due[is_real] < 1:
                continue
            room, placed = Room(offer), []
            for _ in range(min(int(self._due[is_real]), self._random.randint(1, BATCH_MAX))):
                task, expected = self._task(offer, is_real=is_real)
                if room.place(task):
                    placed.append((task, expected))
            if placed:
                self._due[is_real] -= len(placed)
                del self._held[offer_id]
                self._do(self._launch(offer, placed, now_s))

    def _task(self, offer: mesos.Offer, *, is_real: bool) -> tuple[mesos.TaskInfo, TaskState]:
        choices = [(command, expected) for _, command, expected in COMMANDS]
        weights = [weight for weight, _, _ in COMMANDS]
        ((command, expected),) = self._random.choices(choices, weights)
        if is_real and command == "true" and self._random.random() < 0.3:
            command = TALKING
        self.launched += 1
        task_id = f"{self.name}.{self.launched}"
        task = command_task(task_id, offer.agent_id, command, cpus=CPUS, mem_mib=MEM_MIB)
        return task, expected

    async def _launch(
        self, offer: mesos.Offer, placed: list[tuple[mesos.TaskInfo, TaskState]], now_s: float
    ) -> None:
        for task, expected in placed:
            self._ledger.launch(
                Task(
                    id=task.task_id.value,
                    framework=self.name,
                    agent_id=task.agent_id.value,
                    expected=expected,
                    launched_s=now_s,
                )
            )
        tasks = [task for task, _ in placed]
        # Not repeated: nobody knows whether a call that broke was taken. `_ask` finds out.
        is_taken = await self._say(lambda c: c.accept(offer, tasks, refuse_seconds=0.1), once=True)
        for task in tasks:
            self._ledger.accepted(task.task_id.value, is_taken=is_taken)
            if task.command is not None and task.command.value == LONG:
                self._do(self._kill(task.task_id.value, task.agent_id.value))

    async def _kill(self, task_id: str, agent_id: str) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.5))
        while (task := self._ledger.open.get(task_id)) and task.ended is None:
            await self._say(lambda client: client.kill(task_id, agent_id), once=True)
            await asyncio.sleep(KILL_AGAIN_S)

    def _decline_old(self, now_s: float) -> None:
        old = [offer for offer, at_s in self._held.values() if now_s - at_s > HELD_S]
        foreign = [offer for offer in old if not self._knows(offer)]
        known = [offer for offer in old if self._knows(offer)]
        for offers, refuse_s in ((foreign, REFUSED_S), (known, self._random.uniform(0.1, 2))):
            if offers:
                for offer in offers:
                    del self._held[offer.id.value]
                self._do(self._decline(tuple(offers), refuse_s))

    async def _decline(self, offers: tuple[mesos.Offer, ...], refuse_s: float) -> None:
        await self._say(lambda c: c.decline(offers, refuse_seconds=refuse_s), once=True)

    def _knows(self, offer: mesos.Offer) -> bool:
        return offer.hostname in self._shared.hosts or offer.hostname.startswith(PREFIX)

    async def _ask(self) -> None:
        """Reconcile tasks that should have ended, as a scheduler must."""
        while True:
            await asyncio.sleep(ASK_AFTER_S)
            until_s = time.monotonic() - ASK_AFTER_S
            old = {t.id: t.agent_id for t in self._answered() if t.launched_s < until_s}
            if old:
                asked: dict[str, str | None] = dict(old)
                await self._say(lambda client: client.reconcile(asked), once=True)  # noqa: B023

    def _answered(self) -> list[Task]:
        """Those that the master must know: of others it may not have heard yet."""
        return [task for task in self.open_tasks if task.answered]

    async def _moods(self) -> None:
        moods = (self._reconcile, self._rest, self._fail_over, self._leave)
        while not self._stopping:
            await asyncio.sleep(self._random.uniform(*MOOD_S))
            await _until(lambda: not self._changes, time.monotonic() + SUBSCRIBE_S)
            async with self._mood:
                if not self._stopping:
                    await self._random.choice(moods)()

    async def _reconcile(self) -> None:
        open_tasks: dict[str, str | None] = {task.id: task.agent_id for task in self._answered()}
        asked = open_tasks if self._random.random() < 0.5 else None
        await self._say(lambda client: client.reconcile(asked), once=True)

    async def _rest(self) -> None:
        if await self._say(lambda client: client.suppress(), once=True):
            await asyncio.sleep(AWAY_S * self._random.random())
        await self._say(lambda client: client.revive())

    async def _fail_over(self) -> None:
        """Another scheduler takes the place of the one that is connected."""
        await self._replace(self._client)

    async def _leave(self) -> None:
        before = self._client
        if before.framework_id is not None:
            self._changes = True
            await before.close()
            await asyncio.sleep(AWAY_S * self._random.random())
            await self._replace(before)

    async def _replace(self, before: Client) -> None:
        if before.framework_id is None:
            return
        self.failovers += 1
        self._changes = True
        self._client = self._connect(before.framework_id)
        self._held.clear()
        await self._client.open()
        self._do(self._pump(self._client))
        # Were the one before closed at once, its own SUBSCRIBE might still be on its way, and win.
        await _until(lambda: not self._changes, time.monotonic() + SUBSCRIBE_S)
        await before.close()


async def visit(load: Load, random: Random) -> None:
    """A framework's whole life: it launches, mostly waits for the end of its tasks, and is gone."""
    await load.start()
    until_s = time.monotonic() + VISIT_S
    await _until(lambda: load.launched >= VISIT_TASKS, until_s)
    load.goes = False
    if random.random() < 0.8:
        await _until(lambda: not load.open_tasks, until_s)
    await load.stop()


async def _until(holds: Callable[[], bool], until_s: float) -> None:
    """Return when it holds, or when the time is over."""
    while time.monotonic() < until_s:
        if holds():
            return
        await asyncio.sleep(TICK_S)
