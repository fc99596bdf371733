"""What makes two amounts addable: same name, type, reservations, disk and so on.

Kinds are dictionary keys on every launch and offer. Those without disk are shared objects, so a
lookup is one identity check; the hash is computed once.

(Mesos: common/resources.cpp, addable and subtractable.)
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct, structs

from tepui.wire import mesos

Reservation = mesos.Resource.ReservationInfo
ReservationType = mesos.Resource.ReservationInfo.Type
SourceType = mesos.Resource.DiskInfo.Source.Type
ValueType = mesos.Value.Type

KINDS_MAX = 8192  # kinds kept as shared objects; beyond it they are built anew

_EXCLUSIVE = frozenset((SourceType.MOUNT, SourceType.BLOCK))


class Disk(Struct, frozen=True, eq=False, gc=False):
    """A disk in its identity: source and persistence id.

    The rest of `info` (where the volume is mounted, who created it) says how the disk is used,
    differs from task to task, and takes no part in comparison.
    """

    info: mesos.Resource.DiskInfo

    @property
    def persistence_id(self) -> str | None:
        """The id of the persistent volume, or None when it is not one."""
        return self.info.persistence.id if self.info.persistence else None

    @property
    def is_indivisible(self) -> bool:
        """Whether it can only be had as a whole: a volume, a mount, a device with an id."""
        source = self.info.source
        if self.info.persistence is not None:
            return True
        return source is not None and (
            source.type in _EXCLUSIVE or (source.type is SourceType.RAW and source.id is not None)
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Disk)
            and self.persistence_id == other.persistence_id
            and self.info.source == other.info.source
        )

    def __hash__(self) -> int:
        return hash((self.persistence_id, self.info.source))


class Kind(Struct, frozen=True, cache_hash=True):
    """Everything about a resource but how much of it there is.

    Of an indivisible disk the size belongs to the kind (`whole_milli`) and the amount counts
    pieces: uses of a shared volume, or the one piece of an exclusive disk.
    """

    name: str
    type: ValueType
    reservations: tuple[Reservation, ...] = ()
    disk: Disk | None = None
    revocable: bool = False
    shared: bool = False
    provider_id: str | None = None
    whole_milli: int | None = None

    @property
    def role(self) -> str | None:
        """The role it is reserved to, the innermost one; None when unreserved."""
        return self.reservations[-1].role if self.reservations else None

    @property
    def is_dynamically_reserved(self) -> bool:
        """Whether the innermost reservation was made by RESERVE, not by the agent's flags."""
        return bool(self.reservations) and self.reservations[-1].type is ReservationType.DYNAMIC

    @property
    def is_persistent_volume(self) -> bool:
        """Whether it is a volume that outlives its tasks."""
        return self.disk is not None and self.disk.info.persistence is not None


def kind_of(
    name: str,
    type: ValueType,
    reservations: tuple[Reservation, ...] = (),
    *,
    revocable: bool = False,
    provider_id: str | None = None,
) -> Kind:
    """The shared kind without disk: equal arguments give the same object."""
    return _kind_of(name, type, reservations, revocable, provider_id)


def with_reservations(kind: Kind, reservations: tuple[Reservation, ...]) -> Kind:
    """The same kind with other reservations."""
    if kind.disk is not None:
        return structs.replace(kind, reservations=reservations)
    return _kind_of(kind.name, kind.type, reservations, kind.revocable, kind.provider_id)


@lru_cache(maxsize=KINDS_MAX)
def _kind_of(
    name: str,
    type: ValueType,
    reservations: tuple[Reservation, ...],
    revocable: bool,
    provider_id: str | None,
) -> Kind:
    return Kind(
        name=name,
        type=type,
        reservations=reservations,
        revocable=revocable,
        provider_id=provider_id,
    )


@lru_cache(maxsize=KINDS_MAX)
def writing_order(kinds: tuple[Kind, ...]) -> tuple[int, ...]:
    """Indexes of `kinds` as they are written: ports, cpus, mem, disk, others; reserved first.

    Indexes, since equal kinds may differ in what their disks carry along.
    """
    return tuple(sorted(range(len(kinds)), key=lambda at: _rank(kinds[at])))


_FIRST = {"ports": 0, "cpus": 1, "mem": 2, "disk": 3, "gpus": 4}


def _rank(kind: Kind) -> tuple[int, str, bool, tuple[tuple[str, str], ...], str, bool, str]:
    disk = kind.disk
    return (
        _FIRST.get(kind.name, len(_FIRST)),
        kind.name,
        not kind.reservations,
        tuple([(r.role or "", r.principal or "") for r in kind.reservations]),
        (disk.persistence_id or "") if disk else "",
        kind.revocable,
        kind.provider_id or "",
    )
