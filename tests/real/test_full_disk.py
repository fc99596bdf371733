"""The disk of an agent is full: it takes no tasks, loses nothing, and goes on when there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tepui.sdk import SchedulerClient, framework_info
from tepui.wire.mesos import TaskState
from tests.real.cluster import Cluster
from tests.real.small_disk import fill, small_disk
from tests.real.watcher import Watcher

pytestmark = pytest.mark.real

DISK_MIB = 128  # 64 must be free, and 16 are the reserve


def test_an_agent_with_a_full_disk_takes_no_tasks_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "agent-1", DISK_MIB) as disk:
        flags = ["--disk_watch_interval=50ms"]
        with Cluster(tmp_path, agents=1, agent_flags=flags) as cluster:
            asyncio.run(_play(cluster, disk))


async def _play(cluster: Cluster, disk: Path) -> None:
    async with SchedulerClient(cluster.master_address, framework_info("full")) as client:
        watcher = Watcher(client)
        for name in ("killed", "stays"):
            await watcher.launch(name)
        processes = {name: watcher.process(name) for name in ("killed", "stays")}
        assert (disk / "work" / "meta" / "reserve").exists()

        fill(disk / "filler")
        await asyncio.to_thread(cluster.wait_for_agents, 0)  # that are active
        await client.kill("killed")
        await watcher.until_state("killed", TaskState.TASK_KILLED)
        agent = cluster.agents[0]
        assert agent.running
        agent.kill()
        agent.start()
        await asyncio.to_thread(cluster.wait_until, lambda: _is_known(cluster), "the agent is back")
        await asyncio.to_thread(cluster.wait_for_agents, 0)
        assert processes["stays"].is_running()

        (disk / "filler").unlink()
        await asyncio.to_thread(cluster.wait_for_agents, 1)
        await watcher.launch("new")
        assert processes["stays"].is_running()
        assert watcher.states("stays") == [TaskState.TASK_STARTING, TaskState.TASK_RUNNING]
        assert watcher.states("killed")[-2:] == [TaskState.TASK_KILLING, TaskState.TASK_KILLED]
        await client.teardown()


def _is_known(cluster: Cluster) -> bool:
    found = cluster.get("/slaves")
    assert isinstance(found, dict)
    return len(found["slaves"]) == 1
