"""The resources that tasks and executors ask for (Mesos: master/validation.cpp, resource)."""

from __future__ import annotations

from collections.abc import Sequence

from tepui.base.errors import Refused
from tepui.resources import Resources
from tepui.resources.validation import (
    validate_no_revocable_mix,
    validate_unique_persistence_ids,
    validate_usable,
)
from tepui.wire import mesos


def requested_error(wire: tuple[mesos.Resource, ...], subject: str, role: str) -> str | None:
    """What is wrong with what one `subject`, `Task` or `Executor`, asks for.

    `role` is that of the offers, for entries that do not say theirs.
    """
    if not any(map(_is_special, wire)):
        return _roles_error(wire, subject, role)
    try:
        validate_usable(wire)
    except Refused as refused:
        return f"{subject} uses invalid resources: {refused.text}"
    if error := duplicate_volume_error(wire):
        return f"{subject} uses duplicate persistence ID: {error}"
    if error := _roles_error(wire, subject, role):
        return error
    if error := revocable_mix_error(wire):
        return f"{subject} mixes revocable and non-revocable resources: {error}"
    return None


def _is_special(resource: mesos.Resource) -> bool:
    """Whether rules beyond those for any resource concern it."""
    return resource.revocable is not None or resource.disk is not None or resource.name == "gpus"


def _roles_error(wire: tuple[mesos.Resource, ...], subject: str, role: str) -> str | None:
    first: str | None = None
    for resource in wire:
        allocation = resource.allocation_info
        own = role if allocation is None or allocation.role is None else allocation.role
        if first is None:
            first = own
        elif own != first:
            return (
                f"Invalid {subject.lower()} resources: The resources have multiple allocation"
                f" roles ('{own}' and '{first}') but only one allocation role is allowed"
            )
    return None


def duplicate_volume_error(wire: Sequence[mesos.Resource]) -> str | None:
    """Which persistence id occurs twice."""
    try:
        validate_unique_persistence_ids(wire)
    except Refused as refused:
        return refused.text
    return None


def revocable_mix_error(wire: Sequence[mesos.Resource]) -> str | None:
    """Which name occurs both revocable and not."""
    try:
        validate_no_revocable_mix(wire)
    except Refused as refused:
        return refused.text
    return None


def role_of_allocation(wire: tuple[mesos.Resource, ...], role: str) -> str:
    """The role that valid entries are allocated to: what they say, or that of the offers."""
    if not wire:
        return role
    allocation = wire[0].allocation_info
    return role if allocation is None or allocation.role is None else allocation.role


def overlap(parts: Sequence[Resources]) -> bool:
    """Whether a port or an item of a set is in more than one of `parts`."""
    unlike = {id(part): part for part in parts}.values()  # many share one object
    if not any(map(_has_names, unlike)):
        return False
    together: dict[str, int] = {}
    parts = [_named(part) for part in parts]
    for part in parts:
        for name, amount in part.quantities().items():
            together[name] = together.get(name, 0) + amount
    return together != Resources.total(parts).quantities()


def _has_names(part: Resources) -> bool:
    return any(not isinstance(quantity, int) for _, quantity in part.items())


def _named(part: Resources) -> Resources:
    """Its ports and items: of amounts everybody has a part, and a volume may be shared."""
    return Resources.of_entries({k: q for k, q in part.items() if not isinstance(q, int)})


def format_total(parts: Sequence[tuple[str, Resources]]) -> str:
    """The sum of (role, resources), as Mesos prints it."""
    by_role: dict[str, list[Resources]] = {}
    for role, resources in parts:
        by_role.setdefault(role, []).append(resources)
    texts = [Resources.total(each).format(role) for role, each in by_role.items() if any(each)]
    return "; ".join(texts) or "{}"
