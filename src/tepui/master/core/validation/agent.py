"""Whether an agent's registration can be true (Mesos: master/validation.cpp, master::message).

An agent that says what cannot be is cut off before anything of it is believed: sums over its
tasks must never fail later. The texts are ours; the agent's operator finds them in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isfinite, isnan
from typing import TypeAlias

from msgspec import Struct

from tepui.base.errors import Refused
from tepui.master.core.sharing import SHARED_MAX, shared_resources
from tepui.master.core.validation.framework import info_error
from tepui.master.core.validation.ids import id_error
from tepui.master.core.validation.requested import overlap
from tepui.resources import Resources
from tepui.resources.ranges import Ranges
from tepui.resources.resources import allocation_role
from tepui.resources.roles import validate_role
from tepui.wire import link, mesos
from tepui.wire.states import TERMINAL_STATES

PORT_MAX = 65_535

_Type = mesos.Value.Type


class Claim(Struct, frozen=True):
    """A task or an executor that an agent says it has, and what that uses."""

    framework_id: str
    kind: str  # `task` or `executor`
    id: str
    resources: tuple[mesos.Resource, ...]
    ended: bool = False  # it uses nothing any more
    has_nan: bool = False  # in what the master would show in JSON

    def __str__(self) -> str:
        return f"{self.kind} '{self.id}' of framework '{self.framework_id}'"


Known: TypeAlias = Callable[[Claim], Resources | None]  # what the master itself says it uses


def register_error(message: link.Register | link.Reregister) -> str | None:
    """What is wrong with an agent itself."""
    host, _, port = message.address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) <= PORT_MAX):
        return f"address '{message.address}' is not host:port"
    for attribute in message.info.attributes:
        if error := _attribute_error(attribute):
            return f"attribute '{attribute.name}': {error}"
    try:
        _valid_resources(message.info.resources)
    except Refused as refused:
        return refused.text
    return None


def reregister_error(message: link.Reregister, known: Known) -> str | None:
    """What is wrong with an agent that says what it runs, or with that."""
    if message.info.id is None:
        return "the agent has no id"
    if error := id_error(message.info.id.value) or register_error(message):
        return error
    for info in message.frameworks:
        if error := _framework_error(info):
            return error
    framework_ids = frozenset([info.id.value for info in message.frameworks if info.id])
    try:
        return _claims_error(message, framework_ids, known)
    except Refused as refused:
        return refused.text


def has_nan(status: mesos.TaskStatus) -> bool:
    """Whether the status has a number that JSON can't carry to a scheduler."""
    if status.timestamp is not None and isnan(status.timestamp):
        return True
    limitation = status.limitation
    return limitation is not None and any(
        resource.scalar is not None and isnan(resource.scalar.value)
        for resource in limitation.resources
    )


def _claims_error(
    message: link.Reregister, framework_ids: frozenset[str], known: Known
) -> str | None:
    """Everything belongs to a framework and is there once; together it fits into the agent."""
    seen: set[tuple[str, str, str]] = set()
    parts: list[Resources] = []
    for claim in _claims(message):
        key = (claim.framework_id, claim.kind, claim.id)
        if claim.has_nan:
            return f"{claim} has a number that is none"
        if claim.framework_id not in framework_ids:
            return f"{claim}, which is not among the agent's frameworks"
        if key in seen:
            return f"{claim} twice"
        seen.add(key)
        said = _valid_resources(claim.resources)
        if not claim.ended:
            ours = known(claim)
            parts.append(said if ours is None else ours)
    if overlap(parts):
        return "two of its tasks or executors use the same port or item"
    total, used = Resources.of(message.info.resources), Resources.total(parts)
    return None if total.contains(used) else f"its tasks use {used} of {total}"


def _claims(message: link.Reregister) -> Iterable[Claim]:
    for one in message.executors:
        yield Claim(one.framework_id, "executor", one.info.executor_id.value, one.info.resources)
    for task in message.tasks:
        yield Claim(
            task.framework_id.value,
            "task",
            task.task_id.value,
            task.resources,
            ended=task.state in TERMINAL_STATES,
            has_nan=_has_nan(task),
        )


def _has_nan(task: mesos.Task) -> bool:
    for status in task.statuses:
        if has_nan(status):
            return True
    numbers = [limit.value for limit in task.limits.values()] if task.limits else []
    if (check := task.health_check) is not None:
        numbers += [check.delay_seconds, check.interval_seconds]
        numbers += [check.timeout_seconds, check.grace_period_seconds]
    return any(map(isnan, numbers)) if numbers else False


def _framework_error(info: mesos.FrameworkInfo) -> str | None:
    if info.id is None or not info.id.value:
        return f"framework '{info.name}' without an id"
    error = info_error(info)
    return None if error is None else f"framework '{info.id.value}': {error}"


@lru_cache(maxsize=SHARED_MAX)
def _valid_resources(wire: tuple[mesos.Resource, ...]) -> Resources:
    """What the entries say, all for one role; raises Refused. Of most tasks they are the same."""
    role = allocation_role(wire)
    if role is not None:
        validate_role(role)
    return shared_resources(wire)[1]


def _attribute_error(attribute: mesos.Attribute) -> str | None:
    values = {
        _Type.SCALAR: attribute.scalar,
        _Type.RANGES: attribute.ranges,
        _Type.SET: attribute.set,
        _Type.TEXT: attribute.text,
    }
    if [kind for kind, value in values.items() if value is not None] != [attribute.type]:
        return f"expected one value, of type {attribute.type.value}"
    if attribute.scalar is not None and not isfinite(attribute.scalar.value):
        return f"{attribute.scalar.value:g} is not a number"
    if attribute.ranges is not None:
        try:
            Ranges.from_wire(attribute.ranges)
        except Refused as refused:
            return refused.text
    return None
