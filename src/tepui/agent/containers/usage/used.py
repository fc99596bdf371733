"""What a container uses: the numbers, before anybody else's words for them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class DeviceIo(Struct, frozen=True):
    """What was read from one disk and written to it."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


class Network(Struct, frozen=True):
    """What went through the container's interfaces, but for its loopback."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class Reading(Struct, frozen=True, kw_only=True):
    """What a container uses, and has used since it began. None: not counted on this machine."""

    cpu_user_us: int | None = None
    cpu_system_us: int | None = None
    cpu_periods: int | None = None  # in which it wanted cpu under a quota
    cpu_throttled_periods: int | None = None
    cpu_throttled_us: int | None = None
    mem_total_bytes: int | None = None  # all that is charged to it
    mem_limit_bytes: int | None = None  # None: there is none
    mem_anon_bytes: int | None = None
    mem_file_bytes: int | None = None  # the page cache
    mem_mapped_file_bytes: int | None = None
    mem_unevictable_bytes: int | None = None
    mem_swap_bytes: int | None = None
    mem_kernel_bytes: int | None = None
    io: tuple[DeviceIo, ...] | None = None
    processes: int | None = None  # without those of containers in it
    threads: int | None = None
    network: Network | None = None  # None: it has the host's


class Places(Struct, frozen=True):
    """Where a container's cgroups are: in cgroup2 ('': nowhere), and by controller of v1."""

    unified: str
    v1: Mapping[str, str] = {}
