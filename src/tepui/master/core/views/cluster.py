"""The whole cluster: /state and /state-summary, /flags and /version.

Source: Mesos master/readonly_handler.cpp; recorded answers.
"""

from __future__ import annotations

from functools import partial

from tepui.base.names import AgentId, FrameworkId
from tepui.master.core.state import Agent, State
from tepui.master.core.views.agents import agent_value, recovered_values
from tepui.master.core.views.frameworks import frameworks_parts, summary_value
from tepui.master.core.views.pieces import Parts, Written, list_parts
from tepui.master.core.views.tasks import tasks_of
from tepui.master.core.views.values import JsonValue, seconds
from tepui.wire import mesos

COUNTED_STATES = (  # the order of Mesos's TaskStateSummary
    mesos.TaskState.TASK_STAGING,
    mesos.TaskState.TASK_STARTING,
    mesos.TaskState.TASK_RUNNING,
    mesos.TaskState.TASK_KILLING,
    mesos.TaskState.TASK_FINISHED,
    mesos.TaskState.TASK_KILLED,
    mesos.TaskState.TASK_FAILED,
    mesos.TaskState.TASK_LOST,
    mesos.TaskState.TASK_ERROR,
    mesos.TaskState.TASK_UNREACHABLE,
)
COUNTED_NAMES = tuple(state.value for state in COUNTED_STATES)
Counts = dict[str, int]  # by the name of a state: an enum as a key is hashed in Python
# A Python program is not built: the fields are there for those who expect them.
BUILD: dict[str, JsonValue] = {"build_date": "", "build_time": 0.0, "build_user": ""}


def state_view(state: State) -> Written:
    """The answer of /state."""
    info = state.info
    value: dict[str, JsonValue | Parts] = {
        "version": info.version or "",
        **BUILD,
        "start_time": seconds(state.started_ms),
        "elected_time": seconds(state.started_ms),
        "id": info.id,
        "pid": info.pid or "",
        "hostname": info.hostname or "",
        "capabilities": [c.type for c in info.capabilities if c.type is not None],
        "activated_slaves": float(sum(agent.active for agent in state.agents.values())),
        "deactivated_slaves": float(sum(not agent.active for agent in state.agents.values())),
        "unreachable_slaves": float(len(state.unreachable_agents)),
    }
    if info.domain is not None:
        value["domain"] = info.domain
    if cluster := state.flags.get("cluster"):
        value["cluster"] = cluster
    value["leader"] = info.pid or ""
    value["leader_info"] = {
        "id": info.id,
        "pid": info.pid or "",
        "port": info.port,
        "hostname": info.hostname or "",
    }
    value["flags"] = dict(sorted(state.flags.items()))
    value["slaves"] = list_parts(state.agents.values(), partial(agent_value, state))
    value["recovered_slaves"] = recovered_values(state)
    value["frameworks"] = frameworks_parts(state, state.frameworks.values())
    value["completed_frameworks"] = frameworks_parts(state, state.completed_frameworks.values())
    value["orphan_tasks"] = []
    value["unregistered_frameworks"] = []
    return value


def summary_view(state: State) -> Written:
    """The answer of /state-summary: tasks are counted instead of listed."""
    by_agent: dict[AgentId, Counts] = {agent_id: {} for agent_id in state.agents}
    by_framework: dict[FrameworkId, Counts] = {}
    frameworks_of: dict[AgentId, dict[FrameworkId, None]] = {}
    agents_of: dict[FrameworkId, dict[AgentId, None]] = {}
    for framework in state.frameworks.values():
        own = by_framework.setdefault(framework.id, {})
        on = agents_of.setdefault(framework.id, {})
        for task in tasks_of(framework):
            agent_id, name = task.agent_id, task.state.value
            own[name] = own.get(name, 0) + 1
            on[agent_id] = None
            counts = by_agent.get(agent_id)
            if counts is not None:
                counts[name] = counts.get(name, 0) + 1
        for agent_id in on:
            frameworks_of.setdefault(agent_id, {})[framework.id] = None

    def agent_summary(agent: Agent) -> JsonValue:
        return {
            **agent_value(state, agent),
            **_counts(by_agent[agent.id]),
            "framework_ids": list(frameworks_of.get(agent.id, ())),
        }

    return {
        "hostname": state.info.hostname or "",
        **({"cluster": state.flags["cluster"]} if state.flags.get("cluster") else {}),
        "slaves": list_parts(state.agents.values(), agent_summary),
        "frameworks": [
            {
                **summary_value(state, framework),
                **_counts(by_framework[framework.id]),
                "slave_ids": list(agents_of.get(framework.id, ())),
            }
            for framework in state.frameworks.values()
        ],
    }


def flags_view(state: State) -> JsonValue:
    """The answer of /flags."""
    return {"flags": dict(sorted(state.flags.items()))}


def version_view(state: State) -> JsonValue:
    """The answer of /version."""
    return {**BUILD, "version": state.info.version or ""}


def _counts(counted: Counts) -> dict[str, JsonValue]:
    return {name: counted.get(name, 0) for name in COUNTED_NAMES}
