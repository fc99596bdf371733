"""A cluster for retold cases: one master's core, agents that keep their tasks, schedulers.

    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework("PARTITION_AWARE")
    agent.run(owner, "t1")
    cluster.cut_off(agent)
    agent.comes_back()
    assert told(owner) == [...]

Agents answer pings, unless they are cut off, whenever time passes. A master that fails over leaves
behind what it saved, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from tepui.master.core.actions import Answer, Effects
from tepui.master.core.events import LinkClosed, LinkId
from tepui.master.core.recovery import recover
from tepui.master.core.registry import Registered, entry
from tepui.master.core.settings import Settings
from tepui.resources import parse_resources
from tepui.wire import link, master, mesos, scheduler
from tests.master.world import TASK_RESOURCES, FakeAgent, Scheduler, TaskState, World

Call = scheduler.Call
Reason = mesos.TaskStatus.Reason
Told = tuple[str, TaskState, Reason | None, str | None]

PING_MS = 15_000
SILENCE_MS = 6 * PING_MS  # five pings are missed, and the sixth would be next
TEN_MINUTES_MS = 600_000


class Cluster:
    """A master, and those around it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.world = World(settings=self.settings)
        self.nodes: list[Node] = []

    def agent(self, **described: object) -> Node:
        """An agent that is registered."""
        found = self.world.add_agent(**described)  # type: ignore[arg-type]  # as `add_agent` has them
        node = Node(self, found)
        self.nodes.append(node)
        return node

    def framework(self, *capabilities: str, failover_s: float = 1e6, name: str = "fw") -> Scheduler:
        """A framework whose scheduler is connected."""
        return self.world.subscribe(
            name=name, capabilities=("MULTI_ROLE", *capabilities), failover_s=failover_s
        )

    def subscribe_again(self, owner: Scheduler, **changes: object) -> Scheduler:
        """Another scheduler of the framework; also with a new master."""
        return self.world.subscribe(info=replace(owner.framework.info, **changes))

    def wait(self, by_ms: int) -> None:
        """Time passes; agents that can answer pings."""
        until_ms = self.world.now_ms + by_ms
        while self.world.now_ms < until_ms:
            self.world.advance(min(PING_MS, until_ms - self.world.now_ms))
            for node in self.nodes:
                node.listen()

    def cut_off(self, *nodes: Node) -> None:
        """The agents can not be heard until their master marks them unreachable."""
        for node in nodes:
            node.is_cut_off = True
        self.wait(SILENCE_MS)
        for node in nodes:
            assert node.id in self.world.state.unreachable_agents
            self.world.put(LinkClosed(node.link))

    def master_fails_over(self) -> None:
        """Another master begins with what the one before has saved; nobody is connected."""
        registry: dict[str, Registered | None] = {}
        for record in self.world.saved:
            key, value = entry(record)
            registry[key] = value
        kept = [value for value in registry.values() if value is not None]
        before, self.world = self.world, World(settings=self.settings)
        self.world.now_ms = before.now_ms
        self.world.saved += kept
        self.world.saved += recover(self.world.state, kept, before.now_ms).save
        for _ in range(before.number()):
            self.world.number()  # links and streams have other numbers than before
        for node in self.nodes:
            node.world = self.world

    def mark_gone(self, agent_id: str) -> tuple[int, str]:
        """What MARK_AGENT_GONE answers."""
        named = master.Call.MarkAgentGone(agent_id=mesos.AgentID(agent_id))
        return self.operate(master.Call.Type.MARK_AGENT_GONE, mark_agent_gone=named)

    def deactivate(self, agent_id: str) -> tuple[int, str]:
        """What DEACTIVATE_AGENT answers."""
        named = master.Call.DeactivateAgent(agent_id=mesos.AgentID(agent_id))
        return self.operate(master.Call.Type.DEACTIVATE_AGENT, deactivate_agent=named)

    def operate(self, kind: master.Call.Type, **fields: object) -> tuple[int, str]:
        """Status and text that an operator is answered."""
        answer = self.world.call(master.Call(type=kind, **fields))  # type: ignore[arg-type]  # of the kind
        assert isinstance(answer, Answer)
        return answer.status, answer.text

    def count(self, name: str) -> int:
        """How often it was counted."""
        return self.world.state.counters.events.get(name, 0)


