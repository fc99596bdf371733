"""A reading as Mesos's message."""

from __future__ import annotations

from tepui.agent.containers.usage.statistics import statistics_of
from tepui.agent.containers.usage.used import DeviceIo, Network, Reading
from tepui.agent.core.actions import Limits
from tepui.wire import json, mesos
from tepui.wire.jsontext import parse

MIB = 1 << 20
LIMITS = Limits(
    cpus_milli=500,
    cpus_limit_milli=1500,
    mem_bytes=64 * MIB,
    mem_limit_bytes=128 * MIB,
    disk_bytes=0,
)


def test_every_field_has_its_place() -> None:
    reading = Reading(
        cpu_user_us=2_500_000,
        cpu_system_us=1_000_000,
        cpu_periods=10,
        cpu_throttled_periods=4,
        cpu_throttled_us=250_000,
        mem_total_bytes=100,
        mem_limit_bytes=128 * MIB,
        mem_anon_bytes=50,
        mem_file_bytes=40,
        mem_mapped_file_bytes=30,
        mem_unevictable_bytes=20,
        mem_swap_bytes=10,
        mem_kernel_bytes=5,
        io=(DeviceIo(8, 0, 4096, 100, 3, 1),),
        processes=2,
        threads=7,
        network=Network(1, 2, 3, 4, 5, 6, 7, 8),
    )
    body = json.encode(statistics_of(reading, LIMITS, 12.5))
    value = [
        {"op": "READ", "value": 4096},
        {"op": "WRITE", "value": 100},
        {"op": "TOTAL", "value": 4196},
    ]
    serviced = [
        {"op": "READ", "value": 3},
        {"op": "WRITE", "value": 1},
        {"op": "TOTAL", "value": 4},
    ]
    device = {"device": {"major_number": 8, "minor_number": 0}}
    counters = {"io_serviced": serviced, "io_service_bytes": value}
    expected = {
        "timestamp": 12.5,
        "processes": 2,
        "threads": 7,
        "cpus_user_time_secs": 2.5,
        "cpus_system_time_secs": 1.0,
        "cpus_limit": 1.5,
        "cpus_soft_limit": 0.5,
        "cpus_nr_periods": 10,
        "cpus_nr_throttled": 4,
        "cpus_throttled_time_secs": 0.25,
        "mem_total_bytes": 100,
        "mem_total_memsw_bytes": 110,
        "mem_kmem_usage_bytes": 5,
        "mem_limit_bytes": 128 * MIB,
        "mem_soft_limit_bytes": 64 * MIB,
        "mem_file_bytes": 40,
        "mem_cache_bytes": 40,
        "mem_anon_bytes": 50,
        "mem_rss_bytes": 50,
        "mem_mapped_file_bytes": 30,
        "mem_swap_bytes": 10,
        "mem_unevictable_bytes": 20,
        "blkio_statistics": {"throttling": [device | counters, counters]},
    }
    net = {
        f"net_{way}_{name}": number
        for way, numbers in (("rx", (1, 2, 3, 4)), ("tx", (5, 6, 7, 8)))
        for name, number in zip(("bytes", "packets", "errors", "dropped"), numbers, strict=True)
    }
    assert json.decode(mesos.ResourceStatistics, body) == statistics_of(reading, LIMITS, 12.5)
    assert parse(body.decode()) == expected | net


def test_what_was_not_counted_is_left_out() -> None:
    assert json.encode(statistics_of(Reading(), None, 1.0)) == b'{"timestamp":1.0}'


def test_limit_that_no_cgroup_holds_is_the_one_asked_for() -> None:
    told = statistics_of(Reading(), LIMITS, 1.0)
    assert told.mem_limit_bytes == 128 * MIB
