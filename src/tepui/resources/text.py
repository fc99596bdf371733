"""Resources as Mesos prints them in its messages (Mesos: common/resources.cpp, operator<<)."""

from __future__ import annotations

from tepui.resources.kinds import Kind, Reservation, SourceType
from tepui.resources.ranges import Ranges
from tepui.resources.scalars import format_milli, milli
from tepui.wire import mesos

Quantity = int | Ranges | frozenset[str]


def format_entry(kind: Kind, quantity: Quantity, role: str | None = None) -> str:
    """One entry: `disk(reservations: [(DYNAMIC,db)])[v1:data]:10`; `role` is the allocation's."""
    text = _format_head(
        kind.name,
        role,
        kind.reservations,
        kind.disk.info if kind.disk else None,
        revocable=kind.revocable,
        shared=kind.shared,
    )
    if kind.whole_milli is not None:
        count = f"<{quantity}>" if kind.shared else ""
        return f"{text}:{format_milli(kind.whole_milli)}{count}"
    if isinstance(quantity, int):
        return f"{text}:{format_milli(quantity)}"
    if isinstance(quantity, Ranges):
        return f"{text}:{quantity}"
    return f"{text}:{_format_items(sorted(quantity))}"


def format_wire(wire: mesos.Resource) -> str:
    """One wire entry, valid or not, as texts that refuse it name it."""
    text = _format_head(
        wire.name,
        wire.allocation_info.role if wire.allocation_info else None,
        wire.reservations,
        wire.disk,
        revocable=wire.revocable is not None,
        shared=wire.shared is not None,
    )
    return f"{text}:{format_value(wire)}"


def format_value(wire: mesos.Resource | mesos.Attribute) -> str:
    """The value alone; one that is missing prints as its type's zero."""
    match wire.type:
        case mesos.Value.Type.SCALAR:
            return format_milli(milli(wire.scalar.value)) if wire.scalar else "0"
        case mesos.Value.Type.RANGES:
            pairs = wire.ranges.range if wire.ranges else ()
            return "[" + ", ".join([f"{p.begin}-{p.end}" for p in pairs]) + "]"
        case mesos.Value.Type.SET:
            return _format_items(wire.set.item if wire.set else ())
        case _:
            return wire.type.value


def _format_head(
    name: str,
    role: str | None,
    reservations: tuple[Reservation, ...],
    disk: mesos.Resource.DiskInfo | None,
    *,
    revocable: bool,
    shared: bool,
) -> str:
    text = name
    if role is not None:
        text += f"(allocated: {role})"
    if reservations:
        text += f"(reservations: [{','.join([_format_reservation(r) for r in reservations])}])"
    if disk is not None:
        text += f"[{_format_disk(disk)}]"
    if revocable:
        text += "{REV}"
    if shared:
        text += "<SHARED>"
    return text


def _format_reservation(reservation: Reservation) -> str:
    kind = reservation.type.value if reservation.type else "UNKNOWN"
    text = f"{kind},{reservation.role or ''}"
    if reservation.principal is not None:
        text += f",{reservation.principal}"
    if reservation.labels is not None:
        text += f",{format_labels(reservation.labels)}"
    return f"({text})"


def format_labels(labels: mesos.Labels) -> str:
    """`{key: value, flag}`."""
    parts = [x.key if x.value is None else f"{x.key}: {x.value}" for x in labels.labels]
    return "{" + ", ".join(parts) + "}"


def _format_disk(disk: mesos.Resource.DiskInfo) -> str:
    parts = []
    if disk.source is not None:
        parts.append(_format_source(disk.source))
    if disk.persistence is not None:
        parts.append(disk.persistence.id)
    text = ",".join(parts)
    if disk.volume is not None:
        text += f":{_format_volume(disk.volume)}"
    return text


def _format_source(source: mesos.Resource.DiskInfo.Source) -> str:
    text = source.type.value
    if source.id is not None or source.profile is not None:
        return f"{text}({source.vendor or ''},{source.id or ''},{source.profile or ''})"
    root = None
    if source.type is SourceType.MOUNT and source.mount is not None:
        root = source.mount.root
    if source.type is SourceType.PATH and source.path is not None:
        root = source.path.root
    return text if root is None else f"{text}:{root}"


def _format_volume(volume: mesos.Volume) -> str:
    if volume.host_path is None:
        return volume.container_path
    return f"{volume.host_path}:{volume.container_path}:{volume.mode.value.lower()}"


def _format_items(items: tuple[str, ...] | list[str]) -> str:
    return "{" + ", ".join(items) + "}"
