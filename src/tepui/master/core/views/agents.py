"""Agents as the classic endpoints write them, and /slaves.

Source: Mesos master/readonly_handler.cpp (SlaveWriter); recorded answers.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.base.names import Role
from tepui.master.core.messages import (
    AGENT_CAPABILITIES,
    by_role,
    endpoint_resources,
    pid_of,
    used_by_role,
)
from tepui.master.core.state import Agent, State
from tepui.master.core.views.values import JsonValue, amounts, attributes, seconds
from tepui.resources import Resources


class SlavesAsked(Struct, frozen=True):
    """/slaves, all or one."""

    agent_id: str | None = None


def slaves_view(state: State, question: SlavesAsked) -> JsonValue:
    """The answer of /slaves."""
    wanted = question.agent_id
    return {
        "slaves": [
            {**agent_value(agent), **_in_full(agent)}
            for agent in state.agents.values()
            if wanted in (None, agent.id)
        ],
        "recovered_slaves": [],
    }


def agent_value(agent: Agent) -> dict[str, JsonValue]:
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
    value["used_resources"] = amounts(Resources.total(r for _, r in used_by_role(agent)))
    value["offered_resources"] = amounts(
        Resources.total(offer.resources for offer in agent.offers.values())
    )
    value["reserved_resources"] = {
        role: amounts(part) for role, part in agent.total.reservations().items()
    }
    value["unreserved_resources"] = amounts(agent.total.unreserved())
    value["active"] = agent.active
    value["deactivated"] = agent.deactivated
    value["version"] = agent.version
    value["capabilities"] = [capability.type for capability in AGENT_CAPABILITIES]
    return value


def _in_full(agent: Agent) -> dict[str, JsonValue]:
    """The resources entry by entry, which /slaves alone has."""
    return {
        "reserved_resources_full": {
            role: endpoint_resources(part, None)
            for role, part in agent.total.reservations().items()
        },
        "unreserved_resources_full": endpoint_resources(agent.total.unreserved(), None),
        "used_resources_full": by_role(used_by_role(agent)),
        "offered_resources_full": by_role(
            (Role(offer.role), offer.resources) for offer in agent.offers.values()
        ),
    }
