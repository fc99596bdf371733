"""An agent as the allocator sees it: what it has, who holds what of it, what is free."""

from __future__ import annotations

from collections.abc import Iterable

from tepui.allocator.clients import Client
from tepui.allocator.terms import AgentTerms
from tepui.base.names import AgentId
from tepui.resources import Resources
from tepui.resources.kinds import Kind
from tepui.resources.resources import Quantity


class Agent:
    """One agent. Always: free + held = total, unless the agent shrank below what is held."""

    __slots__ = (
        "agent_id",
        "free",
        "has_gpus",
        "held",
        "is_active",
        "is_gone",
        "is_grown",
        "is_oversold",
        "is_remote",
        "seen",
        "terms",
        "total",
        "woken",
    )

    def __init__(self, agent_id: AgentId, terms: AgentTerms, total: Resources) -> None:
        self.agent_id = agent_id
        self.terms = terms
        self.total = total
        self.held: dict[Client, Resources] = {}
        self.free = total
        self.is_oversold = False
        self.has_gpus = total.scalar("gpus") > 0
        self.is_remote = False  # in another region than the master
        self.is_active = True
        self.is_gone = False
        # Kept by the queue of agents to look at:
        self.is_grown = False
        self.woken: dict[Client, None] = {}
        self.seen = 0

    def hold(self, client: Client, resources: Resources) -> None:
        """`client` holds `resources` of this agent, which are free."""
        have = self.held.get(client)
        now = resources if have is None else have + resources
        self.held[client] = client.held[self.agent_id] = now
        self.free = Resources.empty if self.free is resources else self.free - resources

    def occupy(self, client: Client, resources: Resources) -> None:
        """`client` holds `resources` here, whether or not they are free."""
        have = self.held.get(client)
        now = resources if have is None else have + resources
        self.held[client] = client.held[self.agent_id] = now
        self.recount()

    def release(self, client: Client, resources: Resources) -> None:
        """`client` no longer holds `resources`, which it did."""
        have = self.held.get(client)
        assert have is not None, f"{client.framework_id} holds nothing on {self.agent_id}"
        left = Resources.empty if have is resources else have - resources
        if left:
            self.held[client] = client.held[self.agent_id] = left
        else:
            del self.held[client], client.held[self.agent_id]
        if self.is_oversold:
            self.recount()
        elif not self.held:
            self.free = self.total
        else:
            self.free = self.free + resources if self.free else resources

    def resize(self, total: Resources) -> None:
        """The agent has `total` from now on; what is held stays held."""
        self.total = total
        self.has_gpus = total.scalar("gpus") > 0
        self.recount()

    def recount(self) -> None:
        """`free` is what `total` leaves besides what is held."""
        held = Resources.total(self.held.values())
        self.is_oversold = not self.total.contains(held)
        self.free = _surplus(self.total, held) if self.is_oversold else self.total - held


def scalars(resources: Resources) -> dict[str, int]:
    """Milli-units of the scalars by name, so that sums of parts are the parts' sums."""
    amounts: dict[str, int] = {}
    for kind, quantity in resources.items():
        if isinstance(quantity, int):
            if kind.whole_milli is not None:
                quantity *= kind.whole_milli
            amounts[kind.name] = amounts.get(kind.name, 0) + quantity
    return amounts


def _surplus(total: Resources, held: Resources) -> Resources:
    return Resources.of_entries(dict(_surplus_entries(total, held)))


def _surplus_entries(total: Resources, held: Resources) -> Iterable[tuple[Kind, Quantity]]:
    for kind, have in total.items():
        less = held.amount(kind)
        if less is None:
            yield kind, have
        elif isinstance(have, int) and isinstance(less, int):
            yield kind, max(0, have - less)
        elif not isinstance(have, int) and not isinstance(less, int):
            yield kind, have - less  # type: ignore[operator]  # one kind, one type of quantity
