"""Agents are killed, or asked to end, and come back: what becomes of their tasks."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sqlite3
import sys
from pathlib import Path

import psutil
import pytest

from tepui.agent.launcher import EXITS_NAME
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
from tepui.wire.states import TERMINAL_STATES
from tests.real import watcher
from tests.real.cluster import END_S, LAUNCHER, PROJECT, Cluster, wait_gone

pytestmark = pytest.mark.real

KILLS = 50
COUNTING = PROJECT / "tests" / "real" / "counting_executor.py"
LAUNCHED_AT_ONCE = 200
SEEN_BEFORE_KILLS = (1, 60, 200, 350)  # updates of them; each task has three
CPUS = 4.0  # of the agent
COMMAND = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.02; done"


class Watcher(watcher.Watcher):
    """One that waits for all of an agent, and for the ends of tasks."""

    def __init__(self, client: SchedulerClient) -> None:
        super().__init__(client)
        self.offers: dict[str, mesos.Offer] = {}  # those that are open

    def saw(self, event: scheduler.Event) -> None:
        """Take note of it."""
        super().saw(event)
        for offer in () if event.offers is None else event.offers.offers:
            self.offers[offer.id.value] = offer
        if event.rescind is not None:
            self.offers.pop(event.rescind.offer_id.value, None)

    async def offer(self) -> mesos.Offer:
        """All of the agent, when nothing runs there."""
        while True:
            for offer in tuple(self.offers.values()):
                del self.offers[offer.id.value]
                if _cpus(offer) == CPUS:
                    return offer
                await self.client.decline(offer, refuse_seconds=0.0)  # it comes again with the rest
            await self.until(lambda event: bool(self.offers))

    async def run(self, *tasks: mesos.TaskInfo, offer: mesos.Offer) -> dict[str, psutil.Process]:
        """The tasks run; their processes by id."""
        room = Room(offer)
        assert all(room.place(task) for task in tasks)
        await self.client.accept(offer, tasks)
        waiting = {task.task_id.value for task in tasks}
        await self.until(
            lambda event: all(TaskState.TASK_RUNNING in self.states(name) for name in waiting)
        )
        return {name: self.process(name) for name in waiting}

    async def ended(self, task_id: str) -> mesos.TaskStatus:
        """Its last status, when it has one that is."""
        while not self.ends(task_id):
            await self.until(lambda event: bool(self.ends(task_id)))
        (end,) = self.ends(task_id)
        return end

    def ends(self, task_id: str) -> list[mesos.TaskStatus]:
        """Its terminal updates; one that came twice because nobody had taken it counts once."""
        by_uuid = {
            status.uuid: status
            for status in self.statuses.get(task_id, ())
            if status.state in TERMINAL_STATES
        }
        return list(by_uuid.values())


@pytest.mark.long
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


def test_an_agent_that_is_asked_to_end_leaves_its_tasks_to_the_next(tmp_path: Path) -> None:
    async def play(cluster: Cluster) -> None:
        async with SchedulerClient(cluster.master_address, framework_info("left")) as client:
            watcher = Watcher(client)
            offer = await watcher.offer()
            processes = await watcher.run(_sleeper("t", offer), offer=offer)
            assert await asyncio.to_thread(_terminate, cluster) == 0
            assert processes["t"].is_running()
            await asyncio.to_thread(_start, cluster)
            await client.kill("t", offer.agent_id.value)
            assert (await watcher.ended("t")).state is TaskState.TASK_KILLED
            assert watcher.states("t") == [
                TaskState.TASK_STARTING,
                TaskState.TASK_RUNNING,
                TaskState.TASK_KILLING,
                TaskState.TASK_KILLED,
            ]
            assert (await watcher.offer()).agent_id == offer.agent_id
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


def test_an_agent_that_leaves_ends_its_tasks_and_the_next_is_another(tmp_path: Path) -> None:
    async def play(cluster: Cluster) -> None:
        async with SchedulerClient(cluster.master_address, framework_info("leaves")) as client:
            watcher = Watcher(client)
            offer = await watcher.offer()
            processes = await watcher.run(_sleeper("t", offer), offer=offer)
            assert await asyncio.to_thread(cluster.agents[0].stop) == 0
            wait_gone(processes["t"].pid)
            end = await watcher.ended("t")
            assert end.reason is mesos.TaskStatus.Reason.REASON_AGENT_REMOVED
            await asyncio.to_thread(_start, cluster)
            assert (await watcher.offer()).agent_id != offer.agent_id
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


def test_an_agent_that_cleans_up_ends_the_tasks_and_itself(tmp_path: Path) -> None:
    async def play(cluster: Cluster) -> None:
        async with SchedulerClient(cluster.master_address, framework_info("cleaned")) as client:
            watcher = Watcher(client)
            offer = await watcher.offer()
            command = shlex.join([sys.executable, str(COUNTING)])
            own = executor_info("counting", f"PYTHONPATH={PROJECT / 'src'} exec {command}")
            tasks = (_sleeper("t", offer), executor_task("u", offer.agent_id, own))
            processes = await watcher.run(*tasks, offer=offer)
            agent = cluster.agents[0]
            agent.kill()
            assert await asyncio.to_thread(agent.run_once, "--recover=cleanup") == 0
            for process in processes.values():
                wait_gone(process.pid)
            assert [
                one for one in cluster.processes() if one.pid != cluster.master.process.pid
            ] == []
            await asyncio.to_thread(_start, cluster)
            assert (await watcher.offer()).agent_id != offer.agent_id
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


def test_tasks_fail_once_when_their_agent_and_its_launcher_are_killed(tmp_path: Path) -> None:
    async def play(cluster: Cluster) -> None:
        async with SchedulerClient(cluster.master_address, framework_info("killed")) as client:
            watcher = Watcher(client)
            offer = await watcher.offer()
            processes = await watcher.run(_sleeper("t", offer), offer=offer)
            [launcher] = [one for one in cluster.processes() if LAUNCHER in " ".join(one.cmdline())]
            cluster.agents[0].kill()
            launcher.kill()
            wait_gone(launcher.pid)
            await asyncio.to_thread(_start, cluster)
            wait_gone(processes["t"].pid)
            end = await watcher.ended("t")
            assert (end.state, end.message) == (
                TaskState.TASK_FAILED,
                "Abnormal executor termination: unknown container",
            )
            again = await watcher.offer()
            assert again.agent_id == offer.agent_id
            assert await watcher.run(_sleeper("u", again), offer=again)
            assert watcher.states("t") == [
                TaskState.TASK_STARTING,
                TaskState.TASK_RUNNING,
                TaskState.TASK_FAILED,
            ]
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


def test_a_task_that_is_not_checkpointed_ends_when_the_next_agent_starts(tmp_path: Path) -> None:
    async def play(cluster: Cluster) -> None:
        framework = framework_info("forgetful", checkpoint=False)
        async with SchedulerClient(cluster.master_address, framework) as client:
            watcher = Watcher(client)
            offer = await watcher.offer()
            processes = await watcher.run(_sleeper("t", offer), offer=offer)
            await asyncio.to_thread(_kill_and_start, cluster)
            wait_gone(processes["t"].pid)
            assert (await watcher.ended("t")).state in (TaskState.TASK_GONE, TaskState.TASK_DROPPED)
            assert (await watcher.offer()).agent_id == offer.agent_id
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


@pytest.mark.long
def test_each_of_many_tasks_ends_once_when_their_agent_is_killed_while_it_launches_them(
    tmp_path: Path,
) -> None:
    async def play(cluster: Cluster) -> None:
        async with SchedulerClient(cluster.master_address, framework_info("many")) as client:
            watcher = Watcher(client)
            for number, count in enumerate(SEEN_BEFORE_KILLS):
                offer = await watcher.offer()
                names = [f"{number}-{index}" for index in range(LAUNCHED_AT_ONCE)]
                tasks = [
                    command_task(name, offer.agent_id, "true", cpus=0.01, mem_mib=8)
                    for name in names
                ]
                room = Room(offer)
                assert all(room.place(task) for task in tasks)
                await client.accept(offer, tasks)

                def seen(
                    event: scheduler.Event, names: list[str] = names, count: int = count
                ) -> bool:
                    return sum(len(watcher.states(name)) for name in names) >= count

                await watcher.until(seen)
                await asyncio.to_thread(_kill_and_start, cluster)
                for name in names:
                    await watcher.ended(name)
            await client.decline(await watcher.offer(), refuse_seconds=0.0)
            await watcher.offer()  # an update is acknowledged when the next event is taken
            for name in watcher.statuses:
                (end,) = watcher.ends(name)
                assert end.state in (TaskState.TASK_FINISHED, TaskState.TASK_FAILED), end
            what = "of the tasks nothing is left"
            await asyncio.to_thread(cluster.wait_until, lambda: _left_of_tasks(cluster) == [], what)
            await client.teardown()

    with Cluster(tmp_path, agents=1) as cluster:
        asyncio.run(play(cluster))


def _sleeper(task_id: str, offer: mesos.Offer) -> mesos.TaskInfo:
    return command_task(task_id, offer.agent_id, "exec sleep 1000", cpus=0.1, mem_mib=32)


def _cpus(offer: mesos.Offer) -> float:
    found = (one.scalar for one in offer.resources if one.name == "cpus")
    return sum(one.value for one in found if one is not None)


def _left_of_tasks(cluster: Cluster) -> list[str]:
    """Processes, exits that nobody took note of, and checkpointed objects."""
    daemons = {cluster.master.process.pid, cluster.agents[0].process.pid}
    processes = [
        command
        for one in cluster.processes()
        if one.pid not in daemons and LAUNCHER not in (command := " ".join(one.cmdline()))
    ]
    directory = cluster.directory / "agent-1"
    exits = [path.name for path in (directory / "run" / EXITS_NAME).iterdir()]
    database = sqlite3.connect(f"file:{directory}/work/meta/agent.db?mode=ro", uri=True)
    with contextlib.closing(database):
        keys = [key for (key,) in database.execute("SELECT key FROM kv WHERE key != 'agent'")]
    return processes + exits + keys


def _terminate(cluster: Cluster) -> int:
    """The agent's exit code after SIGTERM, when the master knows that it is away."""
    agent = cluster.agents[0]
    agent.wanted, agent.killed = False, True  # as after a crash, something outlives it
    agent.process.send_signal(signal.SIGTERM)
    code = agent.process.wait(END_S)
    cluster.wait_until(lambda: _active(cluster) == 0, "the master notices")
    return code


def _start(cluster: Cluster) -> None:
    cluster.agents[0].start()
    cluster.wait_until(lambda: _active(cluster) == 1, "the agent is back")


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
