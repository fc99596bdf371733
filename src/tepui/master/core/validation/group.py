"""Task groups: all of LAUNCH_GROUP runs, or none (Mesos: master/validation.cpp, task::group)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from tepui.base.errors import Refused
from tepui.master.core.validation.context import LaunchContext
from tepui.master.core.validation.executor import executor_error, same_executor
from tepui.master.core.validation.requested import (
    duplicate_volume_error,
    format_total,
    overlap,
    revocable_mix_error,
    role_of_allocation,
)
from tepui.master.core.validation.task import own_error
from tepui.resources import Resources
from tepui.resources.scalars import format_milli
from tepui.wire import mesos

CPUS_MIN_MILLI = 10  # Mesos: MIN_CPUS
MEM_MIN_MIB = 32  # Mesos: MIN_MEM

_HealthType = mesos.HealthCheck.Type


def completed_group(
    group: mesos.TaskGroupInfo, executor: mesos.ExecutorInfo
) -> mesos.TaskGroupInfo:
    """The group with `executor` in each task that names none. Validate and launch this one."""
    tasks = [
        structs.replace(task, executor=executor) if task.executor is None else task
        for task in group.tasks
    ]
    return structs.replace(group, tasks=tuple(tasks))


def task_group_error(
    group: mesos.TaskGroupInfo, executor: mesos.ExecutorInfo, context: LaunchContext
) -> str | None:
    """The text of TASK_ERROR (REASON_TASK_GROUP_INVALID) for every task of a completed group.

    A group without tasks passes; its caller has nothing to launch.
    """
    try:
        return (
            _tasks_error(group, context)
            or _executor_error(group, executor, context)
            or _fit_error(group, executor, context)
            or _share_cgroups_error(group, executor, context)
        )
    except Refused as refused:
        return refused.text  # a resource that breaks the rules for any resource


# Rules for its tasks.


def _tasks_error(group: mesos.TaskGroupInfo, context: LaunchContext) -> str | None:
    seen: set[str] = set()
    for task in group.tasks:
        task_id = task.task_id.value
        if error := own_error(task, context) or _nested_error(task):
            return f"Task '{task_id}' is invalid: {error}"
        # Differs from Mesos, which crashes.
        if task_id in seen:
            return f"Task '{task_id}' is invalid: Task has duplicate ID: {task_id}"
        seen.add(task_id)
    return None


def _nested_error(task: mesos.TaskInfo) -> str | None:
    container, check = task.container, task.health_check
    if task.executor is None:
        return "'TaskInfo.executor' must be set"
    if container is not None:
        has_own_network = bool(container.network_infos)
        if (
            has_own_network
            and check is not None
            and check.type
            in (
                _HealthType.HTTP,
                _HealthType.TCP,
            )
        ):
            return (
                "HTTP and TCP health checks are not supported for nested containers"
                " not joining parent's network"
            )
        if container.type is mesos.ContainerInfo.Type.DOCKER:
            return "Docker ContainerInfo is not supported on the task"
    if task.limits and _shares_cgroups(container):
        return (
            "Resource limits may only be set for tasks within a task group when"
            " the 'share_cgroups' field is set to 'false'."
        )
    return None


# Rules for its executor.


def _executor_error(
    group: mesos.TaskGroupInfo, executor: mesos.ExecutorInfo, context: LaunchContext
) -> str | None:
    if error := executor_error(executor, context):
        return error
    if executor.type is None:
        return "'ExecutorInfo.type' must be set"
    if executor.type is mesos.ExecutorInfo.Type.UNKNOWN:
        return "Unknown executor type"
    container = executor.container
    if container is not None and container.type is mesos.ContainerInfo.Type.DOCKER:
        return "Docker ContainerInfo is not supported on the executor"
    for task in group.tasks:
        if task.executor is not None and not same_executor(task.executor, executor, context):
            return (
                f"The `ExecutorInfo` of task '{task.task_id.value}' is different from"
                f" executor '{executor.executor_id.value}'"
            )
    return _minimum_error(executor)


def _minimum_error(executor: mesos.ExecutorInfo) -> str | None:
    subject = f"Executor '{executor.executor_id.value}'"
    own = Resources.of(executor.resources)
    names = own.names()
    cpus_milli = own.scalar("cpus")
    if cpus_milli < CPUS_MIN_MILLI:
        shown = format_milli(cpus_milli) if "cpus" in names else "None"
        return (
            f"{subject} uses less CPUs ({shown}) than the minimum required"
            f" ({format_milli(CPUS_MIN_MILLI)})"
        )
    mem_mib = own.scalar("mem") // 1000  # Mesos counts whole MiB
    if mem_mib < MEM_MIN_MIB:
        shown = (f"{mem_mib}MB" if mem_mib else "0B") if "mem" in names else "None"
        return f"{subject} uses less memory ({shown}) than the minimum required ({MEM_MIN_MIB}MB)"
    return None if "disk" in names else f"{subject} uses no disk"


# Rules for all together.


def _fit_error(
    group: mesos.TaskGroupInfo, executor: mesos.ExecutorInfo, context: LaunchContext
) -> str | None:
    own = Resources.of(executor.resources)
    own_role = role_of_allocation(executor.resources, context.role)
    parts = [
        (role_of_allocation(task.resources, context.role), Resources.of(task.resources))
        for task in group.tasks
    ]
    wire = sum((task.resources for task in group.tasks), executor.resources)
    if error := duplicate_volume_error(wire):
        return f"Task group and executor use duplicate persistence ID: {error}"
    if error := revocable_mix_error(wire):
        return f"Task group and executor mix revocable and non-revocable resources: {error}"
    if overlap([own, *(resources for _, resources in parts)]):
        shown = ", ".join([resources.format(role) for role, resources in parts])
        return (
            "There are overlapping resources in the task group's task resources"
            f" [ {shown} ] and/or executor resources {own.format(own_role)}"
        )
    if executor.executor_id.value not in context.executors:
        parts.append((own_role, own))
    total = Resources.total([resources for _, resources in parts])
    if all(role == context.role for role, _ in parts) and context.offered.contains(total):
        return None
    return (
        f"Total resources {format_total(parts)} required by task group and its executor"
        f" are more than available {context.offered.format(context.role)}"
    )


def _share_cgroups_error(
    group: mesos.TaskGroupInfo, executor: mesos.ExecutorInfo, context: LaunchContext
) -> str | None:
    containers = [task.container for task in group.tasks]
    if group.tasks and executor.executor_id.value in context.executors:
        containers += context.containers(executor.executor_id.value)
    if len(_sharing(containers)) > 1:
        return (
            "If set, the value of 'share_cgroups' must be the same for all tasks"
            " in each task group and under a single executor"
        )
    return None


def _sharing(containers: Iterable[mesos.ContainerInfo | None]) -> set[bool]:
    return {_shares_cgroups(container) for container in containers}


def _shares_cgroups(container: mesos.ContainerInfo | None) -> bool:
    """Whether the task lives in its executor's cgroups, as it does unless it says otherwise."""
    linux = container.linux_info if container is not None else None
    return linux is None or linux.share_cgroups
