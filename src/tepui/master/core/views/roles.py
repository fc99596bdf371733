"""Roles: which there are, and what each and those below it hold.

Source: Mesos master.cpp knownRoles, RoleResourceBreakdown; recorded /roles.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from tepui.base.names import FrameworkId, Role
from tepui.master.core.messages import offered, used_of_framework
from tepui.master.core.state import State
from tepui.master.core.views.values import JsonValue
from tepui.resources import Resources
from tepui.resources.roles import ancestors
from tepui.resources.scalars import from_milli

Quantities = dict[str, int]  # milli-units; a number of a range counts 1000


class RoleHoldings(Struct):
    """A role with what it and the roles below it hold."""

    name: Role
    weight: float
    frameworks: list[FrameworkId] = field(default_factory=list)
    allocated: Quantities = field(default_factory=dict)  # used by tasks and executors
    offered: Quantities = field(default_factory=dict)
    reserved: Quantities = field(default_factory=dict)
    used_unreserved: Quantities = field(default_factory=dict)
    scalars: Quantities = field(default_factory=dict)  # allocated and offered, scalars alone

    def held_scalars(self) -> Quantities:
        """What is allocated or offered to it, by name."""
        return dict(sorted(self.scalars.items()))

    def held(self) -> Quantities:
        """What is allocated or offered to it, ranges as counts."""
        return _sum(self.allocated, self.offered)

    def consumed(self) -> Quantities:
        """What a quota would count: reservations, and what is used beside them."""
        return _sum(self.reserved, self.used_unreserved)


def breakdown(state: State) -> list[RoleHoldings]:
    """Every role that something says anything about, by name."""
    roles: dict[Role, RoleHoldings] = {}

    def role_and_above(role: Role) -> list[RoleHoldings]:
        names = [role, *[Role(above) for above in ancestors(role)]]
        return [
            roles.get(name) or roles.setdefault(name, RoleHoldings(name, weight_of(state, name)))
            for name in names
        ]

    for role in state.weights:
        role_and_above(role)
    for framework in state.frameworks.values():
        for role in framework.roles:
            role_and_above(role)[0].frameworks.append(framework.id)
        for role, resources in used_of_framework(state, framework).items():
            for holdings in role_and_above(role):
                _add(holdings.allocated, resources)
                _add(holdings.used_unreserved, resources.unreserved())
                _add_scalars(holdings.scalars, resources)
        for role, resources in offered(framework).items():
            for holdings in role_and_above(role):
                _add(holdings.offered, resources)
                _add_scalars(holdings.scalars, resources)
    for agent in state.agents.values():
        for name, resources in agent.total.reservations().items():
            for holdings in role_and_above(Role(name)):
                _add(holdings.reserved, resources)
    return [roles[name] for name in sorted(roles)]


def weight_of(state: State, role: Role) -> float:
    """The role's weight; 1 unless it was set."""
    return state.weights.get(role, 1.0)


def roles_view(state: State) -> JsonValue:
    """The answer of /roles."""
    return {
        "roles": [
            {
                "name": role.name,
                "weight": role.weight,
                "quota": {
                    "role": role.name,
                    "guarantee": {},
                    "limit": {},
                    "consumed": _amounts(role.consumed()),
                },
                "resources": _amounts(role.held()),
                "allocated": _amounts(role.allocated),
                "offered": _amounts(role.offered),
                "reserved": _amounts(role.reserved),
                "frameworks": role.frameworks,
            }
            for role in breakdown(state)
        ]
    }


def weights_view(state: State) -> JsonValue:
    """The answer of /weights."""
    return [{"role": role, "weight": weight} for role, weight in state.weights.items()]


def _amounts(quantities: Mapping[str, int]) -> JsonValue:
    return {name: from_milli(quantities[name]) for name in sorted(quantities)}


def _add(sums: Quantities, resources: Resources) -> None:
    for name, amount in resources.quantities().items():
        sums[name] = sums.get(name, 0) + amount


def _add_scalars(sums: Quantities, resources: Resources) -> None:
    for kind, quantity in resources.items():
        if isinstance(quantity, int):
            sums[kind.name] = sums.get(kind.name, 0) + quantity


def _sum(left: Quantities, right: Quantities) -> Quantities:
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}
