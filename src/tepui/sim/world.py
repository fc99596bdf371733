"""One master, agents and frameworks under virtual time, with faults and invariants.

Every decision is the production cores'; only time, the network and the containers are played.
After each step of the master the invariants of `master.core.invariants` are asserted, and three that
only a bystander can see: no acknowledged update is sent again, no task leaves a terminal state,
nothing runs twice.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import TypeVar

from tepui import MESOS_VERSION
from tepui.base.names import StreamId
from tepui.master.core import actions, events
from tepui.master.core.events import LinkId, RequestId
from tepui.master.core.invariants import check
from tepui.master.core.settings import Settings
from tepui.master.core.state import new
from tepui.master.core.step import step
from tepui.resources import parse_resources
from tepui.sim.agent_node import AgentNode, Uplink
from tepui.sim.faults import Faults
from tepui.sim.network import Pipe
from tepui.sim.scheduler_node import SchedulerNode
from tepui.sim.time import Alarm, VirtualTime
from tepui.wire import link, mesos, scheduler
from tepui.wire.states import TERMINAL_STATES

Message = TypeVar("Message")

START_MS = 1_700_000_000_000
STEPS_MAX = 5_000_000
BATCH_MS_MAX = 2  # how long an event may wait for others
SETTINGS = Settings(  # impatient, so that agents become unreachable and offers time out
    agent_ping_timeout_ms=300, max_agent_ping_timeouts=2, offer_timeout_ms=2_000
)
AGENT_RESOURCES = "cpus:8;mem:8192;ports:[31000-32000]"


class Stuck(Exception):
    """The simulation did not come to its end."""


class World:
    """A cluster that runs `tasks` tasks to their ends."""

    def __init__(
        self,
        seed: int,
        *,
        tasks: int,
        agents: int = 3,
        faults: Faults | None = None,
        check_every: int = 1,
        digests: bool = False,
    ) -> None:
        """`check_every`: the invariants of the whole state are asserted each so many steps.

        With `digests` the world keeps a digest of all that the master decided.
        """
        self._random = Random(seed)
        self._faults = faults or Faults()
        self._check_every = check_every
        self.time = VirtualTime(START_MS)
        self.steps = 0
        self.digest = sha256() if digests else None
        self.master = new(
            _master_info(),
            now_ms=START_MS,
            seed=seed.to_bytes(8, "big") + b"master",
            settings=SETTINGS,
        )
        self._waiting: list[events.Event] = []
        self._alarm = Alarm(self.time, self._step)
        self._last_id = 0
        self._uplinks: dict[LinkId, tuple[AgentNode, Pipe[link.FromMaster], Uplink]] = {}
        self._streams: dict[StreamId, tuple[SchedulerNode, Pipe[scheduler.Event]]] = {}
        self._asked: dict[RequestId, scheduler.Call] = {}
        self._acknowledged: set[bytes] = set()
        self._ended: dict[tuple[str, str], mesos.TaskState] = {}
        self._framework_of: dict[StreamId, str] = {}
        self.agents = [
            AgentNode(
                str(number), _agent_info(number), self.time, self._random, self._faults, self._link
            )
            for number in range(agents)
        ]
        half = tasks // 2
        aware = ("MULTI_ROLE", "PARTITION_AWARE", "TASK_KILLING_STATE")
        self.schedulers = [
            SchedulerNode("a", half, aware, self.time, self._random, self._faults, self._subscribe),
            SchedulerNode(
                "b",
                tasks - half,
                ("MULTI_ROLE",),
                self.time,
                self._random,
                self._faults,
                self._subscribe,
            ),
        ]

    @property
    def elapsed_ms(self) -> int:
        """How long the cluster has lived."""
        return self.time.now_ms - START_MS

    def run(self) -> None:
        """Play until every task has ended. Raises AssertionError or Stuck."""
        starts = [node.start for node in self.agents] + [node.start for node in self.schedulers]
        for start in starts:
            self.time.after(self._random.randint(0, 200), start)
        self._plan_faults()
        while not all(node.done for node in self.schedulers):
            if not self.time.advance():
                raise Stuck(f"nothing happens any more at step {self.steps}")
            if self.steps > STEPS_MAX:
                left = [(node.name, len(node.states) - len(node.final)) for node in self.schedulers]
                raise Stuck(f"not at the end after {STEPS_MAX} steps; left: {left}")

    # The master

    def _put(self, event: events.Event) -> None:
        """Have the event stepped: at once, or in a batch with what comes next, as a daemon does."""
        self._waiting.append(event)
        if self._random.random() < self._faults.batch_chance:
            self.time.after(self._random.randint(0, BATCH_MS_MAX), self._step)
        else:
            self._step()

    def _step(self) -> None:
        self.steps += 1
        batch, self._waiting = self._waiting, []
        effects = step(self.master, batch, self.time.now_ms)
        self._framework_of |= self.master.framework_by_stream
        for action in effects.then:
            if self.digest is not None:
                self.digest.update(repr(action).encode())
            self._act(action)
        if self.steps % self._check_every == 0:
            check(self.master)
        self._alarm.set(self.master.timers.next_ms())

    def _act(self, action: actions.Action) -> None:
        match action:
            case actions.SendEvent(stream=stream, event=scheduler.Event() as event):
                self._audit(stream, event)
                if stream in self._streams:
                    self._streams[stream][1].send(event)
            case actions.EndStream(stream=stream):
                # Only of a scheduler that has lost it and subscribed again: it reads no more.
                assert stream not in self._streams, f"{stream} is read and was ended"
            case actions.SendToAgent(link=link_id, message=message):
                if link_id in self._uplinks:
                    self._uplinks[link_id][1].send(message)
            case actions.CloseLink(link=link_id):
                if link_id in self._uplinks:  # after what was sent
                    self._uplinks[link_id][1].drained(lambda: self._break_link(link_id))
            case actions.Answer(request=request, status=status):
                self._answered(self._asked.pop(request), status)
            case _:
                pass  # notes and views have no part in the game

    def _answered(self, call: scheduler.Call, status: int) -> None:
        if status == 202 and call.acknowledge is not None:
            self._acknowledged.add(call.acknowledge.uuid)

    def _audit(self, stream: StreamId, event: scheduler.Event) -> None:
        """Hold what the master sends against what went before."""
        framework = self._framework_of.get(stream)
        if event.update is None or framework is None:  # it came and went within one batch
            return
        status = event.update.status
        task_id = status.task_id.value
        assert status.uuid not in self._acknowledged, f"{task_id}: acknowledged, and sent again"
        key = (framework, task_id)
        ended = self._ended.get(key)
        if status.uuid is not None:  # the agent's own word; the master's may be provisional
            assert ended is None or status.state is ended, f"{task_id}: {ended}, {status.state}"
            if status.state in TERMINAL_STATES:
                self._ended[key] = status.state

    # Connections

    def _link(self, node: AgentNode) -> Uplink:
        self._last_id += 1
        link_id = LinkId(self._last_id)
        up: Pipe[link.FromAgent] = self._pipe(
            lambda message: self._put(events.LinkReceived(link_id, message))
        )
        down: Pipe[link.FromMaster] = self._pipe(node.received)
        uplink = Uplink(up, lambda: self._break_link(link_id))
        self._uplinks[link_id] = (node, down, uplink)
        self._put(events.LinkOpened(link_id, "10.0.0.1"))
        return uplink

    def _break_link(self, link_id: LinkId) -> None:
        """Both directions lose what is under way; each side learns of it later."""
        ends = self._uplinks.pop(link_id, None)
        if ends is None:
            return  # it is broken, and this side had not heard of it
        node, down, uplink = ends
        down.close()
        uplink.to_master.close()
        self._soon(lambda: self._put(events.LinkClosed(link_id)))
        self._soon(lambda: node.link_broke() if node.speaks_on(uplink) else None)

    def _subscribe(self, node: SchedulerNode, call: scheduler.Call) -> Pipe[scheduler.Call]:
        self._last_id += 1
        stream = StreamId(f"stream-{self._last_id}")

        def ask(call: scheduler.Call) -> None:
            self._last_id += 1
            request = RequestId(self._last_id)
            self._asked[request] = call
            self._put(events.CallReceived(request, call, stream))

        self._streams[stream] = (node, self._pipe(node.received))
        self._soon(lambda: self._put(events.SubscribeReceived(stream, call)))
        return self._pipe(ask)

    def _break_stream(self, stream: StreamId) -> None:
        node, pipe = self._streams.pop(stream)
        pipe.close()
        self._soon(lambda: self._put(events.StreamClosed(stream)))
        self._soon(node.stream_broke)

    def _pipe(self, deliver: Callable[[Message], None]) -> Pipe[Message]:
        return Pipe(self.time, self._random, self._faults.delay_ms_max, deliver)

    def _soon(self, call: Callable[[], None]) -> None:
        self.time.after(self._random.randint(0, self._faults.delay_ms_max), call)

    # Faults

    def _plan_faults(self) -> None:
        self._plan(self._faults.link_break_mean_ms, self._some_link_breaks)
        self._plan(self._faults.agent_restart_mean_ms, self._some_agent_restarts)
        self._plan(self._faults.stream_break_mean_ms, self._some_stream_breaks)

    def _plan(self, mean_ms: int, fault: Callable[[], None]) -> None:
        if mean_ms == 0:
            return

        def happen() -> None:
            fault()
            self._plan(mean_ms, fault)

        self.time.after(int(self._random.expovariate(1 / mean_ms)), happen)

    def _some_link_breaks(self) -> None:
        if self._uplinks:
            self._break_link(self._random.choice(sorted(self._uplinks)))

    def _some_agent_restarts(self) -> None:
        self._random.choice(self.agents).restart()

    def _some_stream_breaks(self) -> None:
        if self._streams:
            self._break_stream(self._random.choice(sorted(self._streams)))


def _agent_info(number: int) -> mesos.AgentInfo:
    return mesos.AgentInfo(
        hostname=f"agent{number}",
        port=5051 + number,
        resources=parse_resources(AGENT_RESOURCES).to_wire(role=None, refinement=True),
    )


def _master_info() -> mesos.MasterInfo:
    return mesos.MasterInfo(
        id="m", ip=0, port=5050, pid="master@10.0.0.9:5050", hostname="m", version=MESOS_VERSION
    )
