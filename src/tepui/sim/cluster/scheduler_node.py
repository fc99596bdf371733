"""A scheduler of a simulation: launches tasks, acknowledges, kills, reconciles, comes back.

A framework may have several, one after the other and for a while at the same time: the one that
subscribed last is the framework's, the others are told so and end.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from tepui.sim.cluster import talk
from tepui.sim.cluster.audit import Audit
from tepui.sim.cluster.faults import Faults
from tepui.sim.cluster.finder import finder
from tepui.sim.cluster.framework import Framework
from tepui.sim.cluster.network import End, Network
from tepui.sim.cluster.node import Machine, Process
from tepui.sim.cluster.zookeeper import Ensemble
from tepui.wire import mesos, scheduler

Call = scheduler.Call
Event = scheduler.Event

RECONCILE_MS = 5_000
RETRY_MS_MAX = 500
REDIRECT_MS = 20
ANSWER_MS = 4_000  # to the answer of a SUBSCRIBE
SILENCE_MS = 35_000  # two heartbeats are missing
LAUNCH_MAX = 8  # of one ACCEPT
KILL_MS_MAX = 3_000
SHUTDOWN_CHANCE = 0.4  # of the kill of a task of a pod, to be one of the whole pod
TWICE = (Call.Type.ACKNOWLEDGE, Call.Type.KILL, Call.Type.RECONCILE, Call.Type.DECLINE)
REPLACED = "Framework failed over"


class SchedulerNode:
    """One scheduler, from its start to its end."""

    def __init__(
        self,
        machine: Machine,
        framework: Framework,
        network: Network,
        masters: tuple[str, ...],
        ensemble: Ensemble[bytes] | None,
        faults: Faults,
        audit: Audit,
    ) -> None:
        self.process = Process(machine)
        self.name = machine.name
        self.framework = framework
        self._random = machine.random
        self._time = machine.time
        self._network = network
        self._faults = faults
        self._audit = audit
        self._find = finder(self.process, masters, ensemble, self._moved)
        self._leader: str | None = None
        self._events: End | None = None
        self._stream: str | None = None  # None: not subscribed
        self._number = (0, 0)
        self._calls: list[End] = []
        self._asked: dict[int, tuple[End, Call]] = {}  # and not answered
        self._numbers = 0
        self._heard_ms = 0
        framework.revived = self._revive
        self._subscribe()

    # The stream

    def _subscribe(self) -> None:
        leader = self._find()
        if leader is None:
            self._retry()
        else:
            self._subscribe_to(leader)

    def _subscribe_to(self, leader: str) -> None:
        framework = self.framework
        self._leader = leader
        end = self._events = End(self._network, self.process, self.name, leader)
        end.taken = lambda message: self._answered(end, message)
        end.lost = lambda: self._lost(end)
        info = replace(framework.info, id=framework.framework_id)
        subscribe = Call.Subscribe(framework_info=info)
        end.send(
            talk.Subscribe(
                Call(
                    type=Call.Type.SUBSCRIBE,
                    framework_id=framework.framework_id,
                    subscribe=subscribe,
                )
            )
        )
        self.process.after(ANSWER_MS, lambda: self._give_up(end))

    def _answered(self, end: End, message: object) -> None:
        match message:
            case talk.Elsewhere(leader=str() as leader):
                end.abort()
                self.process.after(REDIRECT_MS, lambda: self._follow(end, leader))
            case talk.Streaming(stream=stream, number=number):
                self._stream, self._number = stream, number
                self.framework.newest = max(self.framework.newest, number)
                self._heard_ms = self._time.now_ms
                self._calls = [self._open_calls(end.there)]
                end.taken = self._received
                self._tick(end)
            case _:
                end.abort()
                self._retry()

    def _follow(self, end: End, leader: str) -> None:
        if self._events is end:
            self._subscribe_to(leader)

    def _give_up(self, end: End) -> None:
        if self._events is end and end.is_open and self._stream is None:
            self._lost(end)

    def _lost(self, end: End) -> None:
        """The stream is over, and the calls that belong to it."""
        if self._events is end:
            end.abort()
            self._events = self._stream = None
            self._asked.clear()
            for one in self._calls:
                one.abort()
            self._calls = []
            self._retry()

    def _retry(self) -> None:
        self._events = None
        self.process.soon(RETRY_MS_MAX, self._try_again)

    def _try_again(self) -> None:
        if self._events is None:
            self._subscribe()

    def _moved(self, leader: str) -> None:
        if self._events is not None and leader != self._leader:
            self._lost(self._events)

    def _received(self, message: object) -> None:
        assert isinstance(message, Event)
        self._heard_ms = self._time.now_ms
        if message.subscribed is not None:
            self.framework.framework_id = message.subscribed.framework_id
            self._reconcile()
        elif message.offers is not None:
            for offer in message.offers.offers:
                self._answer(offer)
        elif message.update is not None:
            self._updated(message.update.status)
        elif message.error is not None:
            assert message.error.message == REPLACED, f"{self.name}: {message.error.message}"
            self.process.die()

    def _tick(self, end: End) -> None:
        """Look now and then after tasks that have not ended; calls may be lost."""
        if self._events is not end:
            return
        if self._heard_ms + SILENCE_MS < self._time.now_ms:
            self._lost(end)
            return
        self._reconcile()
        self.process.after(RECONCILE_MS, lambda: self._tick(end))

    # Calls

    def _open_calls(self, leader: str) -> End:
        end = End(self._network, self.process, self.name, leader)
        end.taken = self._was_answered
        end.lost = lambda: self._calls_lost(end)
        return end

    def _calls_lost(self, end: End) -> None:
        """What was asked there and not answered may have been done, or not."""
        if end in self._calls and self._events is not None:
            others = [one for one in self._calls if one is not end]
            self._calls = others or [self._open_calls(end.there)]
            numbers = [number for number, (by, _) in self._asked.items() if by is end]
            calls = [self._asked.pop(number)[1] for number in numbers]
            for call in {id(call): call for call in calls}.values():  # once each
                if call.type in TWICE:
                    self._send(self._calls[0], call)

    def _was_answered(self, message: object) -> None:
        match message:
            case talk.Answered(number=number):
                self._asked.pop(number, None)
            case talk.Elsewhere() if self._events is not None:
                self._lost(self._events)

    def _call(self, call: Call) -> None:
        if self._stream is None or not self._calls or self.framework.framework_id is None:
            return
        if self._faults.happens("lose", self._random):
            return
        end = self._calls[0]
        if call.type in TWICE and self._faults.happens("retry", self._random):
            if len(self._calls) == 1:
                self._calls.append(self._open_calls(end.there))
            if self._random.random() < 0.5:
                self._send(end, call)  # and once more on the other connection
            end = self._calls[1]
        self._send(end, call)

    def _send(self, end: End, call: Call) -> None:
        assert self._stream is not None
        self._numbers += 1
        self._asked[self._numbers] = (end, call)
        call = replace(call, framework_id=self.framework.framework_id)
        end.send(talk.Ask(self._numbers, self._stream, call))

    # What a framework does

    def _revive(self) -> None:
        self.process.do(lambda: self._call(Call(type=Call.Type.REVIVE)))

    def _answer(self, offer: mesos.Offer) -> None:
        framework = self.framework
        count = min(framework.waiting, self._random.randint(1, LAUNCH_MAX))
        if self._random.random() < 0.03:
            return  # forget to answer; the master takes the offer back
        launches = []
        if self._random.random() >= 0.1:
            launches = framework.launches(offer, count)
        if not launches:
            refuse_s = self._random.choice((0.2, 1.0)) if framework.waiting else 10.0
            decline = Call.Decline(
                offer_ids=(offer.id,), filters=mesos.Filters(refuse_seconds=refuse_s)
            )
            self._call(Call(type=Call.Type.DECLINE, decline=decline))
            return
        for launch in launches:
            for info in launch.infos:
                if self._faults.happens("kill", self._random):
                    task_id = info.task_id.value
                    delay_ms = self._random.randint(0, KILL_MS_MAX)
                    self.process.after(delay_ms, partial(self._kill, task_id))
        accept = Call.Accept(
            offer_ids=(offer.id,),
            operations=tuple(launch.operation for launch in launches),
            filters=mesos.Filters(refuse_seconds=0.1),
        )
        self._call(Call(type=Call.Type.ACCEPT, accept=accept))

    def _updated(self, status: mesos.TaskStatus) -> None:
        self.framework.updated(status, is_newest=self.framework.newest == self._number)
        if status.uuid is not None and status.agent_id is not None:
            acknowledge = Call.Acknowledge(
                agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
            )
            self._call(Call(type=Call.Type.ACKNOWLEDGE, acknowledge=acknowledge))

    def _reconcile(self) -> None:
        """Ask for the tasks that have not ended, but not for those that may not have arrived yet."""
        framework, launching = self.framework, self._launching()
        tasks = tuple(
            Call.Reconcile.Task(task_id=mesos.TaskID(one), agent_id=framework.agents[one])
            for one in framework.states
            if one not in framework.final and one not in launching
        )
        if tasks and framework.framework_id is not None:
            self._call(Call(type=Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=tasks)))

    def _launching(self) -> set[str]:
        """The tasks of which nobody knows yet whether they are to be."""
        return {
            info.task_id.value
            for _, call in self._asked.values()
            if call.accept is not None
            for operation in call.accept.operations
            for info in _infos(operation)
        }

    def _kill(self, task_id: str) -> None:
        framework = self.framework
        if task_id in self._launching():
            self.process.soon(KILL_MS_MAX, lambda: self._kill(task_id))
        elif task_id in framework.final or framework.framework_id is None:
            return
        elif task_id in framework.groups and self._random.random() < SHUTDOWN_CHANCE:
            self._shut_down(framework.framework_id.value, framework.agents[task_id])
        else:
            self._audit.containers.kill_wanted(framework.framework_id.value, task_id)
            kill = Call.Kill(task_id=mesos.TaskID(task_id), agent_id=framework.agents[task_id])
            self._call(Call(type=Call.Type.KILL, kill=kill))

    def _shut_down(self, framework_id: str, agent_id: mesos.AgentID) -> None:
        """The last pod on the agent is to end, with all that is in it."""
        executor_id = self.framework.pods.leave(agent_id.value)
        if executor_id is not None:
            self._audit.containers.shutdown_wanted(framework_id, executor_id)
            shutdown = Call.Shutdown(executor_id=mesos.ExecutorID(executor_id), agent_id=agent_id)
            self._call(Call(type=Call.Type.SHUTDOWN, shutdown=shutdown))


def _infos(operation: mesos.Offer.Operation) -> tuple[mesos.TaskInfo, ...]:
    """The tasks that it launches."""
    if operation.launch is not None:
        return operation.launch.task_infos
    if operation.launch_group is not None:
        return operation.launch_group.task_group.tasks
    return ()
