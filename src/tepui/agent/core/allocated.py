"""Resources as executors see them: each says which role it is allocated to.

Source: Mesos master/master.cpp (injectAllocationInfo).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from tepui.wire import mesos


def allocated_task(info: mesos.TaskInfo, role: str) -> mesos.TaskInfo:
    """The task, and its executor if it names one, with `role` on all resources."""
    executor = None if info.executor is None else allocated_executor(info.executor, role)
    return replace(info, resources=allocated(info.resources, role), executor=executor)


def allocated_executor(info: mesos.ExecutorInfo, role: str) -> mesos.ExecutorInfo:
    """The executor with `role` on all resources."""
    return replace(info, resources=allocated(info.resources, role))


def allocated(resources: Iterable[mesos.Resource], role: str) -> tuple[mesos.Resource, ...]:
    """The resources, each allocated to `role`."""
    info = mesos.Resource.AllocationInfo(role=role)
    return tuple(replace(one, allocation_info=info) for one in resources)
