"""A master and an agent know the same tasks and executors, whenever nothing is under way between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tepui.agent.core.state import Kind, Phase
from tepui.base.names import AgentId
from tepui.wire.states import TERMINAL_STATES

if TYPE_CHECKING:
    from tepui.sim.cluster.agent_node import AgentNode
    from tepui.sim.cluster.master_node import Leader

Name = tuple[str, str]  # of a framework, and of an executor or task of its


def check_agreement(leader: Leader, node: AgentNode) -> None:
    """Raise AssertionError when they differ, and no message can change that."""
    agent_id = node.agent_id
    agent = None if agent_id is None else leader.state.agents.get(AgentId(agent_id))
    if agent is None or agent.link is None or not node.state.registered:
        return
    peer = leader.link(agent.link)
    if node.link is None or peer is not node.link.peer or not node.link.is_quiet:
        return
    if not node.loop.is_idle or not leader.loop.is_idle:
        return
    theirs: set[Name] = {
        (framework_id, executor_id)
        for framework_id, found in agent.executors.items()
        for executor_id in found
    }
    ours: set[Name] = {
        (framework.id, executor.id)
        for framework in node.state.frameworks.values()
        for executor in framework.executors.values()
        if executor.kind is not Kind.COMMAND and executor.phase is not Phase.TERMINATED
    }
    _compare(node, "executors", ours, theirs)
    living: set[Name] = {
        name for name, task in agent.tasks.items() if task.state not in TERMINAL_STATES
    }
    running: set[Name] = {
        (framework.id, task.id)
        for framework in node.state.frameworks.values()
        for task in framework.tasks.values()
    }
    _compare(node, "tasks", running, living | (running & agent.tasks.keys()))


def _compare(node: AgentNode, what: str, ours: set[Name], theirs: set[Name]) -> None:
    only_ours, only_theirs = sorted(ours - theirs), sorted(theirs - ours)
    assert not only_ours, f"{node.name} has {what} that its master does not know: {only_ours}"
    assert not only_theirs, f"{node.name} does not know {what} of its master: {only_theirs}"
