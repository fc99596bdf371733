"""A cluster of one agent that runs containers, schedulers that use it, and what must not be left of them.

    def test_...(lab: Lab) -> None:
        async def story(scheduler: Scheduler) -> None:
            end = await scheduler.ran(lab.task("t", "echo hello", lab.images.plain))
            assert scheduler.output("t") == "hello\\n"

        lab.play(story)

The fixtures are in conftest.py. After each test this machine must have no more mounts, cgroups, links,
rules, processes and files than before.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
from msgspec.structs import replace

from tepui.agent.containers.networks.rules import chains_of
from tepui.agent.launcher.tree import MARK
from tepui.sdk import Room, SchedulerClient, command_task, framework_info
from tepui.wire import mesos, scheduler
from tepui.wire.mesos import TaskState
from tepui.wire.states import TERMINAL_STATES
from tests.real import watcher
from tests.real.cluster import LAUNCHER, Cluster
from tests.real.container_images import Images

CLEAN_S = 20.0  # for the last trace of a test's tasks to go
STORY_S = 45.0  # for one test's tasks
TYPE = mesos.ContainerInfo.Type
Operation = mesos.Offer.Operation
TRACES_CHARS = 2000  # of what is left are shown
FILES = ("work/containers", "work/grounds", "run/bundles", "run/oci", "run/secrets")


class Scheduler(watcher.Watcher):
    """A framework that launches on whole agents, and knows where its tasks' files are."""

    def __init__(self, client: SchedulerClient, lab: Lab) -> None:
        super().__init__(client)
        self.lab = lab
        self.agent_id = ""
        self._open: list[mesos.Offer] = []

    def saw(self, event: scheduler.Event) -> None:
        """Take note of it: offers come while something else is waited for."""
        super().saw(event)
        self._open += () if event.offers is None else event.offers.offers
        if event.rescind is not None:
            gone = event.rescind.offer_id
            self._open = [one for one in self._open if one.id != gone]

    async def offer(self) -> mesos.Offer:
        """The newest that is open."""
        if not self._open:
            await self.until(lambda event: bool(self._open))
        return self._open.pop()

    async def start(self, *tasks: mesos.TaskInfo) -> None:
        """The tasks are on the next offer."""
        offer = await self.offer()
        self.agent_id = offer.agent_id.value
        placed = [replace(task, agent_id=offer.agent_id) for task in tasks]
        room = Room(offer)
        assert all(room.place(task) for task in placed), "the offer is too small"
        await self.client.accept(offer, placed, refuse_seconds=0.0)

    async def start_group(self, executor: mesos.ExecutorInfo, *tasks: mesos.TaskInfo) -> None:
        """The tasks are on the next offer, as a group of one pod."""
        offer = await self.offer()
        self.agent_id = offer.agent_id.value
        placed = tuple(replace(task, agent_id=offer.agent_id) for task in tasks)
        assert self.client.framework_id is not None
        info = replace(executor, framework_id=mesos.FrameworkID(self.client.framework_id))
        group = Operation.LaunchGroup(executor=info, task_group=mesos.TaskGroupInfo(tasks=placed))
        operation = Operation(type=Operation.Type.LAUNCH_GROUP, launch_group=group)
        await self.client.accept(offer, operations=[operation], refuse_seconds=0.0)

    async def running(self, *tasks: mesos.TaskInfo) -> None:
        """The tasks run."""
        await self.start(*tasks)
        for task in tasks:
            await self.runs(task.task_id.value)

    async def runs(self, task_id: str) -> mesos.TaskStatus:
        """The update that says that it runs; fails when it has ended before."""
        await self._until(task_id, (TaskState.TASK_RUNNING, *TERMINAL_STATES))
        found = [one for one in self.statuses[task_id] if one.state is TaskState.TASK_RUNNING]
        assert found, (self.statuses[task_id][-1], self.statuses)  # why may be said by another
        return found[0]

    async def ended(self, task_id: str) -> mesos.TaskStatus:
        """Its last update."""
        return await self._until(task_id, tuple(TERMINAL_STATES))

    async def ran(self, task: mesos.TaskInfo) -> mesos.TaskStatus:
        """The last update of a task that is launched now."""
        await self.start(task)
        return await self.ended(task.task_id.value)

    async def said(self, task: mesos.TaskInfo) -> str:
        """What a task that is launched now wrote until it finished."""
        end = await self.ran(task)
        name = task.task_id.value
        assert end.state is TaskState.TASK_FINISHED, (end, self.output(name, "stderr"))
        return self.output(name)

    async def kill(self, task_id: str, grace_ms: int = 100) -> mesos.TaskStatus:
        """Its last update, after it was asked to end: the first of a container's ignores a SIGTERM."""
        await self.client.kill(task_id, self.agent_id, grace_period_ms=grace_ms)
        return await self.ended(task_id)

    async def wrote(self, task_id: str, text: str) -> None:
        """Return when the text is in its output."""
        await asyncio.to_thread(
            self.lab.cluster.wait_until,
            lambda: text in self.output(task_id),
            f"'{text}' in the output of {task_id}",
        )

    def container_id(self, task_id: str) -> mesos.ContainerID:
        """Of the task's container."""
        for status in self.statuses[task_id]:
            if status.container_status is not None and status.container_status.container_id:
                return status.container_status.container_id
        raise AssertionError(f"no container of {task_id} is known")

    def sandbox(self, task_id: str) -> Path:
        """On the host."""
        inner = self._flat(task_id).replace(".", "/containers/")
        work = self.lab.work
        [found] = work.glob(f"slaves/*/frameworks/*/executors/*/runs/{inner}")
        return found

    def output(self, task_id: str, name: str = "stdout") -> str:
        """What the task has written so far."""
        return (self.sandbox(task_id) / name).read_text()

    def _flat(self, task_id: str) -> str:
        """The id of its container, after those of the containers around it."""
        one: mesos.ContainerID | None = self.container_id(task_id)
        names: list[str] = []
        while one is not None:
            names.insert(0, one.value)
            one = one.parent
        return ".".join(names)

    async def _until(self, task_id: str, states: Sequence[TaskState]) -> mesos.TaskStatus:
        def found() -> mesos.TaskStatus | None:
            came = self.statuses.get(task_id, [])
            return next((one for one in reversed(came) if one.state in states), None)

        if (status := found()) is None:
            await self.until(lambda event: found() is not None)
            status = found()
        assert status is not None
        return status


