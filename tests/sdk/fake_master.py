"""A master and agent of a few lines: streams, calls and answers as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tepui.wire import agent, executor, master, mesos, scheduler
from tepui.wire.media import Media, decode, encode
from tepui.wire.recordio import frame

Type = scheduler.Event.Type
DEADLINE_S = 10.0


class FakeStream:
    """The answer to one SUBSCRIBE, on which the test sends what it likes."""

    def __init__(self, call: scheduler.Call, response: web.StreamResponse, media: Media) -> None:
        self.subscribe = call
        self._response = response
        self._media = media
        self._ended = asyncio.Event()
        self._request: web.BaseRequest | None = None

    async def send(self, event: scheduler.Event) -> None:
        """Send one event in one chunk."""
        await self._response.write(frame(encode(event, self._media)))

    async def send_bytes(self, data: bytes) -> None:
        """Send a part of a record."""
        await self._response.write(data)

    def end(self) -> None:
        """End the stream properly."""
        self._ended.set()

    def cut(self, request: web.BaseRequest) -> None:
        """Close the connection without a proper end."""
        if request.transport is not None:
            request.transport.abort()
        self._ended.set()

    async def wait_ended(self) -> None:
        await self._ended.wait()


class FakeMaster:
    """Takes any SUBSCRIBE and any call, and keeps them for the test.

    `answers` are given to calls before 202: (status, text). `subscribe_answers` likewise to
    SUBSCRIBE, with the Location as text of a 307.
    """

    def __init__(self, port: int = 0, heartbeat_interval_s: float = 15.0) -> None:
        self.port = port
        self.heartbeat_interval_s = heartbeat_interval_s
        self.framework_id = "fw-1"
        self.calls: asyncio.Queue[scheduler.Call] = asyncio.Queue()
        self.stream_ids: list[str] = []
        self.streams: asyncio.Queue[FakeStream] = asyncio.Queue()
        self.answers: list[tuple[int, str]] = []
        self.subscribe_answers: list[tuple[int, str]] = []
        self.leader: str | None = None
        self.greets = True
        self.answers_calls = True
        self.requests: dict[FakeStream, web.BaseRequest] = {}
        self.open: list[FakeStream] = []
        self.files: dict[str, bytes] = {}
        self.operator_events: list[master.Event] = []
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/scheduler", self._scheduler)
        app.router.add_post("/api/v1", self._operator)
        app.router.add_get("/redirect", self._redirect)
        app.router.add_get("/state", self._state)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Cut every stream and close the port, which stays known for a next `start`."""
        for stream in self.open:
            stream.cut(self.requests[stream])
        self.open.clear()
        if self._runner is not None:
            await self._runner.cleanup()

    async def next_stream(self) -> FakeStream:
        async with asyncio.timeout(DEADLINE_S):
            return await self.streams.get()

    async def next_call(self, kind: scheduler.Call.Type) -> scheduler.Call:
        """The next call of this type; others before it are dropped."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                call = await self.calls.get()
                if call.type is kind:
                    return call

    async def _scheduler(self, request: web.Request) -> web.StreamResponse:
        media = Media(request.headers["Content-Type"])
        call = decode(scheduler.Call, await request.read(), media)
        if call.type is not scheduler.Call.Type.SUBSCRIBE:
            self.stream_ids.append(request.headers.get("Mesos-Stream-Id", ""))
            self.calls.put_nowait(call)
            if not self.answers_calls:
                await asyncio.get_running_loop().create_future()
            status, text = self.answers.pop(0) if self.answers else (202, "")
            return web.Response(status=status, text=text)
        if self.leader is not None:
            location = f"//{self.leader}/master/api/v1/scheduler"
            return web.Response(status=307, headers={"Location": location})
        if self.subscribe_answers:
            status, text = self.subscribe_answers.pop(0)
            return web.Response(status=status, text=text)
        response = web.StreamResponse(
            headers={"Content-Type": media.value, "Mesos-Stream-Id": f"stream-{len(self.requests)}"}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        stream = FakeStream(call, response, media)
        self.requests[stream] = request
        self.open.append(stream)
        if self.greets:
            await stream.send(self.subscribed())
        self.streams.put_nowait(stream)
        await stream.wait_ended()
        return response

    def subscribed(self) -> scheduler.Event:
        return scheduler.Event(
            type=Type.SUBSCRIBED,
            subscribed=scheduler.Event.Subscribed(
                framework_id=mesos.FrameworkID(self.framework_id),
                heartbeat_interval_seconds=self.heartbeat_interval_s,
            ),
        )

    async def _operator(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.leader is not None:
            return web.Response(status=307, headers={"Location": f"//{self.leader}/master/api/v1"})
        if b"READ_FILE" in body:
            return self._read_file(decode(agent.Call, body, Media.JSON))
        call = decode(master.Call, body, Media.JSON)
        if call.type is master.Call.Type.SUBSCRIBE:
            response = web.StreamResponse(headers={"Content-Type": Media.JSON.value})
            response.enable_chunked_encoding()
            await response.prepare(request)
            for event in self.operator_events:
                await response.write(frame(encode(event, Media.JSON)))
            return response
        if call.type is master.Call.Type.GET_AGENTS:
            answer = master.Response(
                type=master.Response.Type.GET_AGENTS, get_agents=master.Response.GetAgents()
            )
            return web.Response(body=encode(answer, Media.JSON))
        return web.Response(status=403, text="not allowed")

    def _read_file(self, call: agent.Call) -> web.Response:
        assert call.read_file is not None
        found = self.files.get(call.read_file.path)
        if found is None:
            return web.Response(status=404)
        at, length = call.read_file.offset, call.read_file.length or len(found)
        read = agent.Response.ReadFile(size=len(found), data=found[at : at + length])
        answer = agent.Response(type=agent.Response.Type.READ_FILE, read_file=read)
        return web.Response(body=encode(answer, Media.JSON))

    async def _redirect(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"//{self.leader or self.address}"})

    async def _state(self, request: web.Request) -> web.Response:
        return web.Response(text='{"cluster": "fake", "slaves": []}')


@asynccontextmanager
async def frozen_master() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The address of one that takes connections and answers none; the event is set by the first."""
    asked = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


