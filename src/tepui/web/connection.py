"""One HTTP connection: requests in, answers out, in order.

llhttp (httptools) parses. This puts requests together within limits and writes the answers. One
request of a connection is answered at a time: what was sent behind it stays unparsed until the
answer is out, and the socket unread, so a client that floods a connection fills its own buffers.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias, cast
from urllib.parse import unquote, urlsplit

import httptools

from tepui.web.http import (
    ACCEPTED,
    BODY_BYTES_MAX,
    Answer,
    Request,
    Response,
    Streaming,
    text,
)

if TYPE_CHECKING:
    from tepui.web.routes import Route
    from tepui.web.site import Site
    from tepui.web.stream import RecordStream

    Routed: TypeAlias = tuple[Request, Route | None]

HEADERS_BYTES_MAX: Final = 64 * 1024  # the request line and all header lines of a request
REQUEST_READ_S: Final = 60  # a client gets this long to send a request whole
UNSENT_S: Final = 60  # a client that has taken nothing for so long is cut off
LINGER_S: Final = 2  # how long what is still sent is dropped, so that a refusal can be read
_TARGETS_MAX: Final = 1_024  # that are remembered
_KNOWN_BYTES_MAX: Final = 256
_CHUNKED_FEED_BYTES: Final = 4 * 1024  # nobody knows where a chunked body ends before it is parsed

TOO_LARGE: Final = text(413, f"The body is larger than {BODY_BYTES_MAX} bytes")
TOO_SLOW: Final = text(408, f"The request did not arrive within {REQUEST_READ_S} seconds")
TOO_MANY_BODIES: Final = text(503, "Too many requests with large bodies are under way")
NOT_HTTP: Final = text(400, "Invalid HTTP request received.")
HEADERS_TOO_LARGE: Final = text(400, f"The headers are larger than {HEADERS_BYTES_MAX} bytes")

_SLASHES: Final = re.compile(r"/{2,}")
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


class Connection(asyncio.Protocol):
    """One client, from its connection to its end, or to its upgrade to another protocol."""

    _transport: asyncio.Transport

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parser = httptools.HttpRequestParser(self)
        self._refusal: Response | None = None  # why the parser was stopped
        # the request that is coming in
        self._url = b""
        self._headers: dict[str, str] = {}
        self._headers_bytes = 0
        self._body: bytes | bytearray = b""
        self._rest_bytes: int | None = 0  # of its body; None: it is chunked
        self._in_body = False
        self._begun_s: float | None = None  # when it began, unless it is whole
        # what has come in and waits
        self._requests: deque[Routed | Response] = deque()  # a Response ends the connection
        self._unparsed = b""
        # the answer that is going out
        self._busy: Request | None = None
        self._stream: RecordStream | None = None
        self._is_writable = True
        self._is_advancing = False
        self._is_half_closed = False
        self._is_dropping = False  # what still comes in is not read
        self._unsent = (0, 0.0)  # bytes, and since when it has been so many

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # Cast: it is one of a stream, but those of uvloop are of none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self._server = f"{host}:{port}"
        self._site.opened(self)

    def data_received(self, data: bytes) -> None:
        """Parse as far as the first whole request; the rest when that has been answered."""
        if self._is_dropping or self._stream is not None:
            return
        if self._busy is not None or self._requests:
            self._keep(data)
        else:
            self._parse(data)
            self._advance()

    def eof_received(self) -> bool:
        """A client that sends no more may still read: whatever it asked is answered."""
        self._is_half_closed = True
        return self._busy is not None and self._stream is None

    def pause_writing(self) -> None:
        """The client reads more slowly than it asks."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """The client has read what was sent."""
        self._is_writable = True
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._leave()
        self._requests.clear()
        if self._stream is not None:
            self._stream.client_left()

    def check(self, now_s: float) -> None:
        """Look for a client that is too slow; called about once a second."""
        unsent_bytes = self._transport.get_write_buffer_size()
        if unsent_bytes != self._unsent[0] or self._stream is not None:
            self._unsent = (unsent_bytes, now_s)  # a stream has a limit of its own
        if unsent_bytes and now_s - self._unsent[1] > UNSENT_S:
            self._transport.abort()
        if self._begun_s is not None and now_s - self._begun_s > REQUEST_READ_S:
            self._refuse(TOO_SLOW)
            self._advance()

    @property
    def is_open(self) -> bool:
        """It can still be written to."""
        return not self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """It waits for a request, or for the rest of one."""
        return self._busy is None and not self._requests

    @property
    def unsent_bytes(self) -> int:
        """What was written and not yet taken by the client."""
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    def close(self) -> None:
        """End the connection when the request under way has been answered."""
        self._is_half_closed = True
        if self._busy is None:
            self._transport.close()

    # What the parser tells

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self._headers_bytes = 0
        self._begun_s = self._site.now_s

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers = self._headers
        if "transfer-encoding" in headers:
            self._rest_bytes = None
        else:
            self._rest_bytes = int(headers.get("content-length") or 0)  # llhttp has checked it
            if self._rest_bytes > BODY_BYTES_MAX:
                self._stop(TOO_LARGE)
        self._in_body = self._rest_bytes != 0
        if self._in_body and headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if not self._body:
            self._body = body  # as nearly always: it came in one piece
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if self._rest_bytes is not None:
            self._rest_bytes -= len(body)
        if len(self._body) > BODY_BYTES_MAX:
            self._stop(TOO_LARGE)
        if not self._site.hold(len(body)):
            self._stop(TOO_MANY_BODIES)

    def on_message_complete(self) -> None:
        parser = self._parser
        path, query_text = target_of(self._url)
        found = self._site.find(path)
        request = Request(
            method=parser.get_method().decode("ascii"),
            path=path,
            rest="" if found is None else found[1],
            headers=self._headers,
            query_text=query_text,
            body=bytes(self._body),
            server=self._server,
            keeps_alive=parser.should_keep_alive(),
        )
        self._drop_body()
        self._in_body = False
        self._begun_s = None
        self._requests.append((request, None if found is None else found[0]))

    def _count(self, size_bytes: int) -> None:
        self._headers_bytes += size_bytes
        if self._headers_bytes > HEADERS_BYTES_MAX:
            self._stop(HEADERS_TOO_LARGE)

    def _stop(self, refusal: Response) -> None:
        self._refusal = refusal
        raise ValueError  # which the parser turns into its own error

    # From bytes to requests

    def _parse(self, data: bytes) -> None:
        """Parse up to the end of the first request, and keep what is behind it."""
        at = 0
        while at < len(data) and not self._requests:
            end = at + self._portion_bytes(data, at)
            piece = data if at == 0 and end >= len(data) else data[at:end]
            at = end
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                if self._upgrade(piece[upgrade.args[0] :] + data[at:]):
                    return
                at -= len(piece) - upgrade.args[0]
                self._parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse(self._refusal or NOT_HTTP)
                return
            if self._in_body and self._rest_bytes is None:
                break  # a body in tiny chunks costs much, so the others have their turn first
        if at < len(data):
            self._keep(data[at:])

    def _portion_bytes(self, data: bytes, at: int) -> int:
        """How much to parse at once, so that it holds one request at most."""
        if not self._in_body:
            end = data.find(b"\r\n\r\n", at)
            return end + 4 - at if end >= 0 else len(data) - at
        return _CHUNKED_FEED_BYTES if self._rest_bytes is None else self._rest_bytes

    def _keep(self, data: bytes) -> None:
        """Parse it later, and read no more until then."""
        if not self._site.hold(len(data)):
            self._transport.abort()
            return
        self._unparsed += data
        self._transport.pause_reading()

    def _refuse(self, refusal: Response) -> None:
        """Answer this after what came before, then end; nothing more is read."""
        self._drop_body()
        self._begun_s = None
        self._is_dropping = True
        self._requests.append(refusal)

    def _drop_body(self) -> None:
        self._site.release(len(self._body))
        self._body = b""

    def _upgrade(self, rest: bytes) -> bool:
        """Hand the connection to the protocol that the request asks for; False: there is none."""
        routed = self._requests[-1] if self._requests else None
        if not isinstance(routed, tuple) or len(self._requests) > 1:
            return False
        request, _ = routed
        name = request.headers.get("upgrade", "").lower()
        make = self._site.upgrades.get(name)
        if make is None:
            return False
        self._leave()
        protocol = make(request.headers)
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {name}\r\n\r\n"
        self._requests.clear()
        self._transport.write(head.encode())
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest:
            protocol.data_received(rest)
        return True

    def _leave(self) -> None:
        self._site.closed(self)
        self._drop_body()
        self._site.release(len(self._unparsed))
        self._unparsed = b""

    # From requests to answers

    def _advance(self) -> None:
        """Answer what waits, as far as it can be answered now."""
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._busy is None and self._is_writable and not self._transport.is_closing():
            if self._requests:
                self._begin(self._requests.popleft())
            elif self._unparsed:
                data, self._unparsed = self._unparsed, b""
                self._site.release(len(data))
                self._transport.resume_reading()
                self._parse(data)
                if self._unparsed and not self._requests:
                    asyncio.get_running_loop().call_soon(self._advance)
                    break
            else:
                if self._is_half_closed:
                    self._transport.close()
                break
        self._is_advancing = False

    def _begin(self, routed: Routed | Response) -> None:
        if isinstance(routed, Response):
            self._last_words(routed)
        else:
            self._busy, route = routed
            self._site.in_turn(self, self._busy, route)

    def reply(self, answer: Answer | Awaitable[Answer]) -> None:
        """Answer the request that is under way."""
        if isinstance(answer, Response | Streaming):
            self._write(answer)
        else:
            self._site.awaited(answer, self._answered)

    def _answered(self, waiting: asyncio.Future[Answer]) -> None:
        if not self._transport.is_closing():
            self._write(self._site.result(waiting))

    def _write(self, answer: Answer) -> None:
        request = self._busy
        assert request is not None
        if isinstance(answer, Streaming):
            self._begin_stream(answer)
            return
        keeps_alive = request.keeps_alive
        if answer is ACCEPTED and keeps_alive:
            self._transport.write(self._site.accepted)
        else:
            head = head_of(answer, self._site.date, keeps_alive=keeps_alive)
            whole = answer.body if request.method != "HEAD" else b""
            self._transport.writelines([head, whole])
        self._busy = None
        if not keeps_alive:
            self._end()
        else:
            self._site.rested(self)
            self._advance()

    def _begin_stream(self, answer: Streaming) -> None:
        lines = _lines(200, self._site.date, answer.headers)
        lines.append(f"Content-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._transport.write("".join(lines).encode("latin-1"))
        self._stream = answer.stream
        self._requests.clear()
        if self._unparsed:  # nobody listens to it, but its end is to be heard
            self._site.release(len(self._unparsed))
            self._unparsed = b""
            self._transport.resume_reading()
        answer.stream.attach(self._transport)

    def _last_words(self, refusal: Response) -> None:
        self._transport.writelines(
            [head_of(refusal, self._site.date, keeps_alive=False), refusal.body]
        )
        self._end()

    def _end(self) -> None:
        """Close; but a client that still sends would lose the answer by our reset."""
        if not (self._is_dropping or self._unparsed) or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._is_dropping = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)


def target_of(url: bytes) -> tuple[str, str]:
    """Path and query of a request's target; the path without trailing or double slashes."""
    return _known_target(url) if len(url) <= _KNOWN_BYTES_MAX else _target(url)


