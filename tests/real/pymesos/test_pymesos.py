"""PyPI's pymesos, unmodified, runs command tasks and a custom executor on a real cluster."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec import Struct, convert

from tests.real.cluster import Cluster
from tests.real.pymesos import environment

TASKS = 1000
AGENTS = 2
DEADLINE_S = 240.0
QUIET_S = 11.0  # an update whose acknowledgement was lost is sent again after 10 s
LATE_S = 60.0  # for a program to say that it missed its own deadline

pytestmark = pytest.mark.real


class Summary(Struct):
    """What a program says at its end."""

    tasks: int
    states: dict[str, int]
    updates: int
    repeated: int
    faults_total: int
    faults: list[str]
    accepts: int
    kills: int
    took_s: float | None
    offers: int = 0
    declines: int = 0
    packed_max: int = 0
    messages_sent: int = 0
    messages_back: int = 0
    agents: int = 0


@pytest.fixture(scope="module")
def python() -> Path:
    try:
        return environment.interpreter()
    except environment.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def cluster(tmp_path: Path, python: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster", agents=AGENTS) as cluster:
        yield cluster


def summary_of(program: str, python: Path, cluster: Cluster, *flags: str) -> Summary:
    """What the program says; fails with its words when it is not content."""
    ended = subprocess.run(
        [
            str(python),
            "-m",
            f"tests.real.pymesos.{program}",
            f"--master={cluster.master_address}",
            f"--tasks={TASKS}",
            f"--deadline-s={DEADLINE_S}",
            *flags,
        ],
        cwd=environment.PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S + LATE_S,
        check=False,
    )
    said = f"{ended.stdout}\n{ended.stderr[-4000:]}"
    assert ended.returncode == 0, said
    summary = convert(json.loads(ended.stdout), Summary)
    assert summary.faults_total == 0, said
    return summary


def executors_of(cluster: Cluster) -> list[int]:
    found = []
    for one in cluster.processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "tests.real.pymesos.executor" in one.cmdline():
                found.append(one.pid)
    return found


def test_a_thousand_command_tasks_reach_one_terminal_state_each(
    cluster: Cluster, python: Path
) -> None:
    summary = summary_of("command_scheduler", python, cluster, f"--quiet-s={QUIET_S}")
    assert summary.tasks == TASKS
    assert summary.states == {"TASK_FINISHED": 880, "TASK_FAILED": 100, "TASK_KILLED": 20}
    assert summary.repeated == 0
    assert summary.kills == 20
    assert summary.declines >= 1
    assert summary.packed_max == 40  # all that fit on an agent went with one offer


def test_a_custom_executor_runs_a_thousand_tasks_and_echoes_a_message_for_each(
    cluster: Cluster, python: Path
) -> None:
    summary = summary_of("executor_scheduler", python, cluster)
    assert summary.tasks == TASKS
    assert summary.states == {"TASK_FINISHED": 880, "TASK_FAILED": 100, "TASK_KILLED": 20}
    assert summary.repeated == 0
    assert summary.kills == 20
    assert summary.messages_sent == summary.messages_back == TASKS
    assert summary.agents == AGENTS
    # The framework has gone, so its executors are told to end, and do.
    cluster.wait_until(lambda: executors_of(cluster) == [], "the executors have ended")
