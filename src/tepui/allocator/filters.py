"""Which offers a framework declined, and until when (Mesos: RefusedOfferFilter).

A filter drops offers of one agent to one framework in one role that are contained in what was
declined: when more becomes free the framework is asked again. A filter ends by time, when the
role is revived, and when the agent's attributes change.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from tepui.allocator.clients import Client, Declined
from tepui.base.names import AgentId
from tepui.resources import Resources

FILTERS_PER_AGENT_MAX = 4  # of one framework in one role; beyond it the one that ends first goes
REFUSE_MS_MAX = 365 * 24 * 3600 * 1000  # Mesos caps a filter at 365 days
STALE_MIN = 1024  # ended filters that may wait in the heap besides as many as are in force


class Filters:
    """The times at which filters end; the filters themselves are with their clients."""

    def __init__(self) -> None:
        self._ends: list[tuple[int, int, Client, AgentId, Declined]] = []
        self._number = 0
        self.in_force = 0

    def install(
        self, client: Client, agent_id: AgentId, resources: Resources, until_ms: int
    ) -> None:
        """Offers within `resources` are dropped until `until_ms`; one that says less is merged."""
        before = client.filters.get(agent_id, ())
        for old in before:
            if old.until_ms >= until_ms and old.resources.contains(resources):
                return
        new = Declined(resources, until_ms)
        kept = [
            old
            for old in before
            if old.until_ms > until_ms or not resources.contains(old.resources)
        ]
        if len(kept) == FILTERS_PER_AGENT_MAX:
            kept.remove(min(kept, key=lambda old: old.until_ms))
        self._replace(client, agent_id, before, (*kept, new))
        self._number += 1
        heappush(self._ends, (until_ms, self._number, client, agent_id, new))
        self._compact()

    def expire(self, now_ms: int) -> list[tuple[Client, AgentId]]:
        """Filters that ended by `now_ms` are gone; whom they concerned."""
        ended: list[tuple[Client, AgentId]] = []
        while self._ends and self._ends[0][0] <= now_ms:
            _, _, client, agent_id, declined = heappop(self._ends)
            before = client.filters.get(agent_id, ())
            after = tuple([f for f in before if f is not declined])
            if len(after) < len(before):
                self._replace(client, agent_id, before, after)
                ended.append((client, agent_id))
        return ended

    def clear_client(self, client: Client) -> None:
        """`client` has declined nothing."""
        self.in_force -= sum(len(filters) for filters in client.filters.values())
        client.filters = {}
        self._compact()

    def clear_agent(self, client: Client, agent_id: AgentId) -> None:
        """`client` has declined nothing of this agent."""
        self.in_force -= len(client.filters.pop(agent_id, ()))

    def next_due_ms(self) -> int | None:
        """When the next filter ends, if there is one."""
        while self._ends and not _is_in_force(self._ends[0]):
            heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def check(self, in_force: int) -> None:
        """There are `in_force` filters, and each will end."""
        assert self.in_force == in_force
        assert sum(map(_is_in_force, self._ends)) == in_force
        assert len(self._ends) <= 2 * in_force + STALE_MIN

    def _replace(
        self,
        client: Client,
        agent_id: AgentId,
        before: tuple[Declined, ...],
        after: tuple[Declined, ...],
    ) -> None:
        if after:
            client.filters[agent_id] = after
        else:
            del client.filters[agent_id]
        self.in_force += len(after) - len(before)

    def _compact(self) -> None:
        """The heap is no longer than a multiple of what is in force."""
        if len(self._ends) > 2 * self.in_force + STALE_MIN:
            self._ends = [end for end in self._ends if _is_in_force(end)]
            heapify(self._ends)


def _is_in_force(end: tuple[int, int, Client, AgentId, Declined]) -> bool:
    _, _, client, agent_id, declined = end
    return any(f is declined for f in client.filters.get(agent_id, ()))
