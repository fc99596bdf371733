"""The reader of answers refuses what it should: without that no HTTP target would find anything."""

from __future__ import annotations

import asyncio

import pytest

from tests.fuzz.answers import Asked, NotHTTP, answers_in
from tests.fuzz.drawing import Drawn, pieces
from tests.fuzz.loop import QuietLoop, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_answers_are_read_in_order() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    found, rest = answers_in(OK + head + interim + chunked, ["GET", "HEAD", "POST"])
    assert [one.body for one in found] == [b"ok", b"", b"{}"]
    assert all(one.is_whole for one in found)
    assert rest == b""


def test_an_upgrade_and_a_stream_have_no_end() -> None:
    found, rest = answers_in(b"HTTP/1.1 101 Switching Protocols\r\n\r\nabc", ["GET"])
    assert (found[0].status, rest) == (101, b"abc")
    open_stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    (answer,), _ = answers_in(open_stream, ["POST"])
    assert not answer.is_whole


@pytest.mark.parametrize(
    "written",
    [
        b"nonsense",
        OK[:-1],
        OK + b"x",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\nc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_refused(written: bytes) -> None:
    with pytest.raises(NotHTTP):
        answers_in(written, ["GET", "GET"])


def test_requests_are_counted_until_they_are_none() -> None:
    one = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    asked = Asked(one + one + one[:-1])
    assert (asked.methods, asked.whole, asked.is_broken) == (["POST"] * 3, 2, False)
    assert Asked(one + b"\x00").is_broken


def test_an_upgrade_that_nobody_offers_is_a_request_like_any_other() -> None:
    head = b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: X\r\nContent-Length: 2\r\n\r\n"
    stream = head + b"{}" + head + b"{}"
    asked = Asked(stream)
    assert (asked.methods, asked.whole, asked.is_upgraded) == (["POST"] * 2, 2, False)
    asked = Asked(stream, frozenset({"x"}))
    assert (asked.methods, asked.whole, asked.is_upgraded) == (["POST"], 1, True)
    assert Asked(b"CONNECT h:1 HTTP/1.1\r\n\r\n" + stream).whole == 3


def test_pieces_are_the_whole_and_chance_is_the_bytes() -> None:
    for sizes in (0, 1, 3, 127, 128, 255):
        assert b"".join(pieces(bytes(range(256)), sizes)) == bytes(range(256))
    draw = Drawn(bytes([7, 0, 3]))
    assert [draw.below(5), draw.randrange(4), draw.one("abcd")] == [2, 0, "d"]
    assert draw.is_spent
    assert draw.choice("abc") == "a"


def test_the_quiet_loop_jumps_over_time_and_keeps_what_goes_wrong() -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            asyncio.get_running_loop().call_later(60, self.transport.write, data)
            if data == b"wrong":
                raise ValueError(data)

    loop = QuietLoop()
    wire = Wire(loop, Echo())
    wire.send(b"a")
    wire.send(b"wrong")
    loop.advance(59)
    assert not wire.written
    loop.advance(1)
    assert wire.written == b"awrong"
    assert [str(fault) for fault in loop.faults] == ["b'wrong'"]
    loop.close()
