"""What the files of cgroups say, as the kernel writes them, in directories that stand for the hierarchies."""

from __future__ import annotations

import os
from pathlib import Path

from tepui.agent.containers.usage.reading import ContainerFiles, Sampler, network_in
from tepui.agent.containers.usage.used import DeviceIo, Network, Places, Reading

V1 = {
    "unified": {
        "cpu.stat": "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\n",
        "cgroup.procs": "5\n6\n",
    },
    "cpu": {"cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 5000000\nnr_bursts 0\n"},
    "memory": {
        "memory.stat": (
            "cache 1\nrss 2\nhierarchical_memory_limit 67108864\ntotal_cache 8192\n"
            "total_rss 4096\ntotal_mapped_file 1024\ntotal_swap 512\ntotal_unevictable 7\n"
        ),
        "memory.usage_in_bytes": "20480\n",
        "memory.kmem.usage_in_bytes": "256\n",
    },
    "blkio": {
        "blkio.throttle.io_service_bytes_recursive": (
            "8:16 Read 4096\n8:16 Write 100\n8:16 Total 4196\n8:0 Read 1\nTotal 4197\n"
        ),
        "blkio.throttle.io_serviced_recursive": "8:16 Read 3\n8:16 Write 1\nTotal 4\n",
    },
    "pids": {"pids.current": "7\n"},
}
V2 = {
    "cpu.stat": (
        "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 10\nnr_throttled 4\n"
        "throttled_usec 5000\n"
    ),
    "memory.stat": "anon 4096\nfile 8192\nkernel 256\nfile_mapped 1024\nunevictable 7\n",
    "memory.current": "20480\n",
    "memory.max": "67108864\n",
    "memory.swap.current": "512\n",
    "io.stat": (
        "8:0 rbytes=1 wbytes=0 rios=0 wios=0 dbytes=0 dios=0\n"
        "8:16 rbytes=4096 wbytes=100 rios=3 wios=1 dbytes=0 dios=0\n"
    ),
    "pids.current": "7\n",
    "cgroup.procs": "5\n6\n",
}
EXPECTED = Reading(
    cpu_user_us=2000,
    cpu_system_us=1000,
    cpu_periods=10,
    cpu_throttled_periods=4,
    cpu_throttled_us=5000,
    mem_total_bytes=20480,
    mem_limit_bytes=67108864,
    mem_anon_bytes=4096,
    mem_file_bytes=8192,
    mem_mapped_file_bytes=1024,
    mem_unevictable_bytes=7,
    mem_swap_bytes=512,
    mem_kernel_bytes=256,
    io=(DeviceIo(8, 0, 1), DeviceIo(8, 16, 4096, 100, 3, 1)),
    processes=2,
    threads=7,
)
NET_DEV = (
    b"Inter-|   Receive                            |  Transmit\n"
    b" face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo\n"
    b"    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n"
    b"  eth0: 100 10 1 2 0 0 0 0 200 20 3 4 0 0 0 0\n"
    b"  eth1:1 1 0 0 0 0 0 0 2 2 0 0 0 0 0 0\n"
)


def filled(place: Path, files: dict[str, str]) -> str:
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text)
    return str(place)


def v1(root: Path) -> Places:
    places = {name: filled(root / name / "c-a", files) for name, files in V1.items()}
    return Places(places.pop("unified"), places)


def test_v1_and_its_cgroup2_hierarchy_are_read_as_one(tmp_path: Path) -> None:
    files = ContainerFiles(v1(tmp_path))
    assert files.read() == EXPECTED
    files.close()


def test_v2_says_the_same(tmp_path: Path) -> None:
    files = ContainerFiles(Places(filled(tmp_path / "c-a", V2)))
    assert files.read() == EXPECTED
    files.close()


def test_counters_are_read_anew_each_time_though_files_stay_open(tmp_path: Path) -> None:
    files = ContainerFiles(Places(filled(tmp_path / "c-a", V2)))
    files.read()
    kept = files.descriptors
    (tmp_path / "c-a/cpu.stat").write_text("usage_usec 9\nuser_usec 5\nsystem_usec 4\n")
    reading = files.read()
    assert reading is not None
    assert (reading.cpu_user_us, reading.cpu_system_us) == (5, 4)
    assert files.descriptors == kept > 0
    files.close()
    assert files.descriptors == 0


