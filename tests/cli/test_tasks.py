"""Lists, logs, kill, teardown and explain against a real cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.up_process import UpProcess, finished, read_until

pytestmark = pytest.mark.real


@pytest.fixture
def task(cluster: UpProcess) -> Iterator[subprocess.Popen[bytes]]:
    """`tepui run --name job` with a task that has begun and goes on."""
    line = "echo begun; echo trouble >&2; sleep 600; echo end"
    run = cluster.start("run", "--name", "job", line)
    read_until(run, b"begun\n")
    yield run
    run.terminate()
    finished(run)


def rows(cluster: UpProcess, *arguments: str) -> list[dict[str, object]]:
    code, out, err = cluster.tepui(*arguments, "--json")
    assert code == 0, err
    found: list[dict[str, object]] = json.loads(out)
    return found


def task_id(cluster: UpProcess) -> str:
    (row,) = [row for row in rows(cluster, "task", "ls") if row["framework"] == "run job"]
    return str(row["id"])


def test_nodes_are_listed_with_what_they_have(cluster: UpProcess) -> None:
    found = rows(cluster, "node", "ls")
    assert [row["cpus"] for row in found] == [4, 4]
    assert [row["state"] for row in found] == ["active", "active"]
    code, out, _ = cluster.tepui("node", "ls")
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["NODE", "ADDRESS", "STATE"]
    assert len(out.splitlines()) == 3


def test_node_is_shown_by_address_and_by_the_end_of_its_id(cluster: UpProcess) -> None:
    address = str(rows(cluster, "node", "ls")[0]["address"])
    assert f"address      {address}\n" in cluster.tepui("node", "show", address)[1]
    code, out, _ = cluster.tepui("node", "show", "S0", "--json")
    assert code == 0
    assert json.loads(out)["agent_info"]["id"]["value"].endswith("-S0")


def test_running_task_is_listed_shown_and_explained(
    cluster: UpProcess, task: subprocess.Popen[bytes]
) -> None:
    found = task_id(cluster)
    code, out, _ = cluster.tepui("task", "show", found)
    assert code == 0
    assert "state       RUNNING\n" in out
    assert cluster.tepui("explain", found)[1].startswith(f"task '{found}' is TASK_RUNNING")
    assert "run job" in cluster.tepui("explain", "run job")[1]
    assert "run job" in cluster.tepui("framework", "show", "run job")[1]
    assert found in [row["id"] for row in rows(cluster, "task", "ls", "--framework", "run job")]
    assert "run job" in [row["name"] for row in rows(cluster, "framework", "ls")]


def test_logs_of_a_running_task_are_read_and_followed_to_its_end(
    cluster: UpProcess, task: subprocess.Popen[bytes]
) -> None:
    found = task_id(cluster)
    assert cluster.tepui("task", "logs", found) == (0, "begun\n", "")
    assert cluster.tepui("task", "logs", "--stderr", found) == (0, "trouble\n", "")
    follow = cluster.start("task", "logs", "-f", found)
    read_until(follow, b"begun\n")
    assert cluster.tepui("task", "kill", found) == (0, f"killing {found}\n", "")
    assert finished(follow) == (0, "", "")
    code, _, err = finished(task)
    assert code == 143
    assert "Command terminated with signal Terminated" in err


def test_ended_task_keeps_its_log_and_its_story(cluster: UpProcess) -> None:
    assert cluster.tepui("run", "--name", "short", "echo said")[0] == 0
    (found,) = [
        str(row["id"])
        for row in rows(cluster, "task", "ls", "--all")
        if row["framework"] == "run short"
    ]
    assert cluster.tepui("task", "logs", found) == (0, "said\n", "")
    assert "FINISHED" in cluster.tepui("task", "show", found)[1]


def test_framework_that_is_torn_down_says_so(
    cluster: UpProcess, task: subprocess.Popen[bytes]
) -> None:
    code, out, _ = cluster.tepui("framework", "teardown", "--yes", "run job")
    assert code == 0
    assert out.startswith("ended run job (")
    code, _, err = finished(task)
    assert code == 125
    assert "Framework has been removed" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["task", "show", "absent"], "no task 'absent'"),
        (["task", "logs", "absent"], "no task 'absent'"),
        (["task", "kill", "absent"], "no task 'absent'"),
        (["framework", "show", "absent"], "no framework 'absent'"),
        (["framework", "teardown", "--yes", "absent"], "no framework 'absent'"),
        (["node", "show", "absent"], "no node 'absent'"),
        (["explain", "absent"], "no task 'absent'"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(
    cluster: UpProcess, arguments: list[str], text: str
) -> None:
    assert cluster.tepui(*arguments) == (1, "", f"tepui: {text}\n")
