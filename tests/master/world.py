"""A master's core with schedulers and agents around it that say what a test has them say.

    world = World()
    agent = world.add_agent()
    scheduler = world.subscribe(roles=("web",))
    task_id = scheduler.launch("t1", agent)
    agent.update(scheduler, "t1", TaskState.TASK_RUNNING)

Time stands still unless `advance` is called; ids and uuids are the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tepui.base.effects import Step
from tepui.base.names import AgentId, FrameworkId, OfferId, StreamId
from tepui.master.core.actions import (
    Action,
    Answer,
    AnswerBody,
    AnswerFromSnapshot,
    Effects,
    EndStream,
    Note,
    Record,
    SendEvent,
    SendToAgent,
)
from tepui.master.core.events import (
    Asked,
    CallReceived,
    Event,
    LinkClosed,
    LinkId,
    LinkReceived,
    OperatorCallReceived,
    OperatorSubscribed,
    RequestId,
    StreamClosed,
    SubscribeReceived,
    TeardownAsked,
)
from tepui.master.core.invariants import check
from tepui.master.core.settings import Settings
from tepui.master.core.state import Framework, State, new
from tepui.master.core.step import step
from tepui.master.core.views.questions import Question
from tepui.resources import parse_resources
from tepui.wire import link, master, mesos, scheduler
from tepui.wire.json import decode
from tepui.wire.message import ProtoMessage

TaskState = mesos.TaskState
Call = scheduler.Call
M = TypeVar("M")

START_MS = 1_700_000_000_000
AGENT_RESOURCES = "cpus:4;mem:4096;disk:10240;ports:[31000-32000]"
TASK_RESOURCES = "cpus:0.1;mem:32"


class World:
    """One master. Everything that it has ever sent is kept by receiver."""

    def __init__(
        self, *, settings: Settings | None = None, flags: dict[str, str] | None = None
    ) -> None:
        self.step = step  # the core's; a test may put its own around it
        self.now_ms = START_MS
        self.state: State = new(
            master_info(), now_ms=START_MS, seed=b"world", settings=settings, flags=flags
        )
        self.sent: dict[StreamId, list[ProtoMessage]] = {}
        self.ended: set[StreamId] = set()
        self.to_agents: dict[LinkId, list[link.FromMaster]] = {}
        self.saved: list[Record] = []
        self.notes: list[Note] = []
        self.answers: dict[RequestId, Action] = {}
        self._number = 0

    def put(self, *events: Event) -> Effects:
        """The events happen now, in one batch; what they lead to at once follows."""
        effects: Effects = self.step(self.state, events, self.now_ms)
        self._keep(effects)
        while (due_ms := self.state.timers.next_ms()) is not None and due_ms <= self.now_ms:
            more = self.step(self.state, (), self.now_ms)
            self._keep(more)
            effects.save += more.save
            effects.then += more.then
        check(self.state)
        return effects

    def advance(self, by_ms: int) -> Effects:
        """Time passes, timer by timer."""
        until_ms = self.now_ms + by_ms
        effects: Effects = Step()
        while (due_ms := self.state.timers.next_ms()) is not None and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            more = self.put()
            effects.save += more.save
            effects.then += more.then
        self.now_ms = until_ms
        return effects

    def number(self) -> int:
        """A number that was not given before."""
        self._number += 1
        return self._number

    # Those around the master

    def subscribe(
        self,
        *,
        name: str = "fw",
        roles: Sequence[str] = ("*",),
        capabilities: Sequence[str] = ("MULTI_ROLE",),
        failover_s: float = 60.0,
        framework_id: FrameworkId | None = None,
        info: mesos.FrameworkInfo | None = None,
    ) -> Scheduler:
        """A framework whose scheduler is connected."""
        kinds = mesos.FrameworkInfo.Capability.Type
        info = info or mesos.FrameworkInfo(
            user="root",
            name=name,
            id=None if framework_id is None else mesos.FrameworkID(framework_id),
            roles=tuple(roles),
            capabilities=tuple(
                mesos.FrameworkInfo.Capability(type=kinds[name]) for name in capabilities
            ),
            failover_timeout=failover_s,
        )
        stream = StreamId(f"scheduler-{self.number()}")
        call = Call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe(framework_info=info))
        self.put(SubscribeReceived(stream, call))
        return Scheduler(self, stream)

    def add_agent(
        self,
        *,
        resources: str = AGENT_RESOURCES,
        attributes: tuple[mesos.Attribute, ...] = (),
        hostname: str = "127.0.0.1",
        port: int | None = None,
    ) -> FakeAgent:
        """An agent that is registered."""
        number = self.number()
        port = port or 15_050 + number
        info = mesos.AgentInfo(
            hostname=hostname,
            port=port,
            resources=parse_resources(resources).to_wire(role=None, refinement=True),
            attributes=attributes,
        )
        found = LinkId(number)
        self.put(LinkReceived(found, link.Register(info, "1.0.0", f"127.0.0.1:{port}")))
        return FakeAgent(self, found)

    # Readers

    def call(self, call: master.Call) -> Action:
        """What the operator API answers."""
        request = RequestId(self.number())
        self.put(OperatorCallReceived(request, call))
        return self.answers[request]

    def get(self, kind: master.Call.Type) -> master.Response:
        """What a call without a message is answered."""
        return decode(master.Response, self.get_json(kind))

    def get_json(self, kind: master.Call.Type) -> bytes:
        """The JSON that a call without a message is answered."""
        answer = self.call(master.Call(type=kind))
        assert isinstance(answer, AnswerBody)
        return answer.body

    def ask(self, question: Question) -> bytes:
        """The JSON that a classic endpoint answers."""
        request = RequestId(self.number())
        self.put(Asked(request, question))
        answer = self.answers[request]
        assert isinstance(answer, AnswerBody)
        return answer.body

    def teardown(self, framework_id: str) -> Action:
        """What the classic /teardown answers."""
        request = RequestId(self.number())
        self.put(TeardownAsked(request, FrameworkId(framework_id)))
        return self.answers[request]

    def watch(self) -> StreamId:
        """An operator that reads events; see `events`."""
        stream = StreamId(f"operator-{self.number()}")
        self.put(OperatorSubscribed(RequestId(self.number()), stream))
        return stream

    def events(self, stream: StreamId, kind: type[M]) -> list[M]:
        """What was sent on a stream since the last time somebody asked."""
        found = self.sent.pop(stream, [])
        return [message for message in found if isinstance(message, kind)]

    def _keep(self, effects: Effects) -> None:
        self.saved += effects.save
        for action in effects.then:
            match action:
                case SendEvent(stream=stream, event=event):
                    self.sent.setdefault(stream, []).append(event)
                case EndStream(stream=stream):
                    self.ended.add(stream)
                case SendToAgent(link=to, message=message):
                    self.to_agents.setdefault(to, []).append(message)
                case Answer(request=request) | AnswerBody(request=request):
                    self.answers[request] = action
                case AnswerFromSnapshot(request=request):
                    self.answers[request] = action
                case Note():
                    self.notes.append(action)
                case _:
                    pass


class Scheduler:
    """A connected scheduler."""

    def __init__(self, world: World, stream: StreamId) -> None:
        self.world = world
        self.stream = stream
        self.framework_id = world.state.framework_by_stream[stream]

    @property
    def framework(self) -> Framework:
        """The master's view of it, also after its end."""
        state = self.world.state
        return (
            state.frameworks.get(self.framework_id) or state.completed_frameworks[self.framework_id]
        )

    def events(self) -> list[scheduler.Event]:
        """What it was sent since the last time."""
        return self.world.events(self.stream, scheduler.Event)

    def call(self, kind: scheduler.Call.Type, **fields: ProtoMessage) -> Action:
        """The answer to a call."""
        request = RequestId(self.world.number())
        call = Call(type=kind, framework_id=mesos.FrameworkID(self.framework_id), **fields)  # type: ignore[arg-type]  # the message of the kind
        self.world.put(CallReceived(request, call, self.stream))
        return self.world.answers[request]

    def launch(
        self,
        task_id: str,
        agent: FakeAgent,
        *,
        resources: str = TASK_RESOURCES,
        labels: mesos.Labels | None = None,
        role: str | None = None,
    ) -> None:
        """A command task, from the framework's offer of that agent."""
        offered = self.offer_of(agent, role)
        info = task_info(task_id, agent.id, resources, labels)
        launch = mesos.Offer.Operation.Launch(task_infos=(info,))
        self.accept(
            offered,
            mesos.Offer.Operation(type=mesos.Offer.Operation.Type.LAUNCH, launch=launch),
        )

    def launch_group(self, task_ids: Sequence[str], agent: FakeAgent, executor_id: str) -> None:
        """Tasks of a default executor."""
        executor = mesos.ExecutorInfo(
            type=mesos.ExecutorInfo.Type.DEFAULT,
            executor_id=mesos.ExecutorID(executor_id),
            framework_id=mesos.FrameworkID(self.framework_id),
            resources=wire_resources("cpus:0.1;mem:32;disk:10"),
        )
        tasks = tuple(task_info(t, agent.id, TASK_RESOURCES, None) for t in task_ids)
        group = mesos.Offer.Operation.LaunchGroup(
            executor=executor, task_group=mesos.TaskGroupInfo(tasks=tasks)
        )
        kind = mesos.Offer.Operation.Type.LAUNCH_GROUP
        self.accept(
            self.offer_of(agent, None), mesos.Offer.Operation(type=kind, launch_group=group)
        )

    def accept(self, offer_id: OfferId, *operations: mesos.Offer.Operation) -> None:
        """The offer is spent on the operations; what is left is offered again at once."""
        accept = Call.Accept(
            offer_ids=(mesos.OfferID(offer_id),),
            operations=operations,
            filters=mesos.Filters(refuse_seconds=0.0),
        )
        self.call(Call.Type.ACCEPT, accept=accept)

    def updates(self) -> list[mesos.TaskStatus]:
        """The statuses among what it was sent since the last time."""
        return [event.update.status for event in self.events() if event.update is not None]

    def offer_of(self, agent: FakeAgent, role: str | None) -> OfferId:
        """The framework's offer of the agent."""
        return next(
            offer.id
            for offer in self.framework.offers.values()
            if offer.agent_id == agent.id and role in (None, offer.role)
        )

    def leave(self) -> None:
        """Its connection is gone."""
        self.world.put(StreamClosed(self.stream))


