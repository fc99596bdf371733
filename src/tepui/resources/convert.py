"""Wire resources to entries (a `Kind` and how much of it) and back.

Both formats are read. The pre-refinement format has `role`, and `reservation` when the
reservation is dynamic; the post-refinement format has the stack `reservations` and no role.
(Mesos: common/protobuf_utils.cpp, upgradeResource and downgradeResources.)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from msgspec import structs

from tepui.base.errors import Refused
from tepui.resources.kinds import (
    KINDS_MAX,
    Disk,
    Kind,
    Reservation,
    ReservationType,
    ValueType,
    kind_of,
)
from tepui.resources.ranges import Ranges
from tepui.resources.roles import UNRESERVED
from tepui.resources.scalars import from_milli, milli
from tepui.resources.text import Quantity, format_entry
from tepui.resources.validation import role_of, validate_resource, validate_resources
from tepui.wire import mesos

_REVOCABLE = mesos.Resource.RevocableInfo()
_SHARED = mesos.Resource.SharedInfo()


def entry_of(wire: mesos.Resource) -> tuple[Kind, Quantity]:
    """What `wire` says, validated; raises `Refused`. Its allocation is left out.

    The rules are checked once per kind where that suffices: a launch repeats the kinds of the last.
    """
    if wire.disk is not None or wire.shared is not None:
        return _disk_entry(wire)
    quantity = _usual_quantity(wire)
    if quantity is not None:
        kind = _known_kind(
            wire.name,
            wire.type,
            wire.role,
            wire.reservation,
            wire.reservations,
            wire.revocable,
            wire.provider_id,
        )
        if kind is not None:
            return kind, quantity
    validate_resources((wire,))
    return _kind_without_disk(wire), _quantity_of(wire)


def _disk_entry(wire: mesos.Resource) -> tuple[Kind, Quantity]:
    validate_resources((wire,))
    assert wire.disk is not None  # only a disk can be shared
    quantity = _quantity_of(wire)
    disk = Disk(wire.disk)
    kind = Kind(
        name=wire.name,
        type=wire.type,
        reservations=_reservations_of(wire),
        disk=disk,
        revocable=wire.revocable is not None,
        shared=wire.shared is not None,
        provider_id=wire.provider_id.value if wire.provider_id else None,
    )
    if disk.is_indivisible and isinstance(quantity, int):
        return structs.replace(kind, whole_milli=quantity), 1 if quantity else 0
    return kind, quantity


def _usual_quantity(wire: mesos.Resource) -> Quantity | None:
    """A positive scalar or a single range; None for all else, which the rules must look at."""
    if wire.set is not None:
        return None
    if wire.type is ValueType.SCALAR:
        if wire.scalar is not None and wire.ranges is None:
            amount = milli(wire.scalar.value)
            return amount if amount > 0 else None
    elif wire.type is ValueType.RANGES and wire.ranges is not None and wire.scalar is None:
        given = wire.ranges.range
        if len(given) == 1 and given[0].begin <= given[0].end:
            return Ranges(((given[0].begin, given[0].end),))
    return None


@lru_cache(maxsize=KINDS_MAX)
def _known_kind(
    name: str,
    type: ValueType,
    role: str | None,
    reservation: Reservation | None,
    reservations: tuple[Reservation, ...],
    revocable: mesos.Resource.RevocableInfo | None,
    provider_id: mesos.ResourceProviderID | None,
) -> Kind | None:
    """The kind of every valid amount with these fields; None when the rules refuse them."""
    empty = mesos.Resource(
        name=name,
        type=type,
        scalar=mesos.Value.Scalar(0.0) if type is ValueType.SCALAR else None,
        ranges=mesos.Value.Ranges() if type is ValueType.RANGES else None,
        role=role,
        reservation=reservation,
        reservations=reservations,
        revocable=revocable,
        provider_id=provider_id,
    )
    try:
        validate_resource(empty)
    except Refused:
        return None
    return _kind_without_disk(empty)


def _kind_without_disk(wire: mesos.Resource) -> Kind:
    return kind_of(
        wire.name,
        wire.type,
        _reservations_of(wire),
        revocable=wire.revocable is not None,
        provider_id=wire.provider_id.value if wire.provider_id else None,
    )


def _quantity_of(wire: mesos.Resource) -> Quantity:
    if wire.scalar is not None:
        return milli(wire.scalar.value)
    if wire.ranges is not None:
        return Ranges.from_wire(wire.ranges)
    return frozenset(wire.set.item) if wire.set is not None else 0


def _reservations_of(wire: mesos.Resource) -> tuple[Reservation, ...]:
    if wire.reservations:
        if not any(r.labels for r in wire.reservations):
            return wire.reservations
        return tuple([_with_ordered_labels(r) for r in wire.reservations])
    role = role_of(wire)
    if role == UNRESERVED:
        return ()
    dynamic = wire.reservation
    if dynamic is None:
        return (static_reservation(role),)
    return (
        _with_ordered_labels(
            structs.replace(dynamic, type=ReservationType.DYNAMIC, role=role),
        ),
    )


@lru_cache(maxsize=KINDS_MAX)
def static_reservation(role: str) -> Reservation:
    """The reservation an agent's flags make."""
    return Reservation(type=ReservationType.STATIC, role=role)