class FakeAgent:
    """Takes an executor's SUBSCRIBE and calls, and acknowledges updates unless told otherwise."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.acknowledges = True
        self.answers: list[tuple[int, str]] = []
        self.calls: asyncio.Queue[executor.Call] = asyncio.Queue()
        self.subscriptions: asyncio.Queue[executor.Call] = asyncio.Queue()
        self._response: web.StreamResponse | None = None
        self._request: web.Request | None = None
        self._ended = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/v1/executor", self._executor)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()
        self._ended.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def send(self, event: executor.Event) -> None:
        assert self._response is not None
        await self._response.write(frame(encode(event, Media.JSON)))

    async def next_subscription(self) -> executor.Call:
        async with asyncio.timeout(DEADLINE_S):
            return await self.subscriptions.get()

    async def next_call(self, kind: executor.Call.Type) -> executor.Call:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                call = await self.calls.get()
                if call.type is kind:
                    return call

    async def _executor(self, request: web.Request) -> web.StreamResponse:
        call = decode(executor.Call, await request.read(), Media.JSON)
        if self.answers:
            status, text = self.answers.pop(0)
            return web.Response(status=status, text=text)
        if call.type is not executor.Call.Type.SUBSCRIBE:
            self.calls.put_nowait(call)
            if call.update is not None and self.acknowledges:
                await self.send(acknowledged(call.update.status))
            return web.Response(status=202)
        self._request = request
        self._ended = asyncio.Event()
        response = web.StreamResponse(headers={"Content-Type": Media.JSON.value})
        response.enable_chunked_encoding()
        await response.prepare(request)
        self._response = response
        await self.send(executor_subscribed())
        self.subscriptions.put_nowait(call)
        await self._ended.wait()
        return response


def acknowledged(status: mesos.TaskStatus) -> executor.Event:
    assert status.uuid is not None
    return executor.Event(
        type=executor.Event.Type.ACKNOWLEDGED,
        acknowledged=executor.Event.Acknowledged(task_id=status.task_id, uuid=status.uuid),
    )


def executor_subscribed() -> executor.Event:
    return executor.Event(
        type=executor.Event.Type.SUBSCRIBED,
        subscribed=executor.Event.Subscribed(
            executor_info=mesos.ExecutorInfo(executor_id=mesos.ExecutorID("ex")),
            framework_info=mesos.FrameworkInfo(user="me", name="test"),
            agent_info=mesos.AgentInfo(hostname="here"),
        ),
    )


def offer(offer_id: str = "o1", cpus: float = 4.0, mem_mib: float = 4096.0) -> mesos.Offer:
    """An offer of agent `a1`."""
    return mesos.Offer(
        id=mesos.OfferID(offer_id),
        framework_id=mesos.FrameworkID("fw-1"),
        agent_id=mesos.AgentID("a1"),
        hostname="here",
        resources=(
            scalar("cpus", cpus),
            scalar("mem", mem_mib),
            mesos.Resource(
                name="ports",
                type=mesos.Value.Type.RANGES,
                ranges=mesos.Value.Ranges(range=(mesos.Value.Range(begin=31000, end=31003),)),
            ),
        ),
    )


def scalar(name: str, amount: float, role: str | None = None) -> mesos.Resource:
    """A scalar resource, statically reserved to `role` if given."""
    return mesos.Resource(
        name=name,
        type=mesos.Value.Type.SCALAR,
        scalar=mesos.Value.Scalar(amount),
        role=role or "*",
        allocation_info=mesos.Resource.AllocationInfo(role=role or "web"),
    )


def offers(*made: mesos.Offer) -> scheduler.Event:
    return scheduler.Event(type=Type.OFFERS, offers=scheduler.Event.Offers(offers=made))


def update(task_id: str, state: mesos.TaskState, uuid: bytes | None = b"u" * 16) -> scheduler.Event:
    """An update of a task on `a1`; without `uuid` it is an answer to a reconciliation."""
    status = mesos.TaskStatus(
        task_id=mesos.TaskID(task_id), state=state, agent_id=mesos.AgentID("a1"), uuid=uuid
    )
    return scheduler.Event(type=Type.UPDATE, update=scheduler.Event.Update(status=status))


HEARTBEAT = scheduler.Event(type=Type.HEARTBEAT)


@asynccontextmanager
async def fake_master(
    prepare: Callable[[FakeMaster], None] = lambda fake: None,
) -> AsyncIterator[FakeMaster]:
    """A master that runs until the block is left."""
    fake = FakeMaster()
    prepare(fake)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.kill()
