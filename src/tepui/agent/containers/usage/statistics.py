"""What a container uses, as Mesos's message. Source: mesos.proto (ResourceStatistics), slave/containerizer."""

from __future__ import annotations

from tepui.agent.containers.usage.used import DeviceIo, Reading
from tepui.agent.core.actions import Limits
from tepui.agent.core.container_limits import with_limits
from tepui.wire import mesos

Blkio = mesos.CgroupInfo.Blkio
Operation = Blkio.Operation


def statistics_of(
    reading: Reading, limits: Limits | None, timestamp_s: float, disk_bytes: int | None = None
) -> mesos.ResourceStatistics:
    """Return the message; `timestamp_s` is when it was read, `limits` what the container may use.

    `disk_bytes` is what it holds on disk, where that was measured.
    """
    network = reading.network
    statistics = mesos.ResourceStatistics(
        timestamp=timestamp_s,
        processes=reading.processes,
        threads=reading.threads,
        cpus_user_time_secs=_seconds(reading.cpu_user_us),
        cpus_system_time_secs=_seconds(reading.cpu_system_us),
        cpus_nr_periods=reading.cpu_periods,
        cpus_nr_throttled=reading.cpu_throttled_periods,
        cpus_throttled_time_secs=_seconds(reading.cpu_throttled_us),
        mem_total_bytes=reading.mem_total_bytes,
        mem_total_memsw_bytes=_sum(reading.mem_total_bytes, reading.mem_swap_bytes),
        mem_kmem_usage_bytes=reading.mem_kernel_bytes,
        mem_limit_bytes=reading.mem_limit_bytes,
        mem_file_bytes=reading.mem_file_bytes,
        mem_cache_bytes=reading.mem_file_bytes,
        mem_anon_bytes=reading.mem_anon_bytes,
        mem_rss_bytes=reading.mem_anon_bytes,
        mem_mapped_file_bytes=reading.mem_mapped_file_bytes,
        mem_swap_bytes=reading.mem_swap_bytes,
        mem_unevictable_bytes=reading.mem_unevictable_bytes,
        disk_used_bytes=disk_bytes,
        blkio_statistics=_blkio(reading.io) if reading.io else None,
        net_rx_packets=None if network is None else network.rx_packets,
        net_rx_bytes=None if network is None else network.rx_bytes,
        net_rx_errors=None if network is None else network.rx_errors,
        net_rx_dropped=None if network is None else network.rx_dropped,
        net_tx_packets=None if network is None else network.tx_packets,
        net_tx_bytes=None if network is None else network.tx_bytes,
        net_tx_errors=None if network is None else network.tx_errors,
        net_tx_dropped=None if network is None else network.tx_dropped,
    )
    return statistics if limits is None else with_limits(statistics, limits)


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else time_us / 1_000_000


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _blkio(disks: tuple[DeviceIo, ...]) -> Blkio.Statistics:
    """The disks, and last the sum over all, which names none."""
    total = DeviceIo(
        0,
        0,
        sum(one.read_bytes for one in disks),
        sum(one.write_bytes for one in disks),
        sum(one.reads for one in disks),
        sum(one.writes for one in disks),
    )
    listed = [_throttling(one, is_total=False) for one in disks]
    return Blkio.Statistics(throttling=(*listed, _throttling(total, is_total=True)))


def _throttling(disk: DeviceIo, *, is_total: bool) -> Blkio.Throttling.Statistics:
    number = mesos.Device.Number(major_number=disk.major, minor_number=disk.minor)
    return Blkio.Throttling.Statistics(
        device=None if is_total else number,
        io_serviced=_values(disk.reads, disk.writes),
        io_service_bytes=_values(disk.read_bytes, disk.write_bytes),
    )


def _values(read: int, write: int) -> tuple[Blkio.Value, ...]:
    return (
        Blkio.Value(op=Operation.READ, value=read),
        Blkio.Value(op=Operation.WRITE, value=write),
        Blkio.Value(op=Operation.TOTAL, value=read + write),
    )