def _with_ordered_labels(reservation: Reservation) -> Reservation:
    """Labels are a set in Mesos: two orders are one reservation."""
    if reservation.labels is None:
        return reservation
    ordered = sorted(reservation.labels.labels, key=lambda x: (x.key, x.value or ""))
    return structs.replace(reservation, labels=mesos.Labels(labels=tuple(ordered)))


def wire_of(
    kind: Kind, quantity: Quantity, role: str | None, *, refinement: bool
) -> tuple[mesos.Resource, ...]:
    """The wire entries of one kind: one, save for exclusive disks met several times.

    A shared volume is one entry however often it is used. Raises `Refused` when the old format
    cannot say what `kind` is: a refined reservation.
    """
    if kind.disk is None:
        return (_repeated_wire(kind, quantity, role, refinement),)
    if kind.whole_milli is not None:
        pieces = 1 if kind.shared or not isinstance(quantity, int) else quantity
        return (_wire(kind, kind.whole_milli, role, refinement),) * pieces
    return (_wire(kind, quantity, role, refinement),)


def _wire(kind: Kind, quantity: Quantity, role: str | None, refinement: bool) -> mesos.Resource:
    old_role, old_reservation = (None, None) if refinement else _downgraded(kind)
    wire_set = None
    if isinstance(quantity, frozenset):
        wire_set = mesos.Value.Set(item=tuple(sorted(quantity)))
    return mesos.Resource(
        name=kind.name,
        type=kind.type,
        scalar=mesos.Value.Scalar(from_milli(quantity)) if isinstance(quantity, int) else None,
        ranges=quantity.to_wire() if isinstance(quantity, Ranges) else None,
        set=wire_set,
        role=old_role,
        reservation=old_reservation,
        reservations=kind.reservations if refinement else (),
        disk=kind.disk.info if kind.disk else None,
        revocable=_REVOCABLE if kind.revocable else None,
        shared=_SHARED if kind.shared else None,
        provider_id=mesos.ResourceProviderID(kind.provider_id) if kind.provider_id else None,
        allocation_info=_allocation(role) if role is not None else None,
    )


# Offers repeat themselves: the same amounts of the same kinds to the same roles. Not for disks:
# equal disks may carry different volumes.
_repeated_wire = lru_cache(maxsize=KINDS_MAX)(_wire)


def _downgraded(kind: Kind) -> tuple[str, Reservation | None]:
    if not kind.reservations:
        return UNRESERVED, None
    if len(kind.reservations) > 1:
        raise Refused(
            f"refined reservation of '{format_entry(kind, 0)}' cannot be written for a framework"
            " without RESERVATION_REFINEMENT"
        )
    only = kind.reservations[0]
    role = only.role or UNRESERVED
    if only.type is ReservationType.STATIC:
        return role, None
    return role, structs.replace(only, type=None, role=None)


@lru_cache(maxsize=KINDS_MAX)
def _allocation(role: str) -> mesos.Resource.AllocationInfo:
    return mesos.Resource.AllocationInfo(role=role)


def allocation_role(wire: Iterable[mesos.Resource]) -> str | None:
    """The one role the entries are allocated to, None when none says; `Refused` when two do."""
    found: str | None = None
    for resource in wire:
        role = resource.allocation_info.role if resource.allocation_info else None
        if role is None:
            continue
        if found is not None and role != found:
            raise Refused(
                f"The resources have multiple allocation roles ('{role}' and '{found}')"
                " but only one allocation role is allowed"
            )
        found = role
    return found
