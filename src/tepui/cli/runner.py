"""Carries out a job as a framework: subscribes, launches, follows the output, and ends.

One task: its output is followed while it runs. Several: the output of each is shown when it ends,
so that lines of different tasks do not mix.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec import Struct

from tepui.cli.connect import no_master
from tepui.cli.job import Job, Piece, ports_elsewhere, too_large
from tepui.cli.show import Show, end_line, summary
from tepui.cli.why import why_waiting
from tepui.sdk import (
    CallRefused,
    Disconnected,
    OperatorClient,
    SchedulerClient,
    SdkError,
    Unreachable,
    find_leader,
    framework_info,
    sandbox_path,
)
from tepui.wire import mesos, scheduler
from tepui.wire.media import Media

EXIT_TIMEOUT = 124  # as timeout(1) has it
EXIT_INTERRUPTED = 130
FAILOVER_S = 15.0  # tasks outlive a lost connection, or us, by this
FIND_S_MAX = 2.0  # for the first answer: who has no master shall not wait to hear so
CONNECT_S_MAX = 30.0
REFUSE_S = 5.0  # what does not fit is not offered again so soon, unless more comes free there
UNNEEDED_S = 3600.0
TOO_LARGE_S = 0.3  # with no task placed by then, see if any machine is large enough
WHY_S = 3.0  # with no task placed by then, ask the master why
WHY_AGAIN_S = 30.0
KILL_S_MAX = 20.0  # for killed tasks to be gone
LEAVE_S_MAX = 2.0  # for the last calls
OUTPUTS_MAX = 8  # sandboxes that are read at once
POLL_MS = 100


class RunOptions(Struct, frozen=True):
    """How to run the job."""

    master: str
    name: str
    role: str
    user: str | None
    timeout_s: float | None


class Runner:
    """Runs one job to its end."""

    def __init__(self, options: RunOptions, job: Job, show: Show) -> None:
        self._options = options
        self._job = job
        self._show = show
        self._agents: dict[str, str] = {}  # addresses by id
        self._stopping: int | None = None  # the exit code, once it was decided to stop
        self._left = asyncio.Event()  # asked a second time
        self._reading = asyncio.Semaphore(OUTPUTS_MAX)
        self._ends: dict[str, asyncio.Event] = {}
        self._outputs: set[asyncio.Task[None]] = set()
        self._suppressed = False
        self._subscribed = asyncio.Event()

    async def run(self) -> int:
        """The exit code of the job."""
        started_s = time.monotonic()
        framework = framework_info(
            self._options.name,
            user=self._options.user,
            roles=(self._options.role,),
            failover_timeout_s=FAILOVER_S,
            checkpoint=True,
        )
        try:
            await find_leader(self._options.master, timeout_s=FIND_S_MAX)
        except Unreachable as error:
            raise no_master(self._options.master, str(error)) from None
        client = SchedulerClient(self._options.master, framework, connect_timeout_s=CONNECT_S_MAX)
        async with client:
            background = [
                asyncio.create_task(work)
                for work in (self._watch_waiting(client), self._watch_time(client))
            ]
            self._catch_signals(client)
            try:
                await self._until_done(client)
                if not self._left.is_set():
                    await asyncio.gather(*self._outputs)
            finally:
                for task in (*background, *self._outputs):
                    task.cancel()
                await asyncio.gather(*background, *self._outputs, return_exceptions=True)
                await self._leave(client)
        if len(self._job.pieces) > 1:
            self._show.say(summary(self._job, time.monotonic() - started_s))
        return self._job.exit_code() if self._stopping is None else self._stopping

    async def _until_done(self, client: SchedulerClient) -> None:
        """Return when every task has ended and its output is shown, or when asked twice to leave."""
        handling = asyncio.create_task(self._handle_events(client))
        leaving = asyncio.create_task(self._left.wait())
        try:
            await asyncio.wait((handling, leaving), return_when=asyncio.FIRST_COMPLETED)
            if handling.done():
                handling.result()
        finally:
            for task in (handling, leaving):
                task.cancel()
            await asyncio.gather(handling, leaving, return_exceptions=True)

    async def _handle_events(self, client: SchedulerClient) -> None:
        async for event in client.events():
            with contextlib.suppress(Disconnected):  # the client subscribes again by itself
                await self._handle(client, event)
            if self._job.is_over:
                return

    async def _handle(self, client: SchedulerClient, event: scheduler.Event) -> None:
        if event.subscribed is not None:
            self._suppressed = False
            self._subscribed.set()
        if event.offers is not None:
            await self._use(client, event.offers.offers)
        if event.update is not None:
            status = event.update.status
            piece = self._job.updated(status)
            if piece is not None and status.state is mesos.TaskState.TASK_STAGING:
                self._show.say(status.message or "")  # e.g. how far the pull of its image is
            elif piece is not None:
                self._updated(client, piece)
        self._show.progressed(self._job)

    async def _use(self, client: SchedulerClient, offers: Sequence[mesos.Offer]) -> None:
        for placed in self._job.place(offers):
            offer = placed.offer
            self._agents[offer.agent_id.value] = _address_of(offer)
            if not placed.tasks:
                needed = self._job.waiting and self._stopping is None
                await client.decline(offer, refuse_seconds=REFUSE_S if needed else UNNEEDED_S)
                continue
            try:
                await client.accept(offer, placed.tasks, refuse_seconds=REFUSE_S)
            except CallRefused:
                self._job.launch_failed(placed.tasks)
                raise
        if self._job.waiting == 0 and not self._suppressed:
            await client.suppress()
            self._suppressed = True

    def _updated(self, client: SchedulerClient, piece: Piece) -> None:
        has_ended = piece.exit_code is not None
        is_first = piece.task_id not in self._ends
        is_followed = len(self._job.pieces) == 1
        ended = self._ends.setdefault(piece.task_id, asyncio.Event())
        if has_ended:
            ended.set()
        if (is_followed and is_first) or (has_ended and not is_followed):
            self._start(self._show_output(client, piece, ended))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:  # what it yields is asyncio's affair
        task = asyncio.create_task(work)
        self._outputs.add(task)

    async def _show_output(
        self, client: SchedulerClient, piece: Piece, ended: asyncio.Event
    ) -> None:
        """Show both outputs up to their end, then how the task ended."""
        address = self._agents.get(piece.agent_id or "")
        if address is not None and client.framework_id is not None:
            path = sandbox_path(client.framework_id, piece.task_id)
            async with OperatorClient(address, media=Media.PROTOBUF) as agent:
                follow = [
                    self._follow(agent, f"{path}/{name}", name, ended)
                    for name in ("stdout", "stderr")
                ]
                if len(self._job.pieces) == 1:
                    await asyncio.gather(*follow)
                else:
                    async with self._reading:
                        for one in follow:
                            await one
        is_expected = self._stopping is not None and piece.state is mesos.TaskState.TASK_KILLED
        if piece.exit_code and not is_expected and (len(self._job.pieces) > 1 or piece.why):
            self._show.say(end_line(piece))

    async def _follow(
        self, agent: OperatorClient, path: str, name: str, ended: asyncio.Event
    ) -> None:
        try:
            async for piece in agent.follow_file(path, ended=ended, poll_ms=POLL_MS):
                self._show.output(name, piece)
        except SdkError as error:
            self._show.say(f"cannot read {name}: {error}")

    # Waiting, time, and being told to stop

    async def _watch_waiting(self, client: SchedulerClient) -> None:
        """Say why nothing runs: at once if it never will, later whatever the master finds."""
        await self._subscribed.wait()
        await asyncio.sleep(TOO_LARGE_S)
        if self._is_stuck() and await self._say_too_large():
            return
        await asyncio.sleep(WHY_S - TOO_LARGE_S)
        said: list[str] = []
        while True:
            if self._is_stuck() and client.framework_id is not None:
                lines = await self._why(client.framework_id)
                if lines != said:
                    for line in lines:
                        self._show.say(line)
                    said = lines
            await asyncio.sleep(WHY_AGAIN_S)

    async def _why(self, framework_id: str) -> list[str]:
        with contextlib.suppress(SdkError):
            async with OperatorClient(self._options.master) as master:
                return await why_waiting(master, framework_id, self._job.shape)
        return []

    async def _say_too_large(self) -> bool:
        """Say what no machine will ever have enough of; False when there is no such thing."""
        with contextlib.suppress(SdkError):
            async with OperatorClient(self._options.master) as master:
                agents = (await master.get_agents()).agents
            if not agents:
                self._show.say("waiting: no agent has registered with the master")
                return False
            machines = [agent.total_resources for agent in agents]
            found = too_large(self._job.shape, machines)
            for name, wanted, most in found:
                self._show.say(
                    f"waiting: each task asks for {wanted:g} {name}, the largest agent has {most:g}"
                )
            if ports := ports_elsewhere(self._job.shape, machines):
                text = f"port {ports[0]}, which no agent has; the agents' ports are {ports[1]}"
                self._show.say(f"waiting: each task asks for {text}")
            return bool(found or ports)
        return False

    def _is_stuck(self) -> bool:
        job = self._job
        return self._stopping is None and job.waiting == len(job.pieces)

    async def _watch_time(self, client: SchedulerClient) -> None:
        if self._options.timeout_s is not None:
            await asyncio.sleep(self._options.timeout_s)
            what = "killing what runs" if self._job.live() else "giving up"
            self._show.say(f"not done after {self._options.timeout_s:g} s: {what}")
            self._stop(client, EXIT_TIMEOUT)

    def _catch_signals(self, client: SchedulerClient) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, client, number)

    def _signalled(self, client: SchedulerClient, number: int) -> None:
        if self._stopping is not None:
            self._left.set()
            return
        live = len(self._job.live())
        if live:
            tasks = "1 task" if live == 1 else f"{live} tasks"
            self._show.say(f"killing {tasks}; once more to leave at once")
        self._stop(client, 128 + number)

    def _stop(self, client: SchedulerClient, exit_code: int) -> None:
        if self._stopping is not None:
            return
        self._stopping = exit_code
        live = self._job.live()
        self._job.give_up()
        if not live:
            self._left.set()
        self._start(self._kill(client, live))

    async def _kill(self, client: SchedulerClient, live: Sequence[Piece]) -> None:
        for piece in live:
            with contextlib.suppress(SdkError):
                await client.kill(piece.task_id, piece.agent_id)
        asyncio.get_running_loop().call_later(KILL_S_MAX, self._left.set)

    async def _leave(self, client: SchedulerClient) -> None:
        """End the framework, so that nothing of it is left."""
        with contextlib.suppress(SdkError, TimeoutError):
            async with asyncio.timeout(LEAVE_S_MAX):
                await client.teardown()


def _address_of(offer: mesos.Offer) -> str:
    """host:port of the agent."""
    if offer.url is not None:
        address = offer.url.address
        return f"{address.ip or address.hostname}:{address.port}"
    return f"{offer.hostname}:5051"


def run_job(options: RunOptions, job: Job, show: Show) -> int:
    """Run the job; returns its exit code."""
    with show:
        if sys.platform == "linux":
            import uvloop

            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(Runner(options, job, show).run())
        return asyncio.run(Runner(options, job, show).run())
