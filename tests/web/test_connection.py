"""Requests are put together within limits and answered in order, however they come in."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping

import pytest

from tepui.web import connection as connection_module
from tepui.web import reader as reader_module
from tepui.web import site as site_module
from tepui.web.http import ACCEPTED, Answer, Request, Response, Streaming, text
from tepui.web.reader import target_of
from tepui.web.routes import Routes
from tepui.web.site import Site
from tepui.web.stream import RecordStream
from tests.web.wire import Client, play, turns


class Handlers:
    """Routes of all kinds; what waits is answered by the test."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Answer]] = []
        self.heard: list[Request] = []

    def now(self, request: Request) -> Answer:
        self.heard.append(request)
        return text(200, f"{request.method} {request.body.decode('latin-1')}")

    def accepted(self, request: Request) -> Answer:
        return ACCEPTED

    def later(self, request: Request) -> asyncio.Future[Answer]:
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append(waiting)
        return waiting

    def fails(self, request: Request) -> Answer:
        raise RuntimeError("our own fault")

    async def fails_later(self, request: Request) -> Answer:
        raise RuntimeError("our own fault")

    def site(self, connections_max: int = 100) -> Site:
        routes = Routes()
        for name in ("now", "accepted", "later", "fails"):
            routes.add(f"/{name}", getattr(self, name))
        routes.add("/fails_later", self.fails_later)
        return Site(routes, connections_max=connections_max)


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def bodies(written: bytes) -> list[bytes]:
    """The bodies of the answers, each of which has a Content-Length."""
    found = []
    while written:
        head, _, rest = written.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(rest[:length])
        written = rest[length:]
    return found


