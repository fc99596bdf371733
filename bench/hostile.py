"""Clients that mean harm, or are broken: each kind a small class, for soak runs and for tests.

    python -m bench.hostile slow_body --master 5050 --agent 5051 --seconds 10

A kind runs in a process of its own, with low priority and a share of one processor, and says at the
end as one line of JSON what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import resource
import signal
from typing import Final

import uvloop

from bench.hostile_peers import PEERS
from bench.hostile_wire import (
    HOST,
    LOST,
    SCHEDULER,
    Hostile,
    Target,
    call,
    drained,
    request,
    reset,
    send,
    subscription,
    together,
)
from tepui.web.http import BODY_BYTES_MAX

CROWD: Final = 200  # connections of those that are slow
WAVE: Final = 5_000  # connections of one wave
OPENING: Final = 250  # of them at a time
FLOOD_BYTES: Final = 512 * 1024  # of calls in one write
CALLS_PER_S: Final = 100_000
HUGE_BYTES: Final = BODY_BYTES_MAX + 1024 * 1024  # more than a daemon takes
LARGE_BYTES: Final = BODY_BYTES_MAX - 1024 * 1024  # less than that
NICE: Final = 10


class SlowReader(Hostile):
    """Reads four bytes a second of event streams and of large answers."""

    name = "slow_reader"

    async def run(self) -> None:
        await self.crowd(CROWD, self.attack)

    async def attack(self) -> None:
        wanted = self.random.choice(
            (
                request("/state"),
                request("/api/v1", call("GET_STATE")),
                request("/api/v1", call("SUBSCRIBE")),
                subscription("hostile-slow"),
            )
        )
        async with self.connected(buffer_bytes=2048) as (reader, writer):
            reader._limit = 1024  # type: ignore[attr-defined] # so that little is read ahead
            send(writer, wanted)
            while await reader.read(4):
                self.counts["reads"] += 1
                await asyncio.sleep(1)


class NeverReads(Hostile):
    """Asks for large answers over and over on connections that it never reads."""

    name = "never_reads"

    async def run(self) -> None:
        await self.crowd(20, self.attack)

    async def attack(self) -> None:
        wanted = self.random.choice(
            (
                request("/state") * 100,
                request("/api/v1", call("GET_STATE")) * 100,
                request("/api/v1", call("SUBSCRIBE")),
                subscription("hostile-deaf"),
            )
        )
        async with self.connected(buffer_bytes=2048) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined] # TCP has it
            send(writer, wanted)
            self.counts["requests"] += 1
            await asyncio.sleep(3600)


class SlowHead(Hostile):
    """Sends a request's head a byte a second."""

    name = "slow_head"

    async def run(self) -> None:
        await self.crowd(CROWD, self.attack)

    async def attack(self) -> None:
        async with self.connected(self.any_port()) as (_, writer):
            for byte in request("/health", headers=("X-Slow: " + "x" * 4000,)):
                send(writer, bytes((byte,)))
                await writer.drain()
                self.counts["bytes"] += 1
                await asyncio.sleep(1)


class SlowBody(Hostile):
    """Sends a body a byte a second."""

    name = "slow_body"

    async def run(self) -> None:
        await self.crowd(CROWD, self.attack)

    async def attack(self) -> None:
        async with self.connected(self.any_port()) as (_, writer):
            send(writer, request(SCHEDULER, b" " * 100_000)[:-100_000])
            while True:
                send(writer, b" ")
                await writer.drain()
                self.counts["bytes"] += 1
                await asyncio.sleep(1)


class ManyConnections(Hostile):
    """Opens thousands of connections, lets them be, closes them all, and opens them again."""

    name = "connections"
    wave = WAVE

    async def attack(self) -> None:
        await raise_file_limit()
        async with contextlib.AsyncExitStack() as stack:
            opening = asyncio.Semaphore(OPENING)

            async def opened() -> None:
                async with opening:
                    try:
                        _, writer = await stack.enter_async_context(self.connected(self.any_port()))
                        send(writer, request("/health"))
                    except LOST as error:
                        self.counts[f"lost {type(error).__name__}"] += 1
                    await self.pace.turn()

            await together(opened() for _ in range(self.wave))
            self.counts["waves"] += 1
            await asyncio.sleep(2)