class FakeAgent:
    """A registered agent."""

    def __init__(self, world: World, found: LinkId) -> None:
        self.world = world
        self.link = found
        self.id: AgentId = world.state.agent_by_link[found]

    def say(self, message: link.FromAgent) -> Effects:
        """It sends this to the master."""
        return self.world.put(LinkReceived(self.link, message))

    def update(
        self,
        owner: Scheduler,
        task_id: str,
        to: mesos.TaskState,
        *,
        executor_id: str | None = None,
        message: str | None = None,
        acknowledged: bool = True,
    ) -> mesos.TaskStatus:
        """A task of `owner` is in another state; the scheduler acknowledges it unless told not."""
        number = self.world.number()
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(task_id),
            state=to,
            message=message,
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            agent_id=mesos.AgentID(self.id),
            executor_id=mesos.ExecutorID(executor_id or task_id),
            timestamp=self.world.now_ms / 1000,
            uuid=(4 << 76 | number).to_bytes(16, "big"),
            container_status=container_status(task_id, executor_id),
        )
        self.say(link.StatusUpdated(owner.framework_id, status, to))
        if acknowledged:
            assert status.uuid is not None
            acknowledge = Call.Acknowledge(
                agent_id=mesos.AgentID(self.id),
                task_id=mesos.TaskID(task_id),
                uuid=status.uuid,
            )
            owner.call(Call.Type.ACKNOWLEDGE, acknowledge=acknowledge)
        return status

    def told(self) -> list[link.FromMaster]:
        """What it was sent on its newest link since the last time."""
        return self.world.to_agents.pop(self.link, [])

    def disconnect(self) -> None:
        """Its connection is gone."""
        self.world.put(LinkClosed(self.link))

    def reregister(
        self,
        *tasks: mesos.Task,
        frameworks: Sequence[mesos.FrameworkInfo] = (),
        executors: Sequence[link.RunningExecutor] = (),
        info: mesos.AgentInfo | None = None,
        on: LinkId | None = None,
    ) -> Effects:
        """It comes back on a new link, with these frameworks and tasks."""
        known = self.world.state.agents.get(self.id) or self.world.state.unreachable_agents[self.id]
        self.link = LinkId(self.world.number()) if on is None else on
        message = link.Reregister(
            info=info or known.info,
            version="1.0.0",
            address="127.0.0.1:15099",
            frameworks=tuple(frameworks),
            executors=tuple(executors),
            tasks=tasks,
        )
        return self.say(message)


