"""Limits written as each version of cgroups wants them, in directories that stand for the hierarchies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.launcher.cgroups import (
    MEM_BYTES_MIN,
    NO_LIMIT,
    Cgroups,
    Layout,
    Limits,
    detect,
    places_of,
)
from tepui.agent.launcher.limits import default_pids_max
from tepui.agent.launcher.request import Fault, limits_in

V2_FILES = {
    "cpu.weight": "",
    "cpu.max": "",
    "memory.max": "",
    "memory.low": "",
    "memory.current": "0",
    "pids.max": "",
    "io.weight": "",
    "cpuset.cpus": "",
}
V1_FILES = {
    "cpu": {"cpu.shares": "", "cpu.cfs_period_us": "", "cpu.cfs_quota_us": ""},
    "memory": {
        "memory.limit_in_bytes": "",
        "memory.soft_limit_in_bytes": "",
        "memory.usage_in_bytes": "0",
    },
    "pids": {"pids.max": ""},
    "blkio": {"blkio.bfq.weight": ""},
}
NAMES_V2 = frozenset({"cpu", "memory", "io", "pids", "cpuset", "hugetlb"})


def filled(place: str, files: dict[str, str]) -> Path:
    """Put the kernel's files into a cgroup's directory."""
    for name, text in files.items():
        (Path(place) / name).write_text(text)
    return Path(place)


def v2(root: Path, pids_max: int = 100) -> Cgroups:
    (root / "cgroup.subtree_control").write_text("")
    for place in (root / "tepui", root / "tepui/x"):
        place.mkdir()
        (place / "cgroup.subtree_control").write_text("")
    return Cgroups(Layout(str(root), {}, NAMES_V2), "tepui/x", pids_max=pids_max)


def v1(root: Path, *names: str) -> Cgroups:
    mounts = {name: str(root / name) for name in names or V1_FILES}
    for place in mounts.values():
        Path(place).mkdir()
    return Cgroups(Layout("", mounts, frozenset()), "tepui/x", pids_max=100)


def test_hierarchies_are_found_in_the_table_of_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        "cgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
        "cgroup /cg/memory cgroup rw,memory 0 0\n"
        "cgroup /cg/systemd cgroup rw,name=systemd 0 0\n"
        "cgroup2 /cg/unified cgroup2 rw 0 0\n"
    )
    found = detect(str(mounts))
    shared = "/cg/cpu,cpuacct"
    assert found.v1 == {"cpu": shared, "cpuacct": shared, "memory": "/cg/memory"}
    assert (found.unified, found.controllers) == ("/cg/unified", frozenset())


def test_v2_passes_controllers_on_and_writes_every_limit(tmp_path: Path) -> None:
    cgroups = v2(tmp_path)
    held = set(cgroups.enforced()) - {"devices"}  # that hangs on the kernel of this machine
    assert held == {"kill", "cpu", "cpu-quota", "memory", "pids", "cpuset", "io"}
    for place in ("", "tepui", "tepui/x"):
        control = tmp_path / place / "cgroup.subtree_control"
        assert control.read_text() == "+cpu +cpuset +io +memory +pids"
    cgroup = cgroups.create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    assert files == tmp_path / "tepui/x/c-a"
    limits = Limits(
        cpus_milli=2500,
        cpus_limit_milli=4000,
        mem_bytes=64 << 20,
        mem_soft_bytes=48 << 20,
        pids_max=7,
        cpuset="0-1",
        io_weight=500,
    )
    assert cgroup.limit(limits, at_launch=True) == []
    assert {name: (files / name).read_text() for name in V2_FILES} == {
        "cpu.weight": "250",
        "cpu.max": "400000 100000",
        "memory.max": str(64 << 20),
        "memory.low": str(48 << 20),
        "memory.current": "0",
        "pids.max": "7",
        "io.weight": "default 500",
        "cpuset.cpus": "0-1",
    }
    assert cgroup.tasks_files() == []


def test_share_without_quota_leaves_the_container_unthrottled(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    cgroup.limit(Limits(cpus_milli=1000))
    assert (files / "cpu.weight").read_text() == "100"
    assert (files / "cpu.max").read_text() == ""


def test_limits_are_lifted_again(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    cgroup.limit(Limits(cpus_limit_milli=1000, mem_bytes=64 << 20, pids_max=5))
    for name in ("cpu.max", "memory.max", "pids.max"):
        (files / name).write_text("")
    lifted = Limits(cpus_limit_milli=NO_LIMIT, mem_bytes=NO_LIMIT, pids_max=NO_LIMIT)
    assert cgroup.limit(lifted) == []
    assert (files / "cpu.max").read_text() == "max 100000"
    assert (files / "memory.max").read_text() == "max"
    assert (files / "pids.max").read_text() == "max"
    assert cgroup.mem_limit_bytes == 0


def test_container_that_names_no_limit_of_processes_gets_the_agents(tmp_path: Path) -> None:
    cgroup = v2(tmp_path, pids_max=77).create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    cgroup.limit(Limits(), at_launch=True)
    assert (files / "pids.max").read_text() == "77"
    (files / "pids.max").write_text("")
    cgroup.limit(Limits(cpus_milli=100))  # an update leaves it alone
    assert (files / "pids.max").read_text() == ""


def test_half_of_the_machines_processes_but_not_more_than_16384_is_one_containers() -> None:
    assert [default_pids_max(n) for n in (32_767, 32_768, 4_194_304)] == [16_383, 16_384, 16_384]


def test_container_in_another_has_no_limits_of_its_own(tmp_path: Path) -> None:
    cgroups = v2(tmp_path)
    outer = cgroups.create("a", None)
    inner = cgroups.create("a.b", outer)
    assert inner.unified == f"{outer.unified}/c-a.b"
    everything = Limits(cpus_milli=1000, cpus_limit_milli=1000, mem_bytes=1 << 30, cpuset="0")
    assert inner.limit(everything, at_launch=True) == []
    assert list(Path(inner.unified).iterdir()) == []


def test_v2_container_makes_room_for_one_with_limits_of_its_own(tmp_path: Path) -> None:
    cgroups = v2(tmp_path)
    outer = cgroups.create("a", None)
    filled(outer.unified, {"cgroup.procs": "", "cgroup.subtree_control": ""})
    assert outer.home == outer.unified
    inner = cgroups.create("a.b", outer, has_own_limits=True)
    assert outer.home == f"{outer.unified}/main"
    control = Path(outer.unified) / "cgroup.subtree_control"
    assert control.read_text() == "+cpu +cpuset +io +memory +pids"
    files = filled(inner.unified, V2_FILES)
    assert inner.limit(Limits(mem_bytes=64 << 20)) == []
    assert (files / "memory.max").read_text() == str(64 << 20)


def test_v1_writes_shares_and_limits_and_quota_only_when_asked(tmp_path: Path) -> None:
    cgroups = v1(tmp_path)
    cgroup = cgroups.create("a", None)
    places = {key: filled(place, V1_FILES[key]) for key, place in cgroup.places.items()}
    assert cgroup.limit(Limits(cpus_milli=1, mem_bytes=1, mem_soft_bytes=1), at_launch=True) == []
    assert (places["cpu"] / "cpu.shares").read_text() == "2"
    assert (places["cpu"] / "cpu.cfs_quota_us").read_text() == ""
    memory = places["memory"]
    assert (memory / "memory.limit_in_bytes").read_text() == str(MEM_BYTES_MIN)
    assert (memory / "memory.soft_limit_in_bytes").read_text() == str(MEM_BYTES_MIN)
    assert (places["pids"] / "pids.max").read_text() == "100"
    assert cgroup.limit(Limits(cpus_limit_milli=500, io_weight=5000, pids_max=300)) == []
    assert (places["cpu"] / "cpu.cfs_quota_us").read_text() == "50000"
    assert (places["cpu"] / "cpu.cfs_period_us").read_text() == "100000"
    assert (places["blkio"] / "blkio.bfq.weight").read_text() == "1000"  # its highest
    assert (places["pids"] / "pids.max").read_text() == "300"
    expected = [f"{tmp_path}/{name}/tepui/x/c-a/tasks" for name in V1_FILES]
    assert cgroup.tasks_files() == sorted(expected)


def test_v1_container_with_limits_of_its_own_lives_below_its_parent(tmp_path: Path) -> None:
    cgroups = v1(tmp_path)
    outer = cgroups.create("a", None)
    own = cgroups.create("a.b", outer, has_own_limits=True)
    assert own.memory == f"{outer.memory}/c-a.b"
    shared = cgroups.create("a.c", outer)
    assert shared.memory == ""
    assert f"{outer.memory}/tasks" in shared.tasks_files()
    # Without a cgroup2 hierarchy its processes are known by a directory that limits nothing.
    assert shared.made == [f"{tmp_path}/pids/tepui/x/c-a/c-a.c"]


def test_v1_devices_and_cpuset_are_joined_only_where_they_are_limited(tmp_path: Path) -> None:
    cgroups = v1(tmp_path, "memory", "devices", "cpuset")
    assert "devices" in cgroups.enforced()
    plain = cgroups.create("a", None)
    filled(plain.memory, V1_FILES["memory"])
    plain.limit(Limits(), at_launch=True)
    assert plain.tasks_files() == [f"{tmp_path}/memory/tepui/x/c-a/tasks"]
    assert not (tmp_path / "devices/tepui").exists()


def test_memory_limit_is_not_lowered_under_what_is_used(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    cgroup.limit(Limits(mem_bytes=256 << 20))
    (files / "memory.current").write_text(str((128 << 20) + 1))
    (note,) = cgroup.limit(Limits(mem_bytes=128 << 20))
    assert note.startswith(f"the memory limit stays at {256 << 20} bytes")
    (files / "memory.current").write_text(str(128 << 20))
    assert cgroup.limit(Limits(mem_bytes=128 << 20)) == []
    assert (files / "memory.max").read_text() == str(128 << 20)


def test_memory_limit_that_was_lifted_stays_so_while_more_is_used(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    files = filled(cgroup.unified, V2_FILES)
    (files / "memory.current").write_text(str(1 << 30))
    (note,) = cgroup.limit(Limits(mem_bytes=128 << 20))
    assert note == f"the memory limit stays lifted: more than {128 << 20} are used"


def test_counters_of_v2_are_read(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    counters = {
        "memory.events": "low 0\noom 3\noom_kill 2\n",
        "memory.events.local": "low 0\noom 1\noom_kill 0\n",
        "memory.peak": "4096\n",
        "cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
        "memory.stat": "anon 8192\nfile 1\n",
        "cgroup.procs": "5\n6\n",
        "cgroup.threads": "5\n6\n7\n",
    }
    filled(cgroup.unified, counters)
    assert (cgroup.oom_kills(), cgroup.mem_peak_bytes()) == (2, 4096)
    assert cgroup.cpu_seconds() == (2.0, 1.0)
    assert (cgroup.rss_bytes(), cgroup.pids(), cgroup.threads()) == (8192, [5, 6], 3)


def test_kill_for_want_of_memory_counts_for_the_container_whose_limit_was_reached(
    tmp_path: Path,
) -> None:
    cgroups = v2(tmp_path)
    outer = cgroups.create("a", None)
    filled(outer.unified, {"cgroup.procs": "", "cgroup.subtree_control": ""})
    inner = cgroups.create("a.b", outer, has_own_limits=True)
    # The kill is counted on the way up; the limit was the inner one's.
    filled(outer.unified, {"memory.events": "oom_kill 1\n", "memory.events.local": "oom 0\n"})
    filled(inner.unified, {"memory.events": "oom_kill 1\n", "memory.events.local": "oom 1\n"})
    assert (outer.oom_kills(), inner.oom_kills()) == (0, 1)


def test_io_weight_that_the_kernel_has_not_is_a_note(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    (note,) = cgroup.limit(Limits(io_weight=10))
    assert note == "the io weight was not set: this kernel's cgroups have none"


def test_limit_that_cannot_be_written_is_a_fault_that_names_the_cgroup(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    with pytest.raises(Fault) as fault:
        cgroup.limit(Limits(cpus_milli=1000))
    assert str(fault.value) == (
        f"set the limits of '{cgroup.unified}': no such file or directory (ENOENT)"
    )


def test_hierarchy_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    cgroups = Cgroups(Layout("", {"memory": str(blocked)}, frozenset()), "tepui/x")
    assert cgroups.enforced() == []
    text = cgroups.unenforced()
    assert text.startswith("not enforced: cpu limits, memory limits, cpu shares, limits of proc")
    assert "the reliable end of processes that leave their session" in text
    assert f"'{blocked}/tepui/x' cannot be made: not a directory (ENOTDIR)" in text


def test_controllers_that_the_machine_has_not_are_named(tmp_path: Path) -> None:
    text = v1(tmp_path, "cpu", "memory").unenforced()
    assert text == (
        "not enforced: limits of processes, the choice of cpus, shares of the disks, limits of devices"
        " (the machine has no such cgroup controller)"
    )


def test_all_that_an_earlier_launcher_left_is_found_innermost_first(tmp_path: Path) -> None:
    cgroups = v1(tmp_path, "memory", "pids", "devices")
    outer = cgroups.create("a", None)
    cgroups.create("a.b", outer, has_own_limits=True)
    (tmp_path / "devices/tepui/x/c-a").mkdir(parents=True)
    found = cgroups.leftovers()
    assert sorted(place for one in found for place in one.made) == sorted(
        [
            f"{tmp_path}/devices/tepui/x/c-a",
            *(f"{tmp_path}/{name}/tepui/x/c-a{inner}"
              for name in ("memory", "pids") for inner in ("", "/c-a.b")),
        ]
    )  # fmt: skip
    assert all(one.remove() for one in found)
    cgroups.remove()
    assert [*tmp_path.glob("*/*")] == []


def test_directories_of_a_container_are_found_by_its_lineage(tmp_path: Path) -> None:
    cgroups = v1(tmp_path, "memory", "pids")
    outer = cgroups.create("a", None)
    cgroups.create("a.b", outer)
    unified, places = places_of(cgroups.layout, "tepui/x", ("a", "a.b"))
    assert (unified, places) == ("", {"pids": f"{tmp_path}/pids/tepui/x/c-a/c-a.b"})
    assert places_of(cgroups.layout, "tepui/x", ("a",))[1] == outer.places


def test_limits_of_a_request_that_are_left_out_stay_as_they_are() -> None:
    asked = limits_in({"mem_bytes": NO_LIMIT, "cpus_limit_milli": 500, "devices": ["c 1:3 r"]})
    assert (asked.mem_bytes, asked.cpus_limit_milli, asked.devices) == (-1, 500, ["c 1:3 r"])
    assert (asked.cpus_milli, asked.pids_max, asked.cpuset) == (0, 0, "")


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpus_milli", -1), ("mem_bytes", -2), ("pids_max", "7"), ("devices", [1]), ("cpuset", 3)],
)
def test_limit_of_a_request_that_breaks_its_rule_is_named(field: str, value: object) -> None:
    with pytest.raises(Fault, match=f"'{field}'"):
        limits_in({field: value})