class Flood(Hostile):
    """Sends pipelined calls as fast as the master takes them, and reads the answers."""

    connections = 1

    def calls(self) -> list[bytes]:
        """What is sent, in turn."""
        return [request(SCHEDULER, b"{" + self.random.randbytes(40).hex().encode())]

    async def run(self) -> None:
        self._burst = b""
        self._each = 0
        calls = self.calls()
        while len(self._burst) < FLOOD_BYTES:
            self._burst += self.random.choice(calls)
            self._each += 1
        await self.crowd(self.connections, self.attack)

    async def attack(self) -> None:
        async with self.connected() as (reader, writer):
            reading = asyncio.create_task(drained(reader, self.counts))
            try:
                while not reading.done():
                    send(writer, self._burst)
                    async with asyncio.timeout(3600):
                        await writer.drain()
                    self.counts["sent"] += self._each
                    await self.pace.turn()
                    await asyncio.sleep(self._each * self.connections / CALLS_PER_S)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


class GarbageFlood(Flood):
    """Calls that are no JSON, over one connection."""

    name = "flood_garbage_1"


class GarbageFloods(Flood):
    """Calls that are no JSON, over fifty connections."""

    name = "flood_garbage_50"
    connections = 50


class WrongFlood(Flood):
    """Calls that are well formed and of nobody, over one connection."""

    name = "flood_wrong_1"

    def calls(self) -> list[bytes]:
        nobody = {"value": "nobody"}
        stream = ("Mesos-Stream-Id: 0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0",)
        uuid = "aGVsbG8gaGVsbG8gaGVsbA=="
        acknowledge = {"agent_id": nobody, "task_id": nobody, "uuid": uuid}
        bodies = (
            call("ACKNOWLEDGE", framework_id=nobody, acknowledge=acknowledge),
            call("DECLINE", framework_id=nobody, decline={"offer_ids": [nobody] * 10}),
            call("RECONCILE", framework_id=nobody, reconcile={"tasks": [{"task_id": nobody}]}),
            call("KILL", framework_id=nobody, kill={"task_id": nobody}),
            call("REVIVE", framework_id=nobody),
            call("TEARDOWN", framework_id=nobody),
        )
        return [request(SCHEDULER, body, headers=stream) for body in bodies]


class WrongFloods(WrongFlood):
    """Calls that are well formed and of nobody, over fifty connections."""

    name = "flood_wrong_50"
    connections = 50


class ReadFloods(Flood):
    """Asks for the whole state as fast as it comes, over ten connections."""

    name = "flood_state_10"
    connections = 10

    def calls(self) -> list[bytes]:
        return [request("/state"), request("/api/v1", call("GET_STATE"))]


class RandomBytes(Hostile):
    """Sends noise, some of which begins as a request does."""

    name = "random_bytes"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        noise = self.random.randbytes(self.random.choice((10, 1_000, 100_000)))
        start = self.random.choice(
            (b"", b"GET ", b"POST /api/v1/scheduler HTTP/1.1\r\n", b"\x16\x03")
        )
        async with self.connected(self.any_port()) as (reader, writer):
            send(writer, start + noise)
            await self.answer(reader)


class HalfRequests(Hostile):
    """Sends a part of a request and resets the connection, at times when the answer is under way."""

    name = "half_requests"

    async def run(self) -> None:
        await self.crowd(20, self.attack)

    async def attack(self) -> None:
        whole = self.random.choice(
            (
                request("/state"),
                subscription("hostile-half"),
                request(SCHEDULER, b"x" * 5_000),
                request("/api/v1", call("SUBSCRIBE")),
                b"GET /link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n",
            )
        )
        async with self.connected(self.any_port()) as (_, writer):
            send(writer, whole[: self.random.randint(1, len(whole) * 2)])
            await writer.drain()
            await asyncio.sleep(self.random.choice((0, 0, 0.01)))
            reset(writer)
            self.counts["resets"] += 1


class HugeHeaders(Hostile):
    """Sends headers without end: long ones, and many."""

    name = "huge_headers"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        async with self.connected(self.any_port()) as (reader, writer):
            head = request("/health")[:-2]
            send(writer, head)
            piece = self.random.choice((b"x" * 60_000, b"X-Many: y\r\n" * 5_000, b"\r\nX: y"))
            if self.random.random() < 0.5:
                send(writer, b"X-Long: ")
            for _ in range(200):
                send(writer, piece)
                await writer.drain()
                self.counts["bytes"] += len(piece)
                await self.pace.turn()
            send(writer, b"\r\n\r\n")
            await self.answer(reader)


