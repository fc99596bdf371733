"""What an HTTP server wrote, read as strictly as RFC 9112 allows; and what a client asked.

The requests are counted by llhttp, given everything in one piece.
"""

from __future__ import annotations

import re

import httptools
from msgspec import Struct

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\x20-\x7e]*\r\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)\r\n")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")
WITHOUT_BODY = (204, 304)


class NotHTTP(AssertionError):
    """The server wrote what no client can read."""


class Answered(Struct):
    """One answer. `is_whole`: it has ended, as a stream of events has not."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    is_whole: bool = True


class Asked:
    """The requests in a client's bytes, as far as they are HTTP.

    A wish for an upgrade to one of `upgrades` ends them; any other is only an offer, without which
    the request is read again, for llhttp takes nothing behind such a head for HTTP.
    """

    def __init__(self, data: bytes, upgrades: frozenset[str] = frozenset()) -> None:
        self.methods: list[str] = []  # of requests whose headers are whole
        self.whole = 0  # so many requests are whole
        self.is_broken = False  # what follows them is not HTTP
        self.is_upgraded = False  # what follows them is another protocol
        self._upgrades = upgrades
        self._lines: list[bytes] = []  # the head of the last request, without its upgrade
        self._wish = ""
        rest: bytes | None = data
        while rest is not None:
            rest = self._read(rest)

    def _read(self, data: bytes) -> bytes | None:
        """Count what is in `data`; what must be read anew, if anything."""
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            behind = data[upgrade.args[0] :]
            if self.methods[-1] == "CONNECT":
                return behind
            self.is_upgraded = self._wish in self._upgrades
            if self.is_upgraded:
                return None
            self.whole -= 1
            self.methods.pop()
            return b"\r\n".join([*self._lines, b"", b""]) + behind
        except httptools.HttpParserError:
            self.is_broken = True
        return None

    def on_message_begin(self) -> None:
        self._lines, self._wish = [b""], ""

    def on_url(self, url: bytes) -> None:
        self._lines[0] += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"upgrade":
            self._wish = value.decode("latin-1").lower()
        else:
            self._lines.append(name + b": " + value)

    def on_headers_complete(self) -> None:
        method = self._parser.get_method()
        self.methods.append(method.decode("latin-1"))
        self._lines[0] = method + b" " + self._lines[0] + b" HTTP/1.1"

    def on_message_complete(self) -> None:
        self.whole += 1


def answers_in(written: bytes, methods: list[str]) -> tuple[list[Answered], bytes]:
    """The final answers, and what follows a 101. Raises NotHTTP.

    `methods` are those of the requests that were answered, for HEAD is answered without a body.
    """
    found: list[Answered] = []
    at = 0
    while at < len(written):
        answer, at = _head(written, at)
        if answer.status == 101:
            return [*found, answer], written[at:]
        if answer.status == 100:
            continue
        method = methods[len(found)] if len(found) < len(methods) else ""
        at = _body(answer, method, written, at)
        found.append(answer)
    return found, b""


def _head(written: bytes, at: int) -> tuple[Answered, int]:
    status = _STATUS.match(written, at)
    if status is None:
        raise NotHTTP(f"no status line: {written[at : at + 80]!r}")
    answer = Answered(int(status[1]), {})
    at = status.end()
    while not written.startswith(b"\r\n", at):
        header = _HEADER.match(written, at)
        if header is None:
            raise NotHTTP(f"no header: {written[at : at + 80]!r}")
        name = header[1].decode().lower()
        if name in answer.headers:
            raise NotHTTP(f"header {name} twice")
        answer.headers[name] = header[2].decode("latin-1")
        at = header.end()
    return answer, at + 2


def _body(answer: Answered, method: str, written: bytes, at: int) -> int:
    headers = answer.headers
    if "transfer-encoding" in headers:
        if headers["transfer-encoding"] != "chunked" or "content-length" in headers:
            raise NotHTTP(f"the length is not clear: {headers}")
        return at if method == "HEAD" else _chunks(answer, written, at)
    if answer.status in WITHOUT_BODY:
        return at
    length = headers.get("content-length", "")
    if not length.isdigit():
        raise NotHTTP(f"no length: {headers}")
    if method == "HEAD":
        return at
    end = at + int(length)
    answer.body = written[at:end]
    if end > len(written):
        raise NotHTTP(f"a body of {len(written) - at} bytes that shall have {length}")
    return end


def _chunks(answer: Answered, written: bytes, at: int) -> int:
    while at < len(written):
        size = _CHUNK.match(written, at)
        if size is None:
            raise NotHTTP(f"no chunk: {written[at : at + 40]!r}")
        at = size.end() + int(size[1], 16)
        answer.body += written[size.end() : at]
        if written[at : at + 2] != b"\r\n":
            raise NotHTTP(f"a chunk that does not end: {written[at : at + 40]!r}")
        at += 2
        if int(size[1], 16) == 0:
            return at
    answer.is_whole = False
    return at
