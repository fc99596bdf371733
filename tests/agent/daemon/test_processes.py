"""What is listed of a container in a pod."""

from __future__ import annotations

import subprocess

import pytest

from tepui.agent.daemon.processes import _without_neighbours

pytestmark = pytest.mark.real


def test_other_tasks_of_a_pod_are_not_listed_where_its_cgroup_is_theirs() -> None:
    with (
        subprocess.Popen(["sh", "-c", "cat; true"], stdin=subprocess.PIPE) as one,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other,
    ):
        assert _without_neighbours(one.pid, {one.pid, other.pid}) == {one.pid}
        assert _without_neighbours(other.pid, {one.pid, other.pid}) == {other.pid}