def statuses(written: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", written)]


CHUNKED = b"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1_000])
def test_requests_are_the_same_however_their_bytes_are_split(size: int) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        sent = post("/now", b"one") + CHUNKED + post("/now", b"") + post("/now", b"\r\n\r\nlast")
        for at in range(0, len(sent), size):
            client.send(sent[at : at + size])
            await turns()
        assert bodies(await client.read()) == [
            b"POST one",
            b"POST abc",
            b"POST ",
            b"POST \r\n\r\nlast",
        ]

    play(Handlers().site(), act)


def test_a_pipelined_request_waits_until_the_one_before_is_answered() -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/later") + get("/now") + get("/later") + get("/now"))
        assert await client.read() == b""
        assert not client.transport.reading
        handlers.waiting[0].set_result(text(200, "first"))
        assert bodies(await client.read()) == [b"first", b"GET "]
        assert len(handlers.waiting) == 2
        handlers.waiting[1].set_result(text(200, "second"))
        assert bodies(await client.read()) == [b"second", b"GET "]
        assert client.transport.reading

    play(handlers.site(), act)


def test_a_thousand_requests_in_one_piece_are_answered_in_order() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(b"".join(post("/now", b"%d" % number) for number in range(1_000)))
        answered: list[bytes] = []
        while piece := await client.read():
            answered += bodies(piece)
        assert answered == [b"POST %d" % number for number in range(1_000)]

    play(Handlers().site(), act)


def test_accepted_has_no_body_and_a_date() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(post("/accepted", b"{}"))
        head, _, body = (await client.read()).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert (lines[0], lines[2], body) == (b"HTTP/1.1 202 Accepted", b"Content-Length: 0", b"")
        assert lines[1].startswith(b"Date: ")
        assert lines[1].endswith(b" GMT")

    play(Handlers().site(), act)


@pytest.mark.parametrize(
    ("request_bytes", "closes"),
    [
        (get("/now", "Connection: close"), True),
        (get("/now", version="1.0"), True),
        (get("/now", "Connection: keep-alive", version="1.0"), False),
        (get("/now"), False),
    ],
)
def test_a_connection_is_kept_as_the_client_asks(request_bytes: bytes, closes: bool) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(request_bytes)
        assert statuses(await client.read()) == [200]
        assert client.transport.closed == closes
        assert (client.connection in site.connections) != closes

    play(Handlers().site(), act)


def test_what_follows_the_last_request_is_dropped_and_its_answer_is_whole() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/now", "Connection: close") + get("/now") + b"\0\0")
        assert statuses(await client.read()) == [200]
        assert client.transport.ended

    play(Handlers().site(), act)


def test_head_is_answered_without_a_body() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(b"HEAD /now HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.read()
        assert answer.endswith(b"Content-Length: 5\r\n\r\n")

    play(Handlers().site(), act)


def test_head_that_is_refused_is_answered_without_a_body() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(b"HEAD /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n")
        answer = await client.read()
        assert statuses(answer) == [400]
        assert answer.endswith(b"\r\n\r\n")

    play(Handlers().site(), act)


def test_a_client_that_waits_for_100_continue_is_told_so() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        whole = post("/now", b"body", "Expect: 100-continue")
        client.send(whole[:-4])
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(whole[-4:])
        assert bodies(await client.read()) == [b"POST body"]

    play(Handlers().site(), act)


def test_an_upgrade_that_is_not_served_is_an_ordinary_request() -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
        client.send(post("/now", b"one", *upgrade) + get("/now", *upgrade) + get("/now"))
        assert bodies(await client.read()) == [b"POST one", b"GET ", b"GET "]

    play(Handlers().site(), act)


class Upgraded(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.heard = [f"made {headers['x-who']}"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.heard.append("connected")

    def data_received(self, data: bytes) -> None:
        self.heard.append(f"data {data!r}")


def test_an_upgrade_hands_over_the_connection_and_what_was_sent_behind() -> None:
    made: list[Upgraded] = []

    def upgrade(headers: Mapping[str, str]) -> Upgraded:
        made.append(Upgraded(headers))
        return made[-1]

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/x", "Connection: upgrade", "Upgrade: Link", "X-Who: me") + b"\0\1")
        client.send(b"\2")
        assert (await client.read()).startswith(b"HTTP/1.1 101 ")
        assert made[0].heard == ["made me", "connected", r"data b'\x00\x01'", r"data b'\x02'"]
        assert client.connection not in site.connections

    play(Site(Routes(), {"link": upgrade}), act)


@pytest.mark.parametrize("junk", [b"\0\0\0\0", b"GET\r\n\r\n", b"NO SUCH THING\r\n\r\n"])
def test_what_is_no_http_is_refused_after_the_answers_before_it(junk: bytes) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/now") + junk)
        assert statuses(await client.read()) == [200, 400]
        assert client.transport.ended
        client.send(b"more, which nobody reads")

    play(Handlers().site(), act)


def test_a_body_larger_than_announced_may_be_is_refused_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "BODY_BYTES_MAX", 10)

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(post("/now", b"x" * 10) + post("/now", b"x" * 11)[:-11])
        assert statuses(await client.read()) == [200, 413]
        client = Client(site)
        client.send(CHUNKED.replace(b"1\r\nc", b"9\r\nccccccccc"))
        assert statuses(await client.read()) == [413]

    play(Handlers().site(), act)


def test_headers_may_have_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    request = get("/now", "X-Large: 123")
    size_bytes = len(request)
    for limit, status in ((size_bytes, 200), (size_bytes - 1, 400)):
        monkeypatch.setattr(reader_module, "HEADERS_BYTES_MAX", limit)

        async def act(site: Site, status: int = status) -> None:
            client = Client(site)
            client.send(request)
            assert statuses(await client.read()) == [status]

        play(Handlers().site(), act)


def test_a_request_that_does_not_become_whole_in_time_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(site: Site) -> None:
        slow, idle = Client(site), Client(site)
        slow.send(get("/now")[:-1])
        idle.send(get("/now"))
        site.tick()
        assert statuses(await slow.read()) == []
        monkeypatch.setattr(connection_module, "REQUEST_READ_S", -1)
        site.tick()
        assert statuses(await slow.read()) == [408]
        assert statuses(await idle.read()) == [200]
        assert not idle.transport.closed

    play(Handlers().site(), act)


def test_a_client_that_does_not_read_is_not_served_on_and_is_cut_off_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.connection.pause_writing()
        client.transport.unread = 100
        client.send(get("/now"))
        assert await client.read() == b""
        client.connection.resume_writing()
        assert statuses(await client.read()) == [200]
        site.tick()
        assert not client.transport.aborted
        monkeypatch.setattr(connection_module, "UNSENT_S", -1)
        site.tick()
        assert client.transport.aborted

    play(Handlers().site(), act)


def test_a_client_that_sends_no_more_still_has_its_answer() -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/later") + get("/now"))
        assert client.connection.eof_received()  # the transport stays open
        handlers.waiting[0].set_result(text(200, "late"))
        assert bodies(await client.read()) == [b"late", b"GET "]
        assert client.transport.closed
        assert not Client(site).connection.eof_received()

    play(handlers.site(), act)


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    handlers = Handlers()

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/later"))
        await turns()
        client.transport.close()
        await turns()
        handlers.waiting[0].set_result(text(200, "late"))
        assert await client.read() == b""

    play(handlers.site(), act)


def test_a_stream_for_a_client_that_left_before_it_began_is_over() -> None:
    handlers = Handlers()
    ended: list[str] = []

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/later"))
        client.transport.abort()
        stream = RecordStream(lambda: ended.append("over"), overflow_record=b"")
        handlers.waiting[0].set_result(Streaming(stream, "application/json"))
        await turns()
        assert stream.over

    play(handlers.site(), act)
    assert ended == ["over"]


@pytest.mark.parametrize("path", ["/fails", "/fails_later"])
def test_a_handler_that_fails_is_a_500_and_is_logged(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get(path) + get("/now"))
        assert statuses(await client.read()) == [500, 200]

    with caplog.at_level(logging.ERROR, "tepui.web"):
        play(Handlers().site(), act)
    assert "our own fault" in caplog.text


def test_a_header_of_an_answer_never_ends_its_line() -> None:
    def handle(request: Request) -> Answer:
        return Response(200, headers=(("X-Echo", "a\r\nSet-Cookie: b"),))

    async def act(site: Site) -> None:
        client = Client(site)
        client.send(get("/echo"))
        assert b"X-Echo: a  Set-Cookie: b\r\n" in await client.read()

    routes = Routes()
    routes.add("/echo", handle)
    play(Site(routes), act)


def test_the_connections_that_rest_longest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = Handlers()
    monkeypatch.setattr(site_module, "EVICTED", 1)

    async def act(site: Site) -> None:
        busy, rested, active = Client(site), Client(site), Client(site)
        busy.send(get("/later"))
        for client in (rested, active):
            client.send(get("/now"))
        await turns()
        new = Client(site)
        await turns()
        assert [c.transport.aborted for c in (busy, rested, active, new)] == [
            False,
            True,
            False,
            False,
        ]
        for client in (active, new):
            client.send(get("/later"))
        await turns()
        refused = Client(site)
        await turns()
        assert refused.transport.aborted
        assert len(site.connections) == 3

    play(handlers.site(connections_max=3), act)


def test_all_together_hold_parts_of_requests_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "HELD_BYTES_MAX", 100)
    monkeypatch.setattr(reader_module, "HELD_ALWAYS_BYTES", 0)

    async def act(site: Site) -> None:
        first, second, third = Client(site), Client(site), Client(site)
        first.send(post("/now", b"x" * 90)[:-1])
        second.send(post("/now", b"x" * 20)[:-1])
        assert statuses(await second.read()) == [503]
        third.send(get("/later") + get("/now"))
        assert third.transport.aborted
        first.send(b"x")
        assert statuses(await first.read()) == [200]
        fourth = Client(site)
        fourth.send(post("/now", b"x" * 100))
        assert statuses(await fourth.read()) == [200]

    play(Handlers().site(), act)


def test_small_bodies_are_taken_whatever_the_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "HELD_BYTES_MAX", 100)
    monkeypatch.setattr(reader_module, "HELD_ALWAYS_BYTES", 50)

    async def act(site: Site) -> None:
        large, small, other = Client(site), Client(site), Client(site)
        large.send(post("/now", b"x" * 100)[:-1])
        small.send(post("/now", b"x" * 50)[:-20])
        small.send(b"x" * 20)
        assert statuses(await small.read()) == [200]
        other.send(post("/now", b"x" * 51))
        assert statuses(await other.read()) == [503]

    play(Handlers().site(), act)


def test_a_large_body_is_held_until_its_request_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader_module, "HELD_BYTES_MAX", 100)
    monkeypatch.setattr(reader_module, "HELD_ALWAYS_BYTES", 50)
    monkeypatch.setattr(site_module, "HELD_ALWAYS_BYTES", 50)
    handlers = Handlers()

    async def act(site: Site) -> None:
        first, second = Client(site), Client(site)
        first.send(post("/later", b"x" * 60))
        first.transport.abort()  # whoever answers has it all the same
        await turns()
        second.send(post("/now", b"x" * 60))
        assert statuses(await second.read()) == [503]
        handlers.waiting[0].set_result(text(200, "first"))
        await turns()
        third = Client(site)
        third.send(post("/now", b"x" * 100))
        assert statuses(await third.read()) == [200]

    play(handlers.site(), act)


