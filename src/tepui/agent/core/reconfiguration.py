"""Whether an agent may come back with other resources and attributes than it had.

Source: Mesos slave/compatibility.cpp; texts as a real agent says them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from tepui.resources import Resources
from tepui.resources.ranges import Ranges
from tepui.resources.text import format_value
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
    was, attributes = _sorted(before), _sorted(now)
    changes = _changes(before, now, policy)
    if policy is Policy.EQUAL:
        changes = [
            *changes,
            *([] if had == has else [f"resources were {had}, and are {has}"]),
            *(
                []
                if was == attributes
                else [f"attributes were {_names(was)}, and are {_names(attributes)}"]
            ),
        ]
        return f"Incompatible agent info detected: {'; '.join(changes)}" if changes else None
    if changes:
        return f"Configuration change not permitted under 'additive' policy: {changes[0]}"
    if not has.contains(had):
        return (
            "Configuration change not permitted under 'additive' policy:"
            f" resources were {had}, and {has} are not all of them"
        )
    for attribute in was:
        if not any(_includes(one, attribute) for one in attributes):
            return (
                "Configuration change not permitted under 'additive' policy:"
                f" attribute '{attribute.name}' is missing or another"
            )
    return None


def _changes(before: mesos.AgentInfo, now: mesos.AgentInfo, policy: Policy) -> list[str]:
    pairs = (
        ("hostname", before.hostname, now.hostname),
        ("port", str(before.port), str(now.port)),
        ("domain", str(before.domain), str(now.domain)),
    )
    may_come = () if before.domain is not None or policy is Policy.EQUAL else ("domain",)
    return [
        f"{name} changed from {was} to {is_now}"
        for name, was, is_now in pairs
        if was != is_now and name not in may_come
    ]


def _includes(now: mesos.Attribute, before: mesos.Attribute) -> bool:
    """It is the same, or has the same ranges and more of them."""
    if now.name != before.name or now.ranges is None or before.ranges is None:
        return now == before
    return Ranges.from_wire(now.ranges).contains(Ranges.from_wire(before.ranges))


def _sorted(info: mesos.AgentInfo) -> list[mesos.Attribute]:
    """In an order of their own; a name may be there more than once."""
    return sorted(info.attributes, key=lambda attribute: (attribute.name, repr(attribute)))


def _names(attributes: Sequence[mesos.Attribute]) -> str:
    shown = (
        f"{one.name}:{one.text.value if one.text else format_value(one)}" for one in attributes
    )
    return "; ".join(shown) or "none"
