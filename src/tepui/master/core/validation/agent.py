"""Whether an agent's registration can be true (Mesos: master/validation.cpp, master::message).

An agent that says what cannot be is cut off before anything of it is believed: sums over its
tasks must never fail later. The texts are ours; the agent's operator finds them in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan

from tepui.base.errors import Refused
from tepui.base.names import AgentId, ExecutorId, FrameworkId, TaskId
from tepui.master.core.sharing import shared_allocation
from tepui.master.core.state import Agent, State
from tepui.master.core.validation.framework import info_error
from tepui.master.core.validation.ids import id_error
from tepui.master.core.validation.requested import overlap
from tepui.resources import Resources
from tepui.resources.ranges import Ranges
from tepui.wire import link, mesos
from tepui.wire.link_tasks import Alike, ReportedTask
from tepui.wire.states import TERMINAL_STATES

PORT_MAX = 65_535

_Type = mesos.Value.Type


def register_error(message: link.Register | link.Return) -> str | None:
    """What is wrong with an agent itself."""
    host, _, port = message.address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) <= PORT_MAX):
        return f"address '{message.address}' is not host:port"
    for attribute in message.info.attributes:
        if error := _attribute_error(attribute):
            return f"attribute '{attribute.name}': {error}"
    try:
        shared_allocation(message.info.resources)
    except Refused as refused:
        return refused.text
    return None


def reregister_error(state: State, message: link.Return) -> str | None:
    """What is wrong with an agent that says what it runs, or with that.

    Of what the master knows of it, it counts what the master says that it uses.
    """
    if message.info.id is None:
        return "the agent has no id"
    if error := id_error(message.info.id.value) or register_error(message):
        return error
    for info in message.frameworks:
        if error := _framework_error(state, info):
            return error
    framework_ids = frozenset([info.id.value for info in message.frameworks if info.id])
    try:
        known = state.agents.get(AgentId(message.info.id.value))
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
    message: link.Return, framework_ids: frozenset[str], known: Agent | None
) -> str | None:
    """Everything belongs to a framework and is there once; together it fits into the agent."""
    parts: list[Resources] = []
    executor_ids: set[tuple[str, str]] = set()
    for one in message.executors:
        framework_id, executor_id = one.framework_id, one.info.executor_id.value
        name = f"executor '{executor_id}' of framework '{framework_id}'"
        if framework_id not in framework_ids:
            return f"{name}, which is not among the agent's frameworks"
        if (framework_id, executor_id) in executor_ids:
            return f"{name} twice"
        executor_ids.add((framework_id, executor_id))
        _, said, _ = shared_allocation(one.info.resources)
        executors = known.executors_of(FrameworkId(framework_id)) if known else {}
        executor = executors.get(ExecutorId(executor_id))
        parts.append(said if executor is None else executor.resources)
    error = _alike_error(message.alike, framework_ids)
    if error is not None:
        return error
    said_by_number = [shared_allocation(one.resources)[1] for one in message.alike]
    task_ids: set[tuple[str, str]] = set()
    for task in message.tasks:
        if not 0 <= task.number < len(message.alike):
            return f"task '{task.task_id}' is like number {task.number} of {len(message.alike)}"
        key = message.alike[task.number].framework_id, task.task_id
        if _has_nan(task):
            return f"{_name_of(key)} has a number that is none"
        if key in task_ids:
            return f"{_name_of(key)} twice"
        task_ids.add(key)
        if task.state not in TERMINAL_STATES:
            said = said_by_number[task.number]
            parts.append(said if known is None else _held(known, key, said))
    if overlap(parts):
        return "two of its tasks or executors use the same port or item"
    _, total, _ = shared_allocation(message.info.resources)
    used = Resources.total(parts)
    return None if total.contains(used) else f"its tasks use {used} of {total}"


def _held(known: Agent, key: tuple[str, str], said: Resources) -> Resources:
    """What the master says that the task uses; `said` of one that it does not know."""
    task = known.tasks.get((FrameworkId(key[0]), TaskId(key[1])))
    return said if task is None else task.held


def _alike_error(every: Sequence[Alike], framework_ids: frozenset[str]) -> str | None:
    for one in every:
        name = f"task '{one.name}' of framework '{one.framework_id}'"
        if one.framework_id not in framework_ids:
            return f"{name}, which is not among the agent's frameworks"
        numbers = [limit.value for limit in one.limits.values()]
        if (check := one.health_check) is not None:
            numbers += [check.delay_seconds, check.interval_seconds]
            numbers += [check.timeout_seconds, check.grace_period_seconds]
        if any(map(isnan, numbers)):
            return f"{name} has a number that is none"
    return None


def _has_nan(task: ReportedTask) -> bool:
    for status in task.statuses:
        if status.timestamp is not None and isnan(status.timestamp):
            return True
        if status.whole is not None and has_nan(status.whole):
            return True
    return False


def _name_of(key: tuple[str, str]) -> str:
    return f"task '{key[1]}' of framework '{key[0]}'"


def _framework_error(state: State, info: mesos.FrameworkInfo) -> str | None:
    if info.id is None or not info.id.value:
        return f"framework '{info.name}' without an id"
    framework = state.frameworks.get(FrameworkId(info.id.value))
    if framework is not None and framework.info == info:
        return None  # as another agent, or its scheduler, has said before
    error = info_error(info)
    return None if error is None else f"framework '{info.id.value}': {error}"


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