def master_info() -> mesos.MasterInfo:
    """A master on this machine."""
    return mesos.MasterInfo(
        id="11111111-2222-4333-8444-555555555555",
        ip=16_777_343,
        port=15_050,
        pid="master@127.0.0.1:15050",
        hostname="127.0.0.1",
        version="1.0.0",
        address=mesos.Address(hostname="127.0.0.1", ip="127.0.0.1", port=15_050),
    )


def task_info(
    task_id: str, agent_id: AgentId, resources: str, labels: mesos.Labels | None
) -> mesos.TaskInfo:
    """A command task that sleeps."""
    return mesos.TaskInfo(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=mesos.AgentID(agent_id),
        resources=wire_resources(resources),
        command=mesos.CommandInfo(value="sleep 1000", shell=True),
        labels=labels,
    )


def wire_resources(text: str) -> tuple[mesos.Resource, ...]:
    """Resources as a scheduler writes them."""
    return parse_resources(text).to_wire(role=None, refinement=True)


def container_status(container_id: str, parent: str | None) -> mesos.ContainerStatus:
    """A container on the host's network, within that of its executor if it has one."""
    address = mesos.NetworkInfo.IPAddress(ip_address="127.0.0.1")
    return mesos.ContainerStatus(
        container_id=mesos.ContainerID(
            value=container_id, parent=None if parent is None else mesos.ContainerID(value=parent)
        ),
        network_infos=(mesos.NetworkInfo(ip_addresses=(address,)),),
        executor_pid=4711,
    )
