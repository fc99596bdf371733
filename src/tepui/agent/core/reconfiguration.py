"""Whether an agent may come back with other resources and attributes than it had.

Source: Mesos slave/compatibility.cpp; texts as a real agent says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tepui.resources import Resources
from tepui.wire import mesos


class Policy(StrEnum):
    """`--reconfiguration_policy`."""

    EQUAL = "equal"
    ADDITIVE = "additive"


def reconfiguration_error(
    before: mesos.AgentInfo, now: mesos.AgentInfo, policy: Policy
) -> str | None:
    """Why what the agent is `now` does not permit that it goes on as what it was `before`."""
    had, has = Resources.of(before.resources), Resources.of(now.resources)
    was, attributes = _by_name(before), _by_name(now)
    if policy is Policy.EQUAL:
        changes = [
            *_changes(before, now),
            *([] if had == has else [f"resources were {had}, and are {has}"]),
            *([] if was == attributes else [f"attributes were {_names(was)}, and are other ones"]),
        ]
        return f"Incompatible agent info detected: {'; '.join(changes)}" if changes else None
    changes = _changes(before, now)
    if changes:
        return f"Configuration change not permitted under 'additive' policy: {changes[0]}"
    if not has.contains(had):
        return (
            "Configuration change not permitted under 'additive' policy:"
            f" resources were {had}, and {has} are not all of them"
        )
    for name, attribute in was.items():
        if attributes.get(name) != attribute:
            return (
                "Configuration change not permitted under 'additive' policy:"
                f" attribute '{name}' is missing or another"
            )
    return None


def _changes(before: mesos.AgentInfo, now: mesos.AgentInfo) -> list[str]:
    pairs = (
        ("hostname", before.hostname, now.hostname),
        ("port", str(before.port), str(now.port)),
        ("domain", str(before.domain), str(now.domain)),
    )
    return [
        f"{name} changed from {was} to {is_now}"
        for name, was, is_now in pairs
        if was != is_now and not (name == "domain" and before.domain is None)
    ]


def _by_name(info: mesos.AgentInfo) -> Mapping[str, mesos.Attribute]:
    return {attribute.name: attribute for attribute in info.attributes}


def _names(attributes: Mapping[str, mesos.Attribute]) -> str:
    return ", ".join(f"'{name}'" for name in attributes) or "none"
