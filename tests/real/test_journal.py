"""A master that records is killed; what happened is told by its journal."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tepui.sdk import Room, SchedulerClient, command_task, framework_info
from tepui.wire.mesos import TaskState
from tests.real.cluster import PROJECT, Cluster
from tests.real.watcher import Watcher

pytestmark = pytest.mark.real

WRITTEN_S = 30.0  # for what has happened to be in the journal; it takes about a second


def replay(journal: Path, *arguments: str) -> str:
    """What the command prints."""
    found = subprocess.run(
        [sys.executable, "-m", "tepui.cli.main", "replay", str(journal), *arguments],
        cwd=PROJECT / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def wait_for(journal: Path, text: str, *arguments: str) -> str:
    """What the command prints once that holds the text."""
    deadline_s = time.monotonic() + WRITTEN_S
    while text not in (said := replay(journal, *arguments)):
        assert time.monotonic() < deadline_s, f"no {text} in {said}"
    return said


async def run_two_tasks(cluster: Cluster) -> None:
    """One ends, and one runs on."""
    framework = framework_info("recorded", failover_timeout_s=3600.0)
    async with SchedulerClient(cluster.master_address, framework) as client:
        watcher = Watcher(client)
        offer = await watcher.offer()
        room = Room(offer)
        short = command_task("short", offer.agent_id, "true", cpus=0.1, mem_mib=32)
        long = command_task("long", offer.agent_id, "sleep 1000", cpus=0.1, mem_mib=32)
        assert room.place(short)
        assert room.place(long)
        await client.accept(offer, [short, long])
        await watcher.until_state("short", TaskState.TASK_FINISHED)
        await watcher.until_state("long", TaskState.TASK_RUNNING)


def test_the_journal_of_a_master_that_was_killed_tells_what_happened(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Cluster(tmp_path, agents=2, master_flags=[f"--journal={journal}"]) as cluster:
        asyncio.run(run_two_tasks(cluster))
        wait_for(journal, "is TASK_RUNNING", "--events", "--task", "long")
        cluster.master.kill()
        events = replay(journal, "--events", "--task", "short")
        assert [line.split()[2] for line in events.splitlines() if "<" in line][:2] == [
            "ACCEPT",
            "StatusUpdated",
        ]
        assert "is TASK_FINISHED" in events
        segments = json.loads(replay(journal, "--json"))
        assert [one["has_state"] for one in segments] == [True]
        end = json.loads(replay(journal, "--at", segments[0]["to"], "--json"))
        (framework,) = end["frameworks"]
        assert framework["tasks"]["TASK_RUNNING"] == 1
        assert len(end["agents"]) == 2

        cluster.master.start()
        cluster.wait_for_agents(2)
        again = wait_for(journal, '"came', "--from", segments[0]["to"], "--json")
        assert json.loads(again)["masters"][0] == end["master"]
        terms = {one["term"] for one in json.loads(replay(journal, "--json"))}
        assert len(terms) == 2
