"""Requests parsed together with others, and connections that end in odd ways."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from tepui.web import connection as connection_module
from tepui.web import reader as reader_module
from tepui.web.filed import PIECE_BYTES, TURN_PIECES, SharedFile, new_file
from tepui.web.http import Answer, Filed, Request, Response, Streaming, text
from tepui.web.routes import Routes
from tepui.web.server import WebServer, listen
from tepui.web.site import Site
from tepui.web.stream import RecordStream
from tests.web.test_connection import CHUNKED, Handlers, Upgraded, bodies, get, post, statuses
from tests.web.wire import Client, play, turns

DEADLINE_S = 10
H2C = ("Connection: Upgrade", "Upgrade: h2c")
HEAD = CHUNKED[: CHUNKED.index(b"2\r\n")]


def chunked(*headers: str, trailers: str = "") -> bytes:
    """CHUNKED with more headers, and with trailers."""
    more = "".join(f"{header}\r\n" for header in headers).encode()
    return CHUNKED.replace(b"Host: x\r\n", b"Host: x\r\n" + more)[:-2] + trailers.encode() + b"\r\n"


# Bodies in chunks, whose end nobody knows before they are parsed


def test_an_upgrade_that_is_not_served_does_not_lose_the_request_before_it() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED + get("/now", *H2C) + chunked(*H2C) + get("/now"))
        assert bodies(await client.read()) == [b"POST abc", b"GET ", b"POST abc", b"GET "]

    play(Handlers().site(), act)


def test_an_upgrade_waits_for_the_answer_to_the_request_before_it() -> None:
    made: list[Upgraded] = []

    def upgrade(headers: object) -> Upgraded:
        made.append(Upgraded({"x-who": "me"}))
        return made[-1]

    async def act(site: Site) -> None:
        for before in (CHUNKED.replace(b"/now", b"/later"), get("/later")):
            made.clear()
            site.upgrades["link"] = upgrade
            client = Client(site)
            client.send(before + get("/x", "Connection: upgrade", "Upgrade: link") + b"\0\1")
            assert await client.read() == b""
            assert not made
            assert not client.transport.reading
            handlers.waiting.pop().set_result(text(200, "first"))
            assert statuses(await client.read()) == [200, 101]
            assert made[0].heard[1:] == ["connected", r"data b'\x00\x01'"]
            assert client.transport.reading  # what is sent now is for the other protocol

    handlers = Handlers()
    play(handlers.site(), act)


def test_what_is_no_http_does_not_lose_the_request_before_it() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED + b"\0\0\0")
        assert statuses(await client.read()) == [200, 400]
        assert client.transport.ended
        client = Client(site)
        client.send(chunked("Connection: close") + get("/now"))
        assert statuses(await client.read()) == [200]
        assert client.transport.closed or client.transport.ended

    play(Handlers().site(), act)


def test_an_offer_to_upgrade_with_a_coding_that_is_not_known_is_refused() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/now", *H2C, "Transfer-Encoding: gzip"))
        assert statuses(await client.read()) == [400]
        assert client.transport.ended

    play(Handlers().site(), act)


def test_an_offer_to_upgrade_keeps_its_version() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/now", *H2C, version="1.0"))
        assert statuses(await client.read()) == [200]
        assert client.transport.closed

    play(Handlers().site(), act)


def test_a_trailer_is_no_header() -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(chunked(trailers="Host: other\r\nMesos-Stream-Id: 7\r\n") + get("/now"))
        assert statuses(await client.read()) == [200, 200]

    play(handlers.site(), act)
    assert dict(handlers.heard[0].headers) == {"host": "x", "transfer-encoding": "chunked"}
    assert dict(handlers.heard[1].headers) == {"host": "x"}


@pytest.mark.parametrize("line", ["X-{}: " + "v" * 1_000 + "\r\n", "X{}" + "v" * 1_000])
def test_trailers_may_have_as_many_bytes_as_headers(line: str) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED[:-2])
        await turns()
        for number in range(reader_module.HEADERS_BYTES_MAX // 1_000 - 5):
            client.send(line.format(number).encode())
            await turns()
        assert await client.read() == b""
        for number in range(10):
            client.send(line.format(number).encode())
            await turns()
        assert statuses(await client.read()) == [400]

    play(Handlers().site(), act)


def test_large_bodies_in_tiny_chunks_are_no_large_headers() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        count = 2 * reader_module.HEADERS_BYTES_MAX // 6
        client.send(HEAD + b"1\r\nx\r\n" * count + b"0\r\n\r\n")
        answer = b""
        while b"200 OK" not in answer:
            answer += await client.read()
        assert bodies(answer) == [b"POST " + b"x" * count]

    play(Handlers().site(), act)


def test_a_client_that_waits_for_100_continue_behind_another_request_is_told_so() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED + post("/now", b"body", "Expect: 100-continue")[:-4])
        assert statuses(await client.read()) == [200, 100]
        client.send(b"body")
        assert bodies(await client.read()) == [b"POST body"]

    play(Handlers().site(), act)


def test_an_old_client_is_not_told_to_continue() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        whole = post("/now", b"body", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
        client.send(whole[:-4])
        assert await client.read() == b""
        client.send(b"body")
        assert statuses(await client.read()) == [200]

    play(Handlers().site(), act)


def test_the_next_request_is_not_too_slow_while_the_one_before_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED.replace(b"/now", b"/later") + get("/now")[:-1])
        await turns()
        monkeypatch.setattr(connection_module, "REQUEST_READ_S", -1)
        site.tick()
        assert await client.read() == b""
        handlers.waiting[0].set_result(text(200, "first"))
        assert bodies(await client.read()) == [b"first"]
        site.tick()
        assert statuses(await client.read()) == [408]

    play(handlers.site(), act)


def test_what_was_parsed_ahead_is_answered_although_no_more_is_sent() -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(CHUNKED.replace(b"/now", b"/later") + get("/now"))
        await turns()
        client.connection.pause_writing()
        handlers.waiting[0].set_result(text(200, "first"))
        assert bodies(await client.read()) == [b"first"]
        assert client.connection.eof_received()
        client.connection.resume_writing()
        assert bodies(await client.read()) == [b"GET "]
        assert client.transport.closed

    play(handlers.site(), act)


@pytest.mark.parametrize("before", [b"", CHUNKED], ids=["first", "behind a body in chunks"])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_head_whose_end_comes_with_the_body_is_no_larger(before: bytes, parts: int) -> None:
    async def act(site: Site) -> None:
        body = b"x" * 2 * reader_module.HEADERS_BYTES_MAX
        whole = before + post("/now", body)
        client = Client(site)
        client.send(whole[: -len(body) - parts])
        await turns()
        client.send(whole[-len(body) - parts :])
        answered = bodies(await client.read())
        assert answered[-1] == b"POST " + body

    play(Handlers().site(), act)


# Streams, and faults of our own


def with_server(
    handler: Callable[[Request], Answer | Awaitable[Answer]],
    client: Callable[[int, Site], Awaitable[None]],
    failures: list[str] | None = None,
) -> None:
    """Run `client` against a server on uvloop; `failures` are what its loop was told."""

    async def run() -> None:
        if failures is not None:
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: failures.append(repr(context.get("exception")))
            )
        routes = Routes()
        routes.add("/it", handler)
        listener = listen("127.0.0.1", 0)
        web = WebServer(routes, listener)
        await web.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await client(listener.getsockname()[1], web.site)
        finally:
            await web.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@pytest.mark.real
def test_what_a_reader_of_a_stream_sends_behind_its_request_is_never_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_module, "REQUEST_READ_S", -1)
    stream = RecordStream(lambda: None, overflow_record=b"")
    head = HEAD.replace(b"/now", b"/it")

    async def client(port: int, site: Site) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"0\r\n\r\nPOST /it HT")
        await reader.readuntil(b"\r\n\r\n")
        site.tick()
        stream.send(b"one")
        stream.end()
        assert await reader.read() == b"3\r\none\r\n0\r\n\r\n"
        writer.close()

    with_server(lambda request: Streaming(stream, "application/json"), client)


@pytest.mark.real
@pytest.mark.parametrize("later", [False, True])
def test_a_client_whose_answer_can_not_be_written_is_cut_off(later: bool) -> None:
    failures: list[str] = []

    async def wrong(request: Request) -> Answer:
        return Response(999)

    async def client(port: int, site: Site) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/it") + get("/it"))
        assert await reader.read() == b""
        writer.close()

    with_server(wrong if later else lambda request: Response(999), client, failures)
    assert failures == ["KeyError(999)"]


@pytest.mark.parametrize("path", ["/now", "/later", "/large"])
def test_a_connection_that_is_gone_holds_no_memory_until_a_collection_comes(path: str) -> None:
    handlers = Handlers()
    routes = Routes()
    for each in ("now", "later"):
        routes.add(f"/{each}", getattr(handlers, each))
    descriptor = new_file("large")
    os.write(descriptor, b"x" * 2 * TURN_PIECES * PIECE_BYTES)
    large = Filed(file=SharedFile(descriptor))
    routes.add("/large", lambda request: large)

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get(path) + get("/now", "X-Large: " + "x" * 10_000)[:-3])
        connection = weakref.ref(client.connection)
        reader = weakref.ref(client.connection._reader)
        client.transport.abort()
        await turns()
        for waiting in handlers.waiting:
            waiting.set_result(text(200, "late"))
        handlers.waiting.clear()
        await turns()
        client.transport.protocol = None  # as real ones do
        del client
        assert (connection(), reader()) == (None, None)

    gc.collect()
    gc.disable()
    try:
        play(Site(routes), act)
    finally:
        gc.enable()


def test_a_request_that_is_cancelled_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """As when the loop ends."""
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/later"))
        await turns()
        handlers.waiting[0].cancel()
        assert statuses(await client.read()) == [500]

    play(handlers.site(), act)
    assert not caplog.records