def test_those_who_leave_most_unread_are_cut_off_when_all_leave_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(site_module, "UNSENT_BYTES_MAX", 100)

    async def act(site: Site) -> None:
        clients = [Client(site) for _ in range(3)]
        for client, unread in zip(clients, (30, 80, 40), strict=True):
            client.transport.unread = unread
        site.tick()
        assert [client.transport.aborted for client in clients] == [False, True, False]

    play(Handlers().site(), act)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b/?x=1", "/a/b", "x=1"),
        (b"//a//b", "/a/b", ""),
        (b"/a%20b#c?d", "/a b", ""),
        (b"http://host:1/a?x", "/a", "x"),
        (b"*", "*", ""),
        (b"/", "", ""),
    ],
)
def test_a_target_has_a_path_and_a_query(target: bytes, path: str, query: str) -> None:
    assert target_of(target) == (path, query)


def test_those_who_trickle_make_room_when_much_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "HELD_BYTES_MAX", 100)
    monkeypatch.setattr(connection_module, "REQUEST_READ_SCARCE_S", -1)

    async def act(site: Site) -> None:
        small, large = Client(site), Client(site)
        small.send(post("/now", b"x" * 50)[:-1])
        site.tick()
        assert statuses(await small.read()) == []
        large.send(post("/now", b"x" * 50)[:-1])
        site.tick()
        assert statuses(await small.read()) == [408]
        assert statuses(await large.read()) == []  # the first made room enough

    play(Handlers().site(), act)
