"""A master and an agent as processes, and a scheduler that takes what comes one by one."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from msgspec import Struct

from bench import processes
from bench.calls import Offer, Scheduler, Status
from bench.processes import tepui

EVENT_S = 60.0  # the next event has come by then
TERMINAL = frozenset(
    (
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    )
)


class Waiting(Scheduler):
    """Keeps what has come, with its time, until it is taken."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(port, name)
        self.offers: asyncio.Queue[tuple[float, list[Offer]]] = asyncio.Queue()
        self.updates: asyncio.Queue[tuple[float, Status]] = asyncio.Queue()
        self.seen: Counter[tuple[str, str]] = Counter()  # by task and uuid

    def offered(self, offers: list[Offer]) -> None:
        self.offers.put_nowait((perf_counter(), offers))

    def updated(self, status: Status) -> None:
        self.seen[status.task_id.value, status.uuid or status.state] += 1
        self.updates.put_nowait((perf_counter(), status))

    async def next_offers(self) -> tuple[float, list[Offer]]:
        """When the next came, and which."""
        return await asyncio.wait_for(self.offers.get(), EVENT_S)

    async def next_update(self) -> tuple[float, Status]:
        """When the next came, and what it says."""
        return await asyncio.wait_for(self.updates.get(), EVENT_S)

    async def until(self, task_id: str, state: str) -> float:
        """When the task came to the state."""
        while True:
            at_s, status = await self.next_update()
            if status.task_id.value == task_id and status.state == state:
                return at_s
            assert status.state not in TERMINAL, status


class Cluster(Struct, frozen=True):
    """The pids of a running cluster."""

    port: int
    master: int
    agent: int
    directory: str

    @property
    def daemons(self) -> list[int]:
        """Master, agent and launcher."""
        return processes.marked(self.directory)

    @property
    def launchers(self) -> list[int]:
        """What the agent has beside itself while no task runs."""
        return [pid for pid in self.daemons if pid not in (self.master, self.agent)]

    def all(self) -> set[int]:
        """Daemons and tasks."""
        daemons = self.daemons
        return {*daemons, *(below for pid in daemons for below in processes.descendants(pid))}

    def cpu_s(self) -> float:
        """The processor time of all of them, those that have ended included."""
        total = 0.0
        for pid in self.daemons:
            with contextlib.suppress(OSError):
                total += processes.cpu_s(pid, with_reaped=True)
        return total

    def pss_bytes(self) -> int:
        """The memory of all of them; what several share counts once."""
        total = 0
        for pid in self.all():
            with contextlib.suppress(OSError):
                total += processes.pss_bytes(pid)
        return total


@contextlib.contextmanager
def cluster(directory: Path, resources: str, *flags: str) -> Iterator[Cluster]:
    """One master and one agent, which has these flags too, as processes."""
    port = processes.free_port()
    master = tepui("master", f"--port={port}", f"--work_dir={directory / 'master'}")
    agent = tepui(
        "agent",
        f"--master={processes.HOST}:{port}",
        "--port=0",
        f"--work_dir={directory / 'agent'}",
        f"--resources={resources}",
        "--registration_backoff_factor=50ms",
        *flags,
    )
    with processes.started(master, directory / "master.log") as master_pid:
        processes.wait_for_port(port, master_pid)
        with processes.started(agent, directory / "agent.log", signal.SIGUSR1) as agent_pid:
            yield Cluster(port, master_pid, agent_pid, str(directory))
