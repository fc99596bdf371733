"""Limits as cgroup v1 wants them, one hierarchy a controller.

Sources: kernel documents cgroup-v1/memory.rst, cpusets.rst, devices.rst, pids.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

import errno
import os

from ..limits import (
    BFQ_WEIGHT_MAX,
    CFQ_WEIGHT_MIN,
    CFS_PERIOD_US,
    NO_LIMIT,
    cpu_shares,
    quota_us,
)
from .files import read, write, write_each


def set_cpu_shares(place: str, cpus_milli: int) -> None:
    """Its share of the cpus is set."""
    write(f"{place}/cpu.shares", str(cpu_shares(cpus_milli)))


def set_cpu_quota(place: str, cpus_limit_milli: int) -> str:
    """It is throttled above the limit; return why it is not, or ''."""
    quota = NO_LIMIT if cpus_limit_milli == NO_LIMIT else quota_us(cpus_limit_milli)
    write(f"{place}/cpu.cfs_period_us", str(CFS_PERIOD_US))
    try:
        write(f"{place}/cpu.cfs_quota_us", str(quota))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # The kernel refuses a quota above that of the cgroup around it, or under that of one in it.
        stays = read(f"{place}/cpu.cfs_quota_us").strip()
        return (
            f"the cpu limit stays at {stays} us in {CFS_PERIOD_US}, for {quota} contradicts the limit of"
            " the container around it or of one in it"
        )
    return ""


def set_soft_memory(place: str, mem_bytes: int) -> None:
    """What it has above this is taken first when memory is short."""
    write(f"{place}/memory.soft_limit_in_bytes", str(mem_bytes))


def set_io_weight(place: str, weight: int) -> str:
    """Its share of the disks is set; return why it is not, or ''."""
    for name, low, high in (
        ("blkio.weight", CFQ_WEIGHT_MIN, BFQ_WEIGHT_MAX),
        ("blkio.bfq.weight", 1, BFQ_WEIGHT_MAX),
    ):
        if os.path.exists(f"{place}/{name}"):
            write(f"{place}/{name}", str(min(high, max(low, weight))))
            return ""
    return "the io weight was not set: this kernel's cgroups have none"


def set_devices(place: str, rules: list[str]) -> None:
    """Only the devices of `rules` can be used; of the cgroup above, only what it may use itself."""
    write(f"{place}/devices.deny", "a")
    write_each(f"{place}/devices.allow", rules)


def fill_cpuset(mount: str, place: str) -> None:
    """Processes can enter `place`: without cpus and memory nodes of its own a cpuset takes none."""
    path = mount
    for part in place.removeprefix(mount).strip("/").split("/"):
        above, path = path, f"{path}/{part}"
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not read(f"{path}/{name}").strip():
                write(f"{path}/{name}", read(f"{above}/{name}").strip())
