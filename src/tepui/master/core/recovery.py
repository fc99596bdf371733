"""The state of a master that begins to lead: the registry, and agents that have yet to come back.

An agent that was admitted has the time of --agent_reregister_timeout to register again; then it is
marked unreachable. Frameworks and tasks come with the agents, and a framework that no scheduler
subscribes to is kept with its tasks.

Each time a master begins to lead, an epoch begins that is greater than all before; agents refuse
a leader of a lesser one than they have seen.

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
    EpochBegan,
    Note,
    WeightSet,
)
from tepui.master.core.events import RecoveryDue, RegistryCollectionDue
from tepui.master.core.registry import Registered
from tepui.master.core.state import AbsentAgent, State
from tepui.wire import mesos


def recover(state: State, registered: Iterable[Registered], now_ms: int) -> Effects:
    """The state is what the registry says, in a new epoch. Called once, before the first step.

    Weights of the registry come before those of --weights.
    """
    last_epoch = 0
    for one in registered:
        match one:
            case EpochBegan(epoch=epoch):
                last_epoch = epoch
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
    step = Effects()
    _begin_epoch(state, last_epoch, now_ms, step)
    return step


def _begin_epoch(state: State, last_epoch: int, now_ms: int, step: Effects) -> None:
    """Greater than the last; and than all in a registry that was lost, for they were times, too.

    Were epochs counted from 1, agents would refuse whoever leads with a new registry (--registry=
    in_memory, or a file that was removed) until it had led as often as those before.
    """
    state.epoch = max(last_epoch + 1, now_ms // 1000)
    step.save.append(EpochBegan(state.epoch))


def recovery_due(state: State, event: RecoveryDue, now_ms: int, step: Effects) -> None:
    """Those that have not come back are unreachable; one after the other if that is limited."""
    state.recovery_timer = None
    if not state.is_recovery_over:
        state.is_recovery_over = True
        state.counters.add("slave_unreachable_scheduled", len(state.recovered_agents))
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
            departures.forget(state, absent, agent_id, step)
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
