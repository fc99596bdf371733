"""An agent that dies while many containers run, many are being pulled and many are being destroyed.

After each of its returns all are where they should be: who ran runs on, in the same process; who was being
pulled runs once; who was being destroyed ends once. The launcher's death is another matter: its containers
end with it, and that is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tepui.sdk import SchedulerClient, framework_info
from tepui.wire import mesos, scheduler
from tepui.wire.mesos import TaskState
from tepui.wire.states import TERMINAL_STATES
from tests.agent.containers.images.fake_registry import FakeRegistry, fake_registry
from tests.agent.containers.images.made import digest, file
from tests.real.cluster import LAUNCHER, wait_gone
from tests.real.container_images import PATH, busybox_image
from tests.real.container_lab import CLEAN_S, Lab, Scheduler, container

pytestmark = [pytest.mark.real, pytest.mark.apart]

AGENT_FLAGS = ("--resources=cpus:100;mem:16384;disk:102400;ports:[31000-32000]",)
RUNNING = [f"runs-{number}" for number in range(50)]
PULLED = [f"pulled-{number}" for number in range(10)]
DEAF = [f"deaf-{number}" for number in range(10)]
ON_BRIDGE = 4  # of each kind: they have a network namespace, a cable and rules of the firewall
GRACE_MS = 4000  # for the deaf: long enough for the agent to die and return, and too short for a second death
STORY_S = 150.0  # for all of it, on a machine that has much else to do
LAYER_BYTES = 200_000
STOPS_AT = 60_000  # bytes of a layer, and the registry is silent
PULLS_AT_ONCE = 6  # layers that an agent fetches at once; the others' turn comes later
# It counts, and tells when it is asked to end.
COUNT = "trap 'echo end $i; exit 0' TERM; i=0; while true; do echo $i; i=$((i+1)); sleep 0.4 & wait; done"
IGNORE = "trap '' TERM; echo ready; while true; do sleep 1; done"
ONCE = "echo $MESOS_TASK_ID >>/ran/all; echo from the registry"
BRIDGE = "mesos-bridge"
KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
SANDBOX = "runs"  # directories of that name hold sandboxes, which stay


class Watch(Scheduler):
    """Reads, and so acknowledges, all the time; counts how often each update came."""

    def __init__(self, client: SchedulerClient, lab: Lab) -> None:
        super().__init__(client, lab)
        self.uuids: Counter[bytes] = Counter()
        self._awaited: list[
            tuple[Callable[[scheduler.Event], bool], asyncio.Future[scheduler.Event]]
        ] = []

    async def read(self) -> None:
        """Take note of what comes, and tell those who wait for it."""
        async for event in self._events:
            self.saw(event)
            for holds, future in tuple(self._awaited):
                if not future.done() and holds(event):
                    future.set_result(event)

    async def until(self, holds: Callable[[scheduler.Event], bool]) -> scheduler.Event:
        """The first event for which it holds."""
        future: asyncio.Future[scheduler.Event] = asyncio.get_running_loop().create_future()
        waiting = (holds, future)
        self._awaited.append(waiting)
        try:
            return await future
        finally:
            self._awaited.remove(waiting)

    def saw(self, event: scheduler.Event) -> None:
        """Take note of it."""
        super().saw(event)
        if event.update is not None and event.update.status.uuid is not None:
            self.uuids[bytes(event.update.status.uuid)] += 1

    def ends(self, task_id: str) -> list[TaskState]:
        """Its terminal updates."""
        return [state for state in self.states(task_id) if state in TERMINAL_STATES]

    async def all_have(self, names: Sequence[str], state: TaskState) -> None:
        """Each was in the state."""

        def have() -> bool:
            return all(state in self.states(name) for name in names)

        if not have():
            await self.until(lambda event: have())

    async def waits(self, what: str, holds: Callable[[], bool]) -> None:
        """Return when it holds, and take note of events meanwhile."""
        await asyncio.to_thread(self.lab.cluster.wait_until, holds, what)


@asynccontextmanager
async def watch(lab: Lab) -> AsyncIterator[Watch]:
    """A framework, which is gone afterwards with all its tasks."""
    async with SchedulerClient(lab.cluster.master_address, framework_info("mass")) as client:
        watch = Watch(client, lab)
        reading = asyncio.create_task(watch.read())
        try:
            async with asyncio.timeout(STORY_S):
                yield watch
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await client.teardown()


def test_all_are_where_they_should_be_after_an_agent_was_killed_again_and_again(
    lab: Lab, tmp_path: Path
) -> None:
    traces, before = lab.traces(), places_of_files(lab)

    async def story() -> None:
        async with fake_registry() as registry, watch(lab) as scheduler:
            await mass_kill(lab, scheduler, registry, tmp_path)

    asyncio.run(story())
    lab.check_clean(traces)
    assert_goes(lab, lambda: mounts_anywhere(lab))
    assert_goes(lab, lambda: namespaces_held(lab))
    assert_goes(lab, lambda: places_of_files(lab) - before)


async def mass_kill(lab: Lab, scheduler: Watch, registry: FakeRegistry, ran: Path) -> None:
    """Three deaths of the agent: in the middle of all, while it returns, and while pulls end."""
    await scheduler.start(*tasks_of(lab, RUNNING, COUNT), *tasks_of(lab, DEAF, IGNORE))
    await scheduler.all_have([*RUNNING, *DEAF], TaskState.TASK_RUNNING)
    alive = {name: scheduler.process(name) for name in RUNNING}
    for name in DEAF:
        await scheduler.wrote(name, "ready")
    await scheduler.start(*pulled_tasks(lab, registry, ran))
    await scheduler.waits("the pulls stand still", lambda: stand_still(registry))
    for name in DEAF:
        await scheduler.client.kill(name, scheduler.agent_id, grace_period_ms=GRACE_MS)
    await scheduler.all_have(DEAF, TaskState.TASK_KILLING)

    # In the middle of all.
    assert not any(scheduler.ends(name) for name in (*RUNNING, *PULLED, *DEAF))
    lab.cluster.agents[0].kill()
    await asyncio.to_thread(lab.cluster.wait_for_agents, 0)
    # While it returns: it has read what there is, and pulls again.
    lab.cluster.agents[0].start()
    await scheduler.waits("the pulls stand still again", lambda: stand_still(registry))
    lab.cluster.agents[0].kill()
    await asyncio.to_thread(lab.cluster.wait_for_agents, 0)
    lab.cluster.agents[0].start()
    await scheduler.waits("the pulls stand still once more", lambda: stand_still(registry))
    await asyncio.to_thread(lab.cluster.wait_for_agents, 1)
    # While pulls end, and tasks begin.
    registry.gate.set()
    await scheduler.until(lambda event: any(scheduler.ends(name) for name in PULLED))
    await asyncio.to_thread(lab.restart_agent)

    await scheduler.all_have(PULLED, TaskState.TASK_FINISHED)
    await scheduler.all_have(DEAF, TaskState.TASK_KILLED)
    assert sorted((ran / "all").read_text().split()) == sorted(PULLED)
    for name in PULLED:
        assert scheduler.output(name) == "from the registry\n"
    for name, process in alive.items():
        assert process.is_running(), name
        assert scheduler.process(name) == process, name  # the same number and time of its start
    for name in RUNNING:
        await scheduler.client.kill(name, scheduler.agent_id, grace_period_ms=30_000)
    await scheduler.all_have(RUNNING, TaskState.TASK_KILLED)
    for name in RUNNING:
        assert_gapless(scheduler.output(name))
    for name in (*RUNNING, *PULLED, *DEAF):
        assert len(scheduler.ends(name)) == 1, (name, scheduler.states(name))
    again = [count for count in scheduler.uuids.values() if count > 1]
    assert again == [], "updates came again after they were acknowledged"


def test_death_of_the_launcher_ends_its_containers_and_each_end_is_told_once(lab: Lab) -> None:
    traces = lab.traces()
    names = RUNNING[:6]

    async def story() -> None:
        async with watch(lab) as scheduler:
            plain = lab.task("plain", "exec sleep 1000")
            await scheduler.start(*tasks_of(lab, names, COUNT), plain)
            await scheduler.all_have([*names, "plain"], TaskState.TASK_RUNNING)
            processes = [scheduler.process(name) for name in (*names, "plain")]
            [launcher] = [
                one for one in lab.cluster.processes() if LAUNCHER in " ".join(one.cmdline())
            ]
            launcher.kill()
            for process in processes:
                await asyncio.to_thread(wait_gone, process.pid)
            for name in (*names, "plain"):
                end = await scheduler.ended(name)
                assert end.state is TaskState.TASK_FAILED, end
                assert end.message is not None
                assert end.message.startswith(
                    "Command terminated with signal Killed; the launcher was killed"
                ), end.message
            # Another launcher is there, and all that the first had is gone.
            again = lab.task("again", "echo fine", lab.images.plain)
            assert await scheduler.said(again) == "fine\n"
            for name in (*names, "plain", "again"):
                assert len(scheduler.ends(name)) == 1, (name, scheduler.states(name))

    asyncio.run(story())
    lab.check_clean(traces)
    assert_goes(lab, lambda: mounts_anywhere(lab))
    assert_goes(lab, lambda: namespaces_held(lab))


def tasks_of(lab: Lab, names: Sequence[str], line: str) -> list[mesos.TaskInfo]:
    """Tasks in containers, a few of them with a network of their own."""
    bridged = container(network_infos=(mesos.NetworkInfo(name=BRIDGE),))
    return [
        lab.task(name, line, lab.images.plain, container=bridged if at < ON_BRIDGE else None)
        for at, name in enumerate(names)
    ]


def pulled_tasks(lab: Lab, registry: FakeRegistry, ran: Path) -> list[mesos.TaskInfo]:
    """Each has an image of its own, of which the last layer does not come whole until the gate is open."""
    found = []
    source = mesos.Volume.Source(
        type=mesos.Volume.Source.Type.HOST_PATH,
        host_path=mesos.Volume.Source.HostPath(path=str(ran)),
    )
    volume = mesos.Volume(mode=mesos.Volume.Mode.RW, container_path="/ran", source=source)
    for at, name in enumerate(PULLED):
        own = file("own", random.Random(at).randbytes(LAYER_BYTES))
        image = busybox_image({"Env": [PATH]}, own)
        registry.add(name, "1", image)
        registry.stops_at[digest(image.layers[1])] = STOPS_AT
        networks = (mesos.NetworkInfo(name=BRIDGE),) if at < ON_BRIDGE else ()
        info = container(volumes=(volume,), network_infos=networks)
        found.append(
            lab.task(
                name,
                ONCE.replace("$MESOS_TASK_ID", name),
                f"{registry.host}/{name}:1",
                container=info,
            )
        )
    return found


def stand_still(registry: FakeRegistry) -> bool:
    return len(registry.standing) >= PULLS_AT_ONCE


def assert_gapless(text: str) -> None:
    """It counted without leaving a number out or telling one twice, and told its end."""
    *numbers, end = text.splitlines()
    assert numbers == [str(number) for number in range(len(numbers))]
    assert end.startswith("end ")


# What must not be left


def assert_goes(lab: Lab, left: Callable[[], set[str]]) -> None:
    """Nothing is left, now or soon."""
    with contextlib.suppress(AssertionError):
        lab.cluster.wait_until(lambda: not left(), "nothing is left", CLEAN_S)
    assert sorted(left())[:20] == []


def mounts_anywhere(lab: Lab) -> set[str]:
    """Mounts of this cluster in any mount namespace that lives."""
    mark = str(lab.cluster.directory)
    found = set()
    for place in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            found |= {f"{place}: {line}" for line in place.read_text().splitlines() if mark in line}
    return found


def namespaces_held(lab: Lab) -> set[str]:
    """Namespaces that daemons of this cluster are in or hold open, other than this test's own."""
    own = {os.readlink(place) for place in Path("/proc/self/ns").iterdir()}
    found = set()
    for process in lab.cluster.processes():
        for name in ("ns", "fd"):
            with contextlib.suppress(OSError):
                for place in Path(f"/proc/{process.pid}/{name}").iterdir():
                    with contextlib.suppress(OSError):
                        target = os.readlink(place)
                        kind, _, rest = target.partition(":[")
                        if rest and kind in KINDS and target not in own:
                            found.add(f"{place}: {target}")
    return found


def places_of_files(lab: Lab) -> set[str]:
    """All files of the agent, but for those in sandboxes and of images."""
    found = set()
    for top in (lab.work, lab.runtime):
        for directory, names, files in os.walk(top):
            if os.path.basename(directory) == SANDBOX or directory in (f"{lab.work}/images",):
                names.clear()
                continue
            found |= {f"{directory}/{name}" for name in files}
    return found
