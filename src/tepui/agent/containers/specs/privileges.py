"""What the program in a container may do: its capabilities and its seccomp filter."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tepui.agent.containers.isolation.capabilities import (
    ALL,
    NAMES,
    Allowed,
    capabilities_of,
    changed,
    passable,
)
from tepui.agent.containers.isolation.seccomp import Filters, profile_for
from tepui.agent.containers.isolation.seccomp_rules import rules_of
from tepui.agent.containers.specs.wanted import Wanted
from tepui.base.errors import HostError, Refused
from tepui.wire import mesos

OWN_STATUS = Path("/proc/self/status")


class Privileges(Struct, frozen=True, kw_only=True):
    """Of one container; capabilities by name, as the kernel has them."""

    effective: tuple[str, ...]
    bounding: tuple[str, ...]
    is_ambient: bool = False  # a user who is not root has them, too
    no_new: bool = True  # a set-user-id program gives none
    seccomp_bpf: bytes | None = None
    seccomp_rules: Mapping[str, object] = {}  # in its place, for a runtime that compiles by itself


class PrivilegeRules:
    """The rules of one agent: what its operator allows, and what it can pass on itself.

    Filters are compiled here, unless the runtime `compiles_filters`.
    """

    def __init__(
        self,
        allowed: Allowed,
        seccomp_directory: str | None = None,
        seccomp_profile: str | None = None,
        status: Path = OWN_STATUS,
        *,
        compiles_filters: bool = False,
    ) -> None:
        self._allowed = allowed
        self._compiles_filters = compiles_filters
        self._profile = seccomp_profile
        self._filters = Filters(seccomp_directory)
        self._machine = passable(status.read_text())

    def prepare(self) -> None:
        """What containers with an image have by default is compiled; called in a thread, as it takes long.

        What is wrong is said to whoever launches one.
        """
        with contextlib.suppress(Refused, HostError):
            self.privileges_of(Wanted(image=mesos.Image(type=mesos.Image.Type.DOCKER)))

    def privileges_of(self, wanted: Wanted) -> Privileges:
        """What the container has. Raises Refused, and HostError where there can be no filter.

        Without an image it is a process that sees other files: it keeps what the agent's tasks have.
        """
        has_image = wanted.image is not None
        linux = wanted.linux
        held = capabilities_of(linux, self._allowed, has_image=has_image, machine=self._machine)
        everything = tuple(name for name in NAMES if name in self._machine)
        if wanted.is_privileged:
            full = changed(held, (ALL,), (), self._allowed, self._machine)  # within the flags
            return Privileges(
                effective=full.effective or (), bounding=full.bounding or (), no_new=False
            )
        if wanted.added_capabilities or wanted.dropped_capabilities:
            held = changed(
                held,
                wanted.added_capabilities,
                wanted.dropped_capabilities,
                self._allowed,
                self._machine,
            )
        effective = everything if held.effective is None else held.effective
        asked = None if linux is None else linux.seccomp
        profile = profile_for(asked, self._profile, has_image=has_image)
        found = Privileges(
            effective=effective,
            bounding=everything if held.bounding is None else held.bounding,
            is_ambient=held.is_ambient,
            no_new=has_image,
        )
        if profile is None:
            return found
        if self._compiles_filters:
            resolved = self._filters.resolved(profile, effective)
            return replace(found, seccomp_rules=rules_of(resolved))
        return replace(found, seccomp_bpf=self._filters.bpf(profile, effective))
