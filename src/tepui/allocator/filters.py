"""What one framework in one role has declined, and until when (Mesos: RefusedOfferFilter).

A filter drops offers of one agent that are contained in what was declined: when more becomes free
the framework is asked again. A filter ends by time, when the role is revived, and when the
agent's attributes change.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from msgspec import Struct

from tepui.base.names import AgentId
from tepui.resources import Resources

FILTERS_PER_AGENT_MAX = 4  # of one framework in one role; beyond it the one that ends first goes
STALE_MIN = 64  # filters gone before their time that may wait besides as many as are in force


class Filter(Struct, frozen=True):
    """Offers within `resources` are not made again before `until_ms`."""

    resources: Resources
    until_ms: int


class Filters:
    """The filters of one client, by agent and by the time at which they end."""

    __slots__ = ("_ends", "by_agent", "count")

    def __init__(self) -> None:
        self.by_agent: dict[AgentId, tuple[Filter, ...]] = {}
        self.count = 0
        self._ends: list[tuple[int, int, AgentId, Filter]] = []  # some may be gone already

    def add(self, agent_id: AgentId, new: Filter, number: int) -> None:
        """`new` is in force, unless another says as much; those that say less are gone.

        `number` grows from filter to filter, so that those of one time end in order.
        """
        before = self.by_agent.get(agent_id, ())
        if any(o.until_ms >= new.until_ms and o.resources.contains(new.resources) for o in before):
            return
        kept = [
            old
            for old in before
            if old.until_ms > new.until_ms or not new.resources.contains(old.resources)
        ]
        if len(kept) == FILTERS_PER_AGENT_MAX:
            kept.remove(min(kept, key=lambda old: old.until_ms))
        self.by_agent[agent_id] = (*kept, new)
        self.count += len(kept) + 1 - len(before)
        heappush(self._ends, (new.until_ms, number, agent_id, new))
        self._compact()

    def remove_agent(self, agent_id: AgentId) -> None:
        """Nothing of this agent is declined."""
        self.count -= len(self.by_agent.pop(agent_id, ()))
        self._compact()

    def next_due_ms(self) -> int | None:
        """When the first filter ends, if there is one."""
        while self._ends and not self._is_in_force(self._ends[0]):
            heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def end_first(self) -> AgentId:
        """The filter that ends first is gone; whose agent it was. There is one."""
        assert self.next_due_ms() is not None
        _, _, agent_id, ended = heappop(self._ends)
        after = tuple([each for each in self.by_agent[agent_id] if each is not ended])
        if after:
            self.by_agent[agent_id] = after
        else:
            del self.by_agent[agent_id]
        self.count -= 1
        self._compact()
        return agent_id

    def check(self) -> None:
        """Every filter in force will end, and not much else is kept."""
        assert self.count == sum(map(len, self.by_agent.values()))
        assert self.count == sum(map(self._is_in_force, self._ends))
        assert len(self._ends) <= 2 * self.count + STALE_MIN
        assert all(0 < len(each) <= FILTERS_PER_AGENT_MAX for each in self.by_agent.values())

    def _is_in_force(self, end: tuple[int, int, AgentId, Filter]) -> bool:
        return any(each is end[3] for each in self.by_agent.get(end[2], ()))

    def _compact(self) -> None:
        if len(self._ends) > 2 * self.count + STALE_MIN:
            self._ends = [end for end in self._ends if self._is_in_force(end)]
            heapify(self._ends)
