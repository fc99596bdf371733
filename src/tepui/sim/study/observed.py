"""A running cluster as the plan of a study: what a master's /state says (Tepui's or Mesos's).

Its agents are groups of one each, and its live tasks are jobs that run for ever, for nobody knows
when they end; each begins on the host where it is. What is written is what a file could hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct, field

from tepui.base.errors import Refused
from tepui.sim.study.plan import Capability

LIVE = frozenset(("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING"))
AMOUNTS = ("cpus", "mem", "disk", "gpus")
NOT_OFFERED = "_revocable"
FILE_START = "1secs"  # when frameworks of a file come to a cluster that runs

Amounts = dict[str, float | str]


class _Agent(Struct):
    id: str
    hostname: str
    resources: Amounts
    unreserved_resources: Amounts | None = None
    reserved_resources: dict[str, Amounts] = field(default_factory=dict)
    attributes: dict[str, float | str] = field(default_factory=dict)
    active: bool = True


class _Task(Struct):
    state: str
    slave_id: str
    resources: Amounts
    role: str | None = None


class _Framework(Struct):
    id: str
    name: str
    role: str | None = None
    roles: list[str] | None = None
    capabilities: list[str] = field(default_factory=list)
    tasks: list[_Task] = field(default_factory=list)


class _State(Struct):
    slaves: list[_Agent]
    frameworks: list[_Framework] = field(default_factory=list)


class _Role(Struct):
    name: str
    weight: float = 1.0


class _Roles(Struct):
    roles: list[_Role]


def plan_value(state: object, roles: object | None = None) -> dict[str, object]:
    """What a file with this cluster would hold; `roles` is the answer of /roles, for weights.

    Raises Refused when it is not the state of a master.
    """
    try:
        known = msgspec.convert(state, _State)
        weights = [] if roles is None else msgspec.convert(roles, _Roles).roles
    except msgspec.ValidationError as error:
        raise Refused(f"not the /state of a master: {error}") from None
    agents = [agent for agent in known.slaves if agent.active]
    hosts = {agent.id: agent.hostname for agent in agents}
    return {
        "agents": _agents(agents),
        "roles": {one.name: one.weight for one in weights if one.weight != 1},
        "frameworks": _frameworks(known.frameworks, hosts),
    }


def joined(cluster: Mapping[str, object], file: Mapping[str, object]) -> dict[str, object]:
    """The cluster with what the file adds: more agents, other weights, further frameworks."""
    found = {**cluster, **file}
    for name in ("agents", "frameworks"):
        found[name] = [*_list(cluster, name), *(_late(name, one) for one in _list(file, name))]
    more = file.get("roles") or {}
    before = cluster.get("roles") or {}
    if isinstance(more, Mapping) and isinstance(before, Mapping):
        found["roles"] = {**before, **more}
    return found


def _list(value: Mapping[str, object], name: str) -> list[object]:
    """The list of this name. Raises Refused."""
    found = value.get(name) or []
    if not isinstance(found, list):
        raise Refused(f"{name} '{found}': expected a list")
    return found


def _late(name: str, one: object) -> object:
    """Frameworks of the file come when what runs already has its place."""
    if name == "frameworks" and isinstance(one, Mapping):
        return {"start": FILE_START, **one}
    return one


def _agents(agents: list[_Agent]) -> list[dict[str, object]]:
    seen: dict[str, int] = {}
    found: list[dict[str, object]] = []
    for agent in agents:
        number = seen[agent.hostname] = seen.get(agent.hostname, 0) + 1
        name = agent.hostname if number == 1 else f"{agent.hostname}:{number}"
        entries = _entries(agent.unreserved_resources or agent.resources, None)
        for role, amounts in agent.reserved_resources.items():
            entries += _entries(amounts, role)
        group: dict[str, object] = {
            "name": name,
            "hostname": agent.hostname,
            "resources": ";".join(entries),
        }
        if agent.attributes:
            group["attributes"] = {name: _text(value) for name, value in agent.attributes.items()}
        found.append(group)
    return found


def _entries(amounts: Amounts, role: str | None) -> list[str]:
    reserved = "" if role is None else f"({role})"
    return [
        f"{name}{reserved}:{_text(amount)}"
        for name, amount in amounts.items()
        if amount and not name.endswith(NOT_OFFERED)
    ]


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.15g}"


def _frameworks(frameworks: list[_Framework], hosts: Mapping[str, str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    names: set[str] = set()
    for framework in frameworks:
        by_role: dict[str, list[_Task]] = {}
        for task in framework.tasks:
            if task.state in LIVE and task.slave_id in hosts:
                role = task.role or framework.role or (framework.roles or ["*"])[0]
                by_role.setdefault(role, []).append(task)
        for role, tasks in by_role.items():
            name = framework.name
            if name in names:
                name = f"{framework.name} {framework.id} {role}"
            names.add(name)
            found.append(
                {
                    "name": name,
                    "role": role,
                    "capabilities": [
                        c for c in framework.capabilities if c in Capability.__members__
                    ],
                    "jobs": _jobs(tasks, hosts),
                }
            )
    return found


def _jobs(tasks: list[_Task], hosts: Mapping[str, str]) -> list[dict[str, object]]:
    """Equal tasks are one job."""
    by_shape: dict[tuple[float, ...], dict[str, int]] = {}
    for task in tasks:
        shape = tuple(_scalar(task.resources.get(name, 0)) for name in AMOUNTS)
        on = by_shape.setdefault(shape, {})
        host = hosts[task.slave_id]
        on[host] = on.get(host, 0) + 1
    return [
        {
            **{name: amount for name, amount in zip(AMOUNTS, shape, strict=True) if amount},
            "count": sum(on.values()),
            "duration": "forever",
            "hosts": on,
        }
        for shape, on in by_shape.items()
        if any(shape)
    ]


def _scalar(amount: float | str) -> float:
    return 0.0 if isinstance(amount, str) else amount
