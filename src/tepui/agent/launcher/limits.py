"""What a container may use, as the launcher is asked for it, and the numbers that the kernel takes.

Source of the constants: Mesos, slave/containerizer/mesos/isolators/cgroups/constants.hpp.
"""

from __future__ import annotations

NO_LIMIT = -1  # lifts a limit
CPU_SHARES_PER_CPU = 1024
CPU_SHARES_MIN = 2  # the kernel's
CPU_WEIGHT_MIN, CPU_WEIGHT_MAX = 1, 10_000
CFS_PERIOD_US = 100_000
CFS_QUOTA_US_MIN = 1_000
MEM_BYTES_MIN = 32 << 20  # Mesos: MIN_MEMORY; with less not even a shell starts
IO_WEIGHT_MAX = 10_000  # cgroup v2's scale, where 100 is everybody's
BFQ_WEIGHT_MAX = 1000
CFQ_WEIGHT_MIN = 10
PIDS_MAX = (
    16_384  # what a container may have that names no limit, on a machine with room for two such
)


class Limits:
    """What a container may use; 0 (or '') leaves a limit as it is, at first without; NO_LIMIT lifts it."""

    __slots__ = (
        "cpus_limit_milli", "cpus_milli", "cpuset", "devices", "io_weight", "mem_bytes", "mem_soft_bytes",
        "pids_max",
    )  # fmt: skip

    def __init__(
        self,
        *,
        cpus_milli: int = 0,
        cpus_limit_milli: int = 0,
        mem_bytes: int = 0,
        mem_soft_bytes: int = 0,
        pids_max: int = 0,
        cpuset: str = "",
        io_weight: int = 0,
        devices: list[str] | None = None,
    ) -> None:
        self.cpus_milli = cpus_milli  # its share, when others want cpus too
        self.cpus_limit_milli = cpus_limit_milli  # throttled above
        self.mem_bytes = mem_bytes  # killed above
        self.mem_soft_bytes = mem_soft_bytes  # what is above goes first when memory is short
        self.pids_max = pids_max  # processes and threads
        self.cpuset = cpuset  # as in `0-3,8`
        self.io_weight = io_weight
        self.devices = devices  # rules as in `c 1:3 rwm`; None: all devices


def cpu_shares(cpus_milli: int) -> int:
    """Return the v1 shares."""
    return max(CPU_SHARES_MIN, CPU_SHARES_PER_CPU * cpus_milli // 1000)


def cpu_weight(cpus_milli: int) -> int:
    """Return the v2 weight: one cpu is what both versions call their default."""
    weight = cpu_shares(cpus_milli) * 100 // CPU_SHARES_PER_CPU
    return min(CPU_WEIGHT_MAX, max(CPU_WEIGHT_MIN, weight))


def quota_us(cpus_limit_milli: int) -> int:
    """Return the cpu time in each period of CFS_PERIOD_US."""
    return max(CFS_QUOTA_US_MIN, CFS_PERIOD_US * cpus_limit_milli // 1000)


def mem_limit_bytes(mem_bytes: int) -> int:
    """Return the limit that is set where `mem_bytes` are asked for; NO_LIMIT stays what it is."""
    return mem_bytes if mem_bytes == NO_LIMIT else max(mem_bytes, MEM_BYTES_MIN)


def default_pids_max(pid_max: int) -> int:
    """Return how many processes and threads one container may have of a machine's `pid_max`."""
    return min(PIDS_MAX, max(1, pid_max // 2))
