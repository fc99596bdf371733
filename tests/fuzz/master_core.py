"""One master core, and everybody around it as the input says: its invariants hold after each step."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from tepui.base.errors import Refused
from tepui.base.names import StreamId
from tepui.master.core.actions import Action, Answer
from tepui.master.core.events import (
    Asked,
    CallReceived,
    Event,
    KillAsked,
    LinkClosed,
    LinkId,
    LinkOpened,
    LinkReceived,
    OperatorCallReceived,
    OperatorSubscribed,
    RequestId,
    StreamClosed,
    SubscribeReceived,
    TeardownAsked,
)
from tepui.master.core.operator import SHELL_CALLS
from tepui.master.core.operator import call_error as operator_call_error
from tepui.master.core.settings import RateLimit, RateLimits, Settings
from tepui.master.core.state import Framework
from tepui.master.core.validation import call_error
from tepui.master.core.views.questions import PARSERS, question_of
from tepui.wire import json, link, master, mesos, protobuf, scheduler
from tepui.wire.message import ProtoMessage
from tests.fuzz.drawing import Drawn
from tests.fuzz.grammar import Grammar, Ids
from tests.master.core.hostile import Hostile
from tests.master.world import Scheduler, World

STEPS_MAX = 40
PAUSES_MS = (0, 1, 150, 1_000, 15_000, 80_000, 300_000)
SETTINGS = Settings(
    offer_timeout_ms=20_000,
    max_completed_frameworks=3,
    max_completed_tasks_per_framework=3,
    max_unreachable_tasks_per_framework=3,
    max_removed_agents=3,
    registry_max_agent_count=3,
    rate_limits=RateLimits(limits=(RateLimit(principal="limited", qps=2, capacity=4),)),
)
ANSWERS = (200, 202, 400, 403, 404, 409, 429, 501, 503)  # what the core may say to a request
ASKED = (CallReceived, OperatorCallReceived, OperatorSubscribed, Asked, KillAsked, TeardownAsked)
OWN_REQUESTS = 1_000_000  # from here on; those before belong to `World`
Call = scheduler.Call
Operation = mesos.Offer.Operation


class MasterUnderTest:
    """A master with a framework, an agent and a running task; what it answers is looked at."""

    def __init__(self) -> None:
        self.world = World(settings=SETTINGS)
        self.asked: set[RequestId] = set()
        self.scheduler: Scheduler = self.world.subscribe(roles=("*", "web"))
        self.agent = self.world.add_agent()
        self.scheduler.launch("t1", self.agent)
        self.agent.update(self.scheduler, "t1", mesos.TaskState.TASK_RUNNING, acknowledged=False)

    def put(self, *events: Event) -> None:
        """The events happen; each request among them must be answered, now or later."""
        for event in events:
            request = getattr(event, "request", None)
            if request is not None:
                assert request not in self.asked
                self.asked.add(request)
        self._look_at(self.world.put(*events).then)

    def wait(self, ms: int) -> None:
        """Time passes."""
        self._look_at(self.world.advance(ms).then)

    def finish(self) -> None:
        """All leave, and then nobody waits for an answer any more."""
        state = self.world.state
        for stream in [*state.framework_by_stream, *state.operators]:
            self.put(StreamClosed(stream))
        for found in list(state.agent_by_link):
            self.put(LinkClosed(found))
        self.wait(100_000)
        assert not self.asked, f"never answered: {self.asked}"

    def request(self) -> RequestId:
        """The number of a new request."""
        return RequestId(OWN_REQUESTS + self.world.number())

    def _look_at(self, actions: list[Action]) -> None:
        for action in actions:
            request = RequestId(getattr(action, "request", 0))  # whatever has one is an answer
            if request >= OWN_REQUESTS:
                assert request in self.asked, f"answered twice: {action}"
                self.asked.remove(request)
            if isinstance(action, Answer):
                assert action.status in ANSWERS, action
                assert action.status == 200 or (action.status == 202) == (action.text == "")
                action.text.encode()
            for part in (getattr(action, "event", None), getattr(action, "message", None)):
                _encode(part)  # what the shell does with it must not fail either


def _encode(part: object) -> None:
    if isinstance(part, ProtoMessage):
        json.encode(part)
        protobuf.encode(part)
    elif isinstance(part, link.LinkMessage):
        link.frame(part)


class Surroundings:
    """Schedulers, agents and operators that say what the bytes say."""

    def __init__(self, data: bytes) -> None:
        self.draw = Drawn(data)
        self.master = MasterUnderTest()
        self.state = self.master.world.state
        self.hostile = Hostile(self.state, self.draw)
        self.streams: list[StreamId] = [self.master.scheduler.stream]

    def play(self) -> None:
        """Until the bytes are spent."""
        doing = (
            self.accept,
            self.accept,
            self.scheduler_call,
            self.scheduler_call,
            self.say_anything,
            self.agent_report,
            self.agent_report,
            self.agent_says_anything,
            self.operator_call,
            self.ask,
            self.subscribe,
            self.wait,
            self.leave,
        )
        for _ in range(STEPS_MAX):
            if self.draw.is_spent:
                break
            self.draw.one(doing)()
        self.master.finish()

    def scheduler_call(self) -> None:
        """A call of any type and shape."""
        passed_over = (Call.Type.SUBSCRIBE, Call.Type.UNKNOWN)
        kind = self.draw.one([kind for kind in Call.Type if kind not in passed_over])
        framework = self.framework()
        call = self.grammar().call(
            Call,
            kind.name,
            kind.value.lower(),
            framework_id=mesos.FrameworkID(framework.id if framework else "nobody"),
        )
        self._called(call, framework)

    def accept(self) -> None:
        """ACCEPT of what the framework is offered, with any operations."""
        framework = self.framework()
        if framework is None:
            return
        offers = list(framework.offers.values())[: 1 + self.draw.below(2)]
        kind = self.draw.below(4)
        tasks = tuple(self._task(one.agent_id, is_plain=kind < 2) for one in offers)
        launch = Operation.Launch(task_infos=tasks)
        operation = Operation(type=Operation.Type.LAUNCH, launch=launch)
        if kind == 3:
            name = self.draw.one([one.name for one in Operation.Type])
            operation = self.grammar().call(Operation, name, name.lower())
        call = Call(
            type=Call.Type.ACCEPT,
            framework_id=mesos.FrameworkID(framework.id),
            accept=Call.Accept(
                offer_ids=tuple(mesos.OfferID(one.id) for one in offers),
                operations=(operation,),
                filters=mesos.Filters(refuse_seconds=0.0),
            ),
        )
        self._called(call, framework)

    def subscribe(self) -> None:
        """A framework that is new, or one that comes back."""
        info = self.grammar().message(mesos.FrameworkInfo)
        if info.id is not None and not self.draw.below(2):
            info = structs.replace(info, id=None)
        subscribe = self.grammar().message(Call.Subscribe, framework_info=info)
        call = Call(type=Call.Type.SUBSCRIBE, framework_id=info.id, subscribe=subscribe)
        if call_error(call, None) is None:
            stream = StreamId(f"stream-{self.master.world.number()}")
            self.streams.append(stream)
            self.master.put(SubscribeReceived(stream, call))

    def say_anything(self) -> None:
        """What the hostile peers of the master's own tests say."""
        for event in self.hostile.events():
            if isinstance(event, ASKED):
                event = structs.replace(event, request=self.master.request())
            elif isinstance(event, LinkOpened | LinkReceived | LinkClosed):
                event = structs.replace(event, link=LinkId(event.link + 1_000_000))
            self.master.put(event)

    def agent_report(self) -> None:
        """A status of a task that the agent has."""
        agents = [one for one in self.state.agents.values() if one.link is not None and one.tasks]
        if not agents:
            return
        agent = self.draw.one(agents)
        framework_id, task_id = self.draw.one(list(agent.tasks))
        status = self.grammar(with_nan=True).message(
            mesos.TaskStatus,
            task_id=mesos.TaskID(task_id),
            agent_id=mesos.AgentID(agent.id),
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            timestamp=1.0,
            uuid=self.master.world.number().to_bytes(16, "big"),
        )
        found = agent.link
        assert found is not None
        self.master.put(LinkReceived(found, link.StatusUpdated(framework_id, status, status.state)))

    def agent_says_anything(self) -> None:
        """Any message of the link, of an agent that is known or of a new connection."""
        links: list[LinkId] = [*self.state.agent_by_link, LinkId(2_000_000)]
        grammar = self.grammar(with_nan=True)
        message = from_agent(self.draw, grammar, list(self.state.frameworks))
        self.master.put(LinkReceived(self.draw.one(links), message))

    def operator_call(self) -> None:
        """A call of the operator API, or one who watches."""
        if not self.draw.below(8):
            stream = StreamId(f"operator-{self.master.world.number()}")
            self.streams.append(stream)
            self.master.put(OperatorSubscribed(self.master.request(), stream))
            return
        kind = self.draw.one([k for k in master.Call.Type if k not in SHELL_CALLS])
        call = self.grammar().call(master.Call, kind.name, kind.value.lower())
        if operator_call_error(call) is None and kind is not master.Call.Type.SUBSCRIBE:
            self.master.put(OperatorCallReceived(self.master.request(), call))

    def ask(self) -> None:
        """A classic endpoint, with any query."""
        name = self.draw.one(sorted(PARSERS))
        words = ("framework_id", "task_id", "slave_id", "limit", "offset", "order", "timeout")
        texts = [*self._known(), "1", "-1", "asc", "5secs", "é", ""]
        query = {self.draw.one(words): self.draw.one(texts) for _ in range(self.draw.below(4))}
        try:
            question = question_of(name, query)
        except Refused:
            return
        if question is not None:
            self.master.put(Asked(self.master.request(), question))

    def wait(self) -> None:
        """Time passes."""
        self.master.wait(self.draw.one(PAUSES_MS))

    def leave(self) -> None:
        """A connection is gone."""
        links = list(self.state.agent_by_link)
        if links and self.draw.below(2):
            self.master.put(LinkClosed(self.draw.one(links)))
        else:
            self.master.put(StreamClosed(self.draw.one(self.streams)))

    def framework(self) -> Framework | None:
        """One that is known."""
        found = list(self.state.frameworks.values())
        return self.draw.one(found) if found else None

    def grammar(self, *, with_nan: bool = False) -> Grammar:
        """What can be said now."""
        state = self.state
        tasks = [task for one in state.frameworks.values() for task in one.tasks]
        ids: Ids = {
            mesos.FrameworkID: list(state.frameworks),
            mesos.AgentID: [*state.agents, *state.unreachable_agents],
            mesos.OfferID: list(state.offers),
            mesos.TaskID: [*tasks, "t1", "t2", "t3"],
            mesos.ExecutorID: ("e1", "e2"),
        }
        return Grammar(self.draw, ids, with_nan=with_nan)

    def _called(self, call: scheduler.Call, framework: Framework | None) -> None:
        error = call_error(call, None)
        if error is not None:
            assert error.strip()  # the shell answers it
            return
        subscription = framework.subscription if framework else None
        stream = subscription.stream if subscription else None
        self.master.put(CallReceived(self.master.request(), call, stream))

    def _task(self, agent_id: str, *, is_plain: bool) -> mesos.TaskInfo:
        number = self.master.world.number()
        kind = mesos.Value.Type.SCALAR
        resources = tuple(
            mesos.Resource(name=name, type=kind, scalar=mesos.Value.Scalar(value))
            for name, value in (("cpus", 0.1), ("mem", 32.0))
        )
        task = mesos.TaskInfo(
            name="t",
            task_id=mesos.TaskID(f"t{number}" if is_plain else "t1"),
            agent_id=mesos.AgentID(agent_id),
            resources=resources,
            command=mesos.CommandInfo(value="true"),
        )
        if is_plain:
            return task
        of_interest = ("name", "task_id", "agent_id", "resources", "command")
        given = {name: getattr(task, name) for name in of_interest}
        return self.grammar().message(mesos.TaskInfo, **given)

    def _known(self) -> list[str]:
        return [*self.state.frameworks, *self.state.agents, "t1"]


