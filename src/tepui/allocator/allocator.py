"""The allocator: what it knows, how that changes, and rounds of allocation.

Every change says which agents are worth another look (see `queue`); `allocate` looks at them, in
slices as large as the caller likes, and answers with grants. What is granted counts as allocated
until it is recovered: an offer declined or rescinded, what a framework left of an offer, a task
that ended.

Unknown frameworks may hold resources: an agent can register before the framework that runs on it
is back. Its holdings count for its role, and are its own again once it is added.

(Mesos: master/allocator/mesos/hierarchical.cpp)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tepui.allocator.agents import Agent, scalars
from tepui.allocator.clients import Client, Excludes
from tepui.allocator.constraints import compile_constraints
from tepui.allocator.expiry import REFUSE_MS_MAX, FilterExpiry
from tepui.allocator.frameworks import Framework
from tepui.allocator.matching import Rules, match_all, match_some
from tepui.allocator.queue import Queue
from tepui.allocator.shares import Cluster, RoleTree
from tepui.allocator.terms import (
    MIN_ALLOCATABLE,
    AgentTerms,
    FrameworkTerms,
    Grant,
    Minimums,
    region,
)
from tepui.base.names import AgentId, FrameworkId, Role
from tepui.resources import Resources
from tepui.wire import mesos

FILTERS_PER_AGENT = 4  # ends of filters that take about as long as a look at an agent


class Allocator:
    """Who is offered what now."""

    def __init__(
        self,
        *,
        min_allocatable: Minimums = MIN_ALLOCATABLE,
        filter_gpu_resources: bool = True,
        exclude_from_fair_share: Iterable[str] = (),
        domain: mesos.DomainInfo | None = None,
        weights: Mapping[Role, float] | None = None,
    ) -> None:
        """`domain` is the master's: agents of other regions go to REGION_AWARE frameworks only."""
        self.rules = Rules(min_allocatable, filter_gpu_resources)
        self.cluster = Cluster(frozenset(exclude_from_fair_share))
        self.tree = RoleTree(self.cluster, weights or {})
        self.agents: dict[AgentId, Agent] = {}
        self.frameworks: dict[FrameworkId, Framework] = {}
        self.clients: dict[FrameworkId, dict[Role, Client]] = {}
        self.expiry = FilterExpiry()
        self.queue = Queue()
        self._region = region(domain)
        self._own_minimums = 0  # frameworks that have minimums of their own

    # Rounds

    def allocate(self, now_ms: int, agents_max: int) -> list[Grant]:
        """What is to be offered, after a look at no more than `agents_max` agents.

        There is more to look at when `pending()` still holds, or `next_due_ms()` has come.
        """
        self._expire_filters(now_ms, FILTERS_PER_AGENT * agents_max)
        grants: list[Grant] = []
        for _ in range(agents_max):
            waiting = self.queue.take()
            if waiting is None:
                break
            agent, clients = waiting
            if agent.is_active and agent.free:
                self._offer(agent, clients, grants)
        return grants

    def pending(self) -> bool:
        """Whether `allocate` has agents to look at now."""
        return bool(self.queue)

    def next_due_ms(self) -> int | None:
        """When `allocate` will have more to look at, though nothing else happens: a filter ends."""
        return self.expiry.next_due_ms()

    def _offer(self, agent: Agent, clients: list[Client] | None, grants: list[Grant]) -> None:
        if clients is None:
            some = self._own_minimums > 0
            matches = match_all(agent, self.tree, self.rules, some_take_less=some)
        else:
            matches = match_some(agent, clients, self.tree, self.rules)
        for client, offer in matches:
            agent.hold(client, offer)
            self.tree.charge(client, scalars(offer))
            grants.append(Grant(client.framework_id, client.role, agent.agent_id, offer))
        if agent.free:
            self.queue.rest(agent)

    def _expire_filters(self, now_ms: int, ends_max: int) -> None:
        for client, agent_id in self.expiry.expire(now_ms, ends_max):
            if client.is_active and (agent := self.agents.get(agent_id)) is not None:
                self.queue.wake_at(client, agent)

    # Holdings

    def recover(
        self,
        framework_id: FrameworkId,
        role: Role,
        agent_id: AgentId,
        resources: Resources,
        *,
        refuse_ms: int | None,
        now_ms: int,
    ) -> None:
        """`resources`, which the framework held there in `role`, are free again.

        With `refuse_ms` above zero it is not offered what they contain for so long. An agent that
        is gone has nothing to recover.
        """
        agent = self.agents.get(agent_id)
        if agent is None or not resources:
            return
        client = self.clients.get(framework_id, {}).get(role)
        assert client is not None, f"{framework_id} holds nothing in role {role}"
        agent.release(client, resources)
        self.tree.discharge(client, scalars(resources))
        if refuse_ms and client.is_subscribed and self.frameworks[framework_id].is_active:
            until_ms = now_ms + min(refuse_ms, REFUSE_MS_MAX)
            self.expiry.install(client, agent_id, resources, until_ms)
        self._look_at(agent)
        self._forget_if_idle(client)

    def available(self, agent_id: AgentId) -> Resources:
        """What of the agent is neither offered nor used."""
        return self.agents[agent_id].free

    def allocation(self, framework_id: FrameworkId) -> dict[Role, Resources]:
        """What the framework is offered and uses, by role."""
        found: dict[Role, Resources] = {}
        for client in self._clients_of(framework_id):
            if client.held:
                found[client.role] = Resources.total(client.held.values())
        return found

    def allocated(self, role: Role) -> dict[str, int]:
        """The scalars allocated to `role` and the roles below it, in milli-units by name."""
        level = self.tree.find(role)
        return dict(level.amounts) if level is not None else {}

    def share(self, role: Role) -> float:
        """The dominant share of `role` and the roles below it, before weighting."""
        return self.cluster.dominant_share(self.allocated(role))

    def weight(self, role: Role) -> float:
        """The weight of `role`; 1 unless set."""
        return self.tree.weight(role)

    def set_weight(self, role: Role, weight: float) -> None:
        """`role` is due `weight` times what a sibling of weight 1 is."""
        self.tree.set_weight(role, weight)

    # Agents

    def add_agent(
        self,
        agent_id: AgentId,
        terms: AgentTerms,
        total: Resources,
        used: Mapping[tuple[FrameworkId, Role], Resources],
    ) -> None:
        """The agent is there, active, and `used` of it is held."""
        assert agent_id not in self.agents, f"agent {agent_id} is known"
        agent = self.agents[agent_id] = Agent(agent_id, terms, total)
        agent.is_remote = self._is_remote(terms)
        self.cluster.change(scalars(total), 1)
        for (framework_id, role), resources in used.items():
            if resources:
                client = self._client(framework_id, role)
                agent.occupy(client, resources)
                self.tree.charge(client, scalars(resources))
        self._look_at(agent)

    def remove_agent(self, agent_id: AgentId) -> None:
        """The agent is gone, with all that was held of it and all filters for it."""
        agent = self.agents.pop(agent_id)
        agent.is_gone = True
        self.queue.drop(agent)
        self._clear_filters_at(agent_id)
        for client, resources in list(agent.held.items()):
            agent.release(client, resources)
            self.tree.discharge(client, scalars(resources))
            self._forget_if_idle(client)
        self.cluster.change(scalars(agent.total), -1)

    def update_agent(
        self,
        agent_id: AgentId,
        *,
        total: Resources | None = None,
        terms: AgentTerms | None = None,
    ) -> None:
        """The agent has `total` and `terms` from now on; other attributes end its filters."""
        agent = self.agents[agent_id]
        if total is not None and total != agent.total:
            self.cluster.change(scalars(agent.total), -1)
            self.cluster.change(scalars(total), 1)
            agent.resize(total)
        if terms is not None:
            if terms.attributes != agent.terms.attributes:
                self._clear_filters_at(agent_id)
            agent.terms = terms
            agent.is_remote = self._is_remote(terms)
        self._look_at(agent)

    def activate_agent(self, agent_id: AgentId) -> None:
        """What is free on the agent is offered."""
        agent = self.agents[agent_id]
        agent.is_active = True
        self._look_at(agent)

    def deactivate_agent(self, agent_id: AgentId) -> None:
        """The agent keeps what is held; nothing more of it is offered."""
        agent = self.agents[agent_id]
        agent.is_active = False
        self.queue.drop(agent)

    def _look_at(self, agent: Agent) -> None:
        if agent.is_active and agent.free:
            self.queue.grow(agent)
        elif not agent.free:
            self.queue.drop(agent)

    def _is_remote(self, terms: AgentTerms) -> bool:
        where = region(terms.domain)
        return where is not None and self._region is not None and where != self._region

    def _clear_filters_at(self, agent_id: AgentId) -> None:
        for clients in self.clients.values():
            for client in clients.values():
                self.expiry.clear_agent(client, agent_id)

    # Frameworks

    def add_framework(self, framework_id: FrameworkId, terms: FrameworkTerms) -> None:
        """The framework is there and active; what it holds already is counted as its own.

        Raises `Refused` for constraints that `validate_constraints` refuses; nothing has changed.
        """
        assert framework_id not in self.frameworks, f"framework {framework_id} is known"
        excludes = compile_constraints(terms.constraints)
        self.frameworks[framework_id] = Framework(terms)
        self._apply(framework_id, terms, excludes)

    def remove_framework(self, framework_id: FrameworkId) -> None:
        """The framework gets nothing any more; what it holds stays held until recovered."""
        del self.frameworks[framework_id]
        for client in self._clients_of(framework_id):
            self._unsubscribe(client)
        self._count_own_minimums()

    def activate_framework(self, framework_id: FrameworkId) -> None:
        """The framework gets offers in the roles that are not suppressed."""
        self.frameworks[framework_id].is_active = True
        for client in self._clients_of(framework_id):
            self._set_activity(client)
            self.queue.wake(client)

    def deactivate_framework(self, framework_id: FrameworkId) -> None:
        """The framework keeps what it holds, gets no offers, and has declined nothing."""
        self.frameworks[framework_id].is_active = False
        for client in self._clients_of(framework_id):
            self._set_activity(client)
            self.expiry.clear_client(client)

    def update_framework(self, framework_id: FrameworkId, terms: FrameworkTerms) -> None:
        """Offers follow `terms` from now on.

        Filters of roles that left, and of those no longer suppressed, are cleared. Raises
        `Refused` as `add_framework` does.
        """
        excludes = compile_constraints(terms.constraints)
        framework = self.frameworks[framework_id]
        revived = framework.suppressed - terms.suppressed
        for client in self._clients_of(framework_id):
            if client.role not in terms.roles:
                self._unsubscribe(client)
            elif client.role in revived:
                self.expiry.clear_client(client)
        framework.adopt(terms)
        self._apply(framework_id, terms, excludes)

    def suppress(self, framework_id: FrameworkId, roles: Iterable[Role] = ()) -> None:
        """The framework gets no offers in `roles`, or in all its roles when none are given."""
        framework = self.frameworks[framework_id]
        concerned = framework.concerned(roles)
        framework.suppressed |= concerned
        for role in sorted(concerned):
            self._set_activity(self.clients[framework_id][role])

    def revive(self, framework_id: FrameworkId, roles: Iterable[Role] = ()) -> None:
        """The framework gets offers in `roles`, or in all its roles, and has declined nothing."""
        framework = self.frameworks[framework_id]
        concerned = framework.concerned(roles)
        framework.suppressed -= concerned
        for role in sorted(concerned):
            client = self.clients[framework_id][role]
            self.expiry.clear_client(client)
            self._set_activity(client)
            self.queue.wake(client)

    # Clients: a framework in a role

    def _clients_of(self, framework_id: FrameworkId) -> list[Client]:
        return list(self.clients.get(framework_id, {}).values())

    def _client(self, framework_id: FrameworkId, role: Role) -> Client:
        clients = self.clients.setdefault(framework_id, {})
        client = clients.get(role)
        if client is None:
            client = clients[role] = Client(framework_id, self.tree.enter_leaf(role))
        return client

    def _apply(
        self, framework_id: FrameworkId, terms: FrameworkTerms, excludes: dict[Role, Excludes]
    ) -> None:
        for role in terms.roles:
            client = self._client(framework_id, role)
            client.apply(terms, excludes.get(role))
            self._set_activity(client)
            self.queue.wake(client)
        self._count_own_minimums()

    def _set_activity(self, client: Client) -> None:
        framework = self.frameworks.get(client.framework_id)
        wanted = (
            client.is_subscribed
            and framework is not None
            and framework.is_active
            and client.role not in framework.suppressed
        )
        if wanted and not client.is_active:
            client.leaf.join(client)
        elif client.is_active and not wanted:
            client.leaf.leave(client)

    def _unsubscribe(self, client: Client) -> None:
        client.is_subscribed = False
        self.expiry.clear_client(client)
        self._set_activity(client)
        self._forget_if_idle(client)

    def _forget_if_idle(self, client: Client) -> None:
        """A client that neither wants nor holds anything leaves the tree."""
        if client.is_subscribed or client.held:
            return
        self.queue.forget(client)
        self.tree.exit_leaf(client.leaf)
        clients = self.clients[client.framework_id]
        del clients[client.role]
        if not clients:
            del self.clients[client.framework_id]

    def _count_own_minimums(self) -> None:
        self._own_minimums = sum(bool(f.terms.min_allocatable) for f in self.frameworks.values())
