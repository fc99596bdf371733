"""The rules for wire resources, with the texts Mesos answers.

Two layers, as in Mesos: `validate_resource` holds for every resource anywhere
(common/resources.cpp, Resources::validate); `validate_usable` and what follows holds for what a
framework or operator asks for (master/validation.cpp, namespace resource).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from tepui.base.errors import Refused
from tepui.resources.kinds import ReservationType, SourceType, ValueType
from tepui.resources.roles import UNRESERVED, is_strict_subrole, validate_role
from tepui.resources.scalars import milli
from tepui.resources.text import format_labels, format_wire
from tepui.wire import mesos

__all__ = [
    "role_of",
    "validate_id",
    "validate_no_revocable_mix",
    "validate_persistent_volumes",
    "validate_resource",
    "validate_resources",
    "validate_role",
    "validate_single_provider",
    "validate_unique_persistence_ids",
    "validate_usable",
]

ID_LENGTH_MAX = 255  # NAME_MAX: ids become names of directories


def validate_resources(wire: Iterable[mesos.Resource]) -> None:
    """Every entry is valid; otherwise `Refused` names the first that is not, and the rule."""
    for resource in wire:
        if error := _error(resource):
            raise Refused(f"Resource '{format_wire(resource)}' is invalid: {error}")


def validate_resource(resource: mesos.Resource) -> None:
    """The entry is valid; otherwise `Refused` says the rule, without the entry."""
    if error := _error(resource):
        raise Refused(error)


def role_of(resource: mesos.Resource) -> str:
    """The role of the pre-refinement format; `*` when there is none."""
    return UNRESERVED if resource.role is None else resource.role


def _error(resource: mesos.Resource) -> str | None:
    if not resource.name:
        return "Empty resource name"
    return (
        _value_error(resource)
        or _disk_error(resource)
        or _reservation_error(resource)
        or _shared_error(resource)
    )


def _value_error(resource: mesos.Resource) -> str | None:
    has = (resource.scalar is not None, resource.ranges is not None, resource.set is not None)
    match resource.type:
        case ValueType.SCALAR:
            if has != (True, False, False):
                return "Invalid scalar resource"
            # What would round to nothing is refused too; nothing itself is allowed.
            value = resource.scalar.value if resource.scalar else 0.0
            if value != 0 and milli(value) <= 0:
                return "Invalid scalar resource: value <= 0"
        case ValueType.RANGES:
            if has != (False, True, False):
                return "Invalid ranges resource"
            return _ranges_error(resource.ranges.range if resource.ranges else ())
        case ValueType.SET:
            if has != (False, False, True):
                return "Invalid set resource"
            items = resource.set.item if resource.set else ()
            if len(frozenset(items)) != len(items):
                return "Invalid set resource: duplicated elements"
        case _:
            return "Unsupported resource type"
    return None


def _ranges_error(given: tuple[mesos.Value.Range, ...]) -> str | None:
    if any(one.begin > one.end for one in given):
        return "Invalid ranges resource: begin > end"
    ascending = sorted((one.begin, one.end) for one in given)
    if any(after[0] <= before[1] for before, after in pairwise(ascending)):
        return "Invalid ranges resource: overlapping ranges"
    return None


def _disk_error(resource: mesos.Resource) -> str | None:
    if resource.disk is None:
        return None
    if resource.name != "disk":
        return f"DiskInfo should not be set for {resource.name} resource"
    # Differs from Mesos: it lets a disk with DiskInfo be ranges or a set, which nothing can use.
    if resource.type is not ValueType.SCALAR:
        return "DiskInfo should not be set for a disk resource that is not a scalar"
    source = resource.disk.source
    if source is None:
        return None
    match source.type:
        case SourceType.PATH | SourceType.MOUNT:
            return None
        case SourceType.BLOCK | SourceType.RAW:
            if source.mount is not None:
                return f"Mount should not be set for {source.type.value} disk source"
            if source.path is not None:
                return f"Path should not be set for {source.type.value} disk source"
            return None
        case _:
            return f"Unsupported 'DiskInfo.Source.Type' in '{source.type.value}'"


def _reservation_error(resource: mesos.Resource) -> str | None:
    if not resource.reservations:
        return _pre_refinement_error(resource)
    for reservation in resource.reservations:
        if reservation.type is None:
            return "Invalid reservation: 'Resource.ReservationInfo.type' field must be set."
        if reservation.role is None:
            return "Invalid reservation: 'Resource.ReservationInfo.role' field must be set."
        if error := _role_error(reservation.role):
            return error
        if reservation.role == UNRESERVED:
            return 'Invalid reservation: role "*" cannot be reserved'
    return _refinement_error(resource) or _both_formats_error(resource)


def _role_error(role: str) -> str | None:
    try:
        validate_role(role)
    except Refused as refused:
        return refused.text
    return None


def _pre_refinement_error(resource: mesos.Resource) -> str | None:
    role = role_of(resource)
    if error := _role_error(role):
        return error
    if resource.reservation is None:
        return None
    for name, value in (
        ("type", resource.reservation.type),
        ("role", resource.reservation.role),
    ):
        if value is not None:
            return (
                f"'Resource.ReservationInfo.{name}' must not be set for"
                " the 'Resource.reservation' field"
            )
    if role == UNRESERVED:
        return 'Invalid reservation: role "*" cannot be dynamically reserved'
    return None


def _refinement_error(resource: mesos.Resource) -> str | None:
    for outer, inner in pairwise(resource.reservations):
        if inner.type is ReservationType.STATIC:
            return "Invalid refined reservation: A refined reservation cannot be STATIC"
        if not is_strict_subrole(inner.role or "", outer.role or ""):
            return (
                f"Invalid refined reservation: role '{inner.role}'"
                f" is not a refinement of '{outer.role}'"
            )
    if any(r.type is ReservationType.UNKNOWN for r in resource.reservations):
        return "Unsupported 'Resource.ReservationInfo.Type'"
    return None


def _both_formats_error(resource: mesos.Resource) -> str | None:
    """Both formats may be given at once when they say the same."""
    role, before = resource.role, resource.reservation
    has_role = role is not None
    if len(resource.reservations) > 1:
        for name, is_set in (("role", has_role), ("reservation", before is not None)):
            if is_set:
                return (
                    f"Invalid resource format: 'Resource.{name}' must not be set if"
                    " there is more than one reservation in 'Resource.reservations'"
                )
        return None
    single = resource.reservations[0]
    if has_role and role != single.role:
        return (
            f"Invalid resource format: 'Resource.role' field with '{role}' does not match"
            f" the role '{single.role}' in 'Resource.reservations'"
        )
    if single.type is ReservationType.STATIC:
        if before is not None:
            return (
                "Invalid resource format: 'Resource.reservation' must not be set if the single"
                " reservation in 'Resource.reservations' is STATIC"
            )
        return None
    if has_role != (before is not None):
        return (
            "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be"
            " both set or both not set if the single reservation in 'Resource.reservations' is"
            " DYNAMIC"
        )
    if before is not None and (before.principal or "") != (single.principal or ""):
        return (
            f"Invalid resource format: 'Resource.reservation.principal' field with"
            f" '{before.principal or ''}' does not match the principal"
            f" '{single.principal or ''}' in 'Resource.reservations'"
        )
    if before is not None and _labels(before) != _labels(single):
        return (
            f"Invalid resource format: 'Resource.reservation.labels' field with"
            f" '{format_labels(before.labels or mesos.Labels())}' does not match the labels"
            f" '{format_labels(single.labels or mesos.Labels())}' in 'Resource.reservations'"
        )
    return None


def _labels(reservation: mesos.Resource.ReservationInfo) -> list[tuple[str, str]]:
    labels = reservation.labels.labels if reservation.labels else ()
    return sorted((label.key, label.value or "") for label in labels)


def _shared_error(resource: mesos.Resource) -> str | None:
    if resource.shared is None:
        return None
    if resource.name != "disk":
        return f"Resource {resource.name} cannot be shared"
    if resource.disk is None or resource.disk.persistence is None:
        return "Only persistent volumes can be shared"
    return None


# What a framework or an operator may ask for.


def validate_usable(wire: Iterable[mesos.Resource]) -> None:
    """Valid, whole gpus, disks well described; `Refused` names the part: `Invalid DiskInfo: …`."""
    entries = tuple(wire)
    try:
        validate_resources(entries)
    except Refused as refused:
        raise Refused(f"Invalid resources: {refused.text}") from None
    gpus = sum(milli(r.scalar.value) for r in entries if r.name == "gpus" and r.scalar)
    if gpus % 1000:
        raise Refused("Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer")
    for resource in entries:
        if error := _disk_use_error(resource):
            raise Refused(f"Invalid DiskInfo: {error}")
    for resource in entries:
        if resource.revocable is not None and _is_dynamic(resource):
            raise Refused(
                f"Invalid ReservationInfo: Dynamically reserved resource {format_wire(resource)}"
                " cannot be created from revocable resources"
            )


def _disk_use_error(resource: mesos.Resource) -> str | None:
    disk = resource.disk
    if disk is None:
        return None
    if disk.persistence is None:
        if disk.volume is not None:
            return "Non-persistent volume not supported"
        return "DiskInfo is set but empty" if disk.source is None else None
    if resource.revocable is not None:
        return "Persistent volumes cannot be created from revocable resources"
    if not resource.reservations and role_of(resource) == UNRESERVED:
        return "Persistent volumes cannot be created from unreserved resources"
    if disk.volume is None:
        return "Expecting 'volume' to be set for persistent volume"
    if disk.volume.host_path is not None:
        return "Expecting 'host_path' to be unset for persistent volume"
    try:
        validate_id(disk.persistence.id)
    except Refused as refused:
        return f"Invalid persistence ID for persistent volume: {refused.text}"
    return None


def _is_dynamic(resource: mesos.Resource) -> bool:
    if resource.reservations:
        return resource.reservations[-1].type is ReservationType.DYNAMIC
    return resource.reservation is not None


def validate_id(text: str) -> None:
    """`text` may be an id of the API: the name of a directory, in effect."""
    if not text:
        raise Refused("ID must not be empty")
    if len(text.encode()) > ID_LENGTH_MAX:
        raise Refused(f"ID must not be greater than {ID_LENGTH_MAX} characters")
    if text in (".", ".."):
        raise Refused(f"'{text}' is disallowed")
    if any(c in "/\\\x7f" or c < " " for c in text):
        raise Refused(f"'{text}' contains invalid characters")


def validate_unique_persistence_ids(wire: Iterable[mesos.Resource]) -> None:
    """No persistence id occurs twice in one role; one shared volume may be named repeatedly."""
    seen: dict[tuple[str, str], mesos.Resource] = {}
    for resource in wire:
        if resource.disk is None or resource.disk.persistence is None:
            continue
        role = resource.reservations[-1].role if resource.reservations else role_of(resource)
        key = (role or UNRESERVED, resource.disk.persistence.id)
        if key in seen and not (resource.shared is not None and seen[key] == resource):
            raise Refused(f"Persistence ID '{key[1]}' is not unique")
        seen[key] = resource


def validate_no_revocable_mix(wire: Iterable[mesos.Resource]) -> None:
    """No name occurs both revocable and not."""
    revocable: dict[str, bool] = {}
    for resource in wire:
        is_revocable = resource.revocable is not None
        if revocable.setdefault(resource.name, is_revocable) != is_revocable:
            raise Refused(
                f"Cannot use both revocable and non-revocable '{resource.name}' at the same time"
            )


def validate_persistent_volumes(wire: Iterable[mesos.Resource]) -> None:
    """Every entry is a persistent volume that can be written."""
    for resource in wire:
        disk = resource.disk
        if disk is None:
            raise Refused(f"Resource {format_wire(resource)} does not have DiskInfo")
        if disk.persistence is None:
            raise Refused("'persistence' is not set in DiskInfo")
        if disk.volume is None:
            raise Refused("Expecting 'volume' to be set for persistent volume")
        if disk.volume.mode is mesos.Volume.Mode.RO:
            raise Refused("Read-only persistent volume not supported")


def validate_single_provider(wire: Iterable[mesos.Resource]) -> None:
    """All entries, of which there is at least one, come from the same resource provider."""
    ids = {resource.provider_id.value if resource.provider_id else None for resource in wire}
    if len(ids) == 1:
        return
    if None in ids:
        raise Refused("Some resources have a resource provider and some do not")
    named = sorted(id for id in ids if id is not None)
    # With nothing at all Mesos says this too, and names none.
    raise Refused(f"The resources have multiple resource providers: {', '.join(named)}")
