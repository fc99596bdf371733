"""Agents that come back as soon as a master leads; a process of its own, that says when they are back.

    python -m bench.failover_agents FIRST COUNT TASKS_PER_AGENT PORT...

What they say is encoded before. It prints a line of JSON when it is ready, and then one each time
that all are registered. When all links are lost it looks which of the ports leads now.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import msgspec
from msgspec import Struct

from bench import faults, processes, state
from bench.faults import until
from bench.processes import HOST
from tepui.wire import link, mesos

LOOK_S = 0.005  # between two looks for a master that leads
LOOKS_S_MAX = 120.0
RETRY_S = 0.05  # after a link broke before the agent was registered
ARRIVING_MAX = 1_500  # agents of this process that have connected and are not registered yet
LOG_CHARACTERS = 2_000  # of each process, when a run has failed
RUN_S = 3_600.0  # whoever started this one ends it before
UPGRADE = (
    f"GET /link HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
)


class Ready(Struct, frozen=True, tag=True):
    """Everything is encoded."""

    frames_bytes: int


class Back(Struct, frozen=True, tag=True):
    """All agents of the process are registered; times of `monotonic`, which all processes share."""

    looked_s: float  # when a master led
    first_s: float  # when the first agent was registered
    all_s: float
    cpu_s: float  # of this process in between
    retries: int


class ReturningAgent(state.PeopledAgent):
    """Comes again and again, and says the same each time."""

    def __init__(self, number: int, options: state.Options) -> None:
        super().__init__(number, 0, options)
        self.greeting = b"".join(link.frame(message) for message in self._first_messages())
        self.has_link = False
        self.lost = asyncio.Event()

    async def come(self, port: int, local: str) -> None:
        """Return when the agent is registered. Raises OSError when the link breaks before."""
        self._rest, self._is_upgraded, self._master = b"", False, port
        self.registered = self._loop.create_future()
        await self._loop.create_connection(lambda: self, HOST, port, local_addr=(local, 0))
        self._agent_id = mesos.AgentID(await self.registered)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.has_link = True
        self.lost.clear()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_link = False
        self.lost.set()
        self._sent.clear()  # what runs is said the next time; the bench waits for its end before
        if not self.registered.done():
            self.registered.set_exception(ConnectionError("the link broke"))

    def _greet(self) -> None:
        self._write(self.greeting)


class Load:
    """One such process, as seen by the benchmark; `loads` starts and ends it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    async def ready(self) -> Ready:
        """Return when the agents can come; they do so by themselves."""
        said = await self._next()
        assert isinstance(said, Ready), said
        return said

    async def back(self) -> Back:
        """Return when all are registered."""
        said = await self._next()
        assert isinstance(said, Back), said
        return said

    async def _next(self) -> Ready | Back:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        assert line, "a process of agents has ended"
        return _DECODER.decode(line)


_DECODER: msgspec.json.Decoder[Ready | Back] = msgspec.json.Decoder(Ready | Back)


@contextlib.contextmanager
def loads(
    count: int, options: state.Options, ports: Sequence[int], directory: Path
) -> Iterator[list[Load]]:
    """`count` processes that share the agents; they are ended with the block."""
    share = -(-options.agents // count)
    with contextlib.ExitStack() as stack:
        found = []
        for first in range(0, options.agents, share):
            amount = min(share, options.agents - first)
            arguments = map(str, (first, amount, options.tasks_per_agent, *ports))
            command = [sys.executable, "-m", "bench.failover_agents", *arguments]
            log = stack.enter_context((directory / f"agents-{first}.log").open("wb"))
            process = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=processes.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    process_group=0,
                )
            )
            stack.callback(process.kill)
            found.append(Load(process))
        try:
            yield found
        except BaseException:
            for path in sorted(directory.glob("agents-*.log")):
                print(path.read_text(errors="replace")[-LOG_CHARACTERS:], file=sys.stderr)
            raise


async def leading(ports: Sequence[int]) -> int:
    """The first of the ports where a master takes links; return as soon as there is one."""
    until_s = monotonic() + LOOKS_S_MAX
    while monotonic() < until_s:
        for port in ports:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection(HOST, port)
                try:
                    writer.write(UPGRADE.encode())
                    if b" 101 " in await reader.readuntil(b"\r\n"):
                        return port
                finally:
                    writer.close()
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"no master has led within {LOOKS_S_MAX:g} s")


async def come_back(agents: Sequence[ReturningAgent], port: int, local: str) -> Back:
    """Return when all are registered."""
    looked_s, cpu_s = monotonic(), processes.own_cpu_s()
    coming = iter(agents)
    first_s: list[float] = []
    retries = 0

    async def some() -> None:
        nonlocal retries
        for agent in coming:
            while True:
                try:
                    await agent.come(port, local)
                except OSError:
                    retries += 1
                    await asyncio.sleep(RETRY_S)
                else:
                    break
            if not first_s:
                first_s.append(monotonic())

    async with asyncio.TaskGroup() as group:
        for _ in range(min(ARRIVING_MAX, len(agents))):
            group.create_task(some())
    used_s = processes.own_cpu_s() - cpu_s
    return Back(looked_s, first_s[0], monotonic(), used_s, retries)


async def serve(agents: Sequence[ReturningAgent], ports: Sequence[int], local: str) -> None:
    """Until this process is ended."""
    say(Ready(sum(len(agent.greeting) for agent in agents)))
    while True:
        say(await come_back(agents, await leading(ports), local))
        await agents[0].lost.wait()
        await until(lambda: not any(agent.has_link for agent in agents), "all links are lost")


def say(what: Ready | Back) -> None:
    """To whoever started this process."""
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.flush()


def fail(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Whoever started this process sees that it has ended, and shows why."""
    print(context["message"], repr(context.get("exception")), file=sys.stderr, flush=True)
    os._exit(1)


async def main() -> None:
    """One process."""
    asyncio.get_running_loop().set_exception_handler(fail)
    first, count, tasks_per_agent, *ports = map(int, sys.argv[1:])
    options = state.Options(
        agents=first + count, tasks_per_agent=tasks_per_agent, free_agents=first + count
    )
    agents = [ReturningAgent(number, options) for number in range(first, first + count)]
    gc.collect()
    gc.freeze()
    gc.disable()
    # A local address has connections to one port for 28,000 agents at most.
    await serve(agents, ports, f"127.0.0.{2 + first // count}")


if __name__ == "__main__":
    state.allow_files(int(sys.argv[2]) + state.FILES_SPARE)
    faults.run(main(), RUN_S)
