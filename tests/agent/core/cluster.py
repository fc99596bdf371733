"""An agent's core under test: its state, and short ways to say what happens to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec.msgpack import decode, encode
from msgspec.structs import replace

from tepui.agent.core import events
from tepui.agent.core.actions import Action, Note, SendToExecutor, SendToMaster
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import Event
from tepui.agent.core.invariants import check
from tepui.agent.core.recovery import Leftovers, recover
from tepui.agent.core.saved import Save, Saved, whole
from tepui.agent.core.state import Settings, State
from tepui.agent.core.step import step
from tepui.base.ids import Uuids
from tepui.resources import parse_attributes, parse_resources
from tepui.wire import executor, link, mesos
from tests.wire.at_length import in_full

A = TypeVar("A", bound=Action)

NOTHING = Leftovers()

SETTINGS = Settings(
    ip="127.0.0.1", port=5051, hostname="host", work_dir="/work_dir", version="1.12.0"
)
FRAMEWORK = mesos.FrameworkInfo(user="root", name="f", id=mesos.FrameworkID("F"), checkpoint=True)
PING_TIMEOUT_MS = 75_000


class Agent:
    """Steps a core and keeps what it decided; the clock stands still unless told."""

    def __init__(self, settings: Settings = SETTINGS, *, registered: bool = True) -> None:
        resources = parse_resources("cpus:4;mem:4096;disk:1000;ports:[31000-32000]")
        self.state = State(
            settings=settings,
            info=mesos.AgentInfo(
                hostname="host",
                resources=resources.to_wire(role=None, refinement=True),
                attributes=parse_attributes("rack:r1"),
            ),
            uuids=Uuids(b"seed"),
            started_ms=0,
        )
        self.now_ms = 1_000_000
        self.disk: dict[str, Saved] = {}
        if registered:
            self.put(events.LinkOpened())
            self.hear(link.Registered("A", PING_TIMEOUT_MS))

    def put(self, *batch: Event) -> list[Action]:
        """What the events lead to."""
        return self._done(step(self.state, batch, self.now_ms))

    def hear(self, *messages: link.FromMaster) -> list[Action]:
        """What the master's messages lead to."""
        return self.put(*(events.MasterSpoke(message) for message in messages))

    def advance(self, ms: int) -> list[Action]:
        """What happens in that time; each timer at its own."""
        until_ms = self.now_ms + ms
        done: list[Action] = []
        while (due_ms := self.state.timers.next_ms()) is not None and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            done += self._done(step(self.state, (), self.now_ms))
        self.now_ms = until_ms
        return done

    def _done(self, effects: Effects) -> list[Action]:
        check(self.state)
        for record in effects.save:
            assert isinstance(record, Save)
            if record.saved is None:
                self.disk.pop(record.key, None)
            else:
                self.disk[record.key] = decode(encode(record.saved), type=Saved)
        assert self.disk == whole(self.state)
        return effects.then

    def restart(self, left: Leftovers = NOTHING) -> list[Action]:
        """The agent is killed, and another begins with what it has saved and with `left`."""
        before = self.state
        self.state = State(
            settings=before.settings,
            info=replace(before.info, id=None),
            uuids=Uuids(before.uuids.next_bytes()),
            started_ms=self.now_ms,
        )
        return self._done(recover(self.state, replace(left, saved=dict(self.disk)), self.now_ms))

    # Short cuts

    def run(self, task: mesos.TaskInfo, *, framework: mesos.FrameworkInfo = FRAMEWORK) -> str:
        """A command task is running; its container."""
        self.hear(run_tasks(task, framework=framework))
        assert framework.id is not None
        container = self.container(task.task_id.value, framework.id.value)
        self.put(events.SandboxPrepared(container))
        self.put(events.ContainerStarted(container, 4711))
        return container

    def container(self, executor_id: str, framework_id: str = "F") -> str:
        return self.state.frameworks[framework_id].executors[executor_id].container_id

    def acknowledge(self, sent: Iterable[Action], framework_id: str = "F") -> list[Action]:
        """The scheduler acknowledges the updates among the actions, in order."""
        done: list[Action] = []
        for status in statuses(sent):
            assert status.uuid is not None
            message = link.AcknowledgeUpdate(framework_id, status.task_id.value, status.uuid)
            done += self.hear(message)
        return done

    def acknowledge_all(self, sent: Iterable[Action]) -> list[mesos.TaskStatus]:
        """All updates that come, each acknowledged."""
        came: list[mesos.TaskStatus] = []
        todo = list(sent)
        while new := statuses(todo):
            came += new
            todo = self.acknowledge(todo)
        return came


def task_info(
    task_id: str = "t",
    command: mesos.CommandInfo | None = None,
    *,
    executor_info: mesos.ExecutorInfo | None = None,
    health_check: mesos.HealthCheck | None = None,
    check_info: mesos.CheckInfo | None = None,
    kill_policy: mesos.KillPolicy | None = None,
    max_completion_ms: int | None = None,
    limits: dict[str, mesos.Value.Scalar] | None = None,
) -> mesos.TaskInfo:
    if command is None and executor_info is None:
        command = mesos.CommandInfo(value="sleep 1000")
    return mesos.TaskInfo(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=mesos.AgentID("A"),
        resources=parse_resources("cpus:0.5;mem:32").to_wire(role="*", refinement=True),
        command=command,
        executor=executor_info,
        health_check=health_check,
        check=check_info,
        kill_policy=kill_policy,
        limits=limits or {},
        max_completion_time=None if max_completion_ms is None else duration(max_completion_ms),
    )


def executor_info(executor_id: str = "ex") -> mesos.ExecutorInfo:
    return mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.CUSTOM,
        executor_id=mesos.ExecutorID(executor_id),
        command=mesos.CommandInfo(value="run-executor"),
        resources=parse_resources("cpus:0.1;mem:32").to_wire(role="*", refinement=True),
    )


def duration(ms: int) -> mesos.DurationInfo:
    return mesos.DurationInfo(nanoseconds=ms * 1_000_000)


def run_tasks(
    *tasks: mesos.TaskInfo,
    framework: mesos.FrameworkInfo = FRAMEWORK,
    group: bool = False,
) -> link.RunTasks:
    return link.RunTasks(framework, tasks[0].executor, tasks, group, "*")


def messages(actions: Iterable[Action]) -> list[link.FromAgent]:
    """What the master is told; of an agent that is back, at length."""
    sent = [action.message for action in actions if isinstance(action, SendToMaster)]
    return [in_full(one) if isinstance(one, link.Return) else one for one in sent]


def statuses(actions: Iterable[Action]) -> list[mesos.TaskStatus]:
    return [one.status for one in messages(actions) if isinstance(one, link.StatusUpdated)]


def states(found: Iterable[mesos.TaskStatus]) -> list[str]:
    return [status.state.name for status in found]


def executor_events(actions: Iterable[Action]) -> list[executor.Event]:
    return [action.event for action in actions if isinstance(action, SendToExecutor)]


def only(actions: Iterable[Action], kind: type[A]) -> A:
    found = [action for action in actions if isinstance(action, kind)]
    assert len(found) == 1, found
    return found[0]


def without_notes(actions: Iterable[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Note)]
