"""What must always be true of an allocator; simulations check it after every step.

Each function takes the whole apart in one way and asserts that the parts agree. The last one says
what the queue is for: nobody who could use what is free on an agent at rest was passed over.
"""

from __future__ import annotations

from tepui.allocator.agents import scalars
from tepui.allocator.allocator import Allocator
from tepui.allocator.clients import Client
from tepui.allocator.matching import offer_to, reaches
from tepui.allocator.shares import Leaf, Level, RoleLevel, add
from tepui.resources import Resources


def check(allocator: Allocator) -> None:
    """The sums agree, the orders are orders, and nobody was forgotten."""
    check_agents(allocator)
    check_clients(allocator)
    check_tree(allocator)
    check_filters(allocator)
    check_queue(allocator)


def check_agents(allocator: Allocator) -> None:
    """What is free and what is held make up each agent, and the agents make up the cluster."""
    totals: dict[str, int] = {}
    for agent_id, agent in allocator.agents.items():
        assert agent.agent_id == agent_id
        assert not agent.is_gone
        add(totals, scalars(agent.total), 1)
        held = Resources.total(agent.held.values())
        if agent.is_oversold:
            assert not agent.total.contains(held)
            assert agent.total.contains(agent.free)
        else:
            assert agent.free + held == agent.total
        for client, resources in agent.held.items():
            assert resources
            assert client.held[agent_id] is resources
            assert allocator.clients[client.framework_id][client.role] is client
    assert allocator.cluster.totals == totals


def check_clients(allocator: Allocator) -> None:
    """Clients hold what agents say, and are active exactly when they may get offers."""
    for framework_id, clients in allocator.clients.items():
        framework = allocator.frameworks.get(framework_id)
        for role, client in clients.items():
            assert client.is_subscribed or client.held
            assert client.is_subscribed is (framework is not None and role in framework.terms.roles)
            assert client.is_active is (
                framework is not None
                and framework.is_active
                and client.is_subscribed
                and role not in framework.suppressed
            )
            amounts: dict[str, int] = {}
            for agent_id, resources in client.held.items():
                assert allocator.agents[agent_id].held[client] is resources
                add(amounts, scalars(resources), 1)
            assert client.amounts == amounts
    for framework_id, framework in allocator.frameworks.items():
        for role in framework.terms.roles:
            assert allocator.clients[framework_id][role].is_subscribed


def check_tree(allocator: Allocator) -> None:
    """Every level is the sum of what is below it, in order."""
    by_leaf: dict[Leaf, list[Client]] = {}
    for clients in allocator.clients.values():
        for client in clients.values():
            by_leaf.setdefault(client.leaf, []).append(client)
    for leaf, members in by_leaf.items():
        assert leaf.nodes == len(members)
        assert leaf.role_level.leaf is leaf
        assert leaf.role_level is allocator.tree.find(leaf.role)
    _check_role(allocator, allocator.tree.root, by_leaf)


def _check_role(allocator: Allocator, level: RoleLevel, by_leaf: dict[Leaf, list[Client]]) -> None:
    below: list[RoleLevel | Leaf] = list(level.children.values())
    if level.leaf is not None:
        below.append(level.leaf)
        _check_level(allocator, level.leaf, by_leaf[level.leaf])
    assert below or level.parent is None
    for child in level.children.values():
        assert child.parent is level
        _check_role(allocator, child, by_leaf)
    _check_level(allocator, level, below)


def _check_level(
    allocator: Allocator, level: Level, below: list[Client] | list[RoleLevel | Leaf]
) -> None:
    amounts: dict[str, int] = {}
    for node in below:
        assert node.above is level
        add(amounts, node.amounts, 1)
    if level.above is not None:
        assert level.amounts == amounts
    active = {node for node in below if node.is_active}
    if level.above is not None:
        assert level.is_active is bool(active)
    order = level.in_order(allocator.cluster)
    assert {entry[3] for entry in order} == active
    if len(order) > 1:  # one alone is in order whatever its key
        assert [entry[:3] for entry in order] == sorted(n.key(allocator.cluster) for n in active)


def check_filters(allocator: Allocator) -> None:
    """Filters are of subscribed clients and known agents, and each will end."""
    clients = [c for of_one in allocator.clients.values() for c in of_one.values()]
    for client in clients:
        assert client.is_subscribed or not client.filters.count
        assert client.filters.by_agent.keys() <= allocator.agents.keys()
    allocator.expiry.check(clients)


def check_queue(allocator: Allocator) -> None:
    """Of what rests, nobody who was asked would take anything."""
    resting = allocator.queue.at_rest()
    assert allocator.pending() or all(resting.values())
    for agent in allocator.agents.values():
        if agent.is_active and agent.free and not agent.is_grown:
            assert agent.agent_id in resting, f"{agent.agent_id} is neither at rest nor waiting"
    for agent_id, asked_all in resting.items():
        agent = allocator.agents[agent_id]
        assert agent.is_active
        assert agent.free
        if not asked_all or agent.is_grown:
            continue
        for clients in allocator.clients.values():
            for client in clients.values():
                if not client.is_active:
                    continue
                part = agent.free.allocatable_to(client.role)
                is_enough = reaches(part, allocator.rules.minimums)
                rules = allocator.rules
                offer = offer_to(agent, client, part, rules, is_plain=False, is_enough=is_enough)
                assert not isinstance(offer, Resources), (
                    f"{client.framework_id} in {client.role} was passed over on {agent_id}"
                )
