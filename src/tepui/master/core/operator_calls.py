"""The calls of the operator API that change something.

Source: Mesos master/http.cpp, master/weights_handler.cpp; statuses and texts as a real master
answers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from tepui.base.errors import Refused
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.master.core import departures, offers
from tepui.master.core.actions import AgentAdmitted, Answer, Effects, WeightSet
from tepui.master.core.events import OperatorCallReceived
from tepui.master.core.frameworks import remove_framework
from tepui.master.core.state import State
from tepui.resources.roles import validate_role
from tepui.wire import master, mesos

Call = master.Call
Doer: TypeAlias = Callable[[State, OperatorCallReceived, int, Effects], None]

UNKNOWN_FRAMEWORK = "No framework found with specified ID"
UNKNOWN_AGENT = "Unknown agent"
NOT_DEACTIVATED = "Agent is not deactivated"
WEIGHTS_PREFIX = "Failed to validate update weights request JSON"


def _teardown(state: State, event: OperatorCallReceived, now_ms: int, step: Effects) -> None:
    call = event.call.teardown
    assert call is not None
    framework = state.frameworks.get(FrameworkId(call.framework_id.value))
    if framework is None:
        step.then.append(Answer(event.request, 400, UNKNOWN_FRAMEWORK))
        return
    remove_framework(state, framework, now_ms, step)
    step.then.append(Answer(event.request, 200))


def _mark_agent_gone(state: State, event: OperatorCallReceived, now_ms: int, step: Effects) -> None:
    call = event.call.mark_agent_gone
    assert call is not None
    agent_id = AgentId(call.agent_id.value)
    if agent_id in state.agents:
        departures.mark_gone(state, state.agents[agent_id], now_ms, step)
    elif agent_id in state.unreachable_agents or agent_id in state.recovered_agents:
        departures.mark_absent_gone(state, agent_id, now_ms, step)
    elif agent_id not in state.gone_agents:
        step.then.append(Answer(event.request, 404, f"Agent '{agent_id}' not found"))
        return
    step.then.append(Answer(event.request, 200))


def _deactivate_agent(
    state: State, event: OperatorCallReceived, now_ms: int, step: Effects
) -> None:
    call = event.call.deactivate_agent
    assert call is not None
    agent = state.agents.get(AgentId(call.agent_id.value))
    if agent is None:
        step.then.append(Answer(event.request, 400, UNKNOWN_AGENT))
        return
    if not agent.deactivated:
        agent.deactivated = True
        step.save.append(AgentAdmitted(agent.info, deactivated=True))
        state.allocator.deactivate_agent(agent.id)
        for offer in list(agent.offers.values()):
            offers.rescind(state, offer, now_ms, step)
    step.then.append(Answer(event.request, 200))


def _reactivate_agent(
    state: State, event: OperatorCallReceived, now_ms: int, step: Effects
) -> None:
    call = event.call.reactivate_agent
    assert call is not None
    agent = state.agents.get(AgentId(call.agent_id.value))
    if agent is None or not agent.deactivated:
        step.then.append(Answer(event.request, 400, NOT_DEACTIVATED))
        return
    agent.deactivated = False
    step.save.append(AgentAdmitted(agent.info))
    if agent.active:
        state.allocator.activate_agent(agent.id)
    step.then.append(Answer(event.request, 200))


def _update_weights(state: State, event: OperatorCallReceived, now_ms: int, step: Effects) -> None:
    """All weights are set, or none. Offers that were made by the old ones are taken back."""
    call = event.call.update_weights
    assert call is not None
    try:
        for info in call.weight_infos:
            _validate_weight(info)
    except Refused as refused:
        step.then.append(Answer(event.request, 400, refused.text))
        return
    updated = {Role(info.role or ""): info.weight for info in call.weight_infos}
    for role, weight in updated.items():
        state.weights[role] = weight
        step.save.append(WeightSet(role, weight))
        state.allocator.set_weight(role, weight)
    if any(role in updated for f in state.frameworks.values() for role in f.roles):
        for offer in list(state.offers.values()):
            offers.rescind(state, offer, now_ms, step)
    step.then.append(Answer(event.request, 200))


def _validate_weight(info: mesos.WeightInfo) -> None:
    role = info.role or ""
    try:
        validate_role(role)
    except Refused as refused:
        raise Refused(f"{WEIGHTS_PREFIX}: Invalid role '{role}': {refused.text}") from None
    if not 0 < info.weight < inf:  # NaN is none of these
        raise Refused(
            f"{WEIGHTS_PREFIX} for role '{role}': Invalid weight '{info.weight:g}':"
            " Weights must be positive"
        )


def _unknown(state: State, event: OperatorCallReceived, now_ms: int, step: Effects) -> None:
    """The type that is none."""
    step.then.append(Answer(event.request, 501, "501 Not Implemented."))


DOERS: dict[master.Call.Type, Doer] = {
    Call.Type.UNKNOWN: _unknown,
    Call.Type.TEARDOWN: _teardown,
    Call.Type.MARK_AGENT_GONE: _mark_agent_gone,
    Call.Type.DEACTIVATE_AGENT: _deactivate_agent,
    Call.Type.REACTIVATE_AGENT: _reactivate_agent,
    Call.Type.UPDATE_WEIGHTS: _update_weights,
}
