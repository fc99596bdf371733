"""A framework and the command line know a cluster by its ZooKeeper only."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tepui.sdk import OperatorClient, SchedulerClient, framework_info
from tepui.wire.mesos import TaskState
from tests.real.cluster import PROJECT, Cluster
from tests.real.watcher import Watcher
from tests.real.zookeeper import available

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.apart]

COMMAND_S = 60.0


def test_a_framework_and_tools_follow_the_leader_by_zookeeper(tmp_path: Path) -> None:
    with available(tmp_path / "zookeeper") as zookeeper:
        url = zookeeper.url("/mesos")
        flags = ("--zk_session_timeout=2secs",)
        with Cluster(tmp_path / "cluster", masters=2, zk=url, master_flags=flags) as cluster:
            assert "1" in _tepui(url, "node", "ls")
            asyncio.run(_live_through_a_failover(cluster, url))
            assert _tepui(url, "run", "--", "echo", "hello") == "hello\n"


async def _live_through_a_failover(cluster: Cluster, url: str) -> None:
    async with (
        SchedulerClient(url, framework_info("elected", failover_timeout_s=3600.0)) as client,
        OperatorClient(url) as operator,
    ):
        watcher = Watcher(client)
        offer = await watcher.launch("t")
        first = client.leader
        assert [one.task_id.value for one in (await operator.get_tasks()).tasks] == ["t"]
        assert operator.address == first
        await asyncio.to_thread(_kill_the_leader, cluster)
        await watcher.until(lambda event: event.subscribed is not None)
        assert client.leader != first
        await client.kill("t", offer.agent_id.value)
        await watcher.until_state("t", TaskState.TASK_KILLED)
        await operator.get_tasks()
        assert operator.address == client.leader
        await client.teardown()


def _kill_the_leader(cluster: Cluster) -> None:
    leader = cluster.leader()
    assert leader is not None
    leader.kill()
    cluster.wait_for_agents(1)


def _tepui(master: str, *arguments: str) -> str:
    environment = {**os.environ, "TEPUI_MASTER": master, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "tepui.cli.main", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
