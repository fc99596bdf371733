"""Masters are killed, and neither agents nor tasks are lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from tepui.sdk import SchedulerClient, framework_info
from tepui.wire.mesos import TaskState
from tests.real.cluster import Cluster
from tests.real.watcher import Watcher

pytestmark = [pytest.mark.real, pytest.mark.long]

KILLS = 20


def test_a_task_runs_on_while_its_master_is_killed_twenty_times(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=2) as cluster:
        asyncio.run(_survive(cluster))


async def _survive(cluster: Cluster) -> None:
    framework = framework_info("restarts", failover_timeout_s=3600.0)
    async with SchedulerClient(cluster.master_address, framework) as client:
        watcher = Watcher(client)
        offer = await watcher.launch("t")
        process = watcher.process("t")
        began, ids = process.create_time(), _ids(cluster)
        for _ in range(KILLS):
            await asyncio.to_thread(_kill_and_start, cluster)
            assert _ids(cluster) == ids
        assert process.create_time() == psutil.Process(process.pid).create_time() == began
        await watcher.finish_one("after")
        await client.kill("t", offer.agent_id.value)
        await watcher.until_state("t", TaskState.TASK_KILLED)
        assert watcher.states("t") == [
            TaskState.TASK_STARTING,
            TaskState.TASK_RUNNING,
            TaskState.TASK_KILLING,
            TaskState.TASK_KILLED,
        ]
        await client.teardown()


def _kill_and_start(cluster: Cluster) -> None:
    cluster.master.kill()
    cluster.master.start()
    cluster.wait_for_agents(len(cluster.agents))


def _ids(cluster: Cluster) -> set[str]:
    found = cluster.get("/slaves")
    assert isinstance(found, dict)
    return {agent["id"] for agent in found["slaves"]}
