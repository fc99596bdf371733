"""Bodies that are handled while they come in, and answers whose writer waits for its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from tepui.web import connection as connection_module
from tepui.web.http import BODY_BYTES_MAX, Answer, Request, Response, Streaming, text
from tepui.web.paced import PacedStream
from tepui.web.routes import Routes
from tepui.web.site import Site
from tepui.web.upload import UPLOAD_BYTES_MAX, Upload, UploadFailed
from tests.web.wire import Client, play, turns

HEAD = b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Type: parts\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def is_parts(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type") == "parts"


class Taken:
    """A route that takes a body piece by piece, when it is let."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.failed: str | None = None
        self.may_take = asyncio.Event()
        self.refusal: Response | None = None

    async def handle(self, request: Request) -> Answer:
        upload = request.upload
        if upload is None:
            return text(200, f"whole: {len(request.body)}")
        if self.refusal is not None:
            return self.refusal
        await self.may_take.wait()
        try:
            while piece := await upload.read():
                self.pieces.append(piece)
        except UploadFailed as failed:
            self.failed = str(failed)
            return text(400, str(failed))
        return text(200, f"taken: {sum(map(len, self.pieces))}")


def with_client(act: Callable[[Taken, Client], Awaitable[None]]) -> None:
    async def run(site: Site) -> None:
        await act(taken, Client(site))

    taken = Taken()
    routes = Routes()
    routes.add("/up", taken.handle, takes_upload=is_parts)
    play(Site(routes), run)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_body_is_handled_while_it_comes_in() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(CHUNKED + chunk(b"one"))
        assert await client.read() == b""
        assert taken.pieces == [b"one"]
        client.send(chunk(b"two") + b"3\r\nth")
        await turns()
        assert taken.pieces == [b"one", b"two", b"th"]
        client.send(b"r\r\n0\r\n\r\n")
        answer = await client.read()
        assert answer.startswith(OK)
        assert answer.endswith(b"taken: 9")
        assert not client.transport.closed

    with_client(act)


@pytest.mark.parametrize("cut", [1, 2, 7, 50, 1000])
def test_pieces_of_any_size_come_to_the_same(cut: int) -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        whole = CHUNKED + chunk(b"a" * 30) + chunk(b"b" * 300) + b"0\r\n\r\n"
        for at in range(0, len(whole), cut):
            client.send(whole[at : at + cut])
            await turns()
        assert (await client.read()).endswith(b"taken: 330")
        assert b"".join(taken.pieces) == b"a" * 30 + b"b" * 300

    with_client(act)


def test_what_follows_a_whole_upload_is_the_next_request() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        plain = b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"
        sized = HEAD + b"Content-Length: 5\r\n\r\n12345"
        client.send(CHUNKED + chunk(b"one") + b"0\r\n\r\n" + plain + sized)
        client_read = await client.read()
        assert client_read.count(OK) == 3
        assert client_read.index(b"taken: 3") < client_read.index(b"whole: 4")
        assert client_read.endswith(b"taken: 8")
        client.send(sized)
        assert (await client.read()).endswith(b"taken: 13")

    with_client(act)


def test_longer_than_any_other_body_it_may_be_and_little_of_it_waits() -> None:
    async def act(taken: Taken, client: Client) -> None:
        size = BODY_BYTES_MAX + 1
        client.send(HEAD + b"Content-Length: %d\r\n\r\n" % size)
        await turns()
        piece = b"x" * 100_000
        sent = 0
        while client.transport.reading:
            client.send(piece)
            sent += len(piece)
            await turns()
        assert UPLOAD_BYTES_MAX <= sent <= UPLOAD_BYTES_MAX + 2 * len(piece)
        assert taken.pieces == []
        taken.may_take.set()
        await turns()
        assert client.transport.reading, "what waited was taken"
        while sent < size:
            rest = piece[: size - sent]
            client.send(rest)
            sent += len(rest)
            await turns()
        assert (await client.read()).endswith(b"taken: %d" % size)

    with_client(act)


