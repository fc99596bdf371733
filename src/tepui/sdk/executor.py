"""Write an executor: a class with a method per event of the agent.

    class Mine(Executor):
        async def on_launch(self, task):
            await self.send_update(task.task_id.value, TaskState.TASK_RUNNING)
    asyncio.run(Mine().run())

The agent starts it; `run` returns when it shall end. `core/execution.py` decides when that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from random import Random
from uuid import uuid4

from tepui.base.errors import Refused
from tepui.sdk.core import execution as core
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.driver import Driver
from tepui.sdk.environment import Environment
from tepui.sdk.errors import BadPeer, CallRefused, Disconnected, ExecutorEnded
from tepui.sdk.http import NETWORK_ERRORS, Http
from tepui.sdk.inbox import Inbox
from tepui.wire import executor, mesos
from tepui.wire.media import Media

PATH = "/api/v1/executor"
RETRY_MS = 100
SENDING_MAX = 2 * core.UNACKNOWLEDGED_MAX  # calls that wait for an agent that is slow

log = logging.getLogger(__name__)


class Executor:
    """Override the methods you need, then `await run()`.

    The methods are called one after the other, so a task's work belongs into an asyncio task or a
    process of its own. One that raises ends `run` with its error. `environment` is read from the
    process's own when it is not given.
    """

    executor_info: mesos.ExecutorInfo | None = None  # these three are known once subscribed
    framework_info: mesos.FrameworkInfo | None = None
    agent_info: mesos.AgentInfo | None = None

    def __init__(
        self,
        environment: Environment | None = None,
        *,
        media: Media = Media.JSON,
        seed: int | None = None,
    ) -> None:
        self.environment = environment or Environment.read(os.environ)
        wait_ms_max = self.environment.backoff_ms_max
        backoff = Backoff(min(RETRY_MS, wait_ms_max), wait_ms_max, Random(seed).random)
        self._state = core.State(self.environment.identity, backoff)
        self._driver: Driver[core.Event, core.Action] = Driver(
            lambda events, now_ms: core.step(self._state, events, now_ms),
            self._act,
            lambda: self._state.timers.next_ms(),
        )
        self._media = media
        self._inbox: Inbox[executor.Event] = Inbox()
        self._outbox: asyncio.Queue[executor.Call] = asyncio.Queue(SENDING_MAX)
        self._settled = asyncio.Event()
        self._http: Http | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ended_by = ""

    async def run(self) -> None:
        """Serve the agent until it says to end, is away too long, or `stop` is called.

        Then `on_shutdown` has the grace period to end the tasks and their updates to be stored.
        Raises ExecutorEnded when the agent refuses this executor.
        """
        token = self.environment.token
        self._http = Http(self._media, {"Authorization": f"Bearer {token}"} if token else None)
        sender = asyncio.create_task(self._send_waiting())
        try:
            self._driver.put(core.Begun())
            while (event := await self._inbox.get()) is not None:
                await self._dispatch(event)
            await self._shut_down()
        finally:
            self._driver.close()
            running = [sender] if self._listener is None else [sender, self._listener]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await self._http.close()

    def stop(self) -> None:
        """Have `run` return, as if the agent had asked for it."""
        self._ended_by = "stopped"
        self._inbox.close()

    async def send_update(
        self,
        task_id: str,
        state: mesos.TaskState,
        *,
        message: str | None = None,
        data: bytes | None = None,
        healthy: bool | None = None,
        labels: mesos.Labels | None = None,
    ) -> None:
        """Tell that the task is in `state`; kept and repeated until the agent has stored it.

        Raises Refused when too many updates wait for an agent that is away.
        """
        if len(self._state.updates) >= core.UNACKNOWLEDGED_MAX:
            raise Refused(f"update of task '{task_id}': {core.UNACKNOWLEDGED_MAX} updates wait")
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(task_id),
            state=state,
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            executor_id=mesos.ExecutorID(self.environment.identity.executor_id),
            timestamp=time.time(),
            uuid=uuid4().bytes,
            message=message,
            data=data,
            healthy=healthy,
            labels=labels,
        )
        self._settled.clear()
        self._driver.put(core.UpdateGiven(status))

    async def send_message(self, data: bytes) -> None:
        """Send bytes to the scheduler. They may get lost on the way.

        Raises Disconnected when they did not reach the agent, CallRefused when it refused them.
        """
        await self._call(core.message_call(self._state, data))

    async def on_subscribed(self, subscribed: executor.Event.Subscribed) -> None:
        """The agent has taken the subscription: the first one, or one after its restart."""

    async def on_launch(self, task: mesos.TaskInfo) -> None:
        """Start the task, then send updates of it."""

    async def on_launch_group(self, tasks: tuple[mesos.TaskInfo, ...]) -> None:
        """Start the tasks of a group; each by `on_launch` unless overridden."""
        for task in tasks:
            await self.on_launch(task)

    async def on_kill(self, task_id: str, kill_policy: mesos.KillPolicy | None) -> None:
        """End the task, then send TASK_KILLED."""

    async def on_message(self, data: bytes) -> None:
        """The scheduler has sent bytes."""

    async def on_shutdown(self) -> None:
        """End all tasks; after the grace period the agent kills what is left."""

    def _act(self, action: core.Action) -> None:
        match action:
            case core.Subscribe(call=call):
                self._listener = asyncio.create_task(self._listen(call))
                self._listener.add_done_callback(self._listener_ended)
            case core.Send(call=call):
                with contextlib.suppress(asyncio.QueueFull):  # the core repeats it
                    self._outbox.put_nowait(call)
            case core.Deliver(event=event):
                self._inbox.put(event)
            case core.Settled():
                self._settled.set()
            case core.End(text=text, is_error=is_error):
                self._ended_by = text
                self._inbox.close(ExecutorEnded(text) if is_error else None)

    def _listener_ended(self, listener: asyncio.Task[None]) -> None:
        """A fault of the library ends the executor; it does not leave it waiting for nothing."""
        if not listener.cancelled() and isinstance(error := listener.exception(), Exception):
            self._inbox.close(error)

    async def _listen(self, call: executor.Call) -> None:
        assert self._http is not None
        url = self.environment.agent + PATH
        try:
            async with self._http.stream(url, call, executor.Event) as stream:
                if stream.status != 200:
                    refusal = await stream.refusal()
                    self._driver.put(core.Answered(stream.status, refusal.text))
                    return
                # An agent's heartbeats are far apart; a dead agent's socket is closed by its host.
                while events := await stream.next_events(silence_ms_max=None):
                    self._driver.put(*[core.Received(event) for event in events])
                    await self._inbox.room()
                cause = f"{url}: the stream ended"
        except NETWORK_ERRORS as error:
            cause = f"{url}: {str(error) or type(error).__name__}"
        except BadPeer as error:
            cause = str(error)
        self._driver.put(core.Broken(cause))

    async def _send_waiting(self) -> None:
        """One call after the other: the updates of a task must not overtake each other."""
        while True:
            call = await self._outbox.get()
            try:
                await self._call(call)
            except (CallRefused, Disconnected) as error:
                log.info("call_failed type=%s error=%s", call.type, error)  # the core repeats it

    async def _call(self, call: executor.Call) -> None:
        if self._http is None:
            raise Disconnected(f"{call.type}: the executor does not run")
        try:
            answer = await self._http.call(self.environment.agent + PATH, call)
        except NETWORK_ERRORS as error:
            raise Disconnected(f"{call.type}: {str(error) or type(error).__name__}") from error
        if answer.status != 202:
            raise CallRefused(answer.status, answer.text)

    async def _dispatch(self, event: executor.Event) -> None:
        if event.launch is not None:
            await self.on_launch(event.launch.task)
        elif event.launch_group is not None:
            await self.on_launch_group(event.launch_group.task_group.tasks)
        elif event.kill is not None:
            await self.on_kill(event.kill.task_id.value, event.kill.kill_policy)
        elif event.message is not None:
            await self.on_message(event.message.data)
        elif event.subscribed is not None:
            self.executor_info = event.subscribed.executor_info
            self.framework_info = event.subscribed.framework_info
            self.agent_info = event.subscribed.agent_info
            await self.on_subscribed(event.subscribed)

    async def _shut_down(self) -> None:
        log.info("executor_ends reason=%s", self._ended_by)
        try:
            async with asyncio.timeout(self.environment.grace_period_ms / 1000):
                await self.on_shutdown()
                if self._state.updates and self._listener and not self._listener.done():
                    await self._settled.wait()
        except TimeoutError:
            log.warning("grace_period_over updates=%d", len(self._state.updates))