class Node(FakeAgent):
    """An agent that keeps what it was given through every loss of its master."""

    def __init__(self, cluster: Cluster, found: FakeAgent) -> None:
        self.world, self.link, self.id = found.world, found.link, found.id
        self.info: mesos.AgentInfo = found.world.state.agents[found.id].info
        self.address = found.world.state.agents[found.id].address
        self.is_cut_off = False
        self.heard: list[link.FromMaster] = []
        self.frameworks: dict[str, mesos.FrameworkInfo] = {}
        self.tasks: dict[tuple[str, str], mesos.Task] = {}
        self.executors: list[link.RunningExecutor] = []

    def run(self, owner: Scheduler, *task_ids: str) -> None:
        """The tasks run, and their scheduler knows."""
        for task_id in task_ids:
            owner.launch(task_id, self)
            self.reports(owner, task_id, TaskState.TASK_RUNNING)
        owner.events()
        self.listen()

    def reports(
        self, owner: Scheduler, task_id: str, to: mesos.TaskState, *, acknowledged: bool = True
    ) -> mesos.TaskStatus:
        """The task is in another state, and the master is told."""
        status = self.update(owner, task_id, to, acknowledged=acknowledged)
        self.has(owner, task_id, to, status)
        return status

    def has(
        self,
        owner: Scheduler,
        task_id: str,
        state: mesos.TaskState,
        forwarded: mesos.TaskStatus | None = None,
    ) -> None:
        """The task is in this state, and the master was told so far."""
        self.frameworks[owner.framework_id] = owner.framework.info
        key = (owner.framework_id, task_id)
        role = owner.framework.info.roles[0]
        task = self.tasks.get(key) or mesos.Task(
            name=task_id,
            task_id=mesos.TaskID(task_id),
            framework_id=mesos.FrameworkID(owner.framework_id),
            agent_id=mesos.AgentID(self.id),
            state=state,
            resources=parse_resources(TASK_RESOURCES).to_wire(role=role, refinement=True),
        )
        task = replace(task, state=state)
        if forwarded is not None:
            task = replace(
                task,
                statuses=(*task.statuses, forwarded),
                status_update_state=forwarded.state,
                status_update_uuid=forwarded.uuid,
            )
        self.tasks[key] = task

    def forgets(self, owner: Scheduler, task_id: str) -> None:
        """The task has ended there, and all is acknowledged."""
        del self.tasks[(owner.framework_id, task_id)]

    def disconnects(self) -> None:
        """Its connection is gone, and it does not connect again by itself."""
        self.is_cut_off = True
        self.disconnect()

    def comes_back(self, info: mesos.AgentInfo | None = None) -> Effects:
        """It connects and says all that it has."""
        self.info = info or self.info
        self.is_cut_off = False
        self.link = LinkId(self.world.number())
        return self.say(
            link.Reregister(
                info=self.info,
                version="1.0.0",
                address=self.address,
                frameworks=tuple(self.frameworks.values()),
                executors=tuple(self.executors),
                tasks=tuple(self.tasks.values()),
            )
        )

    def listen(self) -> list[link.FromMaster]:
        """What it is sent beside pings, which it answers; nothing while it is cut off."""
        if self.is_cut_off:
            return []
        found = self.told()
        for message in found:
            if isinstance(message, link.Ping):
                self.say(link.Pong(message.sequence))
        news: list[link.FromMaster] = [one for one in found if not isinstance(one, link.Ping)]
        self.heard += news
        return news


def told(owner: Scheduler) -> list[Told]:
    """Task, state, reason and message of the updates since the last time."""
    return short(updates_of(owner.events()))


def short(statuses: Sequence[mesos.TaskStatus]) -> list[Told]:
    """Task, state, reason and message of each."""
    return [(one.task_id.value, one.state, one.reason, one.message) for one in statuses]


def updates_of(events: Sequence[scheduler.Event]) -> list[mesos.TaskStatus]:
    """The statuses among events."""
    return [event.update.status for event in events if event.update is not None]


def reconcile(owner: Scheduler, *task_ids: str, agent: str | None = None) -> list[Told]:
    """What the scheduler is told of these tasks; of all when none is named."""
    return short(answers(owner, *task_ids, agent=agent))


def answers(owner: Scheduler, *task_ids: str, agent: str | None = None) -> list[mesos.TaskStatus]:
    """The same, as whole statuses."""
    owner.events()
    agent_id = None if agent is None else mesos.AgentID(agent)
    tasks = tuple(
        Call.Reconcile.Task(task_id=mesos.TaskID(one), agent_id=agent_id) for one in task_ids
    )
    owner.call(Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=tasks))
    return updates_of(owner.events())


def kill(owner: Scheduler, task_id: str, agent: str | None = None) -> list[Told]:
    """What the scheduler is told at once."""
    owner.events()
    agent_id = None if agent is None else mesos.AgentID(agent)
    owner.call(Call.Type.KILL, kill=Call.Kill(task_id=mesos.TaskID(task_id), agent_id=agent_id))
    return told(owner)


def acknowledge(owner: Scheduler, agent: Node, status: mesos.TaskStatus) -> None:
    """The scheduler has the update."""
    assert status.uuid is not None
    owner.call(
        Call.Type.ACKNOWLEDGE,
        acknowledge=Call.Acknowledge(
            agent_id=mesos.AgentID(agent.id), task_id=status.task_id, uuid=status.uuid
        ),
    )


def failures(events: Sequence[scheduler.Event]) -> list[str]:
    """The agents that the events say have failed."""
    failed = [event.failure for event in events if event.failure is not None]
    return [one.agent_id.value for one in failed if one.agent_id is not None]


def reconciled(task_id: str, state: mesos.TaskState, message: str) -> Told:
    """An answer to RECONCILE."""
    return task_id, state, Reason.REASON_RECONCILIATION, f"Reconciliation: {message}"


def lost(task_id: str, state: mesos.TaskState) -> Told:
    """What is said of a task when its agent becomes unreachable."""
    return task_id, state, Reason.REASON_AGENT_REMOVED, "health check timed out"


def found(task_id: str, state: mesos.TaskState = TaskState.TASK_RUNNING) -> Told:
    """What is said of a task when its unreachable agent is back."""
    text = "Unreachable agent re-reregistered"
    return task_id, state, Reason.REASON_AGENT_REREGISTERED, text


def unknown_found(task_id: str, state: mesos.TaskState = TaskState.TASK_RUNNING) -> Told:
    """The same of an agent that its master had forgotten."""
    return task_id, state, Reason.REASON_AGENT_REREGISTERED, "Unknown agent reregistered"


def names(owner: Scheduler) -> tuple[list[str], list[str], list[str]]:
    """The framework's tasks: those in sight, those out of sight, and those that have ended."""
    framework = owner.framework
    completed: list[str] = [task.id for task in framework.completed_tasks]
    return list(framework.tasks), list(framework.unreachable_tasks), completed
