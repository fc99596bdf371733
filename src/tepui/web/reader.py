"""Requests put together from the bytes of a connection, within limits, one at a time.

llhttp (httptools) parses. It is given one request at most, so that nothing behind a request is
parsed before somebody asks for it: a client that floods a connection fills its own buffers.

A scheduler's calls differ in their bodies only. So a head that is byte for byte that of the request
before is not parsed again.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import httptools
from msgspec import structs

from tepui.web.http import BODY_BYTES_MAX, Request, Response, text
from tepui.web.upload import LEFT, Upload

HEADERS_BYTES_MAX: Final = 64 * 1024  # the request line and all header lines
HELD_BYTES_MAX: Final = 512 * 1024 * 1024  # bodies and parts of requests, of all together
HELD_ALWAYS_BYTES: Final = 64 * 1024  # each may hold so much, whatever the others hold

TOO_LARGE: Final = text(413, f"The body is larger than {BODY_BYTES_MAX} bytes")
TOO_MANY_BODIES: Final = text(503, "Too many requests with large bodies are under way")
NOT_HTTP: Final = text(400, "Invalid HTTP request received.")
HEADERS_TOO_LARGE: Final = text(400, f"The headers are larger than {HEADERS_BYTES_MAX} bytes")

_HEAD_END: Final = b"\r\n\r\n"
_AT_ONCE_BYTES: Final = 4 * 1024
_CHUNKED_FEED_BYTES: Final = 4 * 1024  # nobody knows where a chunked body ends before it is parsed
_UPLOAD_FEED_BYTES: Final = 32 * 1024
_TARGETS_MAX: Final = 1_024  # that are remembered
_KNOWN_BYTES_MAX: Final = 256
_KNOWN_HEAD_BYTES_MAX: Final = 1024
_SLASHES: Final = re.compile(r"/{2,}")


class NotServed(Exception):
    """Nothing that follows is a request; `response` says why, and ends the connection."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class Held:
    """How many bytes of requests that are not whole, parsed or answered all connections hold."""

    def __init__(self) -> None:
        self._bytes = 0

    @property
    def total_bytes(self) -> int:
        """Of all."""
        return self._bytes

    @property
    def is_scarce(self) -> bool:
        """More than half of what there is, is held."""
        return self._bytes > HELD_BYTES_MAX // 2

    def add(self, size_bytes: int, own_bytes: int) -> bool:
        """Hold so many more; False: all hold too many, and who has `own_bytes` not a little."""
        if self._bytes + size_bytes > HELD_BYTES_MAX and own_bytes + size_bytes > HELD_ALWAYS_BYTES:
            return False
        self._bytes += size_bytes
        return True

    def keep(self, size_bytes: int) -> None:
        """Hold so many that are here already; whoever comes next is refused."""
        self._bytes += size_bytes

    def drop(self, size_bytes: int) -> None:
        """Hold them no more."""
        self._bytes -= size_bytes


class _Known(NamedTuple):
    """The head of a request that came in one piece, and what it says."""

    head: bytes
    size_bytes: int  # with the body
    request: Request  # without it


