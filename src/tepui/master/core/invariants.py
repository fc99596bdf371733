"""What must always hold of a master's state; simulations ask after every step."""

from __future__ import annotations

from tepui.allocator.invariants import check as check_allocator
from tepui.master.core.adoption import used_by
from tepui.master.core.state import Agent, Framework, State
from tepui.resources import Resources


def check(state: State) -> None:
    """Raise AssertionError, naming what disagrees, when an invariant does not hold."""
    check_allocator(state.allocator)
    for framework in state.frameworks.values():
        _check_framework(state, framework)
    for absent in state.unreachable_agents.values():
        for framework_id, task_id in absent.tasks:
            lost = state.frameworks[framework_id].unreachable_tasks[task_id]
            assert lost.agent_id == absent.id, task_id
    for agent in state.agents.values():
        _check_agent(state, agent)
    for offer_id, offer in state.offers.items():
        assert offer_id in state.frameworks[offer.framework_id].offers, offer_id
        assert offer_id in state.agents[offer.agent_id].offers, offer_id
    for stream, framework_id in state.framework_by_stream.items():
        subscription = state.frameworks[framework_id].subscription
        assert subscription is not None, f"{framework_id} has a stream and no subscription"
        assert subscription.stream == stream, framework_id
    linked = {agent.link: agent.id for agent in state.agents.values() if agent.link is not None}
    assert linked == state.agent_by_link
    assert not state.unregistered_links.keys() & (linked.keys() | state.closing_links)
    assert not state.operators.keys() & state.operators_waiting.keys()
    away = (state.unreachable_agents, state.gone_agents, state.removed_agents)
    for agent_id in state.recovered_agents:
        assert agent_id not in state.agents, agent_id
        assert not any(agent_id in each for each in away), agent_id
    for agent_id in state.agents:
        assert not any(agent_id in each for each in away), agent_id
    assert not state.takes_snapshot, "a snapshot is decided and not taken"
    assert len(state.timers) == _timers_wanted(state), "a timer is left over, or missing"


def _timers_wanted(state: State) -> int:
    return (
        len(state.frameworks)  # the heartbeat of its stream, or its failover timeout
        + len(state.operators)
        + len(state.agents)
        + len(state.unregistered_links)
        + sum(offer.timer is not None for offer in state.offers.values())
        + sum(queue.waiting for queue in state.throttled.values())
        + (state.allocation_timer is not None)
        + (state.recovery_timer is not None)
        + (state.registry_timer is not None)
    )


def _check_framework(state: State, framework: Framework) -> None:
    connected = framework.subscription is not None
    assert not (framework.offers and not connected), f"{framework.id} left with offers"
    assert connected == (framework.failover_timer is None), framework.id
    for task in framework.tasks.values():
        agent = state.agents[task.agent_id]
        assert agent.tasks.get((framework.id, task.id)) is task, task.id
        assert task.id not in framework.unreachable_tasks, task.id
    for task in framework.unreachable_tasks.values():
        assert (framework.id, task.id) in state.unreachable_agents[task.agent_id].tasks, task.id
    for (agent_id, executor_id), executor in framework.executors.items():
        assert state.agents[agent_id].executors[framework.id][executor_id] is executor
    for offer_id in framework.offers:
        assert offer_id in state.offers, offer_id


def _check_agent(state: State, agent: Agent) -> None:
    for framework_id, task_id in agent.tasks:
        assert task_id in state.frameworks[framework_id].tasks, task_id
    offered = Resources.total(offer.resources for offer in agent.offers.values())
    used = Resources.total(used_by(agent).values())
    assert agent.total.contains(used + offered), f"{agent.id}: more in use than there is"
    free = state.allocator.available(agent.id)
    assert free + used + offered == agent.total, (
        f"{agent.id}: free {free} + used {used} + offered {offered} is not {agent.total}"
    )
    assert not (agent.offers and not agent.active), f"{agent.id} is inactive with offers"
