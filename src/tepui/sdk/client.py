"""A framework's connection to the leading master; `core/session.py` takes its decisions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Self

from aiohttp import BasicAuth
from msgspec import Struct, structs

from tepui.sdk.calls import SchedulerCalls, filters, ids
from tepui.sdk.core import events as ev
from tepui.sdk.core import session
from tepui.sdk.driver import Driver
from tepui.sdk.errors import (
    BadPeer,
    CallRefused,
    Disconnected,
    FrameworkEnded,
    SdkError,
    Unreachable,
)
from tepui.sdk.http import NETWORK_ERRORS, Answer, Http, Stream
from tepui.sdk.inbox import Inbox
from tepui.sdk.whereabouts import Whereabouts
from tepui.wire import mesos, scheduler
from tepui.wire.media import Media

PATH = "/api/v1/scheduler"
SENDERS = 4  # acknowledgements under way at once
SENDING_MAX = 100_000  # calls that wait; an acknowledgement beyond is asked for again by its agent
NOT_SUBSCRIBED = "Framework is not subscribed"  # Mesos' text of a 403
OFFER_EVENTS = frozenset(
    (
        scheduler.Event.Type.OFFERS,
        scheduler.Event.Type.INVERSE_OFFERS,
        scheduler.Event.Type.RESCIND,
        scheduler.Event.Type.RESCIND_INVERSE_OFFER,
    )
)

Operation = mesos.Offer.Operation
Type = scheduler.Call.Type

log = logging.getLogger(__name__)


class Subscription(Struct, frozen=True):
    """Where the calls go while a stream is open."""

    master: str
    stream_id: str


class SchedulerClient(SchedulerCalls):
    """A framework's connection to the leading master, from entering its block to leaving it.

    `master` is `host:port` of one or more masters, with commas, or `zk://host:port,.../path`, where
    ZooKeeper tells who leads. `tasks` are those that a scheduler
    knows from before it was restarted (task id to agent id, or None): they are reconciled first.
    With `explicit_acknowledgements` the user's code calls `acknowledge`; else an update counts as
    handled when the next event is asked for. Without `connect_timeout_s` the first subscription is
    tried for ever. `seed` fixes the jitter of retries.
    """

    def __init__(
        self,
        master: str,
        framework: mesos.FrameworkInfo,
        *,
        tasks: Mapping[str, str | None] | None = None,
        explicit_acknowledgements: bool = False,
        suppressed_roles: Sequence[str] = (),
        offer_constraints: scheduler.OfferConstraints | None = None,
        connect_timeout_s: float | None = None,
        credential: tuple[str, str] | None = None,
        media: Media = Media.JSON,
        seed: int | None = None,
    ) -> None:
        jitter = Random(seed).random
        self._whereabouts = Whereabouts(master, jitter)
        self._state = session.new_state(
            scheduler.Call.Subscribe(
                framework_info=framework,
                suppressed_roles=tuple(suppressed_roles),
                offer_constraints=offer_constraints,
            ),
            self._whereabouts.masters,
            jitter,
            tasks=dict(tasks or {}),
            connect_timeout_ms=None
            if connect_timeout_s is None
            else round(connect_timeout_s * 1e3),
        )
        self._acknowledges = not explicit_acknowledgements
        self._media = media
        self._headers = {"Authorization": BasicAuth(*credential).encode()} if credential else {}
        self._driver: Driver[ev.Event, ev.Action] = Driver(
            lambda events, now_ms: session.step(self._state, events, now_ms),
            self._act,
            lambda: self._state.timers.next_ms(),
        )
        self._inbox: Inbox[scheduler.Event] = Inbox()
        self._outbox: asyncio.Queue[scheduler.Call] = asyncio.Queue(SENDING_MAX)
        self._subscription: Subscription | None = None
        self._listener: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Timeout] = set()  # under way
        self._senders: list[asyncio.Task[None]] = []
        self._open_http: Http | None = None

    async def __aenter__(self) -> Self:
        self._open_http = Http(self._media, self._headers)
        self._senders = [asyncio.create_task(self._send_waiting()) for _ in range(SENDERS)]
        self._whereabouts.start(lambda news: self._driver.put(news))
        self._driver.put(ev.Begun())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the stream. The master keeps framework and tasks for its failover_timeout."""
        self._subscription = None
        self._driver.close()
        self._inbox.close()
        await self._whereabouts.close()
        running = [task for task in (self._listener, *self._senders) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._open_http is not None:
            await self._open_http.close()

    # What is known

    @property
    def framework_id(self) -> str | None:
        """The id the master gave; a scheduler that shall survive a restart stores it."""
        known = self._state.subscribe.framework_info.id
        return known.value if known else None

    @property
    def is_subscribed(self) -> bool:
        """Whether calls can be sent now."""
        return self._subscription is not None

    @property
    def leader(self) -> str | None:
        """The base URL of the leading master, while subscribed."""
        return self._subscription.master if self._subscription else None

    @property
    def known_tasks(self) -> dict[str, str | None]:
        """The tasks that may still run, with their agents: store it to reconcile after a restart."""
        return dict(self._state.tasks)

    def events(self) -> Events:
        """The events, in the order the master sent them, without heartbeats.

        Ends with the error that ended the client: FrameworkEnded, CallRefused or Unreachable.
        """
        return Events(self)

    # Calls: these, and those of SchedulerCalls

    async def call(self, call: scheduler.Call) -> None:
        """Send any call; the framework's id is filled in."""
        at = self._subscription
        if at is None:
            raise Disconnected(f"{call.type}: not subscribed")
        call = structs.replace(call, framework_id=self._state.subscribe.framework_info.id)
        attempt = asyncio.timeout(None)
        try:
            async with attempt:
                answer = await self._call(attempt, at, call)
        except NETWORK_ERRORS as error:
            cause = "it leads no more" if attempt.expired() else _text(error)
            raise Disconnected(f"{call.type}: {at.master}: {cause}") from error
        if answer.status in (200, 202):
            return
        is_stale = at is not self._subscription or answer.status in (307, 503)
        if is_stale or (answer.status == 403 and answer.text == NOT_SUBSCRIBED):
            raise Disconnected(f"{call.type}: {answer.status} {answer.text}")
        raise CallRefused(answer.status, answer.text)

    async def accept(
        self,
        offers: mesos.Offer | Sequence[mesos.Offer],
        tasks: Sequence[mesos.TaskInfo] = (),
        *,
        operations: Sequence[Operation] = (),
        refuse_seconds: float | None = None,
    ) -> None:
        """Use offers of one agent: carry out `operations`, then launch `tasks`.

        What is left is not offered again for `refuse_seconds` (the master's default: 5).
        """
        all_operations = tuple(operations)
        if tasks:
            launch = Operation.Launch(task_infos=tuple(tasks))
            all_operations += (Operation(type=Operation.Type.LAUNCH, launch=launch),)
        accept = scheduler.Call.Accept(
            offer_ids=ids(offers), operations=all_operations, filters=filters(refuse_seconds)
        )
        launched = tuple(_launched(all_operations))
        if self._subscription is not None:
            self._driver.put(ev.Launching(launched))
        try:
            await self.call(scheduler.Call(type=Type.ACCEPT, accept=accept))
        except CallRefused:
            self._driver.put(ev.LaunchRefused(launched))
            raise

    async def acknowledge(self, event: scheduler.Event) -> None:
        """Say that the update in `event` was dealt with: its agent sends the task's next one.

        Needed with explicit acknowledgements only; does nothing when there is nothing to say.
        Should it fail, the update is delivered again.
        """
        update = session.update_of(event)
        if update is None:
            return
        try:
            await self.call(update[1])
        except SdkError:
            self._driver.put(ev.Unhandled(event))
            raise
        self._driver.put(ev.Acknowledged(event))

    async def update_framework(
        self,
        framework: mesos.FrameworkInfo,
        *,
        suppressed_roles: Sequence[str] = (),
        offer_constraints: scheduler.OfferConstraints | None = None,
    ) -> None:
        """Change the framework's info; later subscriptions carry it, too."""
        info = structs.replace(framework, id=self._state.subscribe.framework_info.id)
        update = scheduler.Call.UpdateFramework(
            framework_info=info,
            suppressed_roles=tuple(suppressed_roles),
            offer_constraints=offer_constraints,
        )
        await self.call(scheduler.Call(type=Type.UPDATE_FRAMEWORK, update_framework=update))
        subscribe = scheduler.Call.Subscribe(
            framework_info=info,
            suppressed_roles=tuple(suppressed_roles),
            offer_constraints=offer_constraints,
        )
        self._driver.put(ev.InfoChanged(subscribe))

    # What the core has done

    @property
    def _http(self) -> Http:
        if self._open_http is None:
            raise RuntimeError("use the client inside 'async with'")
        return self._open_http

    def _act(self, action: ev.Action) -> None:
        match action:
            case ev.Subscribe(master=master, call=call):
                self._listener = asyncio.create_task(self._listen(master, call))
                self._listener.add_done_callback(self._listener_ended)
            case ev.Leave():
                self._subscription = None
                if self._listener is not None:
                    self._listener.cancel()
                self._drop_calls()
            case ev.DropCalls():
                self._drop_calls()
            case ev.Deliver(event=event):
                self._inbox.put(event)
            case ev.ForgetOffers():
                self._inbox.drop(lambda event: event.type in OFFER_EVENTS)
            case ev.Send(call=call):
                self._send_later(call)
            case ev.EndRefused(status=status, text=text):
                self._end(CallRefused(status, text))
            case ev.EndFramework(text=text):
                self._end(FrameworkEnded(text))
            case ev.EndUnreachable(text=text):
                self._end(Unreachable(text))

    async def _call(
        self, attempt: asyncio.Timeout, at: Subscription, call: scheduler.Call
    ) -> Answer:
        """The answer; `_drop_calls` ends the attempt."""
        self._calls.add(attempt)
        try:
            return await self._http.call(at.master + PATH, call, {"Mesos-Stream-Id": at.stream_id})
        finally:
            self._calls.discard(attempt)

    def _drop_calls(self) -> None:
        for attempt in self._calls:
            attempt.reschedule(0)
        self._calls.clear()

    def _end(self, error: SdkError) -> None:
        self._subscription = None
        self._inbox.close(error)

    def _listener_ended(self, listener: asyncio.Task[None]) -> None:
        """A fault of the library ends the client; it does not leave it waiting for nothing."""
        if not listener.cancelled() and isinstance(error := listener.exception(), Exception):
            self._inbox.close(error)

    async def _listen(self, master: str, call: scheduler.Call) -> None:
        """One attempt: from SUBSCRIBE until the stream is no more."""
        try:
            async with self._http.stream(master + PATH, call, scheduler.Event) as stream:
                if stream.status != 200:
                    refusal = await stream.refusal()
                    self._driver.put(ev.Answered(stream.status, refusal.text, refusal.location))
                    return
                self._driver.put(ev.Opened())
                cause = await self._read(master, stream)
        except NETWORK_ERRORS as error:
            cause = f"{master}: {_text(error)}"
        except BadPeer as error:
            cause = str(error)
        self._subscription = None
        log.info("disconnected cause=%s", cause)
        self._driver.put(ev.Broken(cause))

    async def _read(self, master: str, stream: Stream[scheduler.Event]) -> str:
        silence_ms = session.silence_ms_max(
            scheduler.Event.Subscribed(framework_id=mesos.FrameworkID(""))
        )
        while True:
            try:
                events = await stream.next_events(silence_ms)
            except TimeoutError:
                return f"{master}: no heartbeat for {silence_ms / 1000:g} s"
            if events is None:
                return f"{master}: the stream ended"
            for event in events:
                if event.subscribed is not None:
                    silence_ms = session.silence_ms_max(event.subscribed)
                    self._subscription = Subscription(master, stream.stream_id or "")
                self._driver.put(ev.Received(event))
            await self._inbox.room()

    def _send_later(self, call: scheduler.Call) -> None:
        try:
            self._outbox.put_nowait(call)
        except asyncio.QueueFull:
            log.warning("call_dropped type=%s waiting=%d", call.type, SENDING_MAX)

    async def _send_waiting(self) -> None:
        while True:
            call = await self._outbox.get()
            try:
                await self.call(call)
            except SdkError as error:
                # An update comes again from its agent, a reconciliation is repeated by the core.
                log.debug("call_failed type=%s error=%s", call.type, error)
            finally:
                self._outbox.task_done()

    def _was_handled(self, event: scheduler.Event) -> None:
        self._driver.put(ev.Handled(event, acknowledge=self._acknowledges))

    async def _flush(self, timeout_s: float) -> None:
        """Acknowledgements that are still to be sent have been, or `timeout_s` have passed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._outbox.join()
        except TimeoutError:
            log.warning("acknowledgements_unsent count=%d", self._outbox.qsize())


class Events:
    """Iterates over events; asking for the next one says that the last one was handled.

    An event whose loop body raised, or left the loop, was not: its update comes again.
    """

    def __init__(self, client: SchedulerClient) -> None:
        self._client = client
        self._last: scheduler.Event | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> scheduler.Event:
        if self._last is not None:
            self._client._was_handled(self._last)
            self._last = None
        event = await self._client._inbox.get()
        if event is None:
            raise StopAsyncIteration
        self._last = event
        return event


def _launched(operations: Iterable[Operation]) -> Iterable[mesos.TaskInfo]:
    for operation in operations:
        if operation.launch is not None:
            yield from operation.launch.task_infos
        if operation.launch_group is not None:
            yield from operation.launch_group.task_group.tasks


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
