"""The kernel's log, which tells of those that were killed for want of memory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.agent.containers.docker import kernel_log
from tepui.agent.containers.docker.kernel_log import KernelLog

ONE, OTHER = "1a" * 32, "2b" * 32


class Written:
    """A log of the test's own: a fifo that gives one record a read, as the kernel's does."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.log = KernelLog(str(path))
        assert self.log.killed() == 0
        self.fd = os.open(path, os.O_WRONLY)
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_DIRECT)

    def limit(self, limited: str, task: str) -> None:
        """A process in the cgroup `task` was killed for the limit of `limited`."""
        self.write(
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
            f"oom_memcg={limited},task_memcg={task},task=dd,pid=77,uid=0"
        )

    def killed(self, pid: int) -> None:
        self.write(f"Memory cgroup out of memory: Killed process {pid} (dd) total-vm:308kB")

    def write(self, text: str) -> None:
        os.write(self.fd, f"3,12,1000,-;{text}\n SUBSYSTEM=x\n".encode())


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    found = Written(tmp_path / "kmsg")
    yield found
    os.close(found.fd)
    found.log.close()


def test_container_whose_limit_was_reached_is_found_by_its_name(written: Written) -> None:
    written.limit(f"/docker/{ONE}", f"/docker/{ONE}")
    written.write("something else")
    assert written.log.has_cgroup(ONE)
    assert not written.log.has_cgroup(OTHER)
    written.limit(f"/system.slice/docker-{OTHER}.scope", f"/system.slice/docker-{OTHER}.scope/in")
    assert written.log.has_cgroup(OTHER)
    assert written.log.has_cgroup(ONE)


def test_limit_around_the_container_or_within_it_is_not_its_own(written: Written) -> None:
    written.limit("/docker", f"/docker/{ONE}")
    written.limit(f"/docker/{ONE}/within", f"/docker/{ONE}/within")
    assert not written.log.has_cgroup(ONE)


def test_process_is_found_by_its_number_unless_another_had_it_before(written: Written) -> None:
    written.killed(50)
    assert written.log.killed() == 1
    written.killed(51)
    written.killed(52)
    assert written.log.killed() == 3
    assert written.log.pids_since(0) == {50, 51, 52}
    assert written.log.pids_since(1) == {51, 52}
    assert written.log.pids_since(3) == set()
    assert not written.log.has_cgroup(ONE)


def test_the_last_ones_are_remembered(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "KILLED_MAX", 2)
    for pid in (50, 51, 52):
        written.killed(pid)
    assert written.log.killed() == 3
    assert written.log.pids_since(0) == {51, 52}


def test_log_that_may_not_be_read_says_nothing(tmp_path: Path) -> None:
    log = KernelLog(str(tmp_path / "none"))
    assert not log.has_cgroup(ONE)
    assert log.killed() == 0
    log.close()
