"""The HTTP server over real sockets: routes, limits, streams and upgrades."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from tepui.web import http, reader
from tepui.web.http import Answer, Request, Response, Streaming
from tepui.web.routes import Routes
from tepui.web.server import WebServer, listen
from tepui.web.stream import RecordStream

pytestmark = pytest.mark.real

DEADLINE_S = 10


async def echo(request: Request) -> Answer:
    """What came, in one line."""
    query = ",".join(f"{k}={v}" for k, v in request.query.items())
    line = f"{request.method} {request.path} {request.rest} {query} {request.body.decode()}"
    return http.text(200, line)


def serve(routes: Routes, client: Callable[[int], Awaitable[None]]) -> None:
    """Run `client` against a server with these routes."""

    async def play() -> None:
        listener = listen("127.0.0.1", 0)
        web = WebServer(routes, listener)
        await web.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await client(listener.getsockname()[1])
        finally:
            await web.stop()

    asyncio.run(play())


async def exchange(port: int, sent: bytes) -> bytes:
    """What the server sends for `sent`, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    return answer


def request(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def echo_routes() -> Routes:
    routes = Routes(prefixes=("/master",))
    routes.add("/echo", echo)
    return routes


@pytest.mark.parametrize(
    ("path", "answered"),
    [
        ("/echo", b"POST /echo   hi"),
        ("/echo/", b"POST /echo   hi"),
        ("//echo", b"POST /echo   hi"),
        ("/master/echo", b"POST /master/echo   hi"),
        ("/echo.json", b"POST /echo.json   hi"),
        ("/echo/below/it?a=1", b"POST /echo/below/it /below/it a=1 hi"),
        ("/other", b"404 Not Found."),
        ("/echoes", b"404 Not Found."),
    ],
)
def test_a_route_serves_its_path_and_what_lies_below(path: str, answered: bytes) -> None:
    async def client(port: int) -> None:
        answer = await exchange(port, request(path, b"hi"))
        assert answer.partition(b"\r\n\r\n")[2] == answered

    serve(echo_routes(), client)


def test_a_gzip_body_is_read_and_one_that_is_not_gzip_is_refused() -> None:
    async def client(port: int) -> None:
        body = gzip.compress(b"hello")
        answer = await exchange(port, request("/echo", body, "Content-Encoding: gzip"))
        assert answer.endswith(b"hello")
        answer = await exchange(port, request("/echo", b"{}", "Content-Encoding: gzip"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert answer.endswith(b"failed to decode body")

    serve(echo_routes(), client)


def test_a_body_one_byte_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BODY_BYTES_MAX", 100_000)

    async def client(port: int) -> None:
        answer = await exchange(port, request("/echo", b"x" * 100_000))
        assert answer.startswith(b"HTTP/1.1 200 ")
        answer = await exchange(port, request("/echo", b"x" * 100_001))
        assert answer.startswith(b"HTTP/1.1 413 ")

    serve(echo_routes(), client)


def test_headers_that_are_too_large_are_refused() -> None:
    async def client(port: int) -> None:
        header = "X-Large: " + "x" * reader.HEADERS_BYTES_MAX
        answer = await exchange(port, request("/echo", b"", header))
        assert answer.startswith(b"HTTP/1.1 400 ")

    serve(echo_routes(), client)


class Streamed:
    """A route that streams; the test holds the other end."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.opened = asyncio.Event()
        self.stream = RecordStream(self.closed.set, overflow_record=b"slow", bytes_max=1_000_000)

    async def handle(self, request: Request) -> Answer:
        self.opened.set()
        return Streaming(self.stream, "application/json", (("X-Id", "7"),))

    def routes(self) -> Routes:
        routes = Routes()
        routes.add("/stream", self.handle)
        return routes


def with_stream(client: Callable[[Streamed, int], Awaitable[None]]) -> None:
    async def play() -> None:
        streamed = Streamed()
        listener = listen("127.0.0.1", 0)
        web = WebServer(streamed.routes(), listener)
        await web.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await client(streamed, listener.getsockname()[1])
        finally:
            await web.stop()

    asyncio.run(play())


def test_each_record_of_a_stream_is_one_chunk_and_the_end_is_proper() -> None:
    async def client(streamed: Streamed, port: int) -> None:
        streamed.stream.send(b"early")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/stream"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"\r\nx-id: 7\r\n" in head.lower()
        assert b"\r\ntransfer-encoding: chunked\r\n" in head.lower()
        streamed.stream.send(b"one")
        streamed.stream.send(b"two")
        streamed.stream.end()
        assert await reader.read() == b"5\r\nearly\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        await streamed.closed.wait()
        writer.close()

    with_stream(client)


def test_a_stream_hears_that_its_client_left() -> None:
    async def client(streamed: Streamed, port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/stream"))
        await streamed.opened.wait()
        writer.close()
        await streamed.closed.wait()
        streamed.stream.send(b"nobody reads this")
        assert streamed.stream.over

    with_stream(client)


def test_a_stream_that_ends_after_its_connection_broke_does_no_harm() -> None:
    async def client(streamed: Streamed, port: int) -> None:
        broken = socket.create_connection(("127.0.0.1", port))
        broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        broken.sendall(request("/stream"))
        await streamed.opened.wait()
        broken.close()  # a reset, as of a process that was killed
        while not streamed.stream.over:
            streamed.stream.send(b"x")
            await asyncio.sleep(0)
        streamed.stream.end()

    with_stream(client)


def test_a_client_that_does_not_read_is_cut_off_and_memory_stays_bounded() -> None:
    async def client(streamed: Streamed, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(request("/stream"))
        await streamed.opened.wait()
        record = b"x" * 100_000
        sent = 0
        while not streamed.stream.over:
            streamed.stream.send(record)
            sent += 1
            await asyncio.sleep(0)
        assert 10 <= sent < 1_000
        await streamed.closed.wait()
        rest = await reader.read(-1)
        assert rest.endswith(b"4\r\nslow\r\n0\r\n\r\n")
        writer.close()

    with_stream(client)


def test_one_turn_may_send_more_than_may_stay_unread() -> None:
    async def client(streamed: Streamed, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/stream"))
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(20):
            streamed.stream.send(b"x" * 200_000)  # 4 MB, four times what may stay unread
        assert not streamed.stream.over
        streamed.stream.end()
        assert (await reader.read()).count(b"x") == 4_000_000
        writer.close()

    with_stream(client)


def test_an_answer_with_no_content_type_has_none() -> None:
    async def nothing(request: Request) -> Answer:
        return Response(200)

    async def client(port: int) -> None:
        answer = await exchange(port, request("/nothing"))
        assert b"content-type" not in answer.lower()

    routes = Routes()
    routes.add("/nothing", nothing)
    serve(routes, client)
