"""What is answered to bytes that are no whole request, over a real socket: `bad-input/http-raw.txt`."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.web.http import BODY_BYTES_MAX
from tepui.web.reader import HEADERS_BYTES_MAX
from tests.scripts.golden import hold
from tests.scripts.tables.case import printable
from tests.scripts.tables.served import encoded

pytestmark = pytest.mark.real

FILE = Path(__file__).parent / "bad-input" / "http-raw.txt"
DEADLINE_S = 30.0
SHOWN_CHARS_MAX = 300

HEAD = b"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
AGAIN = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
AGAIN_ANSWERED = b"HTTP/1.1 200"
ABOUT = """\
# HTTP itself: a master's answers to bytes, over a socket. An empty answer is a closed connection.
# "kept", "refused" and "closed": what became of a further request on the same connection.
"""


class Raw(Struct, frozen=True):
    """Bytes to send; `ends` when the client sends no more after them."""

    title: str
    sent: bytes
    shown: str = ""
    ends: bool = False


def post(body: bytes, *headers: str) -> bytes:
    lines = b"".join(f"{header}\r\n".encode("latin-1") for header in headers)
    return HEAD + lines + b"\r\n" + body


def cases() -> Iterator[Raw]:
    yield from _lengths()
    yield from _chunks()
    yield from _heads()
    yield from _large()


def _lengths() -> Iterator[Raw]:
    yield Raw("a body cut short", post(b'{"type":', "Content-Length: 30"), ends=True)
    yield Raw("no body, though one was announced", post(b"", "Content-Length: 30"), ends=True)
    yield Raw("a head cut short", HEAD[:-10], ends=True)
    yield Raw("only a method", b"POST", ends=True)
    for length in ("-1", "x", "1e1", "0x10", "+2", "2 2", "", "99999999999999999999999"):
        yield Raw("a length that is no number", post(b"{}", f"Content-Length: {length}"))
    yield Raw("two lengths", post(b"{}", "Content-Length: 2", "Content-Length: 3"))
    both = post(b"2\r\n{}\r\n0\r\n\r\n", "Content-Length: 2", "Transfer-Encoding: chunked")
    yield Raw("a length and chunks", both)
    yield Raw("a body without length, which is none", post(b"{}"))


def _chunks() -> Iterator[Raw]:
    chunked = "Transfer-Encoding: chunked"
    for title, body in (
        ("a chunk's size that is no number", b"x\r\n{}\r\n0\r\n\r\n"),
        ("a negative one", b"-1\r\n{}\r\n0\r\n\r\n"),
        ("a chunk without its end", b"2\r\n{}0\r\n\r\n"),
        ("a chunk of more bytes than 64 bits can count", b"f" * 17 + b"\r\n{}"),
    ):
        yield Raw(title, post(body, chunked))
    yield Raw("no last chunk", post(b"2\r\n{}\r\n", chunked), ends=True)
    for coding in ("gzip", "identity", "chunked, gzip", "x"):
        yield Raw("another transfer coding", post(b"{}", f"Transfer-Encoding: {coding}"))
    zipped = gzip.compress(b'{"type":')
    length = f"Content-Length: {len(zipped)}"
    yield Raw(
        "gzip of what is no JSON",
        post(zipped, length, "Content-Encoding: gzip"),
        'gzip of {"type":',
    )
    yield Raw(
        "gzip cut short",
        post(zipped[:-12], f"Content-Length: {len(zipped) - 12}", "Content-Encoding: gzip"),
        'gzip of {"type": without its last 12 bytes',
    )
    for coding in ("gzip", "deflate", "br"):
        headers = ("Content-Length: 2", f"Content-Encoding: {coding}")
        yield Raw("a body that is not encoded", post(b"{}", *headers))


def _heads() -> Iterator[Raw]:
    for title, line in (
        ("no HTTP", b"hello"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("no version", b"GET /health"),
        ("another protocol", b"GET /health FTP/1.1"),
        ("a version to come", b"GET /health HTTP/9.9"),
        ("no target", b"GET HTTP/1.1"),
        ("two targets", b"GET /a /b HTTP/1.1"),
        ("no method", b" /health HTTP/1.1"),
        ("a method that nobody knows", b"FROB /health HTTP/1.1"),
        ("a method in small letters", b"get /health HTTP/1.1"),
        ("a target that is no path", b"GET health HTTP/1.1"),
        ("a target with a null byte", b"GET /he\x00alth HTTP/1.1"),
        ("a target with bytes that are no ASCII", b"GET /\xff\xfe HTTP/1.1"),
        ("a target with percent signs that quote nothing", b"GET /%zz%4 HTTP/1.1"),
        ("a target that leads upwards", b"GET /../../etc/passwd HTTP/1.1"),
        ("an escaped target that leads upwards", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"),
        ("a target of another host", b"GET http://example.org/nope HTTP/1.1"),
    ):
        yield Raw(title, line + b"\r\nHost: x\r\n\r\n", ends=True)
    for title, header in (
        ("a header without colon", b"Content-Type application/json"),
        ("a space before the colon", b"Content-Length : 2"),
        ("no name", b": x"),
        ("a name with a space", b"A B: x"),
        ("a null byte in a value", b"A: x\x00y"),
        ("a line that goes on", b"A: x\r\n y"),
        ("a lone line feed", b"A: x\nB: y"),
    ):
        yield Raw(f"headers: {title}", b"GET /nope HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    yield Raw("no Host", b"GET /nope HTTP/1.1\r\n\r\n")
    upgrade = b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    yield Raw("an upgrade to what is not served", upgrade)
    expect = post(b"{}", "Content-Length: 2", "Expect: miracles")
    yield Raw("an expectation that nobody meets", expect)


def _large() -> Iterator[Raw]:
    long = HEADERS_BYTES_MAX
    yield Raw(
        "headers over the limit",
        b"GET /health HTTP/1.1\r\nA: " + b"x" * long + b"\r\n\r\n",
        f"GET /health, and a header of {long} bytes",
    )
    yield Raw(
        "a target over the limit",
        b"GET /" + b"x" * long + b" HTTP/1.1\r\n\r\n",
        f"GET /, and {long} bytes",
    )
    frame = b'{"x":""}'
    for size in (BODY_BYTES_MAX, BODY_BYTES_MAX + 1):
        body = frame[:-2] + b"a" * (size - len(frame)) + frame[-2:]
        yield Raw(
            f"a body of {size} bytes", post(body, f"Content-Length: {size}"), f"body: {size} bytes"
        )
    size = BODY_BYTES_MAX + 1
    announced = post(b"{", f"Content-Length: {size}")
    yield Raw("one that is only announced", announced, f"Content-Length: {size}")
    bomb = gzip.compress(b" " * size, compresslevel=9)
    headers = (f"Content-Length: {len(bomb)}", "Content-Encoding: gzip")
    yield Raw(
        "a small one that is large when unzipped", post(bomb, *headers), f"gzip of {size} spaces"
    )


def test_bytes_that_are_no_request_are_answered_as_in_the_table(rewrite: bool) -> None:
    text, faults = asyncio.run(_played())
    test = f"{Path(__file__).relative_to(Path(__file__).parents[2])}"
    hold(FILE, text, test, rewrite=rewrite)
    assert faults == []


async def _played() -> tuple[str, list[str]]:
    daemon = MasterDaemon(MasterOptions(port=0))
    await daemon.start()
    parts = [ABOUT]
    faults = []
    try:
        before = encoded(daemon.state)
        async with asyncio.timeout(DEADLINE_S):
            for one in cases():
                parts.append(await _asked(daemon.port, one))
                if encoded(daemon.state) != before:
                    faults.append(f"{one.title}: the state is another one")
    finally:
        await daemon.stop()
    return "\n".join(parts), faults


async def _asked(port: int, one: Raw) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    lines = [one.title, one.shown or _shown(one.sent)]
    try:
        with contextlib.suppress(ConnectionError):  # what was refused early is not read to its end
            writer.write(one.sent)
            await writer.drain()
        if one.ends:
            writer.write_eof()
        lines += await _answer(reader)
        lines.append(await _afterwards(reader, writer, one))
    finally:
        writer.close()
    return "\n".join(lines) + "\n"


async def _answer(reader: asyncio.StreamReader) -> list[str]:
    """Status and body; nothing when the connection was closed instead."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return ["→ (nothing)"]
    fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    shown = printable(body.decode("utf-8", "replace").replace("\n", "\\n"))
    return [f"→ {head[0].split(' ')[1]}", *([shown[:SHOWN_CHARS_MAX]] if shown else [])]


async def _afterwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: Raw) -> str:
    """Whether the connection goes on."""
    try:
        if not one.ends:
            writer.write(AGAIN)
        again = await reader.read(len(AGAIN_ANSWERED))
        return "closed" if not again else "kept" if again == AGAIN_ANSWERED else "refused"
    except ConnectionError:
        return "closed"


def _shown(sent: bytes) -> str:
    text = sent.decode("latin-1").replace("\r\n", "\\r\\n").replace("\n", "\\n")
    return printable(text.replace("\\r\\n", "⏎"))
