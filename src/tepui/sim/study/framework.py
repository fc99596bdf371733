"""A framework of a study: a plain one that takes what it can use.

- jobs go in the order of the file, each as often as it fits the offer (first fit); small tasks of a
  later job overtake large ones of an earlier that do not fit;
- what it cannot use it declines for `refuse_seconds`, with what is left of an offer likewise; more
  free on the same agent is offered all the same, as in Mesos;
- while nothing waits it suppresses offers; it revives when something does, and when a job waits
  that did not when it declined;
- offers are answered at once, unless it is said to keep them for a while;
- a task that was lost with its agent waits again, in front.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TypeAlias

from msgspec.structs import replace

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.resources.scalars import from_milli, milli
from tepui.resources.text import format_value
from tepui.sdk.tasks import Room, resources
from tepui.sim.study import plan
from tepui.sim.study.agent import FOR_EVER
from tepui.sim.study.results import Books
from tepui.sim.time import VirtualTime
from tepui.wire import mesos, scheduler
from tepui.wire.states import TERMINAL_STATES

Call = scheduler.Call
TaskState = mesos.TaskState
ENDED = TERMINAL_STATES | {TaskState.TASK_UNREACHABLE}  # for a framework that starts another
HOSTNAME = "hostname"
CAPABILITIES = ("MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE", "TASK_KILLING_STATE")


class Crew:
    """The tasks of one job, from their arrival to their end."""

    def __init__(self, job: plan.Job, name: str, random: Random) -> None:
        self.job = job
        self.name = name
        self.random = random  # of its own, so that another plan has the same tasks
        self.wanted = job.amounts
        self.wire = resources(cpus=job.cpus, mem_mib=job.mem, disk_mib=job.disk, gpus=job.gpus)
        self.waiting: deque[tuple[int, int | None]] = deque()  # since when, and how long they run
        self.hosts = dict(job.hosts)  # so many are to be on each from the beginning
        self.alone_by = [one[0] for one in job.constraints if one[1] == "UNIQUE"]
        self.must_be = [(one[0], one[2]) for one in job.constraints if one[1] == "IS"]
        self.taken: dict[tuple[str, str], int] = {}  # values of `alone_by` that tasks have
        self.to_come = 0
        self.running = 0
        self.finished = 0
        self.lost = 0
        self.waits_ms: list[int] = []

    def may_run_on(self, where: Mapping[str, str]) -> bool:
        """Whether its constraints allow the agent with these attributes."""
        return all(where.get(name) == value for name, value in self.must_be) and all(
            name in where and not self.taken.get((name, where[name])) for name in self.alone_by
        )

    def take(self, where: Mapping[str, str], sign: int) -> None:
        """A task of it is on that agent (`sign` 1), or no more (-1)."""
        for name in self.alone_by:
            key = (name, where[name])
            self.taken[key] = self.taken.get(key, 0) + sign


Running: TypeAlias = tuple[Crew, dict[str, str], int, int | None]  # agent, since when, how long


class StudyFramework:
    """One framework of the plan; answers offers at once, or after `answers_after`."""

    def __init__(
        self,
        described: plan.Framework,
        seed: int,
        time: VirtualTime,
        books: Books,
        call: Callable[[StudyFramework, scheduler.Call], None],
    ) -> None:
        self.described = described
        self.name = described.name
        self.framework_id: mesos.FrameworkID | None = None
        self._time = time
        self._books = books
        self._say = call
        self._filters = mesos.Filters(refuse_seconds=described.refuse_seconds)
        self.answers_after_ms = parse_duration_ms(described.answers_after)
        self._kept: dict[str, mesos.Offer] = {}  # offers that it has not answered yet
        self._suppressed = False
        self._running: dict[str, Running] = {}
        self._where: dict[str, dict[str, str]] = {}  # attributes by agent
        self._launched = 0
        self.last_end_ms: int | None = None
        self.crews: list[Crew] = []
        for index, job in enumerate(described.jobs):
            name = job.name or f"job{index + 1}"
            random = Random(f"{seed}/{described.name}/{index}")
            self.crews.append(Crew(job, name, random))

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return sum(len(crew.waiting) for crew in self.crews)

    def subscribe_call(self) -> scheduler.Call:
        """What it says first."""
        names = dict.fromkeys((*CAPABILITIES, *self.described.capabilities))
        kind = mesos.FrameworkInfo.Capability
        info = mesos.FrameworkInfo(
            user="nobody",
            name=self.name,
            roles=(self.described.role,),
            failover_timeout=600.0,
            capabilities=tuple(kind(type=kind.Type[name]) for name in names),
        )
        return Call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe(framework_info=info))

    def arrive(self, crew: Crew, count: int) -> None:
        """So many tasks of the crew wait from now on."""
        now_ms = self._time.now_ms
        is_new = not crew.waiting
        for _ in range(count):
            crew.waiting.append((now_ms, plan.lifetime_ms(crew.job.duration, crew.random)))
        if is_new and count:
            self._revive()

    def forget_hosts(self) -> None:
        """Tasks that did not find the host that they were said to be on may go to any."""
        for crew in self.crews:
            if crew.hosts:
                crew.hosts.clear()
                if crew.waiting:
                    self._revive()

    def received(self, event: scheduler.Event) -> None:
        """The master sent this."""
        if event.offers is not None:
            self._offered(event.offers.offers)
        elif event.rescind is not None:
            self._kept.pop(event.rescind.offer_id.value, None)
        elif event.update is not None:
            self._updated(event.update.status)
        elif event.subscribed is not None:
            self.framework_id = event.subscribed.framework_id
        elif event.error is not None:
            raise Refused(f"framework '{self.name}': {event.error.message}")

    def _offered(self, offers: tuple[mesos.Offer, ...]) -> None:
        if self.answers_after_ms == 0:
            self._answer(offers)
            return
        self._kept.update((offer.id.value, offer) for offer in offers)

        def answer() -> None:
            kept = [self._kept.pop(offer.id.value, None) for offer in offers]
            self._answer(offer for offer in kept if offer is not None)

        self._time.after(self.answers_after_ms, answer)

    def _answer(self, offers: Iterable[mesos.Offer]) -> None:
        declined = []
        for offer in offers:
            infos = self._fill(offer) if self.waiting else []
            if infos:
                self._accept(offer, infos)
            else:
                declined.append(offer.id)
        if declined:
            decline = Call.Decline(offer_ids=tuple(declined), filters=self._filters)
            self._call(Call(type=Call.Type.DECLINE, decline=decline))
        if not self._suppressed and not self.waiting:
            self._suppressed = True
            self._call(Call(type=Call.Type.SUPPRESS))

    def _accept(self, offer: mesos.Offer, infos: list[mesos.TaskInfo]) -> None:
        operation = mesos.Offer.Operation(
            type=mesos.Offer.Operation.Type.LAUNCH,
            launch=mesos.Offer.Operation.Launch(task_infos=tuple(infos)),
        )
        accept = Call.Accept(offer_ids=(offer.id,), operations=(operation,), filters=self._filters)
        self._call(Call(type=Call.Type.ACCEPT, accept=accept))

    def _fill(self, offer: mesos.Offer) -> list[mesos.TaskInfo]:
        """Tasks that fit the offer; they wait no more."""
        where = self._where_of(offer)
        left = plain_amounts(offer)
        room = Room(offer) if left is None else None
        infos: list[mesos.TaskInfo] = []
        for crew in self.crews:
            if not crew.waiting or not crew.may_run_on(where):
                continue
            many = len(crew.waiting)
            if crew.hosts:
                many = min(many, crew.hosts.get(offer.hostname, 0))
            if crew.alone_by:
                many = min(many, 1)
            if left is not None:
                many = min(many, *(left.get(n, 0) // need for n, need in crew.wanted.items()))
            for _ in range(many):
                taken = crew.wire if room is None else _taken(room, crew.job)
                if taken is None:
                    break
                infos.append(self._launch(crew, offer, where, taken))
                if left is not None:
                    for name, need in crew.wanted.items():
                        left[name] -= need
        return infos

    def _launch(
        self,
        crew: Crew,
        offer: mesos.Offer,
        where: dict[str, str],
        taken: tuple[mesos.Resource, ...],
    ) -> mesos.TaskInfo:
        since_ms, length_ms = crew.waiting.popleft()
        if crew.hosts:
            crew.hosts[offer.hostname] -= 1
        self._launched += 1
        task_id = f"{crew.name}-{self._launched}"
        self._running[task_id] = (crew, where, since_ms, length_ms)
        crew.running += 1
        crew.take(where, 1)
        self._books.hold(self.name, crew.wanted, 1)
        seconds = FOR_EVER if length_ms is None else f"{from_milli(length_ms):.15g}"
        return mesos.TaskInfo(
            name=task_id,
            task_id=mesos.TaskID(task_id),
            agent_id=offer.agent_id,
            resources=taken,
            command=mesos.CommandInfo(shell=False, value="sleep", arguments=("sleep", seconds)),
        )

    def _updated(self, status: mesos.TaskStatus) -> None:
        if status.uuid is not None and status.agent_id is not None:
            acknowledge = Call.Acknowledge(
                agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
            )
            self._call(Call(type=Call.Type.ACKNOWLEDGE, acknowledge=acknowledge))
        running = self._running.get(status.task_id.value)
        if running is None:
            return
        crew, where, since_ms, length_ms = running
        if status.state is TaskState.TASK_RUNNING:
            crew.waits_ms.append(self._time.now_ms - since_ms)
        elif status.state in ENDED:
            del self._running[status.task_id.value]
            self._ended(crew, where, length_ms, status)

    def _ended(
        self, crew: Crew, where: dict[str, str], length_ms: int | None, status: mesos.TaskStatus
    ) -> None:
        if status.state is TaskState.TASK_ERROR:
            raise Refused(f"framework '{self.name}', {crew.name}: {status.message}")
        crew.running -= 1
        crew.take(where, -1)
        self._books.hold(self.name, crew.wanted, -1)
        if status.state is TaskState.TASK_FINISHED:
            crew.finished += 1
            self.last_end_ms = self._time.now_ms
            if crew.alone_by and crew.waiting:
                self._revive()  # it has declined the host that is free for it now
            return
        crew.lost += 1
        crew.waiting.appendleft((self._time.now_ms, length_ms))
        self._revive()

    def _revive(self) -> None:
        """It gets offers; before it has subscribed, it will."""
        self._suppressed = False
        if self.framework_id is not None:
            self._call(Call(type=Call.Type.REVIVE))

    def _call(self, call: scheduler.Call) -> None:
        self._say(self, replace(call, framework_id=self.framework_id))

    def _where_of(self, offer: mesos.Offer) -> dict[str, str]:
        where = self._where.get(offer.agent_id.value)
        if where is None:
            where = where_of(offer.hostname, offer.attributes)
            self._where[offer.agent_id.value] = where
        return where


def where_of(hostname: str, attributes: Iterable[mesos.Attribute]) -> dict[str, str]:
    """An agent's attributes and hostname, as constraints name them."""
    where = {one.name: one.text.value if one.text else format_value(one) for one in attributes}
    where[HOSTNAME] = hostname
    return where


def plain_amounts(offer: mesos.Offer) -> dict[str, int] | None:
    """Scalars in milli-units by name; None when some of it is reserved, or else not for anyone."""
    found: dict[str, int] = {}
    for one in offer.resources:
        if one.reservations or one.disk is not None or one.revocable is not None:
            return None
        if one.scalar is not None:
            found[one.name] = found.get(one.name, 0) + milli(one.scalar.value)
    return found


def _taken(room: Room, job: plan.Job) -> tuple[mesos.Resource, ...] | None:
    return room.take(cpus=job.cpus, mem_mib=job.mem, disk_mib=job.disk, gpus=job.gpus)
