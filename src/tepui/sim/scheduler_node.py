"""A framework of a simulation: launches its tasks, acknowledges, kills, reconciles, comes back.

It also keeps the books that the invariants are about: what it acknowledged, how tasks ended.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from tepui.sim.faults import Faults
from tepui.sim.network import Pipe
from tepui.sim.time import VirtualTime
from tepui.wire import mesos, scheduler

Call = scheduler.Call
Event = scheduler.Event
TaskState = mesos.TaskState

CPUS = 0.5
MEM_MIB = 64
RECONCILE_MS = 3_000
SILENT = frozenset({TaskState.TASK_STAGING, TaskState.TASK_STARTING, TaskState.TASK_RUNNING})
NOT_FINAL = SILENT | {TaskState.TASK_KILLING, TaskState.TASK_UNREACHABLE}
AWAY = {"health check timed out", "Reconciliation: Task is unreachable"}  # it may come back
AWAY_MS_MAX = 20_000  # longer than any agent that lives stays away


class SchedulerNode:
    """One framework with `tasks_wanted` tasks."""

    def __init__(
        self,
        name: str,
        tasks_wanted: int,
        capabilities: tuple[str, ...],
        time: VirtualTime,
        random: Random,
        faults: Faults,
        subscribe: Callable[[SchedulerNode, scheduler.Call], Pipe[scheduler.Call]],
    ) -> None:
        self.name = name
        self._time = time
        self._random = random
        self._faults = faults
        self._subscribe = subscribe
        kinds = mesos.FrameworkInfo.Capability
        self._info = mesos.FrameworkInfo(
            user="root",
            name=name,
            roles=(name,),
            failover_timeout=600.0,
            capabilities=tuple(kinds(type=kinds.Type[capability]) for capability in capabilities),
        )
        self._framework_id: mesos.FrameworkID | None = None
        self._calls: Pipe[scheduler.Call] | None = None
        self._left = tasks_wanted
        self._launched = 0
        self.states: dict[str, mesos.TaskState] = {}  # the newest of each task
        self._agents: dict[str, mesos.AgentID] = {}
        self._away_ms: dict[str, int] = {}
        self.final: dict[str, mesos.TaskState] = {}

    @property
    def done(self) -> bool:
        """Every task has been launched and has ended."""
        return self._left == 0 and len(self.final) == self._launched

    def start(self) -> None:
        """Subscribe, again when there was a subscription before."""
        info = self._info
        if self._framework_id is not None:
            info = replace(info, id=self._framework_id)
        call = Call(
            type=Call.Type.SUBSCRIBE,
            framework_id=self._framework_id,
            subscribe=Call.Subscribe(framework_info=info),
        )
        self._calls = self._subscribe(self, call)
        self._tick(self._calls)

    def stream_broke(self) -> None:
        """The stream is cut; subscribe again soon."""
        self._calls = None
        self._time.after(self._random.randint(0, 400), self.start)

    def received(self, event: scheduler.Event) -> None:
        """The master sent this."""
        if event.subscribed is not None:
            self._framework_id = event.subscribed.framework_id
            self._reconcile()
        elif event.offers is not None:
            for offer in event.offers.offers:
                self._answer(offer)
        elif event.update is not None:
            self._updated(event.update.status)
        elif event.error is not None:
            raise AssertionError(f"{self.name}: {event.error.message}")

    def _answer(self, offer: mesos.Offer) -> None:
        fits = int(_scalar(offer, "cpus") / CPUS)
        count = min(fits, self._left, self._random.randint(1, 8))
        if self._random.random() < 0.05:
            return  # forget to answer; the master takes the offer back
        if count == 0 or self._random.random() < 0.1:
            refuse_s = self._random.choice((0.0, 0.2, 1.0))
            decline = Call.Decline(
                offer_ids=(offer.id,), filters=mesos.Filters(refuse_seconds=refuse_s)
            )
            self._call(Call(type=Call.Type.DECLINE, decline=decline))
            return
        infos = tuple(self._task(offer) for _ in range(count))
        operation = mesos.Offer.Operation(
            type=mesos.Offer.Operation.Type.LAUNCH,
            launch=mesos.Offer.Operation.Launch(task_infos=infos),
        )
        accept = Call.Accept(
            offer_ids=(offer.id,),
            operations=(operation,),
            filters=mesos.Filters(refuse_seconds=0.1),
        )
        self._call(Call(type=Call.Type.ACCEPT, accept=accept))

    def _task(self, offer: mesos.Offer) -> mesos.TaskInfo:
        self._left -= 1
        self._launched += 1
        task_id = f"{self.name}.{self._launched}"
        self.states[task_id] = TaskState.TASK_STAGING
        self._agents[task_id] = offer.agent_id
        if self._random.random() < self._faults.kill:
            self._time.after(self._random.randint(0, 1_500), lambda: self._kill(task_id))
        return mesos.TaskInfo(
            name=task_id,
            task_id=mesos.TaskID(task_id),
            agent_id=offer.agent_id,
            resources=(_resource("cpus", CPUS), _resource("mem", MEM_MIB)),
            command=mesos.CommandInfo(value="work"),
        )

    def _updated(self, status: mesos.TaskStatus) -> None:
        task_id = status.task_id.value
        final = self.final.get(task_id)
        if final is not None:
            known = status.reason is mesos.TaskStatus.Reason.REASON_RECONCILIATION
            assert known or status.state is final, f"{task_id}: {final}, then {status.state}"
        elif status.message in AWAY:
            self.states[task_id] = status.state
            since_ms = self._away_ms.setdefault(task_id, self._time.now_ms)
            if self._time.now_ms - since_ms > AWAY_MS_MAX:
                self.final[task_id] = status.state
        elif status.state in NOT_FINAL:
            self._away_ms.pop(task_id, None)
            self.states[task_id] = status.state
        else:
            self.states[task_id] = status.state
            self.final[task_id] = status.state
        if status.uuid is not None and status.agent_id is not None:
            acknowledge = Call.Acknowledge(
                agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
            )
            self._call(Call(type=Call.Type.ACKNOWLEDGE, acknowledge=acknowledge))

    def _tick(self, calls: Pipe[scheduler.Call]) -> None:
        """Ask now and then about tasks that have not ended; calls may be lost."""
        if calls is self._calls:
            self._reconcile()
            self._time.after(RECONCILE_MS, lambda: self._tick(calls))

    def _reconcile(self) -> None:
        unknown = [task_id for task_id in self.states if task_id not in self.final]
        if unknown and self._framework_id is not None:
            tasks = tuple(
                Call.Reconcile.Task(task_id=mesos.TaskID(one), agent_id=self._agents[one])
                for one in unknown
            )
            self._call(Call(type=Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=tasks)))

    def _kill(self, task_id: str) -> None:
        if task_id not in self.final:
            kill = Call.Kill(task_id=mesos.TaskID(task_id), agent_id=self._agents[task_id])
            self._call(Call(type=Call.Type.KILL, kill=kill))

    def _call(self, call: scheduler.Call) -> None:
        if self._calls is not None and self._random.random() >= self._faults.call_lost:
            self._calls.send(replace(call, framework_id=self._framework_id))


def _resource(name: str, value: float) -> mesos.Resource:
    return mesos.Resource(name=name, type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(value))


def _scalar(offer: mesos.Offer, name: str) -> float:
    return sum(r.scalar.value for r in offer.resources if r.name == name and r.scalar is not None)