def test_words_that_move_within_a_file_are_found_again(tmp_path: Path) -> None:
    files = ContainerFiles(Places(filled(tmp_path / "c-a", V2)))
    files.read()
    (tmp_path / "c-a/memory.stat").write_text("new 1\nfile 2\nanon 3\n")
    reading = files.read()
    assert reading is not None
    assert (reading.mem_file_bytes, reading.mem_anon_bytes) == (2, 3)
    files.close()


def test_no_limit_is_told_as_none(tmp_path: Path) -> None:
    files = ContainerFiles(Places(filled(tmp_path / "two", V2 | {"memory.max": "max\n"})))
    reading = files.read()
    assert reading is not None
    assert reading.mem_limit_bytes is None
    files.close()
    stat = {"memory.stat": "hierarchical_memory_limit 9223372036854771712\ntotal_rss 1\n"}
    files = ContainerFiles(Places("", {"memory": filled(tmp_path / "one", stat)}))
    reading = files.read()
    assert reading is not None
    assert (reading.mem_limit_bytes, reading.mem_anon_bytes) == (None, 1)
    files.close()


def test_what_the_machine_does_not_count_is_none(tmp_path: Path) -> None:
    stat = {"cpu.stat": "usage_usec 3\nuser_usec 2\nsystem_usec 1\n", "cgroup.procs": ""}
    files = ContainerFiles(Places(filled(tmp_path / "c-a", stat)))
    assert files.read() == Reading(cpu_user_us=2, cpu_system_us=1, processes=0)
    files.close()


def test_processes_that_made_room_for_containers_in_theirs_are_counted(tmp_path: Path) -> None:
    files = ContainerFiles(Places(filled(tmp_path / "c-a", V2 | {"cgroup.procs": ""})))
    files.read()
    filled(tmp_path / "c-a/main", {"cgroup.procs": "5\n6\n7\n"})
    reading = files.read()
    assert reading is not None
    assert reading.processes == 3
    files.close()


def test_many_processes_are_counted_to_the_last(tmp_path: Path) -> None:
    procs = "".join(f"{number}\n" for number in range(100_000, 120_000))
    files = ContainerFiles(Places(filled(tmp_path / "c-a", V2 | {"cgroup.procs": procs})))
    reading = files.read()
    assert reading is not None
    assert reading.processes == 20_000
    files.close()


def test_container_that_is_gone_is_left_out(tmp_path: Path) -> None:
    sampler = Sampler(descriptors_max=0)  # a directory of the kernel's takes its files with it
    for name in ("a", "b"):
        sampler.watch(name, Places(filled(tmp_path / name, V2)))
    assert sampler.sample() == {"a": EXPECTED, "b": EXPECTED}
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    (tmp_path / "a").rmdir()
    assert sampler.sample() == {"b": EXPECTED}
    assert sampler.read("a") is None
    sampler.close()


def test_containers_beyond_the_descriptors_are_read_without_keeping_any(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sampler = Sampler(descriptors_max=10)  # enough for one container
    for name in ("a", "b"):
        sampler.watch(name, Places(filled(tmp_path / name, V2)))
    assert set(sampler.sample()) == {"a", "b"}
    assert len(os.listdir("/proc/self/fd")) - before == len(V2)
    sampler.unwatch("a")
    assert len(os.listdir("/proc/self/fd")) == before
    sampler.unwatch("a")
    sampler.watch("c", Places(filled(tmp_path / "c", V2)))  # takes the place that is free again
    sampler.sample()
    assert len(os.listdir("/proc/self/fd")) - before == len(V2)
    sampler.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_network_is_the_sum_over_all_interfaces_but_the_loopback() -> None:
    assert network_in(NET_DEV) == Network(101, 11, 1, 2, 202, 22, 3, 4)


def test_network_of_a_process_is_read_where_the_container_has_its_own(tmp_path: Path) -> None:
    place = filled(tmp_path / "c-a", V2)
    files = ContainerFiles(Places(place))
    reading = files.read(os.getpid())
    assert reading is not None
    assert reading.network is not None
    files.close()