class RequestReader:
    """The reading side of one connection."""

    def __init__(
        self,
        server: str,
        held: Held,
        upgrades: frozenset[str],
        takes_upload: Callable[[str, Mapping[str, str]], bool] = lambda path, headers: False,
    ) -> None:
        """`server` is the host and port of our side; `upgrades` are the protocols it has.

        `takes_upload` says of path and headers whether the body is to be handled as it comes.
        """
        self.begun_s: float | None = None  # when a request began that is not whole yet
        self.now_s = 0.0
        self.awaits_continue = False  # the client waits for 100 before it sends the body
        self.is_head = False  # the request that is not whole yet: it has a head, and that says HEAD
        self._server = server
        self._held = held
        self._upgrades = upgrades
        self._takes_upload = takes_upload
        self._upload: Upload | None = None  # the body that is being read, if it is one
        self._parser = httptools.HttpRequestParser(self)
        self._whole: deque[Request] = deque()
        self._refusal: Response | None = None  # why the parser was stopped
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body: bytes | bytearray = b""
        self._rest_bytes: int | None = 0  # of the body; None: it is chunked
        self._in_body = False
        self._known: _Known | None = None  # the last one

    def read(self, data: bytes, at: int) -> tuple[Request | None, int]:
        """The first whole request of `data` from `at` on, and where it ends. Raises NotServed.

        Without a request what is behind is to be read in a later turn of the loop: a body in tiny
        chunks costs much. With one that `is_upgrade`, it is of another protocol.
        """
        is_begin = self.begun_s is None and not self._whole and self._refusal is None
        known = self._known
        if is_begin and known is not None and data.startswith(known.head, at):
            end = at + known.size_bytes
            if end <= len(data):
                self._head_bytes = 0
                body = data[at + len(known.head) : end]
                return structs.replace(known.request, body=body), end
        begin = at
        while at < len(data) and not self._whole and self._refusal is None:
            end = at + self._portion_bytes(data, at)
            piece = data if at == 0 and end >= len(data) else data[at:end]
            if not self._in_body or self._rest_bytes is None:
                self._head_bytes += len(piece)
                if self._head_bytes > HEADERS_BYTES_MAX:  # before the parser keeps it
                    raise NotServed(HEADERS_TOO_LARGE)
            try:
                at += self._feed(piece)
            except httptools.HttpParserError:
                at += len(piece)
                self._failed()
            if self._in_body and self._rest_bytes is None:
                break
        if self._whole:
            request = self._whole.popleft()
            if not request.keeps_alive:
                self._known = None  # what follows is no request, whatever it looks like
            if is_begin and begin == 0 and at == len(data):
                self._know(data, request)
            return request, at
        if self._refusal is not None:
            raise NotServed(self._refusal)
        return None, at

    def read_on(self, data: bytes, at: int, *, is_last: bool) -> int:
        """Read the body of an upload, until it is whole or enough waits; where that ends.

        `is_last`: no more data will come.
        """
        upload = self._upload
        while upload is not None and not upload.is_over and not upload.is_full and at < len(data):
            piece = data[at : at + min(_UPLOAD_FEED_BYTES, self._rest_bytes or _UPLOAD_FEED_BYTES)]
            self._head_bytes += len(piece)
            try:
                at += self._feed(piece)
            except httptools.HttpParserError:
                at += len(piece)
                self._failed()
            if self._head_bytes > HEADERS_BYTES_MAX or self._refusal is not None:
                upload.fail("the body is not as HTTP has it")
        if upload is not None and is_last and at >= len(data):
            upload.fail(LEFT)
        return at

    @property
    def is_ahead(self) -> bool:
        """There is something to read without more data: what was parsed at once held several.

        That is so when the end of a body in chunks came together with others.
        """
        return bool(self._whole) or self._refusal is not None or self.awaits_continue

    def _know(self, data: bytes, request: Request) -> None:
        """Remember the head of the request if `data` is that request and nothing else."""
        head_bytes = data.find(_HEAD_END) + len(_HEAD_END)
        is_alone = head_bytes + len(request.body) == len(data)
        is_plain = (
            self._rest_bytes is not None
            and request.upload is None
            and request.keeps_alive
            and not request.is_upgrade
        )
        if is_alone and is_plain and head_bytes <= _KNOWN_HEAD_BYTES_MAX:
            bare = structs.replace(request, body=b"")
            self._known = _Known(data[:head_bytes], len(data), bare)

    def forget(self) -> None:
        """No further request is answered: nothing is held any more."""
        if self._upload is not None:
            self._upload.fail(LEFT)
        self.begun_s = self._refusal = None
        self.awaits_continue = False
        self._whole.clear()
        self._drop_body()

    def end(self) -> None:
        """The connection is gone: nothing is read any more."""
        self.forget()
        del self._parser  # it holds this object and what it was fed, until a collection comes

    def _portion_bytes(self, data: bytes, at: int) -> int:
        """How much to parse at once, so that it holds one request at most."""
        if not self._in_body:
            if at == 0 and len(data) <= _AT_ONCE_BYTES and data.count(_HEAD_END) == 1:
                return len(data)  # as nearly always: one call, and its body with it
            if self.begun_s is not None:  # the end of the head may have come in part
                line = data.find(b"\n", at, at + 3)
                if line >= 0:
                    return line + 1 - at
            end = data.find(_HEAD_END, at)
            return end + 4 - at if end >= 0 else len(data) - at
        return _CHUNKED_FEED_BYTES if self._rest_bytes is None else self._rest_bytes

    def _feed(self, piece: bytes) -> int:
        """Parse the piece; how much of it was: behind an upgrade it is of another protocol."""
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._whole[-1].is_upgrade:
                head = self._without_upgrade()  # which makes a new parser
                self._parser.feed_data(head)
            parsed_bytes: int = upgrade.args[0]
            return parsed_bytes
        return len(piece)

    def _failed(self) -> None:
        """What the parser was given is no request, unless it was us who stopped it."""
        if self._refusal is None:
            self._refusal = NOT_HTTP

    def _without_upgrade(self) -> bytes:
        """The head of the request that asks for an upgrade that there is none to, without that.

        To llhttp whatever follows such a head is of another protocol, the request's body, too. But
        clients offer HTTP/2 with any request (RFC 7540, section 3.2), and mean it as an offer.
        """
        method = self._parser.get_method().decode("ascii")
        version = self._parser.get_http_version()
        self._parser = httptools.HttpRequestParser(self)
        if method == "CONNECT":  # which is the same to llhttp; but it has no body, and is whole
            return b"\r\n"
        self._whole.pop()
        lines = [f"{method} {self._url.decode('latin-1')} HTTP/{version}"]
        lines += [f"{name}: {self._headers[name]}" for name in self._headers if name != "upgrade"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    # What the parser tells

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = {}
        self.is_head = False
        self.begun_s = self.now_s

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer is no header: who looked at those has not seen it
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers = self._headers
        self.is_head = self._parser.get_method() == b"HEAD"
        if "transfer-encoding" in headers:
            self._rest_bytes = None
        else:
            self._rest_bytes = int(headers.get("content-length") or 0)  # llhttp has checked it
        self._head_bytes = 0
        self._in_body = self._rest_bytes != 0
        if self._in_body and self._takes_upload(target_of(self._url)[0], headers):
            self._upload = Upload()
            self._whole.append(self._request(self._upload))
        elif (self._rest_bytes or 0) > BODY_BYTES_MAX:
            self._stop(TOO_LARGE)
        if self._in_body and "expect" in headers:
            is_known = headers["expect"].lower() == "100-continue"
            self.awaits_continue = is_known and self._parser.get_http_version() != "1.0"

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0  # between pieces of a body, and behind it, as much as in a head
        if self._upload is not None:
            self._upload.feed(body)
            if self._rest_bytes is not None:
                self._rest_bytes -= len(body)
            return
        if not self._held.add(len(body), len(self._body)):
            self._stop(TOO_MANY_BODIES)
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

    def on_message_complete(self) -> None:
        if self._upload is not None:
            self._upload.end()
            self._upload = None
        else:
            self._whole.append(self._request(None))
        self._drop_body()
        self._head_bytes = 0
        self._in_body = self.awaits_continue = False
        self.is_head = False
        self.begun_s = None

    def _request(self, upload: Upload | None) -> Request:
        parser = self._parser
        path, query_text = target_of(self._url)
        return Request(
            method=parser.get_method().decode("ascii"),
            path=path,
            headers=self._headers,
            query_text=query_text,
            body=bytes(self._body),
            server=self._server,
            keeps_alive=parser.should_keep_alive(),
            is_upgrade=parser.should_upgrade()
            and self._headers.get("upgrade", "").lower() in self._upgrades,
            upload=upload,
        )

    def _drop_body(self) -> None:
        self._held.drop(len(self._body))
        self._body = b""

    def _stop(self, refusal: Response) -> None:
        self._refusal = refusal
        raise ValueError  # which the parser turns into its own error


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