class HugeBodies(Hostile):
    """Sends bodies that are too large, and such that are just not: declared and in chunks."""

    name = "huge_bodies"

    async def run(self) -> None:
        await self.crowd(4, self.attack)

    async def attack(self) -> None:
        size = self.random.choice((HUGE_BYTES, LARGE_BYTES))
        is_chunked = self.random.random() < 0.5
        path = self.random.choice((SCHEDULER, "/api/v1"))
        body = request(path, b"[" * 10)
        head, _, _ = body.partition(b"Content-Length")
        length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
        piece = self.random.choice((b"[" * 65_536, b'{"type":' * 8_192, b"\0" * 65_536))
        sent = 0
        async with self.connected(self.any_port()) as (reader, writer):
            send(writer, head + length + b"\r\n\r\n")
            while sent < size:
                send(writer, b"10000\r\n" + piece + b"\r\n" if is_chunked else piece)
                await writer.drain()
                sent += len(piece)
                await self.pace.turn()
            if is_chunked:
                send(writer, b"0\r\n\r\n")
            await self.answer(reader)
        self.counts["bytes"] += sent


class BadGzip(Hostile):
    """Sends bodies said to be gzip: noise, cut ones, and some that become a thousand times larger."""

    name = "bad_gzip"

    async def run(self) -> None:
        bomb = gzip.compress(bytes(200 * 1024 * 1024), 6)
        almost = gzip.compress(b" " * LARGE_BYTES, 6)
        self._bodies = (bomb, almost, bomb[:1000], self.random.randbytes(1000), gzip.compress(b""))
        await self.crowd(4, self.attack)

    async def attack(self) -> None:
        body = self.random.choice(self._bodies)
        path = self.random.choice((SCHEDULER, "/api/v1"))
        await self.ask(request(path, body, headers=("Content-Encoding: gzip",)), self.any_port())


class BadJson(Hostile):
    """Sends JSON that is deep, wrong in its types, or of strange numbers and characters."""

    name = "bad_json"

    async def run(self) -> None:
        await self.crowd(10, self.attack)

    async def attack(self) -> None:
        fields = ("subscribe", "accept", "acknowledge", "decline", "kill", "framework_id", "type")
        values = (
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"1e999999",
            b"9" * 10_000,
            b'"\\ud800"',
            b"NaN",
            b"null",
            b"[[],{}]",
            b'"' + b"\xff\xfe" + b'"',
            b'{"framework_info":{"user":"","name":"","id":{"value":""},"roles":["/","..","*"]}}',
            b'{"framework_info":{"user":"x","name":"' + b"x" * 1_000_000 + b'"}}',
        )
        body = b'{"type":"%s","%s":%s}' % (
            self.random.choice((b"SUBSCRIBE", b"ACCEPT", b"ACKNOWLEDGE", b"KILL", b"NO", b"")),
            self.random.choice(fields).encode(),
            self.random.choice(values),
        )
        path = self.random.choice((SCHEDULER, "/api/v1", "/api/v1/executor", "/teardown"))
        await self.ask(request(path, body), self.any_port())


CLIENTS: Final[tuple[type[Hostile], ...]] = (
    SlowReader,
    NeverReads,
    SlowHead,
    SlowBody,
    ManyConnections,
    GarbageFlood,
    GarbageFloods,
    WrongFlood,
    WrongFloods,
    ReadFloods,
    RandomBytes,
    HalfRequests,
    HugeHeaders,
    HugeBodies,
    BadGzip,
    BadJson,
)
KINDS: Final = {kind.name: kind for kind in (*CLIENTS, *PEERS)}


async def raise_file_limit() -> None:
    """As many files as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def harm(hostile: Hostile, seconds: float) -> None:
    """Run it for so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hostile.run()


def main() -> None:
    """Be one hostile client."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--master", type=int, required=True, help=f"its port on {HOST}")
    parser.add_argument("--agent", type=int, action="append", default=[], help="an agent's port")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.4, help="of one processor")
    options = parser.parse_args()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the run, which ends this one
    target = Target(options.master, tuple(options.agent))
    hostile = KINDS[options.kind](target, options.seed, options.share)
    uvloop.run(harm(hostile, options.seconds))
    print(json.dumps(hostile.counts))


if __name__ == "__main__":
    main()
