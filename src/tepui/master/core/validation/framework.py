"""What a framework may say of itself (Mesos: master/validation.cpp, namespace framework).

Not here, for they need the master's state: `Framework has been removed`, `Roles { … } are not
present in the master's --roles`, authorization.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

from tepui.allocator import validate_constraints
from tepui.base.errors import Refused
from tepui.base.names import Role
from tepui.master.core.validation.ids import id_error
from tepui.resources.roles import validate_role
from tepui.wire import mesos, scheduler

# A Duration of Mesos counts nanoseconds in 64 bits, so 292 years is the longest.
DURATION_MAX_S = (2**63 - 1) / 1e9

DEFAULT_ROLE = "*"  # of a framework that names none

_MULTI_ROLE = mesos.FrameworkInfo.Capability.Type.MULTI_ROLE


def capabilities(info: mesos.FrameworkInfo) -> frozenset[str]:
    """The names of the capabilities; unknown ones are left out."""
    return frozenset([one.type.value for one in info.capabilities if one.type is not None])


def effective_roles(info: mesos.FrameworkInfo) -> tuple[str, ...]:
    """The roles it is offered resources for, in the order given."""
    return info.roles if _is_multi_role(info) else (info.role or DEFAULT_ROLE,)


def subscribe_error(
    info: mesos.FrameworkInfo,
    suppressed_roles: tuple[str, ...] = (),
    constraints: scheduler.OfferConstraints | None = None,
) -> str | None:
    """The text of the ERROR event that refuses a subscription."""
    return info_error(info) or _options_error(info, suppressed_roles, constraints)


def resubscribe_error(old: mesos.FrameworkInfo, new: mesos.FrameworkInfo) -> str | None:
    """The same for a subscription under an id that is known.

    A changed user or checkpoint is not refused there: the master keeps the old one.
    """
    return _principal_error(old, new)


def update_error(old: mesos.FrameworkInfo, new: mesos.FrameworkInfo) -> str | None:
    """Why `old` may not become `new`; the text without its prefix."""
    return _principal_error(old, new) or _user_error(old, new) or _checkpoint_error(old, new)


def update_framework_error(
    old: mesos.FrameworkInfo, update: scheduler.Call.UpdateFramework
) -> str | None:
    """The whole body of the 400 that refuses UPDATE_FRAMEWORK."""
    new = update.framework_info
    if error := info_error(new):
        return f"Supplied FrameworkInfo is not valid: {error}"
    if error := update_error(old, new):
        return f"FrameworkInfo update is not valid: {error}"
    if error := _options_error(new, update.suppressed_roles, update.offer_constraints):
        return f"'UpdateFramework' call is not valid: {error}"
    return None


def info_error(info: mesos.FrameworkInfo) -> str | None:
    """What is wrong with `info` itself."""
    for rule in _INFO_RULES:
        if error := rule(info):
            return error
    return None


def _is_multi_role(info: mesos.FrameworkInfo) -> bool:
    return any(one.type is _MULTI_ROLE for one in info.capabilities)


# Rules for FrameworkInfo. An empty user or name and a negative failover timeout are valid.


def _role_field_error(info: mesos.FrameworkInfo) -> str | None:
    if not _is_multi_role(info):
        if info.roles:
            return (
                "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
            )
    elif info.role is not None:
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    return None


def _duplicate_roles_error(info: mesos.FrameworkInfo) -> str | None:
    if len(frozenset(info.roles)) == len(info.roles):
        return None
    duplicates = {role for role in info.roles if info.roles.count(role) > 1}
    return f"'FrameworkInfo.roles' contains duplicate items: {_set_text(duplicates)}"


def _role_names_error(info: mesos.FrameworkInfo) -> str | None:
    multi_role = _is_multi_role(info)
    try:
        for role in effective_roles(info):
            validate_role(role)
    except Refused as refused:
        if multi_role:
            return f"'FrameworkInfo.roles' contains invalid role: {refused.text}"
        return f"'FrameworkInfo.role' is not a valid role: {refused.text}"
    return None


def _framework_id_error(info: mesos.FrameworkInfo) -> str | None:
    if info.id is None or not info.id.value:
        return None
    return id_error(info.id.value)


def _offer_filters_error(info: mesos.FrameworkInfo) -> str | None:
    for filters in info.offer_filters.values():
        if filters.min_allocatable_resources is None:
            continue
        for quantities in filters.min_allocatable_resources.quantities:
            if not quantities.quantities:
                return "Resource quantities must contain at least one quantity"
            for name, quantity in quantities.quantities.items():
                if error := _quantity_error(quantity.value):
                    return f"Invalid resource quantity for '{name}': {error}"
    return None


def _quantity_error(value: float) -> str | None:
    if math.isinf(value):
        return "Infinite values not supported"
    if math.isnan(value):
        return "NaN not supported"
    if value != 0 and abs(value) < sys.float_info.min:
        return "Subnormal values not supported"
    return "Negative values not supported" if value < 0 else None


def _failover_timeout_error(info: mesos.FrameworkInfo) -> str | None:
    timeout_s = info.failover_timeout
    # Differs from Mesos: NaN, which only protobuf can carry, is refused too.
    if abs(timeout_s) <= DURATION_MAX_S:
        return None
    return f"The framework failover_timeout ({timeout_s:g}) is invalid"


def _null_byte_error(info: mesos.FrameworkInfo) -> str | None:
    """Differs from Mesos, which cuts such texts off: no user has such a name."""
    for name in ("user", "name"):
        if "\0" in getattr(info, name):
            return f"'FrameworkInfo.{name}' contains a null byte"
    return None


_INFO_RULES: tuple[Callable[[mesos.FrameworkInfo], str | None], ...] = (
    _role_field_error,
    _duplicate_roles_error,
    _role_names_error,
    _framework_id_error,
    _offer_filters_error,
    _failover_timeout_error,
    _null_byte_error,
)


# Rules for what comes beside FrameworkInfo.


def _options_error(
    info: mesos.FrameworkInfo,
    suppressed_roles: tuple[str, ...],
    constraints: scheduler.OfferConstraints | None,
) -> str | None:
    roles = frozenset(effective_roles(info))
    if foreign := frozenset(suppressed_roles) - roles:
        return f"Suppressed roles {_set_text(foreign)} are not contained in the set of roles"
    try:
        validate_constraints(constraints, [Role(role) for role in roles])
    except Refused as refused:
        return refused.text
    return None


# Rules for changes.


def _principal_error(old: mesos.FrameworkInfo, new: mesos.FrameworkInfo) -> str | None:
    if old.principal != new.principal:
        return "Changing framework's principal is not allowed."
    return None


def _user_error(old: mesos.FrameworkInfo, new: mesos.FrameworkInfo) -> str | None:
    if old.user == new.user:
        return None
    return (
        "Updating 'FrameworkInfo.user' is unsupported; attempted to update"
        f" from '{old.user}' to '{new.user}'"
    )


def _checkpoint_error(old: mesos.FrameworkInfo, new: mesos.FrameworkInfo) -> str | None:
    if old.checkpoint == new.checkpoint:
        return None
    before, after = str(old.checkpoint).lower(), str(new.checkpoint).lower()
    return (
        "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update"
        f" from '{before}' to '{after}'"
    )


def _set_text(items: set[str] | frozenset[str]) -> str:
    return "{ " + ", ".join(sorted(items)) + " }"
