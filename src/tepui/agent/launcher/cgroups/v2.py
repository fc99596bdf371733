"""Limits as cgroup v2 wants them, and how a cgroup passes controllers on to those in it.

Source: kernel document cgroup-v2.rst.
"""

from __future__ import annotations

import os

from ..limits import BFQ_WEIGHT_MAX, CFS_PERIOD_US, NO_LIMIT, cpu_weight, quota_us
from .files import read, remove_directory, write
from .layout import MAIN_NAME

V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "io")
MOVE_ROUNDS_MAX = 100  # looks at a cgroup whose processes fork while they are moved


def set_cpu_weight(place: str, cpus_milli: int) -> None:
    """Its share of the cpus is set."""
    write(f"{place}/cpu.weight", str(cpu_weight(cpus_milli)))


def set_cpu_quota(place: str, cpus_limit_milli: int) -> None:
    """It is throttled above the limit."""
    quota = "max" if cpus_limit_milli == NO_LIMIT else str(quota_us(cpus_limit_milli))
    write(f"{place}/cpu.max", f"{quota} {CFS_PERIOD_US}")


def set_soft_memory(place: str, mem_bytes: int) -> None:
    """It keeps this much when others want memory, as long as there is some to be taken elsewhere."""
    write(f"{place}/memory.low", "0" if mem_bytes == NO_LIMIT else str(mem_bytes))


def set_io_weight(place: str, weight: int) -> str:
    """Its share of the disks is set; return why it is not, or ''."""
    if os.path.exists(f"{place}/io.weight"):
        write(f"{place}/io.weight", f"default {weight}")
    elif os.path.exists(f"{place}/io.bfq.weight"):
        write(f"{place}/io.bfq.weight", f"default {min(BFQ_WEIGHT_MAX, weight)}")
    else:
        return "the io weight was not set: this kernel's cgroups have none"
    return ""


def passed_on(place: str, controllers: frozenset[str]) -> frozenset[str]:
    """Return which of `controllers` the cgroups in `place` have from now on."""
    if not controllers:
        return controllers
    try:
        write(f"{place}/cgroup.subtree_control", _wish(controllers))
        return controllers
    except OSError:
        return frozenset(one for one in controllers if _passes_on(place, one))


def _passes_on(place: str, controller: str) -> bool:
    try:
        write(f"{place}/cgroup.subtree_control", _wish(frozenset({controller})))
    except OSError:
        return False
    return True


def _wish(controllers: frozenset[str]) -> str:
    return " ".join("+" + one for one in sorted(controllers))


def make_room(place: str) -> str:
    """Move the processes of `place` into a cgroup of their own in it, and return that.

    v2 has no processes in a cgroup that passes controllers on. What it forks meanwhile is moved too.
    """
    main = f"{place}/{MAIN_NAME}"
    os.makedirs(main, exist_ok=True)
    for _ in range(MOVE_ROUNDS_MAX):
        pids = read(f"{place}/cgroup.procs").split()
        if not pids:
            return main
        for pid in pids:
            try:
                write(f"{main}/cgroup.procs", pid)
            except ProcessLookupError:
                continue
    remove_directory(main)
    raise OSError(f"its processes fork faster than {MOVE_ROUNDS_MAX} rounds of moving them")
