"""What a replayed state looks like at a glance, and what differs between two moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct, field

from tepui.base.errors import Refused
from tepui.base.names import AgentId
from tepui.master.core.actions import Effects
from tepui.master.core.events import LinkClosed, LinkReceived
from tepui.master.core.state import Agent, Executor, Framework, State, Task
from tepui.master.core.views.questions import PARSERS, question_of
from tepui.master.core.views.reading import render
from tepui.resources import Resources
from tepui.resources.scalars import from_milli
from tepui.sim.replay.files import Recorded
from tepui.sim.replay.replay import Watcher
from tepui.wire import master, mesos
from tepui.wire.link import Reregister, Return
from tepui.wire.pieces import made
from tepui.wire.states import TERMINAL_STATES

TaskState = mesos.TaskState
T = TypeVar("T")


class AgentRow(Struct, frozen=True, kw_only=True):
    """One agent; amounts are of what tasks and executors have, and of all there is."""

    id: str
    hostname: str
    address: str
    state: str
    tasks: int
    offers: int
    cpus_used: float
    cpus: float
    mem_used_mib: float
    mem_mib: float


class FrameworkRow(Struct, frozen=True, kw_only=True):
    """One framework."""

    id: str
    name: str
    state: str
    roles: tuple[str, ...]
    tasks: dict[str, int]  # by state; of those that have not ended, and not been acknowledged
    offers: int
    cpus: float
    mem_mib: float


class Overview(Struct, frozen=True, kw_only=True):
    """A master at a moment."""

    at: str
    master: str  # its id
    agents: list[AgentRow]
    agents_expected: int  # known from the registry, not back yet
    agents_unreachable: int
    frameworks: list[FrameworkRow]
    offers: int
    weights: dict[str, float]
    flags: dict[str, str]


class FrameworkChange(Struct, frozen=True, kw_only=True):
    """What became of a framework and its tasks."""

    id: str
    name: str
    change: str  # came, went, or both; nothing when it stayed
    launched: int
    ended: dict[str, int]  # by state
    tasks: tuple[int, int]  # before and after
    offers: tuple[int, int]


class AgentChange(Struct, frozen=True, kw_only=True):
    """What became of an agent."""

    id: str
    hostname: str
    change: str


class Difference(Struct, frozen=True, kw_only=True):
    """From one moment to another."""

    begins: str
    ends: str
    masters: tuple[str, ...]  # in between, too, if it was a journal of several
    agents: list[AgentChange]
    frameworks: list[FrameworkChange]
    offers: tuple[int, int]
    weights: dict[str, tuple[float | None, float | None]]
    flags: dict[str, tuple[str | None, str | None]]


def overview(state: State, at: str) -> Overview:
    """The state at a glance."""
    return Overview(
        at=at,
        master=state.info.id,
        agents=[_agent_row(agent) for agent in state.agents.values()],
        agents_expected=len(state.recovered_agents),
        agents_unreachable=len(state.unreachable_agents),
        frameworks=[_framework_row(state, each) for each in state.frameworks.values()],
        offers=len(state.offers),
        weights={str(role): weight for role, weight in state.weights.items()},
        flags=dict(state.flags),
    )


def difference(before: Overview, after: Overview, ledger: Ledger) -> Difference:
    """What is otherwise; `ledger` has watched all that was in between."""
    return Difference(
        begins=before.at,
        ends=after.at,
        masters=(before.master, *ledger.masters_between(before.master, after.master), after.master),
        agents=_agent_changes(before, after, ledger),
        frameworks=_framework_changes(before, after, ledger),
        offers=(before.offers, after.offers),
        weights=_changed(before.weights, after.weights),
        flags=_changed(before.flags, after.flags),
    )


def view(state: State, path: str, at_ms: int) -> bytes:
    """What GET of the path was answered; raises Refused when nothing was there."""
    asked = urlsplit(path)
    name = asked.path.strip("/").removeprefix("master/")
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    if name.startswith("slaves/"):
        name, query["slave_id"] = "slaves", name.removeprefix("slaves/")
    question = question_of(name, query)
    if question is None:
        raise Refused(f"GET '{path}': expected one of {', '.join(f'/{each}' for each in PARSERS)}")
    return b"".join(made(render(state, question, at_ms)))


class Tally(Struct):
    """What was counted of one framework."""

    name: str = ""
    launched: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    changes: list[str] = field(default_factory=list)


class Ledger(Watcher):
    """Counts what happens to tasks, frameworks and agents."""

    def __init__(self) -> None:
        self.frameworks: dict[str, Tally] = {}
        self.agents: dict[str, tuple[str, list[str]]] = {}  # hostname, and what became of it
        self.masters: dict[str, None] = {}  # in their order
        self._ended: dict[tuple[str, str], TaskState] = {}  # a status may be told again

    def stepping(self, state: State, batch: Recorded) -> None:
        """Links that break and are made again; nothing is published of that."""
        for event in batch.events:
            if isinstance(event, LinkClosed):
                known = state.agent_by_link.get(event.link)
                change = "disconnected"
            elif isinstance(event, LinkReceived) and isinstance(event.message, Reregister | Return):
                found = event.message.info.id
                known = AgentId(found.value) if found is not None else None
                change = "came back"
            else:
                continue
            agent = state.agents.get(known) if known is not None else None
            if agent is not None and agent.connected == (change == "disconnected"):
                self.agents.setdefault(agent.id, (agent.info.hostname, []))[1].append(change)

    def stepped(
        self, state: State, batch: Recorded, effects: Effects, published: Sequence[master.Event]
    ) -> None:
        """What was published is counted."""
        self.masters[state.info.id] = None
        for event in published:
            self._count(state, event)

    def masters_between(self, first: str, last: str) -> list[str]:
        """Those that were seen, but for these two."""
        return [one for one in self.masters if one not in (first, last)]

    def _count(self, state: State, event: master.Event) -> None:
        if (added := event.task_added) is not None:
            task = added.task
            self._ended.pop((task.framework_id.value, task.task_id.value), None)
            if task.state is TaskState.TASK_STAGING:  # others were known to their agent
                self._tally(task.framework_id).launched += 1
        elif (updated := event.task_updated) is not None:
            self._count_end(updated)
        elif event.framework_added is not None:
            info = event.framework_added.framework.framework_info
            changes = self._tally(info.id, info.name).changes
            changes.append("came back" if changes else "came")
        elif event.framework_removed is not None:
            info = event.framework_removed.framework_info
            self._tally(info.id, info.name).changes.append("went")
        elif event.agent_added is not None:
            agent = event.agent_added.agent.agent_info
            changes = self._agent(agent.id, agent.hostname)
            changes.append("came back" if changes else "came")
        elif event.agent_removed is not None:
            gone = event.agent_removed.agent_id
            hostname = _hostname(state, AgentId(gone.value))
            is_lost = AgentId(gone.value) in state.unreachable_agents
            self._agent(gone, hostname).append("became unreachable" if is_lost else "went")

    def _count_end(self, updated: master.Event.TaskUpdated) -> None:
        key = (updated.framework_id.value, updated.status.task_id.value)
        is_end = updated.state in TERMINAL_STATES or updated.state is TaskState.TASK_UNREACHABLE
        if not is_end:
            self._ended.pop(key, None)
        elif self._ended.get(key) is not updated.state:
            self._ended[key] = updated.state
            self._tally(updated.framework_id).ended[updated.state.value] += 1

    def _tally(self, found: mesos.FrameworkID | None, name: str = "") -> Tally:
        tally = self.frameworks.setdefault(found.value if found else "", Tally())
        tally.name = name or tally.name
        return tally

    def _agent(self, found: mesos.AgentID | None, hostname: str) -> list[str]:
        return self.agents.setdefault(found.value if found else "", (hostname, []))[1]


def _agent_row(agent: Agent) -> AgentRow:
    used = _held(agent.tasks.values(), agent.every_executor())
    return AgentRow(
        id=agent.id,
        hostname=agent.info.hostname,
        address=agent.address,
        state=_agent_state(agent),
        tasks=len(agent.tasks),
        offers=len(agent.offers),
        cpus_used=from_milli(used.scalar("cpus")),
        cpus=from_milli(agent.total.scalar("cpus")),
        mem_used_mib=from_milli(used.scalar("mem")),
        mem_mib=from_milli(agent.total.scalar("mem")),
    )


def _agent_state(agent: Agent) -> str:
    """Why it is offered nothing, if it is not."""
    if agent.deactivated:
        return "deactivated"
    if not agent.connected:
        return "disconnected"
    return "active" if agent.accepts_tasks else "takes no tasks"


def _framework_row(state: State, framework: Framework) -> FrameworkRow:
    everything = (*framework.tasks.values(), *framework.unreachable_tasks.values())
    used = _held(framework.tasks.values(), framework.executors.values())
    counts = Counter(task.state.value for task in everything)
    return FrameworkRow(
        id=framework.id,
        name=framework.info.name,
        state="active" if framework.subscription is not None else "disconnected",
        roles=tuple(map(str, framework.roles)),
        tasks={name: counts[name] for name in sorted(counts)},
        offers=len(framework.offers),
        cpus=from_milli(used.scalar("cpus")),
        mem_mib=from_milli(used.scalar("mem")),
    )


def _agent_changes(before: Overview, after: Overview, ledger: Ledger) -> list[AgentChange]:
    old = {row.id: row for row in before.agents}
    new = {row.id: row for row in after.agents}
    found: list[AgentChange] = []
    for agent_id in dict.fromkeys((*old, *ledger.agents, *new)):
        hostname, changes = ledger.agents.get(agent_id, ("", []))
        was, now = old.get(agent_id), new.get(agent_id)
        row = now or was
        if not changes and was is None:
            changes = ["came"]
        elif not changes and now is None:
            changes = ["went"]
        elif was and now and now.state not in (was.state, *changes[-1:]):
            changes = [*changes, f"{was.state}, then {now.state}"]
        if was is not None and changes[:1] == ["came"]:
            changes = ["came back", *changes[1:]]  # to another master
        if changes:
            said = ", then ".join(changes)
            hostname = row.hostname if row else hostname
            found.append(AgentChange(id=agent_id, hostname=hostname, change=said))
    return found


def _framework_changes(before: Overview, after: Overview, ledger: Ledger) -> list[FrameworkChange]:
    old = {row.id: row for row in before.frameworks}
    new = {row.id: row for row in after.frameworks}
    found: list[FrameworkChange] = []
    for framework_id in dict.fromkeys((*old, *ledger.frameworks, *new)):
        tally = ledger.frameworks.get(framework_id, Tally())
        was, now = old.get(framework_id), new.get(framework_id)
        row = now or was
        changes = tally.changes
        if was is not None and changes[:1] == ["came"]:
            changes = ["came back", *changes[1:]]  # to another master
        if not changes and was is None:
            changes = ["came"]
        elif not changes and now is None:
            changes = ["went"]
        elif not changes and was is not None and now is not None and was.state != now.state:
            changes = [f"{was.state}, then {now.state}"]
        change = FrameworkChange(
            id=framework_id,
            name=row.name if row else tally.name,
            change=", then ".join(changes),
            launched=tally.launched,
            ended=dict(sorted(tally.ended.items())),
            tasks=(_tasks(was), _tasks(now)),
            offers=(was.offers if was else 0, now.offers if now else 0),
        )
        if (
            change.change
            or change.launched
            or change.ended
            or change.tasks[0] != change.tasks[1]
            or change.offers[0] != change.offers[1]
        ):
            found.append(change)
    return found


def _held(tasks: Iterable[Task], executors: Iterable[Executor]) -> Resources:
    of_tasks = Resources.total(task.held for task in tasks)
    return of_tasks + Resources.total(executor.held for executor in executors)


def _tasks(row: FrameworkRow | None) -> int:
    return sum(row.tasks.values()) if row else 0


def _hostname(state: State, agent_id: AgentId) -> str:
    """Of an agent that is gone."""
    for absent in (state.unreachable_agents, state.removed_agents, state.gone_agents):
        if (found := absent.get(agent_id)) is not None:
            return found.info.hostname
    return ""


def _changed(
    before: Mapping[str, T], after: Mapping[str, T]
) -> dict[str, tuple[T | None, T | None]]:
    return {
        name: (before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }
