"""Limits that hold real processes, in the hierarchies of this machine."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.agent.containers.isolation.devices import DEFAULT_RULES
from tepui.agent.launcher.cgroups import NO_LIMIT, Cgroup, Cgroups, Limits, detect
from tepui.agent.launcher.cgroups.bpf import attach, offered

pytestmark = pytest.mark.real
DEADLINE_S = 60.0
MIB = 1 << 20
EATER = "kept = [bytearray(1 << 20) for _ in range(200)]"
FORKER = """
import os
made = 0
try:
    for _ in range(60):
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        made += 1
except BlockingIOError:
    print(made)
"""


class Machine:
    """Cgroups of one test; `run` runs Python in one of them."""

    def __init__(self, cgroups: Cgroups) -> None:
        self.cgroups = cgroups
        self.made: list[Cgroup] = []

    def needs(self, name: str) -> None:
        if name not in self.cgroups.enforced():
            pytest.skip(f"this machine does not enforce '{name}': {self.cgroups.unenforced()}")

    def create(
        self, name: str, parent: Cgroup | None = None, *, has_own_limits: bool = False
    ) -> Cgroup:
        cgroup = self.cgroups.create(name, parent, has_own_limits=has_own_limits)
        self.made.append(cgroup)
        return cgroup

    def start(self, cgroup: Cgroup, program: str) -> subprocess.Popen[str]:
        files = cgroup.tasks_files()
        if cgroup.home:
            files.append(f"{cgroup.home}/cgroup.procs")

        def enter() -> None:
            for path in files:
                fd = os.open(path, os.O_WRONLY)
                os.write(fd, b"0")
                os.close(fd)

        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=enter,
        )

    def run(self, cgroup: Cgroup, program: str) -> tuple[int, str]:
        with self.start(cgroup, program) as process:
            out, _ = process.communicate(timeout=DEADLINE_S)
        return process.returncode, out.strip()

    def clear(self) -> None:
        for cgroup in reversed(self.made):
            cgroup.kill()
            left = [os.pidfd_open(pid) for pid in cgroup.pids() if Path(f"/proc/{pid}").exists()]
            for pidfd in left:
                select.select([pidfd], [], [], DEADLINE_S)
                os.close(pidfd)
            assert cgroup.empty()
            assert cgroup.remove(), cgroup.made


@pytest.fixture
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("cgroups are made by root")
    root = f"tepui/test-{os.getpid()}"
    layout = detect()
    one = Machine(Cgroups(layout, root))
    try:
        if not one.cgroups.enforced():
            pytest.skip(one.cgroups.unenforced())
        yield one
        one.clear()
    finally:
        one.cgroups.remove()
    mounts = [layout.unified, *layout.v1.values()]
    assert [mount for mount in mounts if mount and Path(mount, root).exists()] == []


def test_fork_bomb_ends_at_the_limit_of_processes(machine: Machine) -> None:
    machine.needs("pids")
    cgroup = machine.create("bomb")
    assert cgroup.limit(Limits(pids_max=20), at_launch=True) == []
    with machine.start(cgroup, FORKER) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "19"
        cgroup.kill()


def test_container_runs_on_the_cpus_it_was_given(machine: Machine) -> None:
    machine.needs("cpuset")
    cgroup = machine.create("a")
    cpu = max(os.sched_getaffinity(0))
    assert cgroup.limit(Limits(cpuset=str(cpu)), at_launch=True) == []
    status, out = machine.run(cgroup, "import os; print(os.sched_getaffinity(0))")
    assert (status, out) == (0, f"{{{cpu}}}")


def test_container_above_its_cpu_limit_is_throttled(machine: Machine) -> None:
    machine.needs("cpu-quota")
    cgroup = machine.create("a")
    cgroup.limit(Limits(cpus_milli=1000, cpus_limit_milli=100), at_launch=True)
    assert machine.run(cgroup, "for _ in range(3_000_000): pass")[0] == 0
    place = cgroup.places.get("cpu", cgroup.unified)
    counters = dict(line.split() for line in Path(place, "cpu.stat").read_text().splitlines())
    assert int(counters["nr_throttled"]) > 0


def test_quota_above_that_of_the_container_around_it_is_a_note(machine: Machine) -> None:
    if "cpu" not in machine.cgroups.layout.v1:
        pytest.skip("cgroup v2 takes any quota, and holds the least on the way up")
    outer = machine.create("a")
    outer.limit(Limits(cpus_limit_milli=500), at_launch=True)
    inner = machine.create("a.b", outer, has_own_limits=True)
    (note,) = inner.limit(Limits(cpus_limit_milli=600), at_launch=True)
    assert "contradicts the limit of the container around it" in note
    assert inner.limit(Limits(cpus_limit_milli=400)) == []
    assert outer.limit(Limits(cpus_limit_milli=NO_LIMIT)) == []


def test_memory_limit_of_a_container_in_another_ends_that_one_alone(machine: Machine) -> None:
    machine.needs("memory")
    outer = machine.create("a")
    outer.limit(Limits(mem_bytes=512 * MIB), at_launch=True)
    inner = machine.create("a.b", outer, has_own_limits=True)
    inner.limit(Limits(mem_bytes=40 * MIB), at_launch=True)
    watched = [outer.watch_oom(), inner.watch_oom()]
    assert machine.run(inner, EATER)[0] == -9
    assert inner.oom_kills() == 1
    assert outer.oom_kills() == 0
    assert (inner.reached_mem_limit(), outer.reached_mem_limit()) == (True, False)
    if inner.memory:
        assert select.select(watched, [], [], 0)[0] == [inner.oom_fd]
    assert inner.mem_peak_bytes() >= 39 * MIB
    assert machine.run(outer, "print(1)") == (0, "1")


def test_memory_limit_around_a_container_ends_it_too_and_is_told_from_its_own(
    machine: Machine,
) -> None:
    machine.needs("memory")
    outer = machine.create("a")
    outer.limit(Limits(mem_bytes=40 * MIB), at_launch=True)
    inner = machine.create("a.b", outer, has_own_limits=True)
    inner.limit(Limits(mem_bytes=512 * MIB), at_launch=True)
    outer.watch_oom()
    inner.watch_oom()
    assert machine.run(inner, EATER)[0] == -9
    assert (inner.reached_mem_limit(), outer.reached_mem_limit()) == (False, True)
    assert inner.oom_kills() == 0
    if outer.memory:  # v1 has counted the kill in the inner one; the event tells of the limit
        assert select.select([outer.oom_fd], [], [], 0)[0] == [outer.oom_fd]


def test_only_the_devices_in_the_rules_can_be_opened(machine: Machine) -> None:
    machine.needs("devices")
    cgroup = machine.create("a")
    assert cgroup.limit(Limits(devices=list(DEFAULT_RULES)), at_launch=True) == []
    assert machine.run(cgroup, _OPENS) == (0, "['/dev/kmsg']")


def test_program_for_devices_holds_in_the_cgroup2_hierarchy(machine: Machine) -> None:
    cause = "there is no cgroup2 hierarchy" if not machine.cgroups.unified else offered()
    if cause:
        pytest.skip(f"the kernel takes no program for devices: {cause}")
    cgroup = machine.create("a")
    attach(cgroup.unified, list(DEFAULT_RULES))
    assert machine.run(cgroup, _OPENS) == (0, "['/dev/kmsg']")
    attach(cgroup.unified, ["c 1:3 r"])  # both must agree
    assert machine.run(cgroup, "open('/dev/null', 'r').close(); open('/dev/null', 'w')")[0] == 1


_OPENS = """
refused = []
for path in ('/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/kmsg'):
    try:
        open(path, 'rb', 0).close()
    except PermissionError:
        refused.append(path)
print(refused)
"""


def test_killing_a_container_kills_those_in_it(machine: Machine) -> None:
    outer = machine.create("a")
    outer.limit(Limits(), at_launch=True)
    inner = machine.create("a.b", outer, has_own_limits=True)
    inner.limit(Limits(), at_launch=True)
    waits = "import sys; print(1, flush=True); sys.stdin.read()"
    with machine.start(outer, waits) as first, machine.start(inner, waits) as second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
        assert not outer.empty()
        if not outer.unified:
            inner.kill()
        outer.kill()
        assert [one.wait(DEADLINE_S) for one in (first, second)] == [-9, -9]
    assert inner.empty()
    assert outer.empty()