def from_agent(draw: Drawn, grammar: Grammar, framework_ids: Sequence[str]) -> link.FromAgent:
    """Any message that an agent can send."""
    framework_id = draw.one([*framework_ids, "nobody"])
    executor_id = draw.one(("e1", "e2", ""))
    match draw.below(8):
        case 0:
            return link.Hello(draw.one((link.PROTOCOL, 0, -1)), "1.0.0")
        case 1:
            info = grammar.message(mesos.AgentInfo)
            return link.Register(info, "1.0.0", draw.one(("127.0.0.1:5051", "", "h:²")))
        case 2:
            infos = [grammar.message(mesos.FrameworkInfo) for _ in range(draw.below(3))]
            executors = [grammar.message(mesos.ExecutorInfo) for _ in range(draw.below(3))]
            said = link.Reregister(
                info=grammar.message(mesos.AgentInfo),
                version="1.0.0",
                address="127.0.0.1:5051",
                frameworks=tuple(infos),
                executors=tuple(link.RunningExecutor(framework_id, one) for one in executors),
                tasks=tuple(grammar.message(mesos.Task) for _ in range(draw.below(3))),
            )
            return said if draw.below(2) else link.in_short(said)
        case 3:
            state = draw.one(list(mesos.TaskState))
            return link.StatusUpdated(framework_id, grammar.message(mesos.TaskStatus), state)
        case 4:
            return link.ExecutorMessage(framework_id, executor_id, b"\xff")
        case 5:
            return link.ExecutorExited(framework_id, executor_id, -1, bool(draw.below(2)))
        case 6:
            return link.Pong(draw.one((0, 1, 2, -1, 2**63 - 1)))
        case _:
            return link.Unregister()


def master_target(data: bytes) -> None:
    """Whatever schedulers, agents and operators say: no exception, and what must hold does."""
    Surroundings(data).play()
