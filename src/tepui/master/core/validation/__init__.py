"""The rules by which the master accepts what frameworks send.

Pure functions. Each runs named rules in the order of Mesos and answers the text of the first that
fails, or None. (Mesos: master/validation.cpp, common/validation.cpp; texts are its texts.)
"""

from tepui.master.core.validation.call import call_error
from tepui.master.core.validation.context import LaunchContext
from tepui.master.core.validation.framework import (
    capabilities,
    effective_roles,
    resubscribe_error,
    subscribe_error,
    update_error,
    update_framework_error,
)
from tepui.master.core.validation.group import completed_group, task_group_error
from tepui.master.core.validation.operation import operation_error
from tepui.master.core.validation.task import completed_task, task_error

__all__ = [
    "LaunchContext",
    "call_error",
    "capabilities",
    "completed_group",
    "completed_task",
    "effective_roles",
    "operation_error",
    "resubscribe_error",
    "subscribe_error",
    "task_error",
    "task_group_error",
    "update_error",
    "update_framework_error",
]
