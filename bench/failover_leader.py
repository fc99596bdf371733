"""The master that leads is killed: how long nothing can be launched.

Three masters and a ZooKeeper are processes. A hundred agents, with the core and the link of the
product and each with a session of its own, follow the election as real ones do, and so does a
scheduler of the SDK.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from time import monotonic

from msgspec import Struct

from bench import faults, processes
from bench.failover_masters import ELECTED, LEADING, READ, Master, master, zookeeper
from bench.faults import fault
from bench.soak_agents import SoakAgent
from bench.table import Row
from tepui.agent.core import actions
from tepui.agent.core.actions import Action
from tepui.sdk import Room, SchedulerClient, command_task, framework_info
from tepui.wire import mesos, scheduler

TaskState = mesos.TaskState

BACKOFF_MS = 1_000  # the default of --registration_backoff_factor
OVER_S = 2.0  # what may pass besides the session timeout
EVENT_S = 90.0  # the scheduler hears what it waits for by then
RETURN_S = 90.0  # all agents are back by then


class Options(Struct, frozen=True):
    """The cluster."""

    agents: int = 100
    masters: int = 3
    session_s: float = 10.0  # the default of --zk_session_timeout

    @property
    def title(self) -> str:
        """What the table is called."""
        return (
            f"failover: the leader of {self.masters} masters is killed; {self.agents} agents,"
            f" session timeout {self.session_s:g} s"
        )


class Measured(Struct, frozen=True):
    """Seconds from the end of the leader."""

    elected_s: float
    read_s: float
    leading_s: float
    first_s: float
    all_s: float
    subscribed_s: float
    offered_s: float
    running_s: float


class FollowingAgent(SoakAgent):
    """An agent that is told by ZooKeeper who leads."""

    def __init__(self, number: int, url: str) -> None:
        super().__init__(number, url, fault, BACKOFF_MS)
        self.registered_s = 0.0  # when it was registered last

    def _do(self, action: Action) -> None:
        if isinstance(action, actions.AdoptId):
            self.registered_s = monotonic()
        super()._do(action)


def rows(options: Options) -> list[Row]:
    """The figures of one run."""
    logging.getLogger("tepui").addHandler(logging.NullHandler())  # agents say that links are lost
    with tempfile.TemporaryDirectory(prefix="tepui-bench-") as name:
        found = faults.run(measure(options, Path(name)))
    goal = f"< {options.session_s + OVER_S:g}"
    session = "session timeout"
    return [
        Row(
            "killed to TASK_RUNNING of a new task",
            found.running_s,
            "s",
            goal,
            options.session_s,
            session,
        ),
        Row("killed to next elected", found.elected_s, "s", "", options.session_s, session),
        Row("killed to registry read", found.read_s, "s"),
        Row("killed to leading", found.leading_s, "s"),
        Row("killed to first agent back", found.first_s, "s"),
        Row("killed to all agents back", found.all_s, "s"),
        Row("killed to scheduler subscribed", found.subscribed_s, "s"),
        Row("killed to first offer", found.offered_s, "s"),
    ]


async def measure(options: Options, directory: Path) -> Measured:
    """The figures of one failover."""
    ports = processes.free_port(options.masters)
    with ExitStack() as stack:
        url = stack.enter_context(zookeeper(directory / "zookeeper"))
        flags = (f"--zk={url}", f"--zk_session_timeout={options.session_s:g}secs")
        first = stack.enter_context(ExitStack())
        leader = first.enter_context(master("master-1", ports, directory, *flags))
        await leader.logged(LEADING)
        others = [
            stack.enter_context(master(f"master-{n + 1}", ports + n, directory, *flags))
            for n in range(1, options.masters)
        ]
        async with AsyncExitStack() as connected:
            agents = [FollowingAgent(number, url) for number in range(options.agents)]
            for agent in agents:
                agent.start()
                connected.push_async_callback(agent.stop)
            await _registered(agents, 0.0)
            client = await connected.enter_async_context(
                SchedulerClient(url, framework_info("failover", failover_timeout_s=3600.0))
            )
            watcher = Watcher(client)
            await watcher.launch("before")
            killed_s = monotonic()
            first.close()
            subscribed_s = await watcher.until(lambda event: event.subscribed is not None)
            offered_s, running_s = await watcher.launch("after")
            await _registered(agents, killed_s)
            await client.teardown()
        return await _measured(others, agents, killed_s, subscribed_s, offered_s, running_s)


async def _measured(
    others: Sequence[Master],
    agents: Sequence[FollowingAgent],
    killed_s: float,
    subscribed_s: float,
    offered_s: float,
    running_s: float,
) -> Measured:
    (elected,) = (one for one in others if one.when(LEADING) is not None)
    back_s = [agent.registered_s - killed_s for agent in agents]
    return Measured(
        elected_s=await elected.logged(ELECTED) - killed_s,
        read_s=await elected.logged(READ) - killed_s,
        leading_s=await elected.logged(LEADING) - killed_s,
        first_s=min(back_s),
        all_s=max(back_s),
        subscribed_s=subscribed_s - killed_s,
        offered_s=offered_s - killed_s,
        running_s=running_s - killed_s,
    )


class Watcher:
    """A scheduler that waits for one thing after the other."""

    def __init__(self, client: SchedulerClient) -> None:
        self._client = client
        self._events = client.events()

    async def until(self, holds: Callable[[scheduler.Event], bool]) -> float:
        """When such an event came."""
        async with asyncio.timeout(EVENT_S):
            async for event in self._events:
                if holds(event):
                    return monotonic()
        raise AssertionError("the events have ended")

    async def launch(self, task_id: str) -> tuple[float, float]:
        """When it was offered something for the task, and when that ran; return when it has ended."""
        offers: list[mesos.Offer] = []

        def offered(event: scheduler.Event) -> bool:
            offers.extend(() if event.offers is None else event.offers.offers)
            return bool(offers)

        offered_s = await self.until(offered)
        task = command_task(task_id, offers[0].agent_id, "true", cpus=0.1, mem_mib=32)
        assert Room(offers[0]).place(task)
        await self._client.accept(offers[0], [task])
        running_s = await self.until(lambda event: _is(event, task_id, TaskState.TASK_RUNNING))
        await self.until(lambda event: _is(event, task_id, TaskState.TASK_FINISHED))
        return offered_s, running_s


def _is(event: scheduler.Event, task_id: str, state: TaskState) -> bool:
    status = None if event.update is None else event.update.status
    return status is not None and status.task_id.value == task_id and status.state is state


async def _registered(agents: Sequence[FollowingAgent], since_s: float) -> None:
    """Return when all agents were registered after that."""
    until_s = monotonic() + RETURN_S
    while (missing := sum(agent.registered_s <= since_s for agent in agents)) > 0:
        assert monotonic() < until_s, f"{missing} agents have not come back"
        await asyncio.sleep(faults.POLL_S)
