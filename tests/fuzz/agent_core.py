"""One agent core, its master, executors and containers as the input says: it stays sound."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tepui.agent.core import events
from tepui.agent.core.actions import (
    AcceptExecutor,
    Action,
    AnswerClassic,
    AnswerExecutor,
    AnswerOperator,
    CloseExecutor,
    CloseLink,
    DestroyContainer,
    EndAgent,
    LaunchContainer,
    PrepareSandbox,
    ProvisionContainer,
    RunCheck,
    SendToExecutor,
    SendToMaster,
    SignalContainer,
)
from tepui.agent.core.validation import executor_call_error
from tepui.agent.daemon.operator_api import VIEWS
from tepui.wire import executor, json, link, mesos, protobuf
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    Agent,
    executor_info,
    run_tasks,
    task_info,
)
from tests.fuzz.drawing import Drawn
from tests.fuzz.grammar import Grammar, Ids

T = TypeVar("T")

STEPS_MAX = 80
PAUSES_MS = (1, 1_000, 5_000, 60_000, 1_000_000)
STATUSES = (0, 256, 9, 15, 127 << 8, -1, 2**31 - 1)
Call = executor.Call


class AgentUnderTest:
    """A registered agent; what it decides is carried out by a shell that keeps its word."""

    def __init__(self) -> None:
        self.agent = Agent()
        self.sandboxes: list[str] = []
        self.provisioning: list[str] = []
        self.launching: list[str] = []
        self.running: list[str] = []
        self.checks: list[int] = []
        self.connections: list[int] = []
        self.waiting: set[int] = set()  # requests that must be answered
        self.is_over = False
        self._last = 0

    def put(self, *batch: events.Event) -> None:
        """The events happen; then what the agent wants is done."""
        if not self.is_over:
            self._carry_out(self.agent.put(*batch))

    def hear(self, *messages: link.FromMaster) -> None:
        """The master says this, if there is a link."""
        if self.agent.state.linked:
            self.put(*(events.MasterSpoke(message) for message in messages))

    def wait(self, ms: int) -> None:
        """Time passes."""
        if not self.is_over:
            self._carry_out(self.agent.advance(ms))

    def number(self) -> int:
        """One that was not there before."""
        self._last += 1
        return self._last

    def _carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case PrepareSandbox(container_id=name):
                    self.sandboxes.append(name)
                case ProvisionContainer(container_id=name):
                    self.provisioning.append(name)
                case LaunchContainer(container_id=name):
                    self.launching.append(name)
                case SignalContainer(container_id=name):
                    assert name in self.running
                case DestroyContainer():
                    pass  # it ends when the input says so
                case RunCheck(check_id=number):
                    self.checks.append(number)
                case AcceptExecutor(connection=connection):
                    self.connections.append(connection)
                    self.waiting.discard(connection)
                case CloseExecutor(connection=connection):
                    if connection in self.connections:
                        self.connections.remove(connection)
                case SendToMaster(message=message):
                    (again,) = link.LinkReader().from_agent(link.frame(message))
                    assert again == message
                case CloseLink():
                    self.agent.put(events.LinkLost())
                case EndAgent():
                    self.is_over = True
                case _:
                    self._look_at(action)

    def _look_at(self, action: Action) -> None:
        """What the shell sends must not fail either."""
        match action:
            case SendToExecutor(event=event):
                json.encode(event)
                protobuf.encode(event)
            case AnswerExecutor(request=request, status=status, text=text):
                assert status in (202, 400, 403, 404, 501, 503), action
                assert (status == 202) == (text == ""), action
                self.waiting.remove(request)
            case AnswerClassic(request=request, body=body):
                msgspec.json.encode(body)
                self.waiting.remove(request)
            case AnswerOperator(request=request, response=response):
                json.encode(response)
                protobuf.encode(response)
                self.waiting.remove(request)
            case _:
                pass


class Surroundings:
    """A master, executors, containers and operators that do what the bytes say."""

    def __init__(self, data: bytes) -> None:
        self.draw = Drawn(data)
        self.here = AgentUnderTest()
        self.state = self.here.agent.state

    def play(self) -> None:
        """Until the bytes are spent."""
        doing = (
            self.launch,
            self.master_says_anything,
            self.sandbox,
            self.sandbox,
            self.start,
            self.start,
            self.exit,
            self.executor_subscribes,
            self.executor_calls,
            self.executor_calls,
            self.acknowledge,
            self.check,
            self.ask,
            self.link_breaks,
            self.wait,
        )
        for _ in range(STEPS_MAX):
            if self.draw.is_spent:
                break
            self.draw.one(doing)()
            if self.here.is_over:
                break
            assert not self.here.waiting, "a request was not answered"

    def launch(self) -> None:
        """A task that can run, with anything in it."""
        name = f"t{self.here.number()}"
        if self.draw.below(3) == 0:
            info = executor_info(self.draw.one(("ex", "ey")))
            self.here.hear(run_tasks(task_info(name, executor_info=info)))
            return
        checked = self.grammar().message(mesos.HealthCheck)
        task = self.grammar().message(
            mesos.TaskInfo,
            name=name,
            task_id=mesos.TaskID(name),
            agent_id=mesos.AgentID("A"),
            command=mesos.CommandInfo(value="true"),
            health_check=checked if self.draw.below(2) else None,
            executor=None,
        )
        self.here.hear(run_tasks(task))

    def master_says_anything(self) -> None:
        """Any message that a master can send."""
        self.here.hear(self._from_master())

    def sandbox(self) -> None:
        """A sandbox is ready, or cannot be made."""
        name = self._taken(self.here.sandboxes)
        if name is None:
            return
        match self.draw.below(5):
            case 0:
                stage = self.draw.one(list(events.SandboxStage))
                self.here.put(events.SandboxFailed(name, stage, "no"))
            case _:
                self.here.put(events.SandboxPrepared(name))

    def start(self) -> None:
        """A container is provisioned or runs, or could not be."""
        wanted = self._taken(self.here.provisioning)
        if wanted is not None:
            said = (events.ContainerProvisioned(wanted), events.LaunchFailed(wanted, "no"))
            self.here.put(events.ContainerProgressed(wanted, "soon"), self.draw.one(said))
        name = self._taken(self.here.launching)
        if name is None:
            return
        if self.draw.below(5):
            self.here.running.append(name)
            self.here.put(events.ContainerStarted(name, 100 + self.here.number()))
        else:
            self.here.put(events.LaunchFailed(name, "no"))

    def exit(self) -> None:
        """A container is gone."""
        name = self._taken(self.here.running)
        if name is not None:
            text = self.draw.one((None, None, "Memory limit exceeded"))
            self.here.put(events.ContainerExited(name, self.draw.one(STATUSES), text))

    def executor_subscribes(self) -> None:
        """One that runs, or one that nobody knows."""
        subscribe = self.grammar().message(Call.Subscribe)
        call = self._executor_call("SUBSCRIBE", subscribe=subscribe)
        connection = self.here.number()
        self.here.waiting.add(connection)
        self.here.put(events.ExecutorSubscribed(connection, call))

    def executor_calls(self) -> None:
        """Another call; or an executor leaves."""
        if self.here.connections and not self.draw.below(6):
            connection = self._taken(self.here.connections)
            assert connection is not None
            self.here.put(events.ExecutorLeft(connection))
            return
        kind = self.draw.one([k for k in Call.Type if k is not Call.Type.SUBSCRIBE])
        call = self._executor_call(kind.name)
        if executor_call_error(call) is None:
            request = self.here.number()
            self.here.waiting.add(request)
            self.here.put(events.ExecutorCalled(request, call))

    def acknowledge(self) -> None:
        """The scheduler has an update that waits."""
        waiting = [
            (framework.id, task)
            for framework in self.state.frameworks.values()
            for task in framework.tasks.values()
            if task.pending
        ]
        if waiting:
            framework_id, task = self.draw.one(waiting)
            uuid = self.draw.one(list(task.pending)[:2]).uuid or b""
            self.here.hear(link.AcknowledgeUpdate(framework_id, task.id, uuid))

    def check(self) -> None:
        """A check has come to an end."""
        number = self._taken(self.here.checks)
        if number is None:
            return
        outcomes: tuple[events.Outcome, ...] = (
            events.CommandExited(self.draw.one(STATUSES)),
            events.HttpAnswered(self.draw.one((200, 404, 0, -1))),
            events.TcpTried(bool(self.draw.below(2))),
            events.CheckFailed("it timed out"),
        )
        kinds = {"CommandProbe": (0, 3), "HttpProbe": (1, 3), "TcpProbe": (2, 3)}
        among = [outcomes[at] for at in self.draw.one(list(kinds.values()))]
        self.here.put(events.CheckFinished(number, self.draw.one(among)))

    def ask(self) -> None:
        """An operator looks."""
        request = self.here.number()
        self.here.waiting.add(request)
        if self.draw.below(2):
            view = self.draw.one(list(events.Classic))
            self.here.put(events.ClassicAsked(request, view, {}, {}))
        else:
            call = self.draw.one(sorted(VIEWS))
            self.here.put(events.OperatorCalled(request, call, {}, {}))

    def link_breaks(self) -> None:
        """And is there again, or not yet."""
        if self.state.linked:
            self.here.put(events.LinkLost())
        else:
            self.here.put(events.LinkOpened())
            self.here.hear(link.Registered("A", PING_TIMEOUT_MS))

    def wait(self) -> None:
        """Time passes."""
        self.here.wait(self.draw.one(PAUSES_MS))

    def grammar(self) -> Grammar:
        """What can be said now."""
        frameworks = self.state.frameworks.values()
        executors = [one for framework in frameworks for one in framework.executors]
        tasks = [task for framework in frameworks for task in framework.tasks]
        ids: Ids = {
            mesos.FrameworkID: ["F", "F", "G"],
            mesos.AgentID: ["A"],
            mesos.ExecutorID: [*executors, "ex"],
            mesos.TaskID: [*tasks, "t1", "t2"],
            mesos.ContainerID: [*self.state.containers, "c"],
        }
        return Grammar(self.draw, ids)

    def _executor_call(self, kind: str, **given: object) -> Call:
        found = [
            (one.framework_id, one.id)
            for one in self.state.containers.values()
            if not one.built_in and one.container_id in self.here.running
        ]
        framework_id, executor_id = self.draw.one(found) if found else ("F", "ex")
        return self.grammar().call(
            Call,
            kind,
            kind.lower(),
            framework_id=mesos.FrameworkID(framework_id),
            executor_id=mesos.ExecutorID(executor_id),
            **given,
        )

    def _taken(self, waiting: list[T]) -> T | None:
        return waiting.pop(self.draw.below(len(waiting))) if waiting else None

    def _from_master(self) -> link.FromMaster:
        draw, grammar = self.draw, self.grammar()
        framework_id = draw.one(("F", "F", "G", ""))
        executors = [one.id for one in self.state.containers.values()]
        executor_id = draw.one([*executors, "ex", ""])
        tasks = [task for one in self.state.frameworks.values() for task in one.tasks]
        task_id = draw.one([*tasks, "t1", ""])
        framework = grammar.message(mesos.FrameworkInfo, id=mesos.FrameworkID(draw.one(("F", "G"))))
        match draw.below(12):
            case 0:
                return link.Hello(1, "1")
            case 1:
                return link.Registered(draw.one(("A", "A", "B", "")), draw.one((75_000, 0, -1)))
            case 2 | 3:
                return self._run_tasks(framework)
            case 4:
                policy = grammar.message(mesos.KillPolicy) if draw.below(2) else None
                return link.KillTask(framework_id, task_id, policy)
            case 5:
                return link.ShutdownExecutor(framework_id, executor_id)
            case 6:
                return link.SchedulerMessage(framework_id, executor_id, b"\xff")
            case 7:
                return link.AcknowledgeUpdate(framework_id, task_id, b"x" * 16)
            case 8:
                return link.UpdateFramework(framework)
            case 9:
                return link.ShutdownFramework(framework_id)
            case 10:
                return link.Ping(draw.one((0, 1, -1, 2**63 - 1)))
            case _:
                return link.Shutdown("the input says so") if not draw.below(4) else link.Ping(1)

    def _run_tasks(self, framework: mesos.FrameworkInfo) -> link.RunTasks:
        draw, grammar = self.draw, self.grammar()
        executor_of_tasks = grammar.message(mesos.ExecutorInfo) if draw.below(2) else None
        tasks = tuple(
            grammar.message(mesos.TaskInfo, command=mesos.CommandInfo(value="true"))
            for _ in range(draw.below(4))
        )
        group = bool(draw.below(2))
        return link.RunTasks(draw.one((FRAMEWORK, framework)), executor_of_tasks, tasks, group, "*")


def agent_target(data: bytes) -> None:
    """Whatever the master, executors and containers do: no exception, and what must hold does."""
    Surroundings(data).play()