class Lab:
    """One cluster with images, for the tests of a module."""

    def __init__(self, cluster: Cluster, images: Images) -> None:
        self.cluster = cluster
        self.images = images
        self.work = cluster.directory / "agent-1/work"
        self.runtime = cluster.directory / "agent-1/run"
        # What the cgroups and marks of its launcher have in their names.
        self._digest = hashlib.sha1(os.fsencode(self.runtime.resolve())).hexdigest()[:12]

    def play(self, story: Callable[[Scheduler], Awaitable[None]]) -> None:
        """A framework of its own does that, and is gone afterwards with all its tasks."""
        asyncio.run(self._play(story))

    def task(
        self,
        task_id: str,
        line: str | Sequence[str] = "",
        image: str | None = None,
        *,
        container: mesos.ContainerInfo | None = None,
        mem_mib: float = 64,
        ports: Sequence[int] = (),
    ) -> mesos.TaskInfo:
        """A task in a container with the image, or in that container; else a plain process."""
        if image is not None:
            container = replace(container or mesos.ContainerInfo(type=TYPE.MESOS), mesos=of(image))
        task = command_task(
            task_id, "", line or ["?"], container=container, mem_mib=mem_mib, ports=ports
        )
        return task if line else replace(task, command=mesos.CommandInfo(shell=False))

    def restart_agent(self) -> None:
        """Kill the agent as a crash would, and start it again."""
        self.cluster.agents[0].kill()
        self.cluster.wait_for_agents(0)
        self.cluster.agents[0].start()
        self.cluster.wait_for_agents(1)

    def check_clean(self, before: set[str]) -> None:
        """Fail when there is more of tasks than before, and it does not go."""
        try:
            self.cluster.wait_until(lambda: not self.traces() - before, "no traces", CLEAN_S)
        except AssertionError:
            more = sorted(self.traces() - before)
            assert not more, "; ".join(more)[:TRACES_CHARS]

    def traces(self) -> set[str]:
        """What this machine has of this agent's containers."""
        mark = str(self.cluster.directory)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = {f"mount {line}" for line in mounts if mark in line}
        for name in FILES:
            place = self.cluster.directory / "agent-1" / name
            found |= {f"file {path}" for path in (place.iterdir() if place.exists() else ())}
        return found | self._cgroups() | self._processes() | self._network()

    async def _play(self, story: Callable[[Scheduler], Awaitable[None]]) -> None:
        info = framework_info("containers")
        async with SchedulerClient(self.cluster.master_address, info) as client:
            try:
                async with asyncio.timeout(STORY_S):
                    await story(Scheduler(client, self))
            finally:
                await client.teardown()

    def _cgroups(self) -> set[str]:
        places = (f"*/tepui/{self._digest}", f"tepui/{self._digest}")
        roots = [str(root) for place in places for root in Path("/sys/fs/cgroup").glob(place)]
        return {f"cgroup {one}" for root in roots for one, _, _ in os.walk(root) if one != root}

    def _processes(self) -> set[str]:
        """Children of the launcher, and all that were marked as its own."""
        mark = f"{MARK}=tepui-{self._digest}/".encode()
        found = set()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (place / "environ").read_bytes():
                    found.add(f"process {place.name}")
                words = (place / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if LAUNCHER.encode() in words and os.fsencode(self.runtime) in words:
                with contextlib.suppress(psutil.Error):
                    children = psutil.Process(int(place.name)).children(recursive=True)
                    found |= {f"process {child.pid}" for child in children}
        return found

    def _network(self) -> set[str]:
        """Ends of cables, and rules for ports and containers."""
        links = {f"link {name}" for name in os.listdir("/sys/class/net") if name.startswith("tpv")}
        ports = chains_of(str(self.work / "networks")).ports
        done = subprocess.run(
            ["iptables-save", "-t", "nat"], capture_output=True, text=True, check=False
        )
        rules = {
            f"rule {line}" for line in done.stdout.splitlines() if line.startswith(f"-A {ports} ")
        }
        return links | rules


def chains_left(networks: Path) -> list[str]:
    """What an agent that has ended for good has left in the firewall."""
    chains = chains_of(str(networks))
    names = (chains.input, chains.forward, chains.ports, chains.masquerade)
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    return [line for line in saved.splitlines() if any(name in line for name in names)]


def of(image: str) -> mesos.ContainerInfo.MesosInfo:
    """A container's image, by name or path."""
    name = mesos.Image.Docker(name=image)
    return mesos.ContainerInfo.MesosInfo(
        image=mesos.Image(type=mesos.Image.Type.DOCKER, docker=name)
    )


def container(**parts: object) -> mesos.ContainerInfo:
    """A ContainerInfo of type MESOS with these further parts."""
    return replace(mesos.ContainerInfo(type=TYPE.MESOS), **parts)


def variable(name: str, value: str) -> mesos.Environment:
    """An environment of one variable."""
    return mesos.Environment(variables=(mesos.Environment.Variable(name=name, value=value),))
