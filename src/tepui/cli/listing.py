"""Rows of the lists: what of the API's messages a person wants to see at a glance."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tepui.resources import Resources
from tepui.resources.scalars import from_milli
from tepui.resources.text import format_value
from tepui.wire import master, mesos

Agent = master.Response.GetAgents.Agent
Framework = master.Response.GetFrameworks.Framework
ACTIVE_STATES = frozenset(("STAGING", "STARTING", "RUNNING", "KILLING", "UNREACHABLE"))
SPANS = (("d", 86_400), ("h", 3_600), ("m", 60))


class TaskRow(Struct, frozen=True, kw_only=True):
    """One task."""

    id: str
    state: str
    framework: str
    framework_id: str
    node: str
    agent_id: str
    cpus: float
    mem_mib: float
    since: float | None  # seconds since the epoch
    message: str


class NodeRow(Struct, frozen=True, kw_only=True):
    """One machine; amounts are of what tasks have, and of all there is."""

    id: str
    hostname: str
    address: str
    state: str
    tasks: int
    cpus_used: float
    cpus: float
    mem_used_mib: float
    mem_mib: float
    attributes: str
    since: float | None


class FrameworkRow(Struct, frozen=True, kw_only=True):
    """One framework."""

    id: str
    name: str
    state: str
    roles: str
    user: str
    tasks: int
    cpus: float
    mem_mib: float
    since: float | None


class Cluster(Struct, frozen=True):
    """All that the lists are made of, of one moment."""

    agents: tuple[Agent, ...]
    frameworks: tuple[Framework, ...]
    completed_frameworks: tuple[Framework, ...]
    tasks: tuple[mesos.Task, ...]  # that may run
    completed_tasks: tuple[mesos.Task, ...]

    @staticmethod
    def of(state: master.Response.GetState) -> Cluster:
        """The parts of the answer; a part that is missing is empty."""
        agents = state.get_agents or master.Response.GetAgents()
        frameworks = state.get_frameworks or master.Response.GetFrameworks()
        tasks = state.get_tasks or master.Response.GetTasks()
        return Cluster(
            agents.agents,
            frameworks.frameworks,
            frameworks.completed_frameworks,
            (*tasks.pending_tasks, *tasks.tasks, *tasks.unreachable_tasks, *tasks.orphan_tasks),
            tasks.completed_tasks,
        )

    def all_tasks(self) -> tuple[mesos.Task, ...]:
        """Those that may run, and those that have ended."""
        return (*self.tasks, *self.completed_tasks)

    def all_frameworks(self) -> tuple[Framework, ...]:
        """Those that are there, and those that have ended."""
        return (*self.frameworks, *self.completed_frameworks)


def task_rows(cluster: Cluster, tasks: Iterable[mesos.Task]) -> list[TaskRow]:
    """A row for each task: those that run first, then the latest."""
    hostnames = {_id(agent): agent.agent_info.hostname for agent in cluster.agents}
    names = {
        framework.framework_info.id.value: framework.framework_info.name
        for framework in cluster.all_frameworks()
        if framework.framework_info.id
    }
    rows = [_task_row(task, hostnames, names) for task in tasks]
    return sorted(rows, key=lambda row: (row.state not in ACTIVE_STATES, -(row.since or 0)))


def node_rows(cluster: Cluster) -> list[NodeRow]:
    """A row for each machine, by name."""
    counts: dict[str, int] = {}
    for task in cluster.tasks:
        counts[task.agent_id.value] = counts.get(task.agent_id.value, 0) + 1
    rows = [_node_row(agent, counts.get(_id(agent), 0)) for agent in cluster.agents]
    return sorted(rows, key=lambda row: (row.hostname, row.address))


def framework_rows(
    cluster: Cluster, frameworks: Sequence[Framework], *, ended: bool
) -> list[FrameworkRow]:
    """A row for each framework."""
    counts: dict[str, int] = {}
    for task in cluster.completed_tasks if ended else cluster.tasks:
        counts[task.framework_id.value] = counts.get(task.framework_id.value, 0) + 1
    return [_framework_row(framework, counts, ended=ended) for framework in frameworks]


def address_of(agent: Agent) -> str:
    """host:port of the agent; its pid is `slave(1)@host:port`."""
    if agent.pid and "@" in agent.pid:
        return agent.pid.partition("@")[2]
    return f"{agent.agent_info.hostname}:{agent.agent_info.port}"


def age(since: float | None) -> str:
    """How long ago, in the largest unit: `5m`."""
    if since is None:
        return ""
    seconds = max(0, int(time.time() - since))
    for unit, size in SPANS:
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def mib(amount: float) -> str:
    """MiB in a unit that is read easily."""
    return f"{amount / 1024:.1f}G" if amount >= 1024 else f"{amount:g}M"


def text_of_resources(wire: Iterable[mesos.Resource]) -> str:
    """`cpus:1; mem:32`, or nothing."""
    resources = Resources.of(wire)
    return str(resources) if resources else ""


def text_of_attributes(attributes: Iterable[mesos.Attribute]) -> str:
    """`rack:r1 ssd:yes`."""
    return " ".join(
        f"{one.name}:{one.text.value if one.text else format_value(one)}" for one in attributes
    )


def _task_row(task: mesos.Task, hostnames: dict[str, str], names: dict[str, str]) -> TaskRow:
    last = task.statuses[-1] if task.statuses else None
    amounts = Resources.of(task.resources)
    agent_id = task.agent_id.value
    return TaskRow(
        id=task.task_id.value,
        state=task.state.value.removeprefix("TASK_"),
        framework=names.get(task.framework_id.value, ""),
        framework_id=task.framework_id.value,
        node=hostnames.get(agent_id, ""),
        agent_id=agent_id,
        cpus=from_milli(amounts.scalar("cpus")),
        mem_mib=from_milli(amounts.scalar("mem")),
        since=last.timestamp if last else None,
        message=" ".join((last.message or "").split()) if last else "",
    )


def _node_row(agent: Agent, tasks: int) -> NodeRow:
    total = Resources.of(agent.total_resources)
    used = Resources.of(agent.allocated_resources)
    if agent.drain_info is not None:
        state = "draining"
    elif agent.deactivated:
        state = "deactivated"
    else:
        state = "active" if agent.active else "disconnected"
    return NodeRow(
        id=_id(agent),
        hostname=agent.agent_info.hostname,
        address=address_of(agent),
        state=state,
        tasks=tasks,
        cpus_used=from_milli(used.scalar("cpus")),
        cpus=from_milli(total.scalar("cpus")),
        mem_used_mib=from_milli(used.scalar("mem")),
        mem_mib=from_milli(total.scalar("mem")),
        attributes=text_of_attributes(agent.agent_info.attributes),
        since=seconds_of(agent.reregistered_time or agent.registered_time),
    )


def _framework_row(framework: Framework, counts: dict[str, int], *, ended: bool) -> FrameworkRow:
    info = framework.framework_info
    framework_id = info.id.value if info.id else ""
    used = Resources.of(framework.allocated_resources)
    if ended:
        state = "ended"
    elif not framework.connected:
        state = "disconnected"
    else:
        state = "active" if framework.active else "inactive"
    return FrameworkRow(
        id=framework_id,
        name=info.name,
        state=state,
        roles=",".join(info.roles or (info.role or "*",)),
        user=info.user,
        tasks=counts.get(framework_id, 0),
        cpus=from_milli(used.scalar("cpus")),
        mem_mib=from_milli(used.scalar("mem")),
        since=seconds_of(framework.unregistered_time if ended else framework.registered_time),
    )


def seconds_of(moment: mesos.TimeInfo | None) -> float | None:
    """Seconds since the epoch."""
    return moment.nanoseconds / 1e9 if moment else None


def _id(agent: Agent) -> str:
    return agent.agent_info.id.value if agent.agent_info.id else ""
