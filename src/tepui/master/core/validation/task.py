"""Tasks of LAUNCH (Mesos: master/validation.cpp, namespace task)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import structs

from tepui.base.errors import Refused
from tepui.master.core.sharing import shared_resources
from tepui.master.core.validation.checks import (
    check_error,
    health_check_error,
    typed_health_check,
)
from tepui.master.core.validation.command import command_error
from tepui.master.core.validation.container import container_error
from tepui.master.core.validation.context import LaunchContext
from tepui.master.core.validation.executor import executor_error
from tepui.master.core.validation.ids import id_error
from tepui.master.core.validation.requested import (
    duplicate_volume_error,
    format_total,
    overlap,
    requested_error,
    revocable_mix_error,
    role_of_allocation,
)
from tepui.resources import Resources
from tepui.resources.scalars import milli
from tepui.wire import mesos

LIMITABLE = frozenset(("cpus", "mem"))


def completed_task(task: mesos.TaskInfo, framework_id: str) -> mesos.TaskInfo:
    """`task` with what old schedulers leave out: the executor's framework, the check's type.

    Validate and launch the completed task.
    """
    executor = task.executor
    if executor is not None and executor.framework_id is None:
        named = structs.replace(executor, framework_id=mesos.FrameworkID(framework_id))
        task = structs.replace(task, executor=named)
    if task.health_check is not None:
        typed = typed_health_check(task.health_check)
        if typed is not task.health_check:
            task = structs.replace(task, health_check=typed)
    return task


def task_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    """The text of TASK_ERROR (REASON_TASK_INVALID) for a completed task; None when it may run."""
    return own_error(task, context) or _launch_error(task, context)


def own_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    """What is wrong with the task itself, leaving its executor and the offers aside."""
    for rule in _RULES:
        if error := rule(task, context):
            return error
    return None


# Rules for a task of LAUNCH or LAUNCH_GROUP.


def _task_id_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    return id_error(task.task_id.value)


def _duplicate_id_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    task_id = task.task_id.value
    if context.task_known(task_id):
        return f"Task has duplicate ID: {task_id}"
    if context.task_unreachable(task_id):
        return f"Task reuses the ID of an unreachable task: {task_id}"
    return None


def _agent_id_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.agent_id.value == context.agent_id:
        return None
    return (
        f"Task uses invalid agent {task.agent_id.value} while agent {context.agent_id} is expected"
    )


def _kill_policy_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.kill_policy is None or task.kill_policy.grace_period is None:
        return None
    if task.kill_policy.grace_period.nanoseconds < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    return None


def _completion_time_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.max_completion_time is not None and task.max_completion_time.nanoseconds < 0:
        return "Task's `max_completion_time` must be non-negative"
    return None


def _check_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.check is not None and (error := check_error(task.check)):
        return f"Task uses invalid check: {error}"
    return None


def _health_check_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.health_check is not None and (error := health_check_error(task.health_check)):
        return f"Task uses invalid health check: {error}"
    return None


def _resources_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if not task.resources:
        return "Task uses no resources"
    return requested_error(task.resources, "Task", context.role)


def _command_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.command is not None and (error := command_error(task.command)):
        return f"Task's `CommandInfo` is invalid: {error}"
    return None


def _container_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if task.container is not None and (error := container_error(task.container)):
        return f"Task's `ContainerInfo` is invalid: {error}"
    return None


def _limits_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    limits = task.limits
    if not limits:
        return None
    if not limits.keys() <= LIMITABLE:
        return "Only cpus and mem may be included in a task's resource limits"
    try:
        requested = Resources.of(task.resources)
    except Refused as refused:
        return refused.text
    names = requested.names()
    for name, short, long in (("cpus", "cpu", "CPU"), ("mem", "memory", "memory")):
        limit = limits.get(name)
        if limit is None:
            continue
        if name not in names:
            return f"When a {long} limit is specified, a {long} request must also be specified"
        # Differs from Mesos: a negative memory limit is refused here, not by the agent.
        infinite = math.isinf(limit.value) and limit.value > 0
        if not infinite and milli(limit.value) < requested.scalar(name):
            return f"The {short} limit must be greater than or equal to the {short} request"
    return None


_RULES: tuple[Callable[[mesos.TaskInfo, LaunchContext], str | None], ...] = (
    _task_id_error,
    _duplicate_id_error,
    _agent_id_error,
    _kill_policy_error,
    _completion_time_error,
    _check_error,
    _health_check_error,
    _resources_error,
    _command_error,
    _container_error,
    _limits_error,
)


# Rules for a task of LAUNCH with its executor and the offers.


def _launch_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    if (task.executor is None) == (task.command is None):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    try:
        if task.executor is not None and (error := _custom_error(task.executor, context)):
            return error
        return _fit_error(task, context) or _share_cgroups_error(task)
    except Refused as refused:
        return refused.text  # a resource that breaks the rules for any resource


def _custom_error(executor: mesos.ExecutorInfo, context: LaunchContext) -> str | None:
    if error := executor_error(executor, context):
        return error
    if executor.type not in (None, mesos.ExecutorInfo.Type.CUSTOM):
        return "'ExecutorInfo.type' must be 'CUSTOM'"
    if executor.command is None:
        return "'ExecutorInfo.command' must be set"
    if any(resource.shared is not None for resource in executor.resources):
        role = role_of_allocation(executor.resources, context.role)
        shown = Resources.of(executor.resources).format(role)
        return f"Executor resources {shown} should not contain any shared resources"
    return None


def _fit_error(task: mesos.TaskInfo, context: LaunchContext) -> str | None:
    _, wanted = shared_resources(task.resources)
    role = role_of_allocation(task.resources, context.role)
    if task.executor is None:
        if role == context.role and context.offered.contains(wanted):
            return None
        return _too_much(((role, wanted),), context)
    executor = task.executor
    _, own = shared_resources(executor.resources)
    own_role = role_of_allocation(executor.resources, context.role)
    if error := _together_error(task, executor, wanted, own, (role, own_role)):
        return error
    parts = [(role, wanted)]
    if executor.executor_id.value not in context.executors:
        parts.append((own_role, own))
    total = Resources.total([resources for _, resources in parts])
    if all(each == context.role for each, _ in parts) and context.offered.contains(total):
        return None
    return _too_much(parts, context)


def _together_error(
    task: mesos.TaskInfo,
    executor: mesos.ExecutorInfo,
    wanted: Resources,
    own: Resources,
    roles: tuple[str, str],
) -> str | None:
    if overlap((wanted, own)):
        return (
            f"There are overlapping resources in the task resources {wanted.format(roles[0])}"
            f" and executor resources {own.format(roles[1])}"
        )
    wire = task.resources + executor.resources
    if error := duplicate_volume_error(wire):
        return f"Task and its executor use duplicate persistence ID: {error}"
    if error := revocable_mix_error(wire):
        return f"Task and its executor mix revocable and non-revocable resources: {error}"
    return None


def _too_much(parts: Sequence[tuple[str, Resources]], context: LaunchContext) -> str:
    return (
        f"Total resources {format_total(parts)} required by task and its executor is more than"
        f" available {context.offered.format(context.role)}"
    )


def _share_cgroups_error(task: mesos.TaskInfo) -> str | None:
    linux = task.container.linux_info if task.container is not None else None
    if linux is not None and not linux.share_cgroups:
        return "Only tasks in a task group may have 'share_cgroups' set to 'false'"
    return None
