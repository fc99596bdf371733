"""How much a master takes in: frameworks, roles, agents, tasks, and what one call may name.

Mesos has none of these limits, so they are far above what is run; who passes one is refused with a
text that says what was counted and how much is allowed. docs/limits.md lists them with all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tepui.master.core.state import Agent, Framework, State
from tepui.master.core.validation.framework import effective_roles
from tepui.wire import link, mesos, scheduler

KIB: Final = 1024
MIB: Final = 1024 * KIB

LINKS_MAX: Final = 10_000  # open and not registered; the one that has waited longest makes room
REGISTRATION_MS: Final = 30_000  # from a link to its registration; agents give up after as long

AGENTS_MAX: Final = 100_000  # registered
AGENT_BYTES_MAX: Final = 1 * MIB  # of one AgentInfo: every reader of the cluster's state gets it
TASKS_PER_AGENT_MAX: Final = 50_000  # so that an agent can say in one message what it runs

FRAMEWORKS_MAX: Final = 10_000  # that are subscribed or may come back
FRAMEWORK_BYTES_MAX: Final = 256 * KIB  # of one FrameworkInfo: it goes with each task to its agent
ROLES_MAX: Final = 1_000  # of one framework
ROLE_BYTES_MAX: Final = 255  # of a role's whole path, which is at most 128 roles deep then
CLIENTS_MAX: Final = 100_000  # a framework in a role; each has shares, filters and metrics
CONSTRAINTS_MAX: Final = 1_000  # of one framework; each is tried on every agent

TASKS_PER_FRAMEWORK_MAX: Final = 1_000_000  # that have not ended
TASK_BYTES_MAX: Final = 4 * MIB  # of one TaskInfo: the launcher takes twice as much
RESOURCES_PER_TASK_MAX: Final = 1_000  # entries, those of its executor apart; most tasks have four

OFFERS_PER_CALL_MAX: Final = 10_000  # an ACCEPT or DECLINE blocks all others meanwhile
OPERATIONS_PER_CALL_MAX: Final = 10_000
TASKS_PER_CALL_MAX: Final = 10_000  # about a second of work
RECONCILED_PER_CALL_MAX: Final = 100_000  # tasks or operations, each of which is one event

_encode = msgspec.msgpack.Encoder().encode


def framework_error(
    state: State,
    known: Framework | None,
    info: mesos.FrameworkInfo,
    constraints: scheduler.OfferConstraints | None,
) -> str | None:
    """Why a framework may not be as it says; `known` is what it was until now."""
    roles = effective_roles(info)
    if error := _too_many("FrameworkInfo.roles", len(roles), ROLES_MAX):
        return error
    for role in roles:
        if error := _too_large(f"role '{role[:64]}…'", len(role.encode()), ROLE_BYTES_MAX):
            return error
    if error := _too_large("FrameworkInfo", len(_encode(info)), FRAMEWORK_BYTES_MAX):
        return error
    if constraints is not None:
        count = sum(
            len(group.attribute_constraints)
            for of_role in constraints.role_constraints.values()
            for group in of_role.groups
        )
        if error := _too_many("OfferConstraints", count, CONSTRAINTS_MAX):
            return error
    had = 0 if known is None else len(known.roles)
    if len(roles) <= had:
        return None
    clients = sum(len(one.roles) for one in state.frameworks.values()) - had + len(roles)
    return _too_many("frameworks in roles of this master", clients, CLIENTS_MAX)


def call_error(call: scheduler.Call) -> str | None:
    """Why a call names too much at once; nothing of it is done then."""
    if call.accept is not None:
        return _accept_error(call.accept)
    if call.decline is not None:
        return _too_many("Decline.offer_ids", len(call.decline.offer_ids), OFFERS_PER_CALL_MAX)
    if call.reconcile is not None:
        return _too_many("Reconcile.tasks", len(call.reconcile.tasks), RECONCILED_PER_CALL_MAX)
    if call.reconcile_operations is not None:
        count = len(call.reconcile_operations.operations)
        return _too_many("ReconcileOperations.operations", count, RECONCILED_PER_CALL_MAX)
    return None


def tasks_error(framework: Framework, agent: Agent, infos: Sequence[mesos.TaskInfo]) -> str | None:
    """Why the tasks may not be launched on the agent, together with those that there are."""
    count = len(infos)
    for info in infos:
        entries = max(
            len(info.resources), 0 if info.executor is None else len(info.executor.resources)
        )
        if error := _too_many("TaskInfo.resources", entries, RESOURCES_PER_TASK_MAX):
            return error
        if error := _too_large("TaskInfo", len(_encode(info)), TASK_BYTES_MAX):
            return error
    return _too_many(
        "tasks of the framework", len(framework.tasks) + count, TASKS_PER_FRAMEWORK_MAX
    ) or _too_many("tasks on the agent", len(agent.tasks) + count, TASKS_PER_AGENT_MAX)


def register_error(state: State, message: link.Register | link.Return) -> str | None:
    """Why the agent may not be taken in, however true what it says is."""
    agent_id = None if message.info.id is None else message.info.id.value
    is_new = agent_id not in state.agents
    if error := _too_many("agents of this master", len(state.agents) + is_new, AGENTS_MAX):
        return error
    if error := _too_large("AgentInfo", len(_encode(message.info)), AGENT_BYTES_MAX):
        return error
    if not isinstance(message, link.Return):
        return None
    if error := _too_many("tasks on the agent", len(message.tasks), TASKS_PER_AGENT_MAX):
        return error
    new = {
        info.id.value
        for info in message.frameworks
        if info.id is not None
        and info.id.value not in state.frameworks
        and info.id.value not in state.completed_frameworks
    }
    if not new:
        return None
    return _too_many("frameworks of this master", len(state.frameworks) + len(new), FRAMEWORKS_MAX)


def _accept_error(accept: scheduler.Call.Accept) -> str | None:
    tasks = 0
    for operation in accept.operations:
        if operation.launch is not None:
            tasks += len(operation.launch.task_infos)
        if operation.launch_group is not None:
            tasks += len(operation.launch_group.task_group.tasks)
    return (
        _too_many("Accept.offer_ids", len(accept.offer_ids), OFFERS_PER_CALL_MAX)
        or _too_many("Accept.operations", len(accept.operations), OPERATIONS_PER_CALL_MAX)
        or _too_many("tasks of an Accept", tasks, TASKS_PER_CALL_MAX)
    )


def _too_many(what: str, count: int, count_max: int) -> str | None:
    return f"{what}: {count} are more than {count_max}" if count > count_max else None


def _too_large(what: str, size_bytes: int, bytes_max: int) -> str | None:
    if size_bytes <= bytes_max:
        return None
    return f"{what}: {size_bytes} bytes are more than {bytes_max}"
