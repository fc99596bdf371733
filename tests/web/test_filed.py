"""Answers that are served from a file."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from tepui.web import connection
from tepui.web.filed import PIECE_BYTES, TURN_PIECES, SharedFile, new_file
from tepui.web.http import JSON_TYPE, Answer, Filed, Request, with_jsonp
from tepui.web.routes import Routes
from tepui.web.server import WebServer, listen

pytestmark = pytest.mark.real

DEADLINE_S = 20
LARGE_BYTES = 32 * 1024 * 1024  # more than the buffers of a connection hold


def shared(content: bytes, name: str = "test") -> SharedFile:
    """A file with this in it."""
    file = new_file(name)
    with os.fdopen(os.dup(file), "wb") as writing:
        writing.write(content)
    return SharedFile(file)


def serve(
    answer: Callable[[Request], Answer], client: Callable[[int, WebServer], Awaitable[None]]
) -> None:
    """Run `client` against a server that gives this answer."""

    async def handle(request: Request) -> Answer:
        return answer(request)

    async def play() -> None:
        routes = Routes()
        routes.add("/file", handle)
        listener = listen("127.0.0.1", 0)
        web = WebServer(routes, listener)
        await web.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await client(listener.getsockname()[1], web)
        finally:
            await web.stop()

    asyncio.run(play())


async def read_answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """The head and the body of the next answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    (length,) = (line for line in head.lower().split("\r\n") if "content-length" in line)
    return head, await reader.readexactly(int(length.partition(":")[2]))


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES * TURN_PIECES, LARGE_BYTES])
def test_file_is_served_whole_and_the_connection_stays(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    file = shared(content)

    async def client(port: int, web: WebServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /file HTTP/1.1\r\n\r\n" * 2)
        for _ in range(2):
            head, body = await read_answer(reader)
            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert f"Content-Type: {JSON_TYPE}\r\n" in head
            assert body == content
        writer.write(b"HEAD /file HTTP/1.0\r\n\r\n")
        rest = await reader.read()
        assert rest.endswith(f"Content-Length: {size}\r\n\r\n".encode())
        writer.close()

    serve(lambda request: Filed(content_type=JSON_TYPE, file=file), client)


def test_several_clients_read_one_file_and_jsonp_goes_around_it() -> None:
    file = shared(b"[1]" * 500_000)

    async def client(port: int, web: WebServer) -> None:
        async def read(target: str, before: bytes, after: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {target} HTTP/1.1\r\n\r\n".encode())
            _, body = await read_answer(reader)
            assert body == before + b"[1]" * 500_000 + after
            writer.close()

        await asyncio.gather(
            read("/file", b"", b""), read("/file?jsonp=f", b"f(", b")"), read("/file", b"", b"")
        )

    serve(lambda r: with_jsonp(Filed(content_type=JSON_TYPE, file=file), r), client)


def test_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNSENT_S", 0)
    file = shared(b"x" * LARGE_BYTES)

    async def client(port: int, web: WebServer) -> None:
        with socket.create_connection(("127.0.0.1", port)) as stuck:
            stuck.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(stuck, b"GET /file HTTP/1.1\r\n\r\n")
            await loop.sock_recv(stuck, 1)
            assert file.has_readers
            # Nothing more is read until the server, which looks once a second, has let go.
            while file.has_readers:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            received = 1
            try:
                while data := await loop.sock_recv(stuck, 1 << 20):
                    received += len(data)
            except ConnectionResetError:
                pass  # or the end, if all that was under way has arrived
            assert received < LARGE_BYTES

    serve(lambda request: Filed(content_type=JSON_TYPE, file=file), client)


def test_whoever_reads_a_file_that_is_cut_sees_no_whole_answer() -> None:
    file = shared(b"x" * LARGE_BYTES)

    async def client(port: int, web: WebServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /file HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        file.cut()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(LARGE_BYTES)
        assert not file.has_readers
        writer.close()

    serve(lambda request: Filed(content_type=JSON_TYPE, file=file), client)


def test_file_is_closed_when_nobody_holds_it() -> None:
    def memfds() -> int:
        links = []
        for name in os.listdir("/proc/self/fd"):
            try:
                links.append(os.readlink(f"/proc/self/fd/{name}"))
            except FileNotFoundError:
                continue  # the directory itself
        return sum("memfd:closed" in link for link in links)

    file = shared(b"x", "closed")
    assert memfds() == 1
    del file
    assert memfds() == 0
