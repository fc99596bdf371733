"""What is wrong with a LAUNCH or LAUNCH_GROUP as a whole: it fails each of its tasks.

(Mesos: common/resources_utils.cpp, validateAndUpgradeResources, and Master::accept.)
"""

from __future__ import annotations

from collections.abc import Iterator

from tepui.base.errors import Refused
from tepui.resources.validation import validate_resources
from tepui.wire import mesos

_Type = mesos.Offer.Operation.Type


def operation_error(operation: mesos.Offer.Operation) -> str | None:
    """The text of TASK_ERROR for every task of the operation; called before any is looked at."""
    try:
        for executor_or_task in _requests(operation):
            validate_resources(executor_or_task.resources)
    except Refused as refused:
        return refused.text
    if operation.id is not None and operation.type is not None:
        return f"The `id` field cannot be set on {operation.type.value} operations"
    return None


def _requests(
    operation: mesos.Offer.Operation,
) -> Iterator[mesos.TaskInfo | mesos.ExecutorInfo]:
    tasks: tuple[mesos.TaskInfo, ...] = ()
    if operation.type is _Type.LAUNCH and operation.launch is not None:
        tasks = operation.launch.task_infos
    elif operation.type is _Type.LAUNCH_GROUP and operation.launch_group is not None:
        yield operation.launch_group.executor
        tasks = operation.launch_group.task_group.tasks
    for task in tasks:
        yield task
        if task.executor is not None:
            yield task.executor
