"""What Mesos answered in the cluster that `ops_cluster` builds, and how to compare with it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from tepui.master.core.messages import AGENT_CAPABILITIES
from tepui.wire import mesos
from tests.master.world import FakeAgent, Scheduler, World

TaskState = mesos.TaskState
DATA = Path(__file__).parents[2] / "data" / "operator-recorded.json"
RACK = mesos.Attribute(name="rack", type=mesos.Value.Type.TEXT, text=mesos.Value.Text(value="r1"))
LABELS = mesos.Labels(labels=(mesos.Label(key="a", value="b"),))

# What Tepui answers otherwise, and why.
OWN_VALUES = {
    "version",  # its own
    "build_date",  # it is not built
    "build_time",
    "build_user",
    "capabilities",  # fewer
    "checkpoint",  # of agents: no part of the v1 API
}


@cache
def recorded() -> Any:
    """The recorded answers."""
    return json.loads(DATA.read_text())


def ops_cluster() -> tuple[World, Scheduler, FakeAgent]:
    """A framework with t1 completed, g1 (in a default executor) and c1 running."""
    world = World()
    agent = world.add_agent(attributes=(RACK,), port=15_051)
    ops = world.subscribe(name="ops", roles=("web",))
    ops.launch("t1", agent, labels=LABELS)
    _run(world, ops, agent, "t1")
    world.advance(1_000)
    agent.update(ops, "t1", TaskState.TASK_FINISHED, message="Command exited with status 0")
    ops.launch_group(["g1"], agent, "ex")
    _run(world, ops, agent, "g1", executor_id="ex")
    world.advance(1_000)
    ops.launch("c1", agent)
    _run(world, ops, agent, "c1")
    return world, ops, agent


def _run(
    world: World,
    owner: Scheduler,
    agent: FakeAgent,
    task_id: str,
    *,
    executor_id: str | None = None,
) -> None:
    for state in (TaskState.TASK_STARTING, TaskState.TASK_RUNNING):
        world.advance(100)
        agent.update(owner, task_id, state, executor_id=executor_id)


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Where `found` is not as recorded: keys and their order, types, and values.

    Lists of named things are compared by name, for their order is that of hash maps in Mesos.
    """
    if isinstance(wanted, str) and "<" in wanted:
        return [] if isinstance(found, str | int | float) else [f"{path}: {found!r}"]
    if isinstance(wanted, dict):
        return _differences_of_objects(wanted, found, path)
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            return [f"{path}: {len(wanted)} wanted, found {found!r}"]
        pairs = zip(sorted(wanted, key=_name), sorted(found, key=_name), strict=True)
        return [d for i, (w, f) in enumerate(pairs) for d in differences(w, f, f"{path}[{i}]")]
    if type(wanted) is not type(found) or wanted != found:
        return [f"{path}: wanted {wanted!r}, found {found!r}"]
    return []


def _differences_of_objects(wanted: Any, found: Any, path: str) -> list[str]:
    if not isinstance(found, dict):
        return [f"{path}: wanted an object, found {found!r}"]
    if path.endswith(("resources", ".attributes", "reserved_resources")):
        wanted, found = dict(sorted(wanted.items())), dict(sorted(found.items()))
    keys = [key for key in wanted if not (key == "checkpoint" and "port" in wanted)]
    if path.endswith("container_status"):
        keys = [key for key in found if key in keys]  # what containers say is the agent's matter
    elif keys != list(found):
        return [f"{path}: wanted {keys}, found {list(found)}"]
    return [
        difference
        for key in keys
        if key not in OWN_VALUES
        for difference in differences(wanted[key], found[key], f"{path}.{key}")
    ]


def _name(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    for key in ("id", "task_id", "name", "state", "role"):
        if key in value and "<" not in str(value[key]):
            return str(value[key])
    return ""


def agent_capabilities() -> list[str]:
    """What every agent of this version can do, by name."""
    return [capability.type or "" for capability in AGENT_CAPABILITIES]
