"""Executors (Mesos: master/validation.cpp, namespace executor)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from tepui.base.errors import Refused
from tepui.master.core.validation.command import command_error
from tepui.master.core.validation.container import container_error
from tepui.master.core.validation.context import LaunchContext
from tepui.master.core.validation.debug_text import debug_text
from tepui.master.core.validation.ids import id_error
from tepui.master.core.validation.requested import requested_error, role_of_allocation
from tepui.resources import Resources
from tepui.wire import mesos

_Type = mesos.ExecutorInfo.Type
_LINE = "-" * 60


def executor_error(executor: mesos.ExecutorInfo, context: LaunchContext) -> str | None:
    """What is wrong with an executor, whichever operation brings it."""
    for rule in _RULES:
        if error := rule(executor):
            return error
    return (
        _framework_id_error(executor, context.framework_id)
        or requested_error(executor.resources, "Executor", context.role)
        or _compatibility_error(executor, context)
    )


def same_executor(
    left: mesos.ExecutorInfo, right: mesos.ExecutorInfo, context: LaunchContext
) -> bool:
    """Whether both say the same: an id the master fills in and the order of resources aside."""
    if left is right or left == right:
        return True
    bare_left, bare_right = (
        structs.replace(each, resources=(), framework_id=None) for each in (left, right)
    )
    if bare_left != bare_right:
        return False
    for each in (left, right):
        if each.framework_id is not None and each.framework_id.value != context.framework_id:
            return False
    roles = {role_of_allocation(each.resources, context.role) for each in (left, right)}
    try:
        return len(roles) == 1 and Resources.of(left.resources) == Resources.of(right.resources)
    except Refused:
        return False


# Rules that look at the executor alone.


def _type_error(executor: mesos.ExecutorInfo) -> str | None:
    match executor.type:
        case _Type.DEFAULT:
            return _default_error(executor)
        case _Type.CUSTOM if executor.command is None:
            return "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
        case _:
            return None


def _default_error(executor: mesos.ExecutorInfo) -> str | None:
    if executor.command is not None:
        return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
    container = executor.container
    if container is None:
        return None
    if container.type is not mesos.ContainerInfo.Type.MESOS:
        return "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
    if container.mesos is not None and container.mesos.image is not None:
        return "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
    return None


def _executor_id_error(executor: mesos.ExecutorInfo) -> str | None:
    return id_error(executor.executor_id.value)


def _grace_period_error(executor: mesos.ExecutorInfo) -> str | None:
    grace = executor.shutdown_grace_period
    if grace is not None and grace.nanoseconds < 0:
        return "ExecutorInfo's 'shutdown_grace_period' must be non-negative"
    return None


def _executor_command_error(executor: mesos.ExecutorInfo) -> str | None:
    if executor.command is not None and (error := command_error(executor.command)):
        return f"Executor's `CommandInfo` is invalid: {error}"
    return None


def _executor_container_error(executor: mesos.ExecutorInfo) -> str | None:
    # Mesos refuses a `share_cgroups` of true that is written out; here that is the same as none.
    if executor.container is not None and (error := container_error(executor.container)):
        return f"Executor's `ContainerInfo` is invalid: {error}"
    return None


_RULES: tuple[Callable[[mesos.ExecutorInfo], str | None], ...] = (
    _type_error,
    _executor_id_error,
    _grace_period_error,
    _executor_command_error,
    _executor_container_error,
)


# Rules that compare with what the master knows.


def _framework_id_error(executor: mesos.ExecutorInfo, framework_id: str) -> str | None:
    if executor.framework_id is None:
        return "'ExecutorInfo.framework_id' must be set"
    if executor.framework_id.value != framework_id:
        return (
            "ExecutorInfo has an invalid FrameworkID"
            f" (Actual: {executor.framework_id.value} vs Expected: {framework_id})"
        )
    return None


def _compatibility_error(executor: mesos.ExecutorInfo, context: LaunchContext) -> str | None:
    running = context.executors.get(executor.executor_id.value)
    if running is None or same_executor(running, executor, context):
        return None
    return (
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n"
        f"{_LINE}\nExisting ExecutorInfo:\n{_shown(running, context)}\n"
        f"{_LINE}\nExecutorInfo:\n{_shown(executor, context)}\n{_LINE}\n"
    )


def _shown(executor: mesos.ExecutorInfo, context: LaunchContext) -> str:
    """The executor as the master would launch it, one entry after the other as they came."""
    role = role_of_allocation(executor.resources, context.role)
    resources: list[mesos.Resource] = []
    for resource in executor.resources:
        resources += Resources.of((resource,)).to_wire(role=role, refinement=True)
    filled = structs.replace(
        executor,
        resources=tuple(resources),
        framework_id=mesos.FrameworkID(context.framework_id),
    )
    return debug_text(filled)
