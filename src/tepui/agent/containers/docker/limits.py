"""New limits for a container that runs, in Docker Engine's own terms."""

from __future__ import annotations

from typing import Final

from tepui.agent.containers.docker.engine import NewLimits
from tepui.agent.containers.docker.request import (
    CFS_PERIOD_US,
    MEM_BYTES_MIN,
    quota_of,
    shares_of,
)
from tepui.agent.containers.spec import NO_LIMIT

# The Engine cannot lift a limit of memory; this one none will reach.
UNLIMITED_BYTES: Final = 1 << 62


def new_limits(
    cpus_milli: int, cpus_limit_milli: int, mem_bytes: int, mem_soft_bytes: int
) -> NewLimits:
    """Return what to ask the Engine for: 0 leaves a limit as it is, NO_LIMIT lifts it."""
    limits = NewLimits()
    if cpus_milli:
        limits.cpu_shares = shares_of(cpus_milli)
    if cpus_limit_milli:
        is_limit = cpus_limit_milli != NO_LIMIT
        limits.cpu_period = CFS_PERIOD_US
        limits.cpu_quota = quota_of(cpus_limit_milli) if is_limit else NO_LIMIT
    if mem_bytes == NO_LIMIT:
        limits.memory = limits.memory_swap = UNLIMITED_BYTES
    elif mem_bytes:
        limits.memory = limits.memory_swap = max(mem_bytes, MEM_BYTES_MIN)
    if mem_soft_bytes:
        limits.memory_reservation = max(mem_soft_bytes, MEM_BYTES_MIN)
    return limits


def keep_memory(limits: NewLimits, now_bytes: int, in_use_bytes: int) -> str:
    """A limit that was `now_bytes` is not lowered under what is in use; return what is to be said of that."""
    wanted = limits.memory
    if not 0 < wanted < in_use_bytes or 0 < now_bytes < wanted:
        return ""
    limits.memory = limits.memory_swap = 0
    return f"the memory limit stays at {now_bytes} bytes: more than {wanted} are used"


def limit_of(mem_bytes: int) -> int:
    """Return a memory limit as the Engine tells it; 0: there is none."""
    return mem_bytes if 0 < mem_bytes < UNLIMITED_BYTES else 0
