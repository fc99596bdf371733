"""The state of a master that begins to lead: the registry, and agents that have yet to come back.

An agent that was admitted has the time of --agent_reregister_timeout to register again; then it is
marked unreachable. Frameworks and tasks come with the agents, and a framework that no scheduler
subscribes to is kept with its tasks.

Source: Mesos master.cpp (_recover, recoveredSlavesTimeout), docs/configuration/master.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from tepui.base.names import AgentId
from tepui.master.core import departures
from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentUnreachable,
    Effects,
    Note,
    WeightSet,
)
from tepui.master.core.events import RecoveryDue, RegistryCollectionDue
from tepui.master.core.registry import Registered
from tepui.master.core.state import AbsentAgent, State
from tepui.wire import mesos


def recover(state: State, registered: Iterable[Registered], now_ms: int) -> None:
    """The state is what the registry says. Called once, before the first step.

    Weights of the registry come before those of --weights.
    """
    for one in registered:
        match one:
            case AgentAdmitted(info=info, deactivated=deactivated):
                _absent(state.recovered_agents, info, now_ms, deactivated=deactivated)
            case AgentUnreachable(info=info, since_ms=since_ms, deactivated=deactivated):
                _absent(state.unreachable_agents, info, since_ms, deactivated=deactivated)
            case AgentGone(info=info, since_ms=since_ms):
                _absent(state.gone_agents, info, since_ms)
            case WeightSet(role=role, weight=weight):
                state.weights[role] = weight
                state.allocator.set_weight(role, weight)
    for absent in (state.unreachable_agents, state.gone_agents):  # the oldest is forgotten first
        by_age = sorted(absent.items(), key=lambda item: (item[1].since_ms, item[0]))
        absent.clear()
        absent.update(by_age)
    if state.recovered_agents:
        due_ms = now_ms + state.settings.agent_reregister_timeout_ms
        state.recovery_timer = state.timers.set(due_ms, RecoveryDue())
    _collect_later(state, now_ms)


def recovery_due(state: State, event: RecoveryDue, now_ms: int, step: Effects) -> None:
    """Those that have not come back are unreachable; one after the other if that is limited."""
    state.recovery_timer = None
    for agent_id in list(state.recovered_agents):
        if departures.must_wait(state, now_ms):
            state.recovery_timer = state.timers.set(state.next_removal_ms, RecoveryDue())
            return
        departures.mark_recovered_unreachable(state, agent_id, now_ms, step)


def registry_collection_due(
    state: State, event: RegistryCollectionDue, now_ms: int, step: Effects
) -> None:
    """Agents that are unreachable or gone for too long are forgotten (Mesos: docs/registry.md)."""
    _collect_later(state, now_ms)
    oldest_ms = now_ms - state.settings.registry_max_agent_age_ms
    count = 0
    for absent in (state.unreachable_agents, state.gone_agents):
        for agent_id in [one.id for one in absent.values() if one.since_ms < oldest_ms]:
            departures.forget(absent, agent_id, step)
            count += 1
    if count:
        step.then.append(Note("registry_collected", (("agents", str(count)),)))


def _collect_later(state: State, now_ms: int) -> None:
    due_ms = now_ms + state.settings.registry_gc_interval_ms
    state.registry_timer = state.timers.set(due_ms, RegistryCollectionDue())


def _absent(
    agents: dict[AgentId, AbsentAgent],
    info: mesos.AgentInfo,
    since_ms: int,
    *,
    deactivated: bool = False,
) -> None:
    assert info.id is not None  # only registered agents are saved
    agent_id = AgentId(info.id.value)
    agents[agent_id] = AbsentAgent(agent_id, info, since_ms, deactivated=deactivated)
