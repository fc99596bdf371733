"""The cluster that other tests use ends all that it has started, and says when something stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.real.cluster import Cluster, wait_gone

pytestmark = pytest.mark.real


def test_nothing_is_left_of_a_cluster_with_a_killed_agent(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=2) as cluster:
        first, second = cluster.agents
        first.kill()
        second.kill()
        second.start()
        cluster.wait_until(lambda: cluster.answers(second), "the second agent is back")
    assert cluster.processes() == []


def test_a_process_that_stays_is_named_and_ended(tmp_path: Path) -> None:
    command = ["/bin/sleep", "600"]
    with (
        pytest.raises(AssertionError, match=r"left: process \d+ /bin/sleep 600"),
        Cluster(tmp_path, agents=0) as cluster,
    ):
        left = subprocess.Popen(command, cwd=cluster.directory)
    left.wait()
    wait_gone(left.pid)
    assert cluster.processes() == []


def test_a_failure_within_is_the_one_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Cluster(tmp_path, agents=1):
        _ = 1 // 0


def test_a_daemon_that_ends_by_itself_fails_the_wait_with_its_code(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="agent-1 ended with"),
        Cluster(tmp_path, agents=1, resources="cpus:many"),
    ):
        pass
