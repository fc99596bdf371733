"""A master on real sockets, and peers that say whatever a test has them say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from tepui.base.names import Role
from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.resources import parse_resources
from tepui.wire import link, media, mesos, recordio, scheduler
from tepui.wire.media import Media

DEADLINE_S = 30.0  # for anything that is awaited
UPGRADE = b"GET /link HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
RECORD_BYTES_MAX = 1 << 30

Call = scheduler.Call
Event = scheduler.Event

_open: list[asyncio.StreamWriter] = []  # the clients of the test that runs


async def connect(
    port: int, *, receive_bytes: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that is closed when the master stops; with a small window if told."""
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection)
    _open.append(writer)
    return reader, writer


async def close_all() -> None:
    """Every connection of the test is gone."""
    for writer in _open:
        writer.transport.abort()
    _open.clear()
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running_master() -> AsyncIterator[MasterDaemon]:
    """A master that serves on a port of its own."""
    daemon = MasterDaemon(MasterOptions(port=0))
    await daemon.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield daemon
    finally:
        await daemon.stop()
        await close_all()


class Link:
    """The agent's side of a link that was just opened."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._messages = link.LinkReader()
        self._heard: list[link.FromMaster] = []

    @classmethod
    async def open(cls, port: int, sent: bytes = b"", *, receive_bytes: int = 0) -> Link:
        """Connected, upgraded, and greeted by the master; `sent` follows the upgrade at once."""
        reader, writer = await connect(port, receive_bytes=receive_bytes)
        writer.write(UPGRADE + sent)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self = cls(reader, writer)
        assert isinstance(await self.hear(), link.Hello)
        return self

    @classmethod
    async def registered(cls, port: int, name: str = "h") -> Link:
        """The same for an agent that the master has taken."""
        self = await cls.open(port)
        self.say(link.Hello(link.PROTOCOL, "1"), register(name))
        assert isinstance(await self.hear(), link.Registered)
        return self

    def say(self, *messages: link.FromAgent) -> None:
        """Send the messages."""
        self.writer.write(b"".join(link.frame(message) for message in messages))

    async def hear(self) -> link.FromMaster | None:
        """The next message but pings; None when the master has closed the link."""
        while not self._heard:
            try:
                data = await self.reader.read(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._heard += [
                message
                for message in self._messages.from_master(data)
                if not isinstance(message, link.Ping)
            ]
        return self._heard.pop(0)

    def close(self) -> None:
        self.writer.transport.abort()


def register(name: str = "h") -> link.Register:
    """An agent of that hostname, at an address of its own."""
    info = mesos.AgentInfo(
        hostname=name,
        resources=parse_resources("cpus:4;mem:1024").to_wire(role=None, refinement=True),
    )
    return link.Register(info, "1", f"{name}:5051")


def raw_frame(body: bytes) -> bytes:
    """Any bytes as a message of the link."""
    return struct.pack(">I", len(body)) + body


class Stream:
    """A scheduler's stream of events."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Media, head: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.kind = kind
        self.id = header_of(head, "mesos-stream-id")
        self.framework_id = ""
        self._records = recordio.Deframer(RECORD_BYTES_MAX)
        self._events: list[Event] = []
        self._chunks = chunks(reader)

    @classmethod
    async def open(
        cls, port: int, kind: Media = Media.JSON, *, name: str = "fw", receive_bytes: int = 0
    ) -> Stream:
        """A subscribed scheduler, once it knows its id."""
        info = mesos.FrameworkInfo(
            user="root",
            name=name,
            roles=(Role("*"),),
            failover_timeout=60.0,
            capabilities=(
                mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE),
            ),
        )
        call = Call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe(framework_info=info))
        reader, writer = await connect(port, receive_bytes=receive_bytes)
        writer.write(post("/api/v1/scheduler", media.encode(call, kind), kind))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        assert head.startswith("HTTP/1.1 200 "), head
        self = cls(reader, writer, kind, head)
        subscribed = await self.next()
        assert subscribed is not None
        assert subscribed.subscribed is not None
        self.framework_id = subscribed.subscribed.framework_id.value
        return self

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        while not self._events:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return None
            for record in self._records.feed(chunk):
                self._events.append(media.decode(Event, record, self.kind))
        return self._events.pop(0)

    async def next_of(self, kind: Event.Type) -> Event:
        """The next event of that kind."""
        while (event := await self.next()) is not None:
            if event.type is kind:
                return event
        raise AssertionError(f"the stream ended before {kind}")

    def close(self) -> None:
        self.writer.transport.abort()


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of an answer, until it or its connection ends."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while size := int(await reader.readline() or b"0", 16):
            chunk = await reader.readexactly(size)
            await reader.readexactly(2)
            yield chunk


def post(path: str, body: bytes, kind: Media = Media.JSON, *headers: str) -> bytes:
    """A POST as it travels."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: m",
        f"Content-Type: {kind.value}",
        f"Accept: {kind.value}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def header_of(head: str, name: str) -> str:
    """The value of a header of an answer; empty without it."""
    for line in head.split("\r\n"):
        found, _, value = line.partition(": ")
        if found.lower() == name:
            return value
    return ""


async def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a GET on a connection of its own."""
    reader, writer = await connect(port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


async def answer_of(port: int, path: str, body: bytes, content_type: str) -> tuple[int, bytes]:
    """Status and body of the answer to a POST, on a connection of its own."""
    reader, writer = await connect(port)
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: m",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), answer
