"""Which agents are to be looked at, and for whom.

An agent that was looked at and left with something free has been refused by everybody, and that
stays so until something changes:

- it grows (more is free, or the agent itself changed): it is looked at for everybody;
- a filter ends: it is looked at for that client;
- a client wakes (added, revived, changed): every agent with something free is looked at for that
  client. Wakes are numbered and agents rest in the order of the wakes they have seen, so waking
  costs nothing at the time, and the agents that missed a wake are at the front.

So a round costs as much as has changed, and nothing is tried twice in vain.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from tepui.allocator.agents import Agent
from tepui.allocator.clients import Client
from tepui.base.names import AgentId

CLIENTS_FEW = 32  # more woken clients than these, and the agent is looked at for everybody


class Queue:
    """The agents that wait to be looked at, in a fixed order."""

    def __init__(self) -> None:
        self._grown: deque[Agent] = deque()
        self._woken: deque[Agent] = deque()
        self._resting: OrderedDict[AgentId, Agent] = OrderedDict()  # by `seen`, ascending
        self._wakes: OrderedDict[Client, int] = OrderedDict()  # the last wake of each, ascending
        self._last_wake = 0
        self._missed: tuple[int, int, list[Client]] = (0, 0, [])  # answer for (seen, last wake)

    def __bool__(self) -> bool:
        return bool(self._grown or self._woken) or self._first_behind() is not None

    def grow(self, agent: Agent) -> None:
        """`agent` is to be looked at for everybody."""
        if not agent.is_grown:
            agent.is_grown = True
            self._grown.append(agent)

    def wake(self, client: Client) -> None:
        """All agents are to be looked at for `client`."""
        self._last_wake += 1
        self._wakes[client] = self._last_wake
        self._wakes.move_to_end(client)

    def wake_at(self, client: Client, agent: Agent) -> None:
        """`agent` is to be looked at for `client`."""
        if not agent.woken:
            self._woken.append(agent)
        agent.woken[client] = None

    def forget(self, client: Client) -> None:
        """`client` is gone."""
        self._wakes.pop(client, None)

    def drop(self, agent: Agent) -> None:
        """`agent` is not to be looked at: it left or takes no part."""
        self._resting.pop(agent.agent_id, None)

    def rest(self, agent: Agent) -> None:
        """What is free on `agent` is wanted by nobody now."""
        agent.seen = self._last_wake
        self._resting[agent.agent_id] = agent
        self._resting.move_to_end(agent.agent_id)

    def take(self) -> tuple[Agent, list[Client] | None] | None:
        """The next agent and the clients to ask, None for everybody; None when nothing waits."""
        while self._grown:
            agent = self._grown.popleft()
            agent.is_grown = False
            if not agent.is_gone:
                self._resting.pop(agent.agent_id, None)
                return agent, None
        while self._woken:
            agent = self._woken.popleft()
            if agent.agent_id in self._resting and not agent.is_grown:
                return self._taken(agent)
            agent.woken.clear()  # nothing free, or looked at for everybody soon
        if (behind := self._first_behind()) is not None:
            return self._taken(behind)
        return None

    def at_rest(self) -> dict[AgentId, bool]:
        """The agents at rest, and whether everybody has been asked about them."""
        seen = [agent.seen for agent in self._resting.values()]
        assert seen == sorted(seen)
        return {
            agent_id: agent.seen == self._last_wake and not agent.woken
            for agent_id, agent in self._resting.items()
        }

    def _taken(self, agent: Agent) -> tuple[Agent, list[Client] | None]:
        del self._resting[agent.agent_id]
        missed = self._missed_since(agent.seen)
        clients = list(dict.fromkeys((*agent.woken, *missed))) if agent.woken else missed
        agent.woken.clear()
        return agent, clients if len(clients) <= CLIENTS_FEW else None

    def _first_behind(self) -> Agent | None:
        agent = next(iter(self._resting.values()), None)
        return agent if agent is not None and agent.seen < self._last_wake else None

    def _missed_since(self, seen: int) -> list[Client]:
        """The clients that woke after `seen`."""
        if self._missed[:2] != (seen, self._last_wake):
            missed: list[Client] = []
            for client, wake in reversed(self._wakes.items()):
                if wake <= seen:
                    break
                missed.append(client)
            self._missed = (seen, self._last_wake, missed)
        return self._missed[2]
