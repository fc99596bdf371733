"""One master with SQLite becomes three with ZooKeeper, and back, while a task runs on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tepui.sdk import OperatorClient, SchedulerClient, framework_info
from tepui.wire import master, mesos
from tepui.wire.mesos import TaskState
from tests.real.cluster import PROJECT, Cluster
from tests.real.watcher import Watcher
from tests.real.zookeeper import available

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.apart]

COMMAND_S = 60.0
WEIGHTS = {"ads": 3.5}


def test_a_task_runs_on_while_one_master_becomes_three(tmp_path: Path) -> None:
    with available(tmp_path / "zookeeper") as zookeeper, Cluster(tmp_path / "cluster") as cluster:
        zk = zookeeper.url("/mesos")
        asyncio.run(_grow(cluster, zk))


async def _grow(cluster: Cluster, zk: str) -> None:
    sqlite = f"sqlite:{cluster.directory / 'master' / 'work'}"
    alone = cluster.master_address
    await _set_weights(alone)
    framework = framework_info("grows", failover_timeout_s=3600.0)
    async with SchedulerClient(alone, framework) as client:
        watcher = Watcher(client)
        offer = await watcher.launch("t")
        process = watcher.process("t")
        began = process.create_time()

        in_use = await asyncio.to_thread(_tepui, 1, "registry", "show", sqlite)
        assert "is in use by process" in in_use
        await asyncio.to_thread(cluster.master.stop)
        listed = await asyncio.to_thread(_listed, sqlite)
        await asyncio.to_thread(_copy_as_the_guide_says, sqlite, zk)
        assert await asyncio.to_thread(_listed, zk) == listed
        full = await asyncio.to_thread(
            _tepui, 1, "registry", "copy", f"--from={sqlite}", f"--to={zk}"
        )
        assert "objects are there already" in full

        cluster.start_together(zk, 3, "--zk_session_timeout=2secs")
        three = list(cluster.masters)
        await watcher.until(lambda event: event.subscribed is not None)
        busy = await asyncio.to_thread(_tepui, 1, "registry", "show", zk)
        assert "masters use the registry" in busy
        await asyncio.to_thread(cluster.wait_for_agents, 1)
        await _check(zk, offer.agent_id.value)
        assert process.create_time() == psutil.Process(process.pid).create_time() == began

        for one in three:
            await asyncio.to_thread(one.stop)
        await asyncio.to_thread(_copy, zk, f"sqlite:{cluster.directory}/back.db")
        await asyncio.to_thread(_copy, zk, sqlite, "--force")
        cluster.start_alone()
        await watcher.until(lambda event: event.subscribed is not None)
        await asyncio.to_thread(cluster.wait_for_agents, 1)
        await _check(alone, offer.agent_id.value)
        assert process.create_time() == psutil.Process(process.pid).create_time() == began
        await client.kill("t", offer.agent_id.value)
        await watcher.until_state("t", TaskState.TASK_KILLED)
        await client.teardown()


async def _set_weights(address: str) -> None:
    async with OperatorClient(address) as client:
        infos = tuple(mesos.WeightInfo(role=role, weight=w) for role, w in WEIGHTS.items())
        update = master.Call.UpdateWeights(weight_infos=infos)
        await client.call(master.Call(type=master.Call.Type.UPDATE_WEIGHTS, update_weights=update))


async def _check(address: str, agent_id: str) -> None:
    """Agent, task and weights are as they were."""
    async with OperatorClient(address) as client:
        state = await client.get_state()
        assert state.get_agents is not None
        assert state.get_tasks is not None
        ids = [one.agent_info.id for one in state.get_agents.agents]
        assert [one.value for one in ids if one is not None] == [agent_id]
        assert [one.task_id.value for one in state.get_tasks.tasks] == ["t"]
        answer = await client.call(master.Call(type=master.Call.Type.GET_WEIGHTS))
        assert answer.get_weights is not None
        found = {one.role: one.weight for one in answer.get_weights.weight_infos}
        assert found == WEIGHTS


def _copy(source: str, destination: str, *flags: str) -> None:
    said = _tepui(0, "registry", "copy", f"--from={source}", f"--to={destination}", *flags)
    assert "copied and read back" in said


def _copy_as_the_guide_says(source: str, destination: str) -> None:
    """The command of docs/restarts.md, with other places."""
    guide = (PROJECT / "docs" / "restarts.md").read_text()
    (line,) = (one.strip() for one in guide.splitlines() if "tepui registry copy" in one)
    arguments = re.sub(r"--from=\S+", f"--from={source}", line)
    arguments = re.sub(r"--to=\S+", f"--to={destination}", arguments)
    assert "copied and read back" in _tepui(0, *arguments.split()[1:])


def _listed(place: str) -> object:
    """What `tepui registry show` says."""
    listed: object = json.loads(_tepui(0, "registry", "show", place, "--json"))
    return listed


def _tepui(code: int, *arguments: str) -> str:
    """What the command prints, in both ways, when it has ended with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "tepui.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
