"""Decides which capabilities a container has, from what it asks for and what the operator allows.

Sources: capabilities(7); Mesos docs/isolators/linux-capabilities.md, isolators/linux/capabilities.cpp; Docker's
documentation (engine/security, default capabilities).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct

from tepui.base.errors import Refused
from tepui.wire import json, mesos
from tepui.wire.errors import Malformed

Capability = mesos.CapabilityInfo.Capability
PREFIX: Final = "CAP_"
ALL: Final = "ALL"
# In the order of their numbers, 0 to 40, which is that of the API's.
NAMES: Final = tuple(f"{PREFIX}{one.name}" for one in Capability if one is not Capability.UNKNOWN)
NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}
# What an image container has when nothing is said, as Docker's: root may own files, switch users, listen on
# small ports and change its root, and nothing that reaches beyond its namespaces.
IMAGE_DEFAULT: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
        "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip


class Allowed(Struct, frozen=True, kw_only=True):
    """The agent's flags. None: not given, which allows all, or grants what the user has anyway."""

    effective: frozenset[str] | None = (
        None  # --effective_capabilities: granted to those who ask for none
    )
    bounding: frozenset[str] | None = None  # --bounding_capabilities: nobody may have more


class Held(Struct, frozen=True, kw_only=True):
    """The capabilities of a container. None: as the agent's, for its user."""

    effective: tuple[str, ...] | None = None
    bounding: tuple[str, ...] | None = None
    # They were asked for: a user who is not root has them too (ambient), where root has them always.
    is_ambient: bool = False


def allowed_by(effective: str | None, bounding: str | None) -> Allowed:
    """Return what the two flags say, each a CapabilityInfo in JSON. Raises Refused."""
    allowed = Allowed(
        effective=_flag("--effective_capabilities", effective),
        bounding=_flag("--bounding_capabilities", bounding),
    )
    if allowed.effective is not None and allowed.bounding is not None:
        beyond = allowed.effective - allowed.bounding
        if beyond:
            raise Refused(
                f"'--effective_capabilities' has {_listed(beyond)}, which '--bounding_capabilities' has not"
            )
    return allowed


def _flag(name: str, text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    try:
        return _names(json.decode(mesos.CapabilityInfo, text.encode()))
    except Malformed as error:
        raise Refused(f"'{name}' is no CapabilityInfo: {error}") from None


def capabilities_of(
    linux: mesos.LinuxInfo | None,
    allowed: Allowed,
    *,
    has_image: bool,
    machine: AbstractSet[str] = frozenset(NAMES),
) -> Held:
    """Return what the container has. Raises Refused, with Mesos's words.

    `machine` is what the agent itself may pass on (see `passable`): what was not asked for by name, but comes
    by default, is cut to it.
    """
    linux = linux or mesos.LinuxInfo()
    if linux.capability_info is not None and linux.effective_capabilities is not None:
        raise Refused("Only one of 'capability_info' or 'effective_capabilities' is allowed")
    asked = _names(linux.effective_capabilities or linux.capability_info)
    bounding = _names(linux.bounding_capabilities)
    if bounding is not None and allowed.bounding is not None and bounding - allowed.bounding:
        raise Refused(
            f"Bounding capabilities '{_listed(bounding)}', but only"
            f" '{_listed(allowed.bounding)}' are allowed"
        )
    effective = allowed.effective if asked is None else asked
    if bounding is None:
        bounding = allowed.bounding
    if effective is not None:
        bounding = effective if bounding is None else bounding
        if effective - bounding:
            raise Refused(
                f"Requested capabilities '{_listed(effective)}', but only"
                f" '{_listed(bounding)}' are allowed"
            )
    for name in sorted(asked or ()):
        if name not in machine:
            raise Refused(f"Requested capability '{_short(name)}', which this agent does not have")
    if effective is None and has_image:
        default = IMAGE_DEFAULT if bounding is None else IMAGE_DEFAULT & bounding
        return Held(
            effective=_sorted(default & machine),
            bounding=_sorted((default if bounding is None else bounding) & machine),
        )
    return Held(
        effective=None if effective is None else _sorted(effective & machine),
        bounding=None if bounding is None else _sorted(bounding & machine),
        is_ambient=effective is not None,
    )


def changed(
    held: Held,
    added: Iterable[str],
    dropped: Iterable[str],
    allowed: Allowed,
    machine: AbstractSet[str] = frozenset(NAMES),
) -> Held:
    """Return `held` as `docker run --cap-add --cap-drop` changes it, `ALL` included. Raises Refused.

    A privileged container is one that adds `ALL`.
    """
    added, dropped = tuple(added), tuple(dropped)
    if not added and not dropped:
        return held
    for name in (*added, *dropped):
        if name != ALL and name not in NUMBERS:
            raise Refused(f"there is no capability '{name}'")
    own = set(machine if held.effective is None else held.effective)
    everything = set(machine) if allowed.bounding is None else set(machine) & allowed.bounding
    own = everything.copy() if ALL in added else own | set(added)
    own = set(added) - {ALL} if ALL in dropped else own - set(dropped)
    if not own <= everything:
        raise Refused(
            f"Requested capabilities '{_listed(own)}', but only '{_listed(everything)}' are allowed"
        )
    return Held(effective=_sorted(own), bounding=_sorted(own), is_ambient=held.is_ambient)


def passable(status: str) -> frozenset[str]:
    """Return what a process may pass on, from the text of its `/proc/<pid>/status`."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return frozenset(name for name, number in NUMBERS.items() if mask >> number & 1)
    return frozenset()


def _names(info: mesos.CapabilityInfo | None) -> frozenset[str] | None:
    if info is None:
        return None
    known = [one for one in info.capabilities if one is not Capability.UNKNOWN]
    return frozenset(f"{PREFIX}{one.name}" for one in known)


def _sorted(names: AbstractSet[str]) -> tuple[str, ...]:
    return tuple(name for name in NAMES if name in names)


def _short(name: str) -> str:
    return name.removeprefix(PREFIX)


def _listed(names: AbstractSet[str]) -> str:
    """A set as Mesos writes it."""
    return f"{{ {', '.join(_short(name) for name in _sorted(names))} }}" if names else "{}"
