"""Resolved rules for system calls as an OCI runtime takes them that makes a filter by itself, as runc does.

Source: OCI runtime specification, config-linux.md (seccomp).
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from tepui.agent.containers.isolation.libseccomp import Argument
from tepui.agent.containers.isolation.seccomp_profiles import (
    ACTIONS,
    PREFIX,
    WITH_NUMBER,
    Resolved,
)

NUMBER: Final = 0xFFFF  # of an action: what is in its low half
NAMES: Final = {action: name for name, action in reversed(ACTIONS.items())}


def rules_of(resolved: Resolved) -> dict[str, object]:
    """Return the value of `linux.seccomp`; the runtime adds the machine's own architecture."""
    default, number = _action(resolved.default_action)
    own = [one for one in resolved.rules if one.action != resolved.default_action]
    found: dict[str, object] = {
        "defaultAction": default,
        "syscalls": [
            _entry([one.name for one in rules], action, arguments)
            for (action, arguments), rules in groupby(own, lambda one: (one.action, one.arguments))
        ],
    }
    if number is not None:
        found["defaultErrnoRet"] = number
    if resolved.architectures:
        found["architectures"] = [f"{PREFIX}ARCH_{one.upper()}" for one in resolved.architectures]
    return found


def _entry(names: list[str], action: int, arguments: tuple[Argument, ...]) -> dict[str, object]:
    name, number = _action(action)
    entry: dict[str, object] = {"names": names, "action": name}
    if number is not None:
        entry["errnoRet"] = number
    if arguments:
        entry["args"] = [
            {
                "index": one.index,
                "value": one.value,
                "valueTwo": one.value_two,
                "op": f"{PREFIX}CMP_{one.comparison.name}",
            }
            for one in arguments
        ]
    return entry


def _action(action: int) -> tuple[str, int | None]:
    """Return an action's name, and its number where it has one."""
    base = action & ~NUMBER
    return NAMES[base], action & NUMBER if base in WITH_NUMBER else None
