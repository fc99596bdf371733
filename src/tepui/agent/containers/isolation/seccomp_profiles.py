"""Reads profiles of system calls in Docker's format, and tells which rules hold for one container.

A profile has an action for all calls, and entries that name calls, an action, conditions on arguments, and
when the entry counts: with all (`includes`) or without any (`excludes`) of some capabilities, on some
architectures, from some kernel on. Source: Docker's documentation (engine/security/seccomp), OCI runtime
specification, config-linux.md (seccomp).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from msgspec import Struct

from tepui.agent.containers.isolation.libseccomp import (
    ALLOW,
    ERRNO,
    KILL_PROCESS,
    KILL_THREAD,
    LOG,
    TRACE,
    TRAP,
    Argument,
    Comparison,
    Rule,
)
from tepui.base.errors import Refused

PROFILE_BYTES_MAX: Final = 1 << 20
PREFIX: Final = "SCMP_"
ERRNO_MAX: Final = 4095
ARGUMENTS: Final = 6  # a system call has no more
ACTIONS: Final = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
}
WITH_NUMBER: Final = frozenset({ERRNO, TRACE})
# What Docker's `arches` call an architecture, and libseccomp, by what uname(2) calls it.
MACHINES: Final = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


class ArgumentEntry(Struct, frozen=True, rename="camel"):
    """A condition on an argument."""

    index: int
    value: int
    op: str
    value_two: int = 0


class When(Struct, frozen=True, rename="camel"):
    """When an entry counts."""

    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    min_kernel: str | None = None


class Entry(Struct, frozen=True, rename="camel"):
    """What happens when one of some calls is made."""

    action: str
    names: tuple[str, ...] | None = None
    name: str | None = None
    errno_ret: int | None = None
    args: tuple[ArgumentEntry, ...] | None = None
    includes: When | None = None
    excludes: When | None = None


class Architecture(Struct, frozen=True, rename="camel"):
    """An architecture, and those whose programs it runs too."""

    architecture: str
    sub_architectures: tuple[str, ...] | None = None


class Profile(Struct, frozen=True, rename="camel"):
    """A whole profile."""

    default_action: str
    default_errno_ret: int | None = None
    arch_map: tuple[Architecture, ...] | None = None
    architectures: tuple[str, ...] | None = None
    syscalls: tuple[Entry, ...] | None = None

    def named_capabilities(self) -> frozenset[str]:
        """The capabilities that make a difference to it."""
        found: set[str] = set()
        for entry in self.syscalls or ():
            for when in (entry.includes, entry.excludes):
                found.update((when.caps or ()) if when is not None else ())
        return frozenset(found)


class Machine(Struct, frozen=True):
    """What of a machine makes a difference to a profile."""

    name: str  # as uname(2) has it
    kernel: tuple[int, int]


class Resolved(Struct, frozen=True):
    """The rules of one profile for one container on one machine."""

    default_action: int
    architectures: tuple[str, ...]  # besides the machine's own, as libseccomp calls them
    rules: tuple[Rule, ...]


def this_machine() -> Machine:
    """Return the machine that this runs on."""
    uname = os.uname()
    return Machine(uname.machine, _kernel(uname.release))


def read_profile(text: bytes, name: str) -> Profile:
    """Return the profile in `text`. Raises Refused, which names the profile and what is wrong."""
    if len(text) > PROFILE_BYTES_MAX:
        raise Refused(f"the seccomp profile '{name}' has more than {PROFILE_BYTES_MAX} bytes")
    try:
        profile = msgspec.json.decode(text, type=Profile)
    except msgspec.MsgspecError as error:
        raise Refused(f"the seccomp profile '{name}' cannot be read: {error}") from None
    try:
        for (
            machine
        ) in MACHINES:  # what is wrong is told when it is read, not when a container needs it
            resolve(profile, frozenset(), Machine(machine, (1 << 16, 0)))
    except _Wrong as wrong:
        raise Refused(f"the seccomp profile '{name}' is wrong: {wrong}") from None
    return profile


def resolve(profile: Profile, capabilities: AbstractSet[str], machine: Machine) -> Resolved:
    """Return the rules for a container with these capabilities (`CAP_CHOWN` and so on)."""
    rules: list[Rule] = []
    for entry in profile.syscalls or ():
        action = _action(entry.action, entry.errno_ret)
        arguments = [_argument(one) for one in entry.args or ()]
        names = (*(entry.names or ()), *((entry.name,) if entry.name is not None else ()))
        if not names:
            raise _Wrong("an entry of 'syscalls' has neither 'names' nor 'name'")
        if _counts(entry, capabilities, machine):
            for name in names:
                rules += _rules(name, action, arguments)
    return Resolved(
        default_action=_action(profile.default_action, profile.default_errno_ret),
        architectures=_architectures(profile, machine),
        rules=tuple(rules),
    )


class _Wrong(Exception):
    """What is wrong with a profile."""


def _rules(name: str, action: int, arguments: Sequence[Argument]) -> list[Rule]:
    """All conditions must hold; where two are on one argument, which libseccomp cannot, either may."""
    if len({one.index for one in arguments}) < len(arguments):
        return [Rule(name, action, (one,)) for one in arguments]
    return [Rule(name, action, tuple(arguments))]


def _action(name: str, number: int | None) -> int:
    action = ACTIONS.get(name)
    if action is None:
        raise _Wrong(f"the action '{name}' is none of {', '.join(sorted(ACTIONS))}")
    if action not in WITH_NUMBER:
        return action
    if number is not None and not 0 <= number <= ERRNO_MAX:
        raise _Wrong(f"the error number '{number}' is not between 0 and {ERRNO_MAX}")
    return action | (errno.EPERM if number is None else number)


def _argument(entry: ArgumentEntry) -> Argument:
    name = entry.op.removeprefix(f"{PREFIX}CMP_")
    if name == entry.op or name not in Comparison.__members__:
        known = ", ".join(f"{PREFIX}CMP_{one.name}" for one in Comparison)
        raise _Wrong(f"the comparison '{entry.op}' is none of {known}")
    if not 0 <= entry.index < ARGUMENTS:
        raise _Wrong(f"the argument '{entry.index}' is not between 0 and {ARGUMENTS - 1}")
    for value in (entry.value, entry.value_two):
        if not 0 <= value < 1 << 64:
            raise _Wrong(f"the value '{value}' of an argument has more than 64 bits")
    return Argument(entry.index, Comparison[name], entry.value, entry.value_two)


def _counts(entry: Entry, capabilities: AbstractSet[str], machine: Machine) -> bool:
    includes, excludes = entry.includes or When(), entry.excludes or When()
    own_name = MACHINES.get(machine.name, (machine.name, ""))[0]
    for when in (includes, excludes):
        if when.min_kernel is not None:
            _kernel(when.min_kernel)
    if includes.caps and not set(includes.caps) <= capabilities:
        return False
    if excludes.caps and set(excludes.caps) & capabilities:
        return False
    if includes.arches and own_name not in includes.arches:
        return False
    if excludes.arches and own_name in excludes.arches:
        return False
    if includes.min_kernel and machine.kernel < _kernel(includes.min_kernel):
        return False
    return not (excludes.min_kernel and machine.kernel >= _kernel(excludes.min_kernel))


def _architectures(profile: Profile, machine: Machine) -> tuple[str, ...]:
    own = MACHINES.get(machine.name, ("", ""))[1]
    listed = list(profile.architectures or ())
    for one in profile.arch_map or ():
        if one.architecture == own:
            listed += one.sub_architectures or ()
    for name in listed:
        if not name.startswith(f"{PREFIX}ARCH_"):
            raise _Wrong(f"the architecture '{name}' does not begin with '{PREFIX}ARCH_'")
    found = [name.removeprefix(f"{PREFIX}ARCH_").lower() for name in listed if name != own]
    return tuple(dict.fromkeys(found))


def _kernel(release: str) -> tuple[int, int]:
    """The first two numbers of a kernel's release."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0]
    digits = "".join(one for one in minor.partition("-")[0] if one.isdigit())
    if not major.isdigit() or not digits:
        raise _Wrong(f"'{release}' is no version of a kernel")
    return int(major), int(digits)