def _target(url: bytes) -> tuple[str, str]:
    whole = url.decode("latin-1")
    if not whole.startswith("/"):  # as a proxy is asked: http://host/path
        parts = urlsplit(whole)
        whole = f"{parts.path}?{parts.query}" if parts.netloc else whole
    path, _, query_text = whole.partition("#")[0].partition("?")
    return _SLASHES.sub("/", unquote(path)).rstrip("/"), query_text


_known_target = lru_cache(_TARGETS_MAX)(_target)


def head_of(answer: Response, date: str, *, keeps_alive: bool) -> bytes:
    """The status line and headers of a whole answer."""
    lines = _lines(answer.status, date, answer.headers)
    if answer.content_type is not None:
        lines.append(f"Content-Type: {answer.content_type}\r\n")
    if not keeps_alive:
        lines.append("Connection: close\r\n")
    lines.append(f"Content-Length: {len(answer.body)}\r\n\r\n")
    return "".join(lines).encode("latin-1", "replace")


def _lines(status: int, date: str, headers: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}\r\nDate: {date}\r\n"]
    for name, value in headers:
        lines.append(f"{name}: {value.translate(_ONE_LINE)}\r\n")
    return lines


_ONE_LINE: Final = dict.fromkeys((*range(32), 127), " ")  # a value never ends its line
