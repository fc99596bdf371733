"""What hostile clients are made of: raw connections, a pace, and a count of what they did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from random import Random
from typing import Any, Final

from msgspec import Struct

HOST: Final = "127.0.0.1"
SCHEDULER: Final = "/api/v1/scheduler"
CONNECT_S: Final = 10.0
ANSWER_S: Final = 10.0
READ_BYTES: Final = 64 * 1024
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close() sends a reset
LOST: Final = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Target(Struct, frozen=True):
    """Whom to harm."""

    master: int  # ports
    agents: tuple[int, ...] = ()


class Pace:
    """Holds this process to a share of one processor, so that what is measured is the master."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._began_s, self._used_s = time.monotonic(), time.process_time()

    async def turn(self) -> None:
        """Return when this process has again used less than its share; let others run."""
        used_s = time.process_time() - self._used_s
        ahead_s = used_s / self._share - (time.monotonic() - self._began_s)
        await asyncio.sleep(max(0.0, ahead_s))


class Hostile:
    """One kind of client. `run` goes on until it is cancelled; `counts` says what was done.

    A subclass is known by its `name` and opens connections with `connected`, which counts what
    the master does to them. Nothing that the master does ends it.
    """

    name = ""

    def __init__(self, target: Target, seed: int = 0, share: float = 0.4) -> None:
        self.target = target
        self.random = Random(seed)
        self.pace = Pace(share)
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Do harm until cancelled."""
        await self.forever(self.attack)

    async def attack(self) -> None:
        """One attempt, repeated by `run`."""
        raise AssertionError(f"{type(self).__name__} does nothing")

    async def forever(self, attempt: Callable[[], Awaitable[None]], pause_s: float = 0.0) -> None:
        """Make attempts one after the other, whatever becomes of each."""
        while True:
            try:
                await attempt()
            except LOST as error:
                self.counts[f"lost {type(error).__name__}"] += 1
                await asyncio.sleep(0.05)
            await self.pace.turn()
            await asyncio.sleep(pause_s)

    async def crowd(self, number: int, attempt: Callable[[], Awaitable[None]]) -> None:
        """So many of them at a time, for ever."""
        await together(self.forever(attempt) for _ in range(number))

    @contextlib.asynccontextmanager
    async def connected(
        self, port: int | None = None, *, buffer_bytes: int | None = None
    ) -> AsyncIterator[tuple[Reader, Writer]]:
        """A connection, closed with the block."""
        made = socket.socket()
        made.setblocking(False)
        if buffer_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        try:
            async with asyncio.timeout(CONNECT_S):
                at = (HOST, self.target.master if port is None else port)
                await asyncio.get_running_loop().sock_connect(made, at)
            reader, writer = await asyncio.open_connection(sock=made, limit=READ_BYTES)
        except BaseException:
            made.close()
            raise
        self.counts["connections"] += 1
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def answer(self, reader: Reader) -> tuple[int, bytes]:
        """The next answer, counted by its status."""
        async with asyncio.timeout(ANSWER_S):
            status, body = await read_answer(reader)
        self.counts[f"{status}"] += 1
        return status, body

    async def ask(self, request: bytes, port: int | None = None) -> tuple[int, bytes]:
        """Send one request on a connection of its own."""
        async with self.connected(port) as (reader, writer):
            send(writer, request)
            return await self.answer(reader)

    def any_port(self) -> int:
        """Mostly the master's, sometimes an agent's."""
        if self.target.agents and self.random.random() < 0.25:
            return self.random.choice(self.target.agents)
        return self.target.master


def send(writer: Writer, data: bytes) -> None:
    """Write; a connection that is gone is LOST. (uvloop raises RuntimeError then.)"""
    if writer.is_closing():
        raise ConnectionResetError("the connection is gone")
    writer.write(data)


async def read_answer(reader: Reader) -> tuple[int, bytes]:
    """Status and body of an answer; of a stream its head only."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return status, await reader.readexactly(int(line.partition(b":")[2]))
    return status, b""


async def drained(reader: Reader, counts: Counter[str]) -> None:
    """Read and count answers by their status line, until the connection ends."""
    rest = b""
    while data := await reader.read(READ_BYTES):
        data = rest + data
        for part in data.split(b"HTTP/1.1 ")[1:]:
            if len(part) >= 3:
                counts[part[:3].decode("latin-1")] += 1
        rest = data[-9:] if data[-9:] in b"HTTP/1.1 " else b""


async def together(doing: Iterable[Coroutine[None, None, None]]) -> None:
    """Do all at the same time; the first that fails ends the others."""
    async with asyncio.TaskGroup() as group:
        for one in doing:
            group.create_task(one)


def request(
    path: str, body: bytes = b"", *, method: str = "", headers: Iterable[str] = ()
) -> bytes:
    """A request in JSON."""
    lines = [
        f"{method or ('POST' if body else 'GET')} {path} HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        "Accept: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def call(kind: str, **fields: object) -> bytes:
    """The body of a call."""
    return json.dumps({"type": kind, **fields}).encode()


def subscription(name: str, failover_s: float = 0.0, framework_id: str | None = None) -> bytes:
    """A whole SUBSCRIBE request."""
    info: dict[str, object] = {
        "user": "root",
        "name": name,
        "roles": ["*"],
        "failover_timeout": failover_s,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}],
    }
    if framework_id is not None:
        info["id"] = {"value": framework_id}
    return request(SCHEDULER, call("SUBSCRIBE", subscribe={"framework_info": info}))


def reset(writer: Writer) -> None:
    """Close the connection with a reset."""
    made = writer.get_extra_info("socket")
    if made is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def records(reader: Reader) -> AsyncIterator[dict[str, Any]]:
    """The events of a stream in JSON, one in each chunk as this master writes them."""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunk = await reader.readexactly(size + 2)
        yield json.loads(chunk[chunk.index(b"\n") + 1 : -2])
