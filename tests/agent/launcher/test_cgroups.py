"""Limits written as each version of cgroups wants them, in directories that stand for the hierarchies."""

from __future__ import annotations

from pathlib import Path

from tepui.agent.launcher.cgroups import MEM_BYTES_MIN, Cgroup, Cgroups, Layout, detect

V2_FILES = {"cpu.weight": "", "cpu.max": "", "memory.max": "", "memory.current": "0"}
V1_FILES = {
    "cpu.shares": "",
    "cpu.cfs_period_us": "",
    "cpu.cfs_quota_us": "",
    "memory.limit_in_bytes": "",
    "memory.usage_in_bytes": "0",
}


def filled(cgroup: Cgroup, place: str, files: dict[str, str]) -> Path:
    """Put the kernel's files into a cgroup's directory."""
    for name, text in files.items():
        (Path(place) / name).write_text(text)
    return Path(place)


def v2(root: Path, *, cfs_quota: bool = True) -> Cgroups:
    (root / "cgroup.subtree_control").write_text("")
    for place in (root / "tepui", root / "tepui/x"):
        place.mkdir()
        (place / "cgroup.subtree_control").write_text("")
    layout = Layout(str(root), "", "", frozenset({"cpu", "memory", "io"}))
    return Cgroups(layout, "tepui/x", cfs_quota=cfs_quota)


def test_hierarchies_are_found_in_the_table_of_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        "cgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
        "cgroup /cg/memory cgroup rw,memory 0 0\n"
        "cgroup2 /cg/unified cgroup2 rw 0 0\n"
    )
    found = detect(str(mounts))
    assert (found.cpu, found.memory, found.unified) == (
        "/cg/cpu,cpuacct",
        "/cg/memory",
        "/cg/unified",
    )
    assert found.controllers == frozenset()


def test_v2_passes_controllers_on_and_writes_weight_quota_and_limit(tmp_path: Path) -> None:
    cgroups = v2(tmp_path)
    assert cgroups.enforced() == ["kill", "cpu", "cpu-quota", "memory"]
    assert cgroups.unenforced() == ""
    for place in ("", "tepui", "tepui/x"):
        assert (tmp_path / place / "cgroup.subtree_control").read_text() == "+cpu +memory"
    cgroup = cgroups.create("a", None)
    files = filled(cgroup, cgroup.unified, V2_FILES)
    assert files == tmp_path / "tepui/x/c-a"
    assert cgroup.limit(2500, 64 << 20) == []
    assert (files / "cpu.weight").read_text() == "250"
    assert (files / "cpu.max").read_text() == "250000 100000"
    assert (files / "memory.max").read_text() == str(64 << 20)
    assert cgroup.tasks_files() == []


def test_container_in_another_has_no_limits_of_its_own(tmp_path: Path) -> None:
    cgroups = v2(tmp_path)
    outer = cgroups.create("a", None)
    inner = cgroups.create("b", outer)
    assert inner.unified == f"{outer.unified}/c-b"
    assert inner.limit(1000, 1 << 30) == []
    assert list(Path(inner.unified).iterdir()) == []


def test_v1_writes_shares_and_limit_and_quota_only_when_asked(tmp_path: Path) -> None:
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
    layout = Layout("", str(tmp_path / "cpu"), str(tmp_path / "memory"), frozenset())
    cgroup = Cgroups(layout, "tepui/x", cfs_quota=False).create("a", None)
    for place in cgroup.v1:
        filled(cgroup, place, V1_FILES)
    assert cgroup.limit(1, 1) == []
    assert (Path(cgroup.cpu) / "cpu.shares").read_text() == "2"
    assert (Path(cgroup.cpu) / "cpu.cfs_quota_us").read_text() == ""
    assert (Path(cgroup.memory) / "memory.limit_in_bytes").read_text() == str(MEM_BYTES_MIN)
    assert sorted(cgroup.tasks_files()) == [
        str(tmp_path / "cpu/tepui/x/c-a/tasks"),
        str(tmp_path / "memory/tepui/x/c-a/tasks"),
    ]


def test_memory_limit_is_not_lowered_under_what_is_used(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    files = filled(cgroup, cgroup.unified, V2_FILES)
    cgroup.limit(0, 256 << 20)
    (files / "memory.current").write_text(str((128 << 20) + 1))
    (note,) = cgroup.limit(0, 128 << 20)
    assert note.startswith(f"the memory limit stays at {256 << 20} bytes")
    (files / "memory.current").write_text(str(128 << 20))
    assert cgroup.limit(0, 128 << 20) == []
    assert (files / "memory.max").read_text() == str(128 << 20)


def test_counters_of_v2_are_read(tmp_path: Path) -> None:
    cgroup = v2(tmp_path).create("a", None)
    counters = {
        "memory.events": "low 0\noom 3\noom_kill 2\n",
        "memory.peak": "4096\n",
        "cpu.stat": "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n",
        "memory.stat": "anon 8192\nfile 1\n",
        "cgroup.procs": "5\n6\n",
        "cgroup.threads": "5\n6\n7\n",
    }
    filled(cgroup, cgroup.unified, counters)
    assert (cgroup.oom_kills(), cgroup.mem_peak_bytes()) == (2, 4096)
    assert cgroup.cpu_seconds() == (2.0, 1.0)
    assert (cgroup.rss_bytes(), cgroup.pids(), cgroup.threads()) == (8192, [5, 6], 3)


def test_hierarchy_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    cgroups = Cgroups(Layout("", "", str(blocked), frozenset()), "tepui/x", cfs_quota=False)
    assert cgroups.enforced() == []
    text = cgroups.unenforced()
    assert text.startswith("not enforced: cpu limits, memory limits, the reliable end of processes")
    assert f"'{blocked}/tepui/x' cannot be made: not a directory (ENOTDIR)" in text
