"""Agents as the classic endpoints write them, and /slaves.

Source: Mesos master/readonly_handler.cpp (SlaveWriter); recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tepui.base.names import AgentId
from tepui.master.core.messages import (
    AGENT_CAPABILITIES,
    by_role,
    endpoint_resources,
    offered,
    pid_of,
    used_of_agent,
)
from tepui.master.core.state import Agent, State
from tepui.master.core.views.pieces import Written, list_parts
from tepui.master.core.views.values import JsonValue, amounts, attributes, seconds
from tepui.resources import Resources


class SlavesAsked(Struct, frozen=True):
    """/slaves, all or one."""

    agent_id: str | None = None


def slaves_view(state: State, question: SlavesAsked) -> Written:
    """The answer of /slaves."""
    recovered = recovered_values(state) if question.agent_id is None else []
    return {
        "slaves": list_parts(
            _agents(state, question.agent_id),
            lambda agent: {**agent_value(state, agent), **_in_full(state, agent)},
        ),
        "recovered_slaves": recovered,
    }


def recovered_values(state: State) -> list[JsonValue]:
    """The agents that have yet to come back to this master."""
    return [
        {
            "id": absent.id,
            "hostname": absent.info.hostname,
            "port": absent.info.port,
            "attributes": attributes(absent.info.attributes),
        }
        for absent in state.recovered_agents.values()
    ]


def _agents(state: State, wanted: str | None) -> Iterable[Agent]:
    if wanted is None:
        return state.agents.values()
    one = state.agents.get(AgentId(wanted))
    return () if one is None else (one,)


def agent_value(state: State, agent: Agent) -> dict[str, JsonValue]:
    """One agent."""
    info = agent.info
    value: dict[str, JsonValue] = {
        "id": agent.id,
        "hostname": info.hostname,
        "port": info.port,
        "attributes": attributes(info.attributes),
    }
    if info.domain is not None:
        value["domain"] = info.domain
    value["pid"] = pid_of(agent)
    value["registered_time"] = seconds(agent.registered_ms)
    if agent.reregistered_ms is not None:
        value["reregistered_time"] = seconds(agent.reregistered_ms)
    value["resources"] = amounts(agent.total)
    value["used_resources"] = amounts(Resources.total(used_of_agent(state, agent).values()))
    value["offered_resources"] = amounts(Resources.total(offered(agent).values()))
    value["reserved_resources"] = {
        role: amounts(part) for role, part in agent.total.reservations().items()
    }
    value["unreserved_resources"] = amounts(agent.total.unreserved())
    value["active"] = agent.active
    value["deactivated"] = agent.deactivated
    value["version"] = agent.version
    value["capabilities"] = [capability.type for capability in AGENT_CAPABILITIES]
    return value


def _in_full(state: State, agent: Agent) -> dict[str, JsonValue]:
    """The resources entry by entry, which /slaves alone has."""
    return {
        "reserved_resources_full": {
            role: endpoint_resources(part, None)
            for role, part in agent.total.reservations().items()
        },
        "unreserved_resources_full": endpoint_resources(agent.total.unreserved(), None),
        "used_resources_full": by_role(used_of_agent(state, agent)),
        "offered_resources_full": by_role(offered(agent)),
    }
