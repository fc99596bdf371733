"""The filters of all clients, in the order in which they end.

Each client keeps its own (see `filters`), so that reviving one, however much it has declined, is
to drop them. Here is only when to look at which client next.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from tepui.allocator.clients import Client
from tepui.allocator.filters import Filter, Filters
from tepui.base.names import AgentId
from tepui.resources import Resources

REFUSE_MS_MAX = 365 * 24 * 3_600_000  # Mesos: hierarchical.cpp caps a filter at 365 days
STALE_MIN = 1024  # looks in vain that may wait besides one for each client with filters


class FilterExpiry:
    """When the next filter ends, and how many there are."""

    def __init__(self) -> None:
        self._looks: list[tuple[int, int, Client]] = []
        self._look_at: dict[Client, int] = {}  # the earliest look at each client with filters
        self._number = 0
        self.in_force = 0

    def install(
        self, client: Client, agent_id: AgentId, resources: Resources, until_ms: int
    ) -> None:
        """Offers of the agent within `resources` are dropped until `until_ms`."""
        self._number += 1
        before = client.filters.count
        client.filters.add(agent_id, Filter(resources, until_ms), self._number)
        self.in_force += client.filters.count - before
        self._plan(client)

    def expire(self, now_ms: int, ends_max: int) -> list[tuple[Client, AgentId]]:
        """At most `ends_max` filters that ended by `now_ms` are gone; whom they concerned."""
        ended: list[tuple[Client, AgentId]] = []
        while len(ended) < ends_max and self._looks and self._looks[0][0] <= now_ms:
            at_ms, _, client = heappop(self._looks)
            if self._look_at.get(client) != at_ms:
                continue
            del self._look_at[client]
            filters = client.filters
            while len(ended) < ends_max:
                due_ms = filters.next_due_ms()
                if due_ms is None or due_ms > now_ms:
                    break
                ended.append((client, filters.end_first()))
                self.in_force -= 1
            self._plan(client)
        return ended

    def next_due_ms(self) -> int | None:
        """When to look next: not after a filter ends, and before it only if another is gone."""
        while self._looks:
            at_ms, _, client = self._looks[0]
            if self._look_at.get(client) == at_ms:
                return at_ms
            heappop(self._looks)
        return None

    def clear_client(self, client: Client) -> None:
        """`client` has declined nothing."""
        self.in_force -= client.filters.count
        client.filters = Filters()
        self._look_at.pop(client, None)
        self._compact()

    def clear_agent(self, client: Client, agent_id: AgentId) -> None:
        """`client` has declined nothing of this agent."""
        before = client.filters.count
        client.filters.remove_agent(agent_id)
        self.in_force += client.filters.count - before
        self._plan(client)

    def check(self, clients: list[Client]) -> None:
        """The filters of `clients` are all there are, and will be looked at in time."""
        assert self.in_force == sum(client.filters.count for client in clients)
        looks = {(at_ms, client) for at_ms, _, client in self._looks}
        for client in clients:
            client.filters.check()
            due_ms = client.filters.next_due_ms()
            at_ms = self._look_at.get(client)
            if due_ms is None:
                assert at_ms is None
            else:
                assert at_ms is not None
                assert at_ms <= due_ms
                assert (at_ms, client) in looks
        assert len(self._looks) <= 2 * len(self._look_at) + STALE_MIN

    def _plan(self, client: Client) -> None:
        """The next look at `client` is no later than its next filter ends."""
        due_ms = client.filters.next_due_ms()
        if due_ms is None:
            self._look_at.pop(client, None)
            self._compact()
            return
        planned_ms = self._look_at.get(client)
        if planned_ms is None or due_ms < planned_ms:
            self._look_at[client] = due_ms
            self._number += 1
            heappush(self._looks, (due_ms, self._number, client))
            self._compact()

    def _compact(self) -> None:
        if len(self._looks) > 2 * len(self._look_at) + STALE_MIN:
            self._looks = [look for look in self._looks if self._is_planned(look)]
            heapify(self._looks)

    def _is_planned(self, look: tuple[int, int, Client]) -> bool:
        at_ms, _, client = look
        return self._look_at.get(client) == at_ms
