"""Agents are killed, and their tasks do not notice."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tepui.sdk import (
    Room,
    SchedulerClient,
    command_task,
    executor_info,
    executor_task,
    framework_info,
)
from tepui.wire import mesos, scheduler
from tepui.wire.mesos import TaskState
from tests.real.cluster import PROJECT, Cluster

pytestmark = [pytest.mark.real, pytest.mark.long]

KILLS = 50
EVENT_S = 60.0
COUNTING = PROJECT / "tests" / "real" / "counting_executor.py"
COMMAND = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.02; done"


class Watcher:
    """A scheduler's view: every update, in order."""

    def __init__(self, client: SchedulerClient) -> None:
        self.client = client
        self.statuses: dict[str, list[mesos.TaskStatus]] = {}
        self._events = client.events()

    async def until(self, holds: Callable[[scheduler.Event], bool]) -> scheduler.Event:
        """The first event for which it holds."""
        async with asyncio.timeout(EVENT_S):
            async for event in self._events:
                if event.update is not None:
                    status = event.update.status
                    self.statuses.setdefault(status.task_id.value, []).append(status)
                if holds(event):
                    return event
        raise AssertionError("the events have ended")

    def states(self, task_id: str) -> list[TaskState]:
        """What the scheduler was told, reconciliations left out."""
        return [one.state for one in self.statuses.get(task_id, ()) if one.uuid is not None]


def test_tasks_of_both_kinds_survive_fifty_kills_of_their_agent(tmp_path: Path) -> None:
    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(_survive(cluster))


async def _survive(cluster: Cluster) -> None:
    framework = framework_info("restarts", failover_timeout_s=3600.0)
    async with SchedulerClient(cluster.master_address, framework) as client:
        watcher = Watcher(client)
        event = await watcher.until(lambda event: event.offers is not None)
        assert event.offers is not None
        offer = event.offers.offers[0]
        command = shlex.join([sys.executable, str(COUNTING)])
        own = executor_info("counting", f"PYTHONPATH={PROJECT / 'src'} exec {command}")
        room = Room(offer)
        tasks = [
            command_task("command", offer.agent_id, COMMAND, cpus=0.1, mem_mib=32),
            executor_task("custom", offer.agent_id, own),
        ]
        assert all(room.place(task) for task in tasks)
        await client.accept(offer, tasks)
        running = {"command", "custom"}

        def all_run(event: scheduler.Event) -> bool:
            if event.update is not None and event.update.status.state is TaskState.TASK_RUNNING:
                running.discard(event.update.status.task_id.value)
            return not running

        await watcher.until(all_run)
        processes = {
            name: psutil.Process(statuses[-1].container_status.executor_pid)
            for name, statuses in watcher.statuses.items()
            if statuses[-1].container_status is not None
        }
        began = {name: process.create_time() for name, process in processes.items()}
        for _ in range(KILLS):
            await asyncio.to_thread(_kill_and_start, cluster)
        for name, process in processes.items():
            assert process.is_running(), name
            assert process.create_time() == began[name], name
        for task in tasks:
            await client.kill(task.task_id.value, offer.agent_id.value)
        ended = {"command", "custom"}

        def all_ended(event: scheduler.Event) -> bool:
            if event.update is not None and event.update.status.state is TaskState.TASK_KILLED:
                ended.discard(event.update.status.task_id.value)
            return not ended

        await watcher.until(all_ended)
        assert watcher.states("command") == [
            TaskState.TASK_STARTING,
            TaskState.TASK_RUNNING,
            TaskState.TASK_KILLING,
            TaskState.TASK_KILLED,
        ]
        assert watcher.states("custom") == [TaskState.TASK_RUNNING, TaskState.TASK_KILLED]
        _check_output(cluster, "command")
        _check_output(cluster, "counting")
        await client.teardown()


def _kill_and_start(cluster: Cluster) -> None:
    agent = cluster.agents[0]
    agent.kill()
    cluster.wait_until(lambda: _active(cluster) == 0, "the master notices")
    agent.start()
    cluster.wait_until(lambda: _active(cluster) == 1, "the agent is back")


def _active(cluster: Cluster) -> int:
    found = cluster.get("/slaves")
    assert isinstance(found, dict)
    return sum(agent["active"] for agent in found["slaves"])


def _check_output(cluster: Cluster, executor_id: str) -> None:
    """Every number came, in order."""
    [path] = cluster.directory.glob(
        f"agent-1/work/slaves/*/frameworks/*/executors/{executor_id}/runs/latest/stdout"
    )
    lines = path.read_text().splitlines()
    assert lines == [str(number) for number in range(len(lines))]
    assert len(lines) > KILLS
