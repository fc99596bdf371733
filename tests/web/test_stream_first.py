"""Streams whose first record comes from a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tepui.web import connection as connection_module
from tepui.web.filed import PIECE_BYTES, TURN_PIECES, SharedFile
from tepui.web.http import Answer, Filed, Request, Streaming
from tepui.web.routes import Routes
from tepui.web.site import Site
from tepui.web.stream import RecordStream
from tests.web.test_filed import shared
from tests.web.wire import Client, play, turns

ASKING = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"
CONTENT = b"0123456789" * (PIECE_BYTES * TURN_PIECES // 4)  # several turns of the loop
CHUNK = b"%x\r\n<%b>\r\n" % (len(CONTENT) + 2, CONTENT)
BYTES_MAX = 1_000


class Events:
    """A route whose answer is a file and then a stream, and one client of it."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.stream = RecordStream(
            lambda: self.ended.append("over"), overflow_record=b"slow", bytes_max=BYTES_MAX
        )
        self.file: SharedFile = shared(CONTENT)
        self.client: Client | None = None

    def handle(self, request: Request) -> Answer:
        assert self.client is not None
        self.client.connection.pause_writing()
        first = Filed(file=self.file, body=b"<", after=b">")
        return Streaming(self.stream, "application/json", first=first)

    def play(self, act: Callable[[Site, Client], Awaitable[None]]) -> None:
        """Run `act` with a client that has asked and takes nothing yet."""
        routes = Routes()
        routes.add("/events", self.handle)

        async def run(site: Site) -> None:
            self.client = client = Client(site)
            client.send(ASKING)
            await turns()
            await act(site, client)

        play(Site(routes), run)


async def body(client: Client) -> bytes:
    """What has come but for the head."""
    head, _, rest = (await client.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    return rest


def test_the_file_is_one_chunk_and_what_was_sent_meanwhile_follows() -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        events.stream.send(b"one")
        await turns()
        assert len(client.transport.written) < 300  # a head, and the length of the chunk
        client.connection.resume_writing()
        events.stream.send(b"two")
        whole = await body(client)
        assert whole == CHUNK + b"3\r\none\r\n3\r\ntwo\r\n"
        events.stream.send(b"three")
        assert await client.read() == b"5\r\nthree\r\n"
        assert not events.file.has_readers
        assert client.connection.unsent_bytes == 0

    events.play(act)


def test_a_client_that_leaves_amid_the_file_is_heard_once() -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        assert events.file.has_readers
        client.transport.abort()
        await turns()
        assert not events.file.has_readers
        events.stream.send(b"one")

    events.play(act)
    assert events.ended == ["over"]


def test_a_client_that_says_no_more_amid_the_file_has_left() -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        assert client.connection.eof_received() is False  # so that it is closed
        client.transport.close()
        await turns()
        assert not events.file.has_readers

    events.play(act)
    assert events.ended == ["over"]


def test_a_stream_that_ends_amid_the_file_ends_behind_it() -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        events.stream.send(b"one")
        events.stream.end()
        client.connection.resume_writing()
        assert await body(client) == CHUNK + b"3\r\none\r\n0\r\n\r\n"
        assert client.transport.closed

    events.play(act)
    assert events.ended == ["over"]


def test_too_many_events_amid_the_file_end_the_stream() -> None:
    events = Events()
    record = b"x" * BYTES_MAX

    async def act(site: Site, client: Client) -> None:
        for _ in range(8):
            events.stream.send(record)
        assert events.ended == []
        assert client.connection.unsent_bytes == 8 * BYTES_MAX
        events.stream.send(b"one too many")
        assert events.ended == ["over"]
        client.connection.resume_writing()
        whole = await body(client)
        assert whole == CHUNK + b"3e8\r\n%b\r\n" % record * 8 + b"4\r\nslow\r\n0\r\n\r\n"

    events.play(act)


def test_events_that_waited_are_no_slowness_but_those_behind_them_are() -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        for _ in range(4):
            events.stream.send(b"x" * BYTES_MAX)
        client.connection.resume_writing()
        await turns()
        client.transport.unread = 5 * BYTES_MAX
        events.stream.send(b"more")
        await turns()
        assert not events.stream.over
        client.transport.unread = BYTES_MAX  # now it has taken them
        events.stream.send(b"more")
        await turns()
        assert not events.stream.over
        client.transport.unread = BYTES_MAX + 1
        events.stream.send(b"more")
        assert events.stream.over

    events.play(act)


@pytest.mark.parametrize("seconds_more", [0, 1])
def test_a_client_that_takes_nothing_of_the_file_is_cut_off(seconds_more: int) -> None:
    events = Events()

    async def act(site: Site, client: Client) -> None:
        client.transport.unread = 100
        now_s = asyncio.get_running_loop().time()
        client.connection.check(now_s)
        events.stream.send(b"an event is nothing that it takes")
        client.connection.check(now_s + connection_module.UNSENT_S + seconds_more)
        assert client.transport.aborted == bool(seconds_more)

    events.play(act)