def test_client_that_leaves_breaks_the_upload_off() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(CHUNKED + chunk(b"one"))
        await turns()
        client.transport.close()
        await turns()
        assert taken.pieces == [b"one"]
        assert taken.failed == "the client left before its request was whole"

    with_client(act)


def test_client_that_ends_in_the_middle_is_told() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(CHUNKED + chunk(b"one"))
        await turns()
        assert client.connection.eof_received()
        assert (await client.read()).startswith(b"HTTP/1.1 400 ")

    with_client(act)


@pytest.mark.parametrize("bad", [b"zz\r\n", b"3\r\nabcdefgh\r\n", b"0\r\nname" + b"x" * 200_000])
def test_what_is_no_http_breaks_the_upload_off(bad: bytes) -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(CHUNKED + chunk(b"one"))
        await turns()
        client.send(bad)
        answer = await client.read()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Connection: close" in answer
        assert taken.failed == "the body is not as HTTP has it"
        assert client.transport.ended

    with_client(act)


def test_refusal_goes_out_before_the_body_is_whole_and_ends_the_connection() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.refusal = text(404, "no such container")
        client.send(CHUNKED + chunk(b"one"))
        answer = await client.read()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"Connection: close" in answer
        assert client.transport.ended
        client.send(chunk(b"two"))  # is dropped
        assert await client.read() == b""

    with_client(act)


def test_client_that_expects_to_be_asked_is_asked() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert await client.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert (await client.read()).endswith(b"taken: 3")

    with_client(act)


def test_upload_may_pause_for_longer_than_a_request_may_take() -> None:
    async def act(taken: Taken, client: Client) -> None:
        taken.may_take.set()
        client.send(CHUNKED + chunk(b"one"))
        await turns()
        for second in range(0, 4 * connection_module.REQUEST_READ_S, 10):
            client.connection.check(float(second))
        client.send(chunk(b"two") + b"0\r\n\r\n")
        assert (await client.read()).endswith(b"taken: 6")

    with_client(act)


def test_upload_that_is_read_late_gives_all_and_then_says_why_it_broke_off() -> None:
    async def run() -> None:
        upload = Upload()
        upload.feed(b"one")
        upload.fail("gone")
        upload.fail("twice")
        assert await upload.read() == b"one"
        with pytest.raises(UploadFailed, match="gone"):
            await upload.read()

    asyncio.run(run())


# Paced streams


def paced(act: Callable[[PacedStream, Client], Awaitable[None]]) -> None:
    async def run(site: Site) -> None:
        client = Client(site)
        client.send(b"GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
        await turns()
        await act(stream, client)

    stream = PacedStream(lambda: None)
    routes = Routes()
    routes.add("/down", lambda request: Streaming(stream, "application/json"))
    play(Site(routes), run)


def test_paced_stream_tells_when_its_reader_keeps_up() -> None:
    async def act(stream: PacedStream, client: Client) -> None:
        told: list[str] = []
        stream.on_room = lambda: told.append("room")
        assert stream.is_writable
        client.connection.pause_writing()
        assert not stream.is_writable
        stream.send(b"kept")
        client.connection.resume_writing()
        assert stream.is_writable
        assert told == ["room"]
        assert (await client.read()).endswith(b"4\r\nkept\r\n")
        client.transport.close()
        await turns()
        assert stream.over
        assert not stream.is_writable

    paced(act)


def test_paced_stream_tells_of_room_when_its_head_is_out() -> None:
    told: list[str] = []
    stream = PacedStream(lambda: told.append("over"))
    stream.on_room = lambda: told.append("room")
    assert not stream.is_writable
    routes = Routes()
    routes.add("/down", lambda request: Streaming(stream, "application/json"))

    async def run(site: Site) -> None:
        client = Client(site)
        client.send(b"GET /down HTTP/1.1\r\nHost: x\r\n\r\n")
        await turns()
        assert told == ["room"]
        stream.end()
        assert (await client.read()).endswith(b"0\r\n\r\n")
        assert told == ["room", "over"]

    play(Site(routes), run)
