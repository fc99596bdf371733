"""Three masters and a ZooKeeper: whoever leads may die, and tasks run on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tepui.sdk import SchedulerClient, framework_info
from tepui.wire.mesos import TaskState
from tests.real.cluster import Cluster, Daemon
from tests.real.watcher import Watcher
from tests.real.zookeeper import available

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.apart]

FLAGS = ("--zk_session_timeout=2secs",)
KILLS = 6


def test_a_task_runs_on_while_one_leader_after_the_other_is_killed(tmp_path: Path) -> None:
    with (
        available(tmp_path / "zookeeper") as zookeeper,
        Cluster(
            tmp_path / "cluster",
            agents=2,
            masters=3,
            zk=zookeeper.url("/mesos"),
            master_flags=FLAGS,
        ) as cluster,
    ):
        asyncio.run(_survive(cluster))


async def _survive(cluster: Cluster) -> None:
    framework = framework_info("failover", failover_timeout_s=3600.0)
    async with SchedulerClient(cluster.addresses, framework) as client:
        watcher = Watcher(client)
        offer = await watcher.launch("t")
        process = watcher.process("t")
        began = process.create_time()
        for number in range(KILLS):
            await asyncio.to_thread(_fail_over, cluster)
            await watcher.finish_one(f"after-{number}")
        assert process.is_running()
        assert process.create_time() == began
        await client.kill("t", offer.agent_id.value)
        await watcher.until_state("t", TaskState.TASK_KILLED)
        assert watcher.states("t") == [
            TaskState.TASK_STARTING,
            TaskState.TASK_RUNNING,
            TaskState.TASK_KILLING,
            TaskState.TASK_KILLED,
        ]
        await client.teardown()


def _fail_over(cluster: Cluster) -> None:
    """Kill the leader; return when another leads with all agents, and it is a standby again."""
    before: Daemon | None = cluster.leader()
    assert before is not None
    before.kill()
    cluster.wait_until(
        lambda: (leader := cluster.leader()) is not None and leader is not before,
        "another master leads",
    )
    cluster.wait_for_agents(len(cluster.agents))
    before.start()
    cluster.wait_until(lambda: cluster.answers(before), "the killed master is back")
