"""Connections of good schedulers: one written by hand over sockets, one the public library's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import structs

from bench.hostile_wire import HOST, LOST, Reader, Writer, read_answer, send
from bench.soak_service import Service
from tepui.sdk import CallRefused, Disconnected, FrameworkEnded, SchedulerClient
from tepui.sdk.calls import SchedulerCalls, filters, ids
from tepui.wire import mesos, scheduler
from tepui.wire.media import Media, decode, encode
from tepui.wire.recordio import Deframer

PATH: Final = "/api/v1/scheduler"
CALLS_MAX: Final = 16  # under way at a time, each on a connection
CALL_S: Final = 30.0
SUBSCRIBE_S: Final = 30.0
RECORD_BYTES_MAX: Final = 64 * 1024 * 1024
RETRY_S: Final = 0.2
Operation = mesos.Offer.Operation
Type = scheduler.Call.Type


class HandClient(SchedulerCalls):
    """A scheduler's connections with nothing between it and the sockets."""

    def __init__(
        self, port: int, framework: mesos.FrameworkInfo, media: Media, service: Service
    ) -> None:
        self._port = port
        self._framework = framework
        self._media = media
        self._service = service
        self._free: list[tuple[Reader, Writer]] = []
        self._turns = asyncio.Semaphore(CALLS_MAX)
        self._stream_id: str | None = None
        self._stream: Writer | None = None
        self._is_closed = False
        self.leaves = False  # its stream may end now

    @property
    def framework_id(self) -> str | None:
        """The id that the master gave."""
        return self._framework.id.value if self._framework.id else None

    async def open(self) -> None:
        """Nothing yet: `events` subscribes."""

    async def close(self) -> None:
        """Leave the stream and close all connections."""
        self._is_closed = True
        self._stream_id = None
        if self._stream is not None:
            self._stream.transport.abort()
        for _, writer in self._free:
            writer.transport.abort()
        self._free.clear()

    async def events(self) -> AsyncIterator[scheduler.Event]:
        """All events; subscribes again when a stream ends. Raises FrameworkEnded, CallRefused."""
        while not self._is_closed:
            try:
                async for event in self._one_stream():
                    yield event
                reason = "the stream ended"
            except LOST as error:
                reason = type(error).__name__
            self._stream_id = None
            if self.leaves:
                return
            if not self._is_closed:
                self._service.errors[f"stream: {reason}"] += 1
                await asyncio.sleep(RETRY_S)

    async def call(self, call: scheduler.Call) -> None:
        """Send any call; the framework's id is filled in."""
        stream_id = self._stream_id
        if stream_id is None:
            raise Disconnected("not subscribed")
        call = structs.replace(call, framework_id=self._framework.id)
        try:
            async with self._turns:
                with self._service.timed(self._service.calls_s):
                    status, body = await self._post(call, stream_id)
        except LOST as error:
            raise Disconnected(f"{call.type}: {type(error).__name__} {error}") from error
        if status in (200, 202):
            return
        text = body.decode("utf-8", "replace")
        if stream_id != self._stream_id or status == 403:
            raise Disconnected(f"{call.type}: {status} {text}")
        raise CallRefused(status, text)

    async def accept(
        self,
        offers: mesos.Offer | Sequence[mesos.Offer],
        tasks: Sequence[mesos.TaskInfo] = (),
        *,
        refuse_seconds: float | None = None,
    ) -> None:
        """Launch the tasks on the offers."""
        launch = Operation(
            type=Operation.Type.LAUNCH, launch=Operation.Launch(task_infos=tuple(tasks))
        )
        accept = scheduler.Call.Accept(
            offer_ids=ids(offers), operations=(launch,), filters=filters(refuse_seconds)
        )
        await self.call(scheduler.Call(type=Type.ACCEPT, accept=accept))

    async def _post(self, call: scheduler.Call, stream_id: str) -> tuple[int, bytes]:
        request = self._request(call, f"Mesos-Stream-Id: {stream_id}\r\n")
        async with asyncio.timeout(CALL_S):
            reader, writer = self._free.pop() if self._free else await self._connected()
            try:
                send(writer, request)
                answer = await read_answer(reader)
            except BaseException:
                writer.transport.abort()
                raise
        if self._is_closed:
            writer.transport.abort()
        else:
            self._free.append((reader, writer))
        return answer

    async def _one_stream(self) -> AsyncIterator[scheduler.Event]:
        framework = scheduler.Call.Subscribe(framework_info=self._framework)
        call = scheduler.Call(
            type=Type.SUBSCRIBE, subscribe=framework, framework_id=self._framework.id
        )
        reader, writer = await self._connected()
        self._stream = writer
        try:
            async with asyncio.timeout(SUBSCRIBE_S):
                send(writer, self._request(call))
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if not head.startswith("HTTP/1.1 200"):
                raise CallRefused(int(head[9:12]), (await reader.read(1000)).decode())
            stream_id = head.lower().partition("mesos-stream-id: ")[2].partition("\r\n")[0]
            records = Deframer(RECORD_BYTES_MAX)
            while size := int(await reader.readuntil(b"\r\n"), 16):
                for record in records.feed((await reader.readexactly(size + 2))[:-2]):
                    event = decode(scheduler.Event, record, self._media)
                    self._note(event, stream_id)
                    yield event
        finally:
            writer.transport.abort()

    def _note(self, event: scheduler.Event, stream_id: str) -> None:
        if event.subscribed is not None:
            framework_id = event.subscribed.framework_id
            self._framework = structs.replace(self._framework, id=framework_id)
            self._stream_id = stream_id
        elif event.error is not None:
            self._stream_id = None
            raise FrameworkEnded(event.error.message)

    def _request(self, call: scheduler.Call, headers: str = "") -> bytes:
        body = encode(call, self._media)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {self._media.value}\r\n"
            f"Accept: {self._media.value}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _connected(self) -> tuple[Reader, Writer]:
        return await asyncio.open_connection(HOST, self._port)


class SdkClient(SchedulerClient):
    """The public library's connection, its calls timed."""

    def __init__(
        self, port: int, framework: mesos.FrameworkInfo, media: Media, service: Service
    ) -> None:
        super().__init__(f"{HOST}:{port}", framework, media=media, explicit_acknowledgements=True)
        self._service = service
        self.leaves = False

    async def open(self) -> None:
        """Begin to subscribe."""
        await self.__aenter__()

    async def call(self, call: scheduler.Call) -> None:
        """As the library does, timed; what fails before it is sent is not."""
        if not self.is_subscribed:
            raise Disconnected("not subscribed")
        with self._service.timed(self._service.calls_s):
            await super().call(call)


Client = HandClient | SdkClient
