"""`Resources`: how much there is of each kind (Mesos: common/resources.cpp).

Immutable. Nothing in it is zero, nothing is negative, nothing is ever dropped in silence:
subtracting what is not there raises. To whom resources are allocated is not part of them;
offers, tasks and executors carry their role beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tepui.resources.convert import allocation_role, entry_of, wire_of
from tepui.resources.kinds import (
    Kind,
    Reservation,
    ValueType,
    kind_of,
    with_reservations,
    writing_order,
)
from tepui.resources.ranges import Ranges
from tepui.resources.roles import is_strict_subrole
from tepui.resources.text import Quantity, format_entry
from tepui.wire import mesos

__all__ = ["Quantity", "Resources", "allocation_role"]

_NO_PORTS = Ranges()


class Resources:
    """A mapping of `Kind` to milli-units, `Ranges`, or a frozenset of items.

    Of an indivisible disk (`Kind.whole_milli`) the amount is a count: how often a shared volume
    is used, or 1.
    """

    __slots__ = ("_entries", "_hash")

    _entries: dict[Kind, Quantity]
    empty: Resources  # the one with nothing in it; set below

    def __init__(self, entries: dict[Kind, Quantity]) -> None:
        """Takes `entries` over: nothing empty in it, and not changed afterwards."""
        self._entries = entries
        self._hash: int | None = None

    def __reduce__(self) -> tuple[type[Resources], tuple[dict[Kind, Quantity]]]:
        """Without the hash, which is another one in another process."""
        return Resources, (self._entries,)

    @staticmethod
    def of(wire: Iterable[mesos.Resource]) -> Resources:
        """What the wire entries say together; raises `Refused` with Mesos's text for a wrong one.

        Either reservation format is read; entries of zero are as if not there, and
        `allocation_info` is left out (see `allocation_role`).
        """
        entries: dict[Kind, Quantity] = {}
        for resource in wire:
            kind, quantity = entry_of(resource)
            if quantity:
                have = entries.get(kind)
                entries[kind] = quantity if have is None else _sum(have, quantity)
        return Resources(entries)

    @staticmethod
    def of_entries(entries: Mapping[Kind, Quantity]) -> Resources:
        """The given amounts; those of zero are left out. Raises `ValueError` below zero."""
        if any(isinstance(q, int) and q < 0 for q in entries.values()):
            raise ValueError("negative amount")
        return Resources({kind: q for kind, q in entries.items() if q})

    @staticmethod
    def of_scalars(**amounts_milli: int) -> Resources:
        """Unreserved scalars by name: `of_scalars(cpus=4000, mem=1024000)`."""
        return Resources.of_entries(
            {kind_of(name, ValueType.SCALAR): milli for name, milli in amounts_milli.items()}
        )

    @staticmethod
    def total(parts: Iterable[Resources]) -> Resources:
        """The sum of all parts."""
        entries: dict[Kind, Quantity] = {}
        for part, count in _runs(parts):
            for kind, quantity in part._entries.items():
                if isinstance(quantity, int):
                    quantity *= count
                have = entries.get(kind)
                if have is None:
                    entries[kind] = quantity
                elif isinstance(have, int) and isinstance(quantity, int):
                    entries[kind] = have + quantity  # without a call: sums are long
                else:
                    entries[kind] = _sum(have, quantity)
        return Resources(entries)

    def to_wire(self, *, role: str | None, refinement: bool) -> tuple[mesos.Resource, ...]:
        """The wire entries, in a stable order, allocated to `role`.

        With `refinement` reservations are a stack and `role` is left out; without it, `role` and
        `reservation` say them, and a refined reservation raises `Refused`. How often a shared
        volume is used is not said.
        """
        entries = tuple(self._entries.items())
        out: list[mesos.Resource] = []
        for at in writing_order(tuple(self._entries)):
            kind, quantity = entries[at]
            out += wire_of(kind, quantity, role, refinement=refinement)
        return tuple(out)

    # Arithmetic

    def __add__(self, other: Resources) -> Resources:
        """Both together; ranges and sets are united."""
        if not other._entries:
            return self
        entries = self._entries.copy()
        for kind, more in other._entries.items():
            have = entries.get(kind)
            if have is None:
                entries[kind] = more
            elif isinstance(have, int) and isinstance(more, int):
                entries[kind] = have + more
            else:
                entries[kind] = _sum(have, more)
        return Resources(entries)

    def __sub__(self, other: Resources) -> Resources:
        """What is left without `other`; raises `ValueError` unless `contains(other)`."""
        if not other._entries:
            return self
        entries = self._entries.copy()
        for kind, less in other._entries.items():
            have = entries.get(kind)
            if isinstance(have, int) and isinstance(less, int):
                if have > less:
                    entries[kind] = have - less
                    continue
                if have == less:
                    del entries[kind]
                    continue
            elif have is not None and _covers(have, less):
                if left := _difference(have, less):
                    entries[kind] = left
                else:
                    del entries[kind]
                continue
            raise ValueError(f"{self} does not contain {format_entry(kind, less)}")
        return Resources(entries)

    def contains(self, other: Resources) -> bool:
        """Whether `other` can be taken from these."""
        mine = self._entries
        for kind, wanted in other._entries.items():
            have = mine.get(kind)
            if isinstance(have, int) and isinstance(wanted, int):
                if have < wanted:
                    return False
            elif have is None or not _covers(have, wanted):
                return False
        return True

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resources) and self._entries == other._entries

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._entries.items()))
        return self._hash

    # Amounts

    def items(self) -> Iterator[tuple[Kind, Quantity]]:
        """Kinds and amounts, in the order in which they came in."""
        return iter(self._entries.items())

    def amount(self, kind: Kind) -> Quantity | None:
        """How much there is of `kind`; None for none."""
        return self._entries.get(kind)

    def quantities(self) -> dict[str, int]:
        """Milli-units by name; a number of a range and an item of a set count 1000 each."""
        sums: dict[str, int] = {}
        for kind, quantity in self._entries.items():
            sums[kind.name] = sums.get(kind.name, 0) + _milli_of(kind, quantity)
        return sums

    def scalar(self, name: str) -> int:
        """Milli-units of the scalar `name` over all its kinds; a shared volume counts once."""
        total = 0
        for kind, quantity in self._entries.items():
            if kind.name == name and isinstance(quantity, int):
                total += _milli_of(kind, quantity)
        return total

    def ranges(self, name: str) -> Ranges:
        """The numbers of the ranges `name` over all its kinds."""
        found = _NO_PORTS
        for kind, quantity in self._entries.items():
            if kind.name == name and isinstance(quantity, Ranges):
                found = found | quantity
        return found

    def ports(self) -> Ranges:
        """All ports."""
        return self.ranges("ports")

    def names(self) -> frozenset[str]:
        """The names that occur."""
        return frozenset([kind.name for kind in self._entries])

    # Parts

    def filter(self, wanted: Callable[[Kind], bool]) -> Resources:
        """The part of the kinds that are `wanted`."""
        part = {kind: q for kind, q in self._entries.items() if wanted(kind)}
        return self if len(part) == len(self._entries) else Resources(part)

    def named(self, name: str) -> Resources:
        """The part of this name."""
        return self.filter(lambda kind: kind.name == name)

    def unreserved(self) -> Resources:
        """The part reserved to nobody."""
        return self.filter(lambda kind: not kind.reservations)

    def reserved_to(self, role: str) -> Resources:
        """The part whose innermost reservation is to exactly `role`."""
        return self.filter(lambda kind: kind.role == role)

    def allocatable_to(self, role: str) -> Resources:
        """The part that may be offered to `role`: unreserved, or reserved to it or above it."""

        def is_for_role(kind: Kind) -> bool:
            owner = kind.role
            return owner is None or owner == role or is_strict_subrole(role, owner)

        return self.filter(is_for_role)

    def reservations(self) -> dict[str, Resources]:
        """The reserved parts by role."""
        parts: dict[str, dict[Kind, Quantity]] = {}
        for kind, quantity in self._entries.items():
            if (role := kind.role) is not None:
                parts.setdefault(role, {})[kind] = quantity
        return {role: Resources(entries) for role, entries in parts.items()}

    def unrefined(self) -> Resources:
        """The part that the pre-refinement format can say: reserved once at most."""
        return self.filter(lambda kind: len(kind.reservations) <= 1)

    def revocable(self) -> Resources:
        """The part that may be taken away again."""
        return self.filter(lambda kind: kind.revocable)

    def nonrevocable(self) -> Resources:
        """The part that may not be taken away."""
        return self.filter(lambda kind: not kind.revocable)

    def shared(self) -> Resources:
        """The volumes that several tasks use."""
        return self.filter(lambda kind: kind.shared)

    def nonshared(self) -> Resources:
        """The part that one task has for itself."""
        return self.filter(lambda kind: not kind.shared)

    # Changed

    def flatten(self) -> Resources:
        """The amounts alone, as quota sees them: no reservation, disk, sharing or provider."""
        entries: dict[Kind, Quantity] = {}
        for kind, quantity in self._entries.items():
            plain = kind_of(kind.name, kind.type, revocable=kind.revocable)
            if isinstance(quantity, int):
                quantity = _milli_of(kind, quantity)
            have = entries.get(plain)
            entries[plain] = quantity if have is None else _sum(have, quantity)
        return Resources(entries)

    def to_unreserved(self) -> Resources:
        """The same without any reservation."""
        return self._changed(lambda kind: ())

    def push_reservation(self, reservation: Reservation) -> Resources:
        """The same, reserved once more."""
        return self._changed(lambda kind: (*kind.reservations, reservation))

    def pop_reservation(self) -> Resources:
        """The same without the innermost reservation of each."""
        return self._changed(lambda kind: kind.reservations[:-1])

    def _changed(self, reservations: Callable[[Kind], tuple[Reservation, ...]]) -> Resources:
        entries: dict[Kind, Quantity] = {}
        for kind, quantity in self._entries.items():
            other = with_reservations(kind, reservations(kind))
            have = entries.get(other)
            entries[other] = quantity if have is None else _sum(have, quantity)
        return Resources(entries)

    # Text

    def format(self, role: str | None = None) -> str:
        """As Mesos prints resources allocated to `role`: `cpus(allocated: web):4; …`."""
        if not self._entries:
            return "{}"
        return "; ".join([format_entry(k, q, role) for k, q in self._entries.items()])

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"<Resources {self}>"


Resources.empty = Resources({})


def _runs(parts: Iterable[Resources]) -> Iterator[tuple[Resources, int]]:
    """Each with how often it comes in a row: alike tasks, which come together, share an object."""
    last, count = Resources.empty, 0
    for part in parts:
        if part is last:
            count += 1
        else:
            yield last, count
            last, count = part, 1
    yield last, count


def _sum(left: Quantity, right: Quantity) -> Quantity:
    if isinstance(left, int):
        assert isinstance(right, int)
        return left + right
    if isinstance(left, Ranges):
        assert isinstance(right, Ranges)
        return left | right
    assert isinstance(right, frozenset)
    return left | right


def _difference(left: Quantity, right: Quantity) -> Quantity:
    if isinstance(left, Ranges):
        assert isinstance(right, Ranges)
        return left - right
    assert isinstance(left, frozenset)
    assert isinstance(right, frozenset)
    return left - right


def _covers(left: Quantity, right: Quantity) -> bool:
    if isinstance(left, Ranges):
        return isinstance(right, Ranges) and left.contains(right)
    if isinstance(left, frozenset):
        return isinstance(right, frozenset) and right <= left
    return False


def _milli_of(kind: Kind, quantity: Quantity) -> int:
    if isinstance(quantity, int):
        if kind.whole_milli is None:
            return quantity
        return kind.whole_milli if kind.shared else kind.whole_milli * quantity
    if isinstance(quantity, Ranges):
        return quantity.count() * 1000
    return len(quantity) * 1000
