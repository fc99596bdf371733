"""The master's metrics: computed from the state when somebody asks, and written in three forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from urllib.parse import quote

from tepui.base.names import Role
from tepui.master.core.metrics_table import COUNTED, ENDED, FAMILIES, SCALARS, TABLE, Metric
from tepui.master.core.state import Framework, State
from tepui.resources import Resources
from tepui.resources.scalars import from_milli
from tepui.wire import master, mesos

Response = master.Response
TaskState = mesos.TaskState
ACTIVE_STATES = (
    TaskState.TASK_KILLING,
    TaskState.TASK_RUNNING,
    TaskState.TASK_STAGING,
    TaskState.TASK_STARTING,
    TaskState.TASK_UNREACHABLE,
)
PREFIX = "master/"
_BY_NAME = {metric.name: metric for metric in TABLE}


def snapshot(state: State, now_ms: int) -> dict[str, float]:
    """Every metric of the core by name, as it is now."""
    found: dict[str, float] = {}
    _count(state, found)
    _measure_agents(state, found)
    _measure_frameworks(state, found)
    _measure_scalars(state, found)
    _measure_allocator(state, found)
    found["master/elected"] = 1.0
    found["master/epoch"] = float(state.epoch)
    found["master/uptime_secs"] = (now_ms - state.started_ms) / 1000
    found["master/outstanding_offers"] = float(len(state.offers))
    found["master/operator_event_stream_subscribers"] = float(len(state.operators))
    return dict(sorted(found.items()))


def message(found: Mapping[str, float]) -> master.Response:
    """The metrics as GET_METRICS answers them."""
    metrics = tuple(mesos.Metric(name=name, value=found[name]) for name in sorted(found))
    return Response(
        type=Response.Type.GET_METRICS, get_metrics=Response.GetMetrics(metrics=metrics)
    )


def prometheus(found: Mapping[str, float]) -> str:
    """The metrics in the text exposition format, version 0.0.4.

    `master/tasks_running` is `tepui_master_tasks_running`; what occurs for each framework, role
    or resource is one metric with labels.
    """
    families: dict[str, list[str]] = {}
    described: dict[str, Metric] = {}
    for name in sorted(found):
        metric, family, labels = _exposed(name)
        families.setdefault(family, []).append(f"{family}{labels} {found[name]!r}")
        if metric is not None:
            described[family] = metric
    lines: list[str] = []
    for family, samples in families.items():
        if (metric := described.get(family)) is not None:
            lines.append(f"# HELP {family} {metric.meaning} ({metric.unit})")
            lines.append(f"# TYPE {family} {metric.kind}")
        lines += samples
    return "\n".join(lines) + "\n"


def _count(state: State, found: dict[str, float]) -> None:
    events = state.counters.events

    def count(*names: str) -> float:
        return float(sum(events.get(name, 0) for name in names))

    for metric in COUNTED:
        found[metric.name] = count(metric.name.removeprefix(PREFIX))
    for metric in ENDED:
        found[metric.name] = count("task_" + metric.name.removeprefix("master/tasks_"))
    for kind in ("executor_to_framework", "framework_to_executor"):
        both = count(f"valid_{kind}_messages", f"invalid_{kind}_messages")
        found[f"master/messages_{kind}"] = both
    found["master/messages_status_update"] = count("valid_status_updates", "invalid_status_updates")
    found["master/messages_status_update_acknowledgement"] = count(
        "valid_status_update_acknowledgements", "invalid_status_update_acknowledgements"
    )
    found["master/messages_register_framework"] = float(state.frameworks_registered)
    found["master/messages_register_slave"] = count("slave_registrations")
    found["master/messages_reregister_slave"] = count("slave_reregistrations")
    found["master/messages_unregister_slave"] = count("slave_removals/reason_unregistered")


def _measure_agents(state: State, found: dict[str, float]) -> None:
    agents = state.agents.values()
    active = sum(agent.active for agent in agents)
    connected = sum(agent.connected for agent in agents)
    found["master/slaves_active"] = float(active)
    found["master/slaves_connected"] = float(connected)
    found["master/slaves_disconnected"] = float(len(agents) - connected)
    found["master/slaves_inactive"] = float(len(agents) - active)
    found["master/slaves_unreachable"] = float(len(state.unreachable_agents))


def _measure_frameworks(state: State, found: dict[str, float]) -> None:
    connected = 0
    tasks: Counter[TaskState] = Counter()
    for framework in state.frameworks.values():
        connected += framework.subscription is not None
        own = Counter(task.state for task in framework.tasks.values())
        own[TaskState.TASK_UNREACHABLE] += sum(  # others are lost, or had ended before
            task.state is TaskState.TASK_UNREACHABLE
            for task in framework.unreachable_tasks.values()
        )
        tasks += own
        _measure_framework(framework, own, found)
    found["master/frameworks_active"] = float(connected)
    found["master/frameworks_connected"] = float(connected)
    found["master/frameworks_disconnected"] = float(len(state.frameworks) - connected)
    found["master/frameworks_inactive"] = float(len(state.frameworks) - connected)
    for task_state in ACTIVE_STATES:
        name = task_state.lower().removeprefix("task_")
        found[f"master/tasks_{name}"] = float(tasks[task_state])


def _measure_framework(
    framework: Framework, tasks: Counter[TaskState], found: dict[str, float]
) -> None:
    prefix = f"master/frameworks/{quote(framework.info.name, safe='')}/{framework.id}"
    found[f"{prefix}/subscribed"] = float(framework.subscription is not None)
    for role in framework.roles:
        found[f"{prefix}/roles/{role}/suppressed"] = float(role in framework.suppressed)
    for task_state in ACTIVE_STATES:
        found[f"{prefix}/tasks/active/{task_state.lower()}"] = float(tasks[task_state])


def _measure_scalars(state: State, found: dict[str, float]) -> None:
    total, total_revocable = _sums(agent.total for agent in state.agents.values())
    free, free_revocable = _sums(state.allocator.available(agent_id) for agent_id in state.agents)
    offered, offered_revocable = _sums(offer.resources for offer in state.offers.values())
    for name in SCALARS:
        for infix, whole, unused, given in (
            ("", total, free, offered),
            ("_revocable", total_revocable, free_revocable, offered_revocable),
        ):
            used = max(0, whole.get(name, 0) - unused.get(name, 0) - given.get(name, 0))
            found[f"master/{name}{infix}_total"] = from_milli(whole.get(name, 0))
            found[f"master/{name}{infix}_used"] = from_milli(used)
            share = used / whole[name] if whole.get(name) else 0.0
            found[f"master/{name}{infix}_percent"] = share


def _measure_allocator(state: State, found: dict[str, float]) -> None:
    allocator = state.allocator
    prefix = "allocator/mesos/resources"
    allocated: Counter[str] = Counter()
    for top in allocator.tree.root.children.values():
        allocated.update(top.amounts)
    for name, amount in allocator.cluster.totals.items():
        found[f"{prefix}/{name}/total"] = from_milli(amount)
        found[f"{prefix}/{name}/offered_or_allocated"] = from_milli(allocated[name])
    filters: Counter[Role] = Counter()
    for clients in allocator.clients.values():
        for role, client in clients.items():
            filters[role] += client.filters.count
    for role, count in filters.items():
        found[f"allocator/mesos/offer_filters/roles/{role}/active"] = float(count)
        found[f"allocator/mesos/roles/{role}/shares/dominant"] = allocator.share(role)


Sums = dict[str, int]


def _sums(parts: Iterable[Resources]) -> tuple[Sums, Sums]:
    """The scalars together: those that stay, those that are revocable."""
    firm: Sums = {}
    revocable: Sums = {}
    for part in parts:
        for kind, quantity in part.items():
            if isinstance(quantity, int):
                sums = revocable if kind.revocable else firm
                amount = quantity if kind.whole_milli is None else kind.whole_milli
                sums[kind.name] = sums.get(kind.name, 0) + amount
    return firm, revocable


def _exposed(name: str) -> tuple[Metric | None, str, str]:
    """The metric's line in the table, its name and its labels in the exposition."""
    metric = _BY_NAME.get(name) or next(
        (family for family in FAMILIES if fnmatchcase(name, family.name)), None
    )
    labels: dict[str, str] = {}
    parts = name.split("/")
    if name.startswith("master/frameworks/"):
        labels["framework"], labels["framework_id"] = parts[2], parts[3]
        parts[2:4] = []
        if parts[2] == "roles":
            labels["role"] = "/".join(parts[3:-1])
            parts[3:-1] = []
        elif parts[2] == "tasks":
            labels["state"] = parts.pop()
    elif name.startswith("allocator/mesos/"):
        at = parts.index("roles") if "roles" in parts else parts.index("resources")
        end = -2 if parts[-2] == "shares" else -1
        labels["role" if parts[at] == "roles" else "resource"] = "/".join(parts[at + 1 : end])
        parts[at + 1 : end] = []
    family = "tepui_" + "".join(c if c.isalnum() else "_" for c in "_".join(parts))
    if not labels:
        return metric, family, ""
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
    return metric, family, "{" + pairs + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
