"""What the container of an executor may use: the sum of the executor's and its tasks'.

A task may name limits above its resources, `Infinity` included; without them its memory is its
limit, and its cpus are a share only, unless `--cgroups_enable_cfs` says otherwise.

Source: Mesos docs/nested-container-and-task-group.md, slave.cpp (computeExecutorLimits).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isinf

from msgspec import structs

from tepui.agent.core.actions import Limits
from tepui.resources import Resources
from tepui.wire import mesos

MIB = 1024 * 1024
MILLI_MAX = 2**63 - 1  # as BYTES_MAX: what is saved are 64 bits
BYTES_MAX = 2**63 - 1  # a framework may name any limit; more than this, no kernel takes
Part = tuple[tuple[mesos.Resource, ...], Mapping[str, mesos.Value.Scalar]]


def limits_of(
    executor: tuple[mesos.Resource, ...], tasks: Iterable[mesos.TaskInfo], *, cfs: bool
) -> Limits:
    """The limits of a container with this executor and these tasks."""
    parts: list[Part] = [(executor, {})]
    parts += [(task.resources, task.limits) for task in tasks]
    return limits_of_parts(parts, cfs=cfs)


def limits_of_parts(parts: Iterable[Part], *, cfs: bool) -> Limits:
    """The limits of a container with resources, and limits above them, of several."""
    cpus_milli = mem_milli = disk_milli = 0
    cpus_limit_milli: int | None = 0
    mem_limit_milli: int | None = 0
    is_cpu_limited = cfs
    for wire, limits in parts:
        resources = Resources.of(wire)
        cpus, mem = resources.scalar("cpus"), resources.scalar("mem")
        cpus_milli += cpus
        mem_milli += mem
        disk_milli += resources.scalar("disk")
        is_cpu_limited = is_cpu_limited or "cpus" in limits
        cpus_limit_milli = _sum(cpus_limit_milli, limits.get("cpus"), cpus)
        mem_limit_milli = _sum(mem_limit_milli, limits.get("mem"), mem)
    return Limits(
        cpus_milli=cpus_milli,
        cpus_limit_milli=cpus_limit_milli if is_cpu_limited else None,
        mem_bytes=_bytes(mem_milli),
        mem_limit_bytes=None if mem_limit_milli is None else _bytes(mem_limit_milli),
        disk_bytes=_bytes(disk_milli),
    )


def with_limits(statistics: mesos.ResourceStatistics, limits: Limits) -> mesos.ResourceStatistics:
    """The statistics of a container that has these limits; what is in force of its memory stays."""
    # Differs from Mesos: without a limit it says none here, though its own pages divide by it.
    cpus_milli, mem_bytes = limits.cpus_limit_milli, statistics.mem_limit_bytes
    return structs.replace(
        statistics,
        cpus_limit=(limits.cpus_milli if cpus_milli is None else cpus_milli) / 1000,
        cpus_soft_limit=limits.cpus_milli / 1000,
        mem_limit_bytes=limits.mem_limit_bytes if mem_bytes is None else mem_bytes,
        mem_soft_limit_bytes=limits.mem_bytes,
        disk_limit_bytes=limits.disk_bytes or None,
    )


def gpus_of(*resources: tuple[mesos.Resource, ...]) -> int:
    """How many GPUs these are; the master lets no part of one pass."""
    return sum(Resources.of(wire).scalar("gpus") for wire in resources) // 1000


def _sum(sum_milli: int | None, limit: mesos.Value.Scalar | None, share_milli: int) -> int | None:
    """The sum with one more limit; None is without limit."""
    if sum_milli is None or (limit is not None and isinf(limit.value)):
        return None
    own_milli = share_milli if limit is None else round(limit.value * 1000)
    return min(sum_milli + own_milli, MILLI_MAX)


def _bytes(milli_mib: int) -> int:
    return min(milli_mib * MIB // 1000, BYTES_MAX)
