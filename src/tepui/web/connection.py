"""One HTTP connection: requests in, answers out, in order.

One request of a connection is answered at a time. What was sent behind it stays unread until the
answer is out (`reader.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from tepui.web.filed import FileWriter, SharedFile
from tepui.web.http import ACCEPTED, Answer, Filed, Request, Response, Streaming, Switching, text
from tepui.web.reader import NotServed, RequestReader
from tepui.web.requests import Later
from tepui.web.upload import Upload

if TYPE_CHECKING:
    from tepui.web.site import Site
    from tepui.web.stream import RecordStream

REQUEST_READ_S: Final = 60  # a client gets this long to send a request whole
REQUEST_READ_SCARCE_S: Final = 5  # the same while many large requests are under way
UNSENT_S: Final = 60  # a client that has taken nothing for so long is cut off
LINGER_S: Final = 2  # how long what is still sent is dropped, so that a refusal can be read

TOO_SLOW: Final = text(408, f"The request did not arrive within {REQUEST_READ_S} seconds")
TOO_SLOW_FOR_NOW: Final = text(
    408,
    f"The request did not arrive within {REQUEST_READ_SCARCE_S} seconds, and many are under way",
)

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_ONE_LINE: Final = dict.fromkeys((*range(32), 127), " ")  # a value never ends its line


class Connection(asyncio.Protocol):
    """One client, from its connection to its end, or to its upgrade to another protocol."""

    _transport: asyncio.Transport
    _reader: RequestReader

    def __init__(self, site: Site) -> None:
        self._site = site
        self._unread = b""  # what has come in; from `_at` on it is not read
        self._at = 0
        self._held_bytes = 0  # of it are counted, and the socket is not read until it is
        self._busy: Request | None = None  # it is being answered
        self._stream: RecordStream | None = None
        self._file: FileWriter | None = None
        self._is_writable = True
        self._is_advancing = False
        self._is_last = False  # it is closed when nothing is left to answer
        self._is_dropping = False  # what still comes in is of no interest
        self._unsent = (0, 0.0)  # bytes, and since when it has been so many

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        # Cast: it is one of a stream, but those of uvloop are of none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self._reader = self._site.reader(f"{host}:{port}")
        self._site.opened(self)

    def data_received(self, data: bytes) -> None:
        """Answer the first whole request, and keep what is behind it until then."""
        if self._is_dropping or self._stream is not None:
            return
        if self._held_bytes and not self._hold(len(data)):
            return
        self._unread = self._unread[self._at :] + data if self._unread else data
        self._at = 0
        self._go_on()

    def eof_received(self) -> bool:
        """A client that sends no more may still read: whatever it asked is answered."""
        self._is_last = True
        self._read_upload()
        if self._stream is not None:
            self._stream.end()  # a client that does not read either would keep it open for ever
        is_unanswered = self._busy is not None or self._reader.is_ahead
        return is_unanswered and self._stream is None

    def pause_writing(self) -> None:
        """The client reads more slowly than it asks."""
        self._is_writable = False
        if self._stream is not None:
            self._stream.pause()

    def resume_writing(self) -> None:
        """The client has read what was sent."""
        self._is_writable = True
        if self._file is not None:
            self._file.resume()
        elif self._stream is not None:
            self._stream.resume()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._leave()
        if self._stream is not None:
            self._stream.client_left()
        if self._file is not None:
            self._file.left()
            self._file = None  # it knows this connection, and that its request

    # What the site asks

    @property
    def is_open(self) -> bool:
        """It can still be written to."""
        return not self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """It waits for a request, or for the rest of one."""
        return self._busy is None

    @property
    def unsent_bytes(self) -> int:
        """What was written and not yet taken by the client, or waits to be written."""
        waiting_bytes = 0 if self._stream is None else self._stream.pending_bytes
        return self._transport.get_write_buffer_size() + waiting_bytes

    def check(self, now_s: float) -> None:
        """Look for a client that is too slow; called about once a second."""
        self._reader.now_s = now_s
        unsent_bytes = self._transport.get_write_buffer_size()
        is_streaming = self._stream is not None and self._file is None
        if unsent_bytes != self._unsent[0] or is_streaming:
            self._unsent = (unsent_bytes, now_s)  # a stream has a limit of its own
        if unsent_bytes and now_s - self._unsent[1] > UNSENT_S:
            self._transport.abort()
        begun_s = self._reader.begun_s
        if begun_s is None or not self.is_open:
            return
        if self._busy is not None:  # the rest of the next request is not read meanwhile
            self._reader.begun_s = now_s
        elif now_s - begun_s > REQUEST_READ_S:
            self._refuse(TOO_SLOW)
        elif self._site.held.is_scarce and now_s - begun_s > REQUEST_READ_SCARCE_S:
            self._refuse(TOO_SLOW_FOR_NOW)  # so that those who trickle make room

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    def close(self) -> None:
        """End the connection when the request under way has been answered."""
        self._is_last = True
        if self._busy is None:
            self._transport.close()

    # Requests

    def _go_on(self) -> None:
        """Read on, as far as what comes can be answered now; let the rest wait."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            self._advance()
        except BaseException:
            self._transport.abort()  # our fault; nobody would answer this client any more
            raise
        finally:
            self._is_advancing = False
        self._pause_or_resume()

    def _advance(self) -> None:
        self._read_upload()
        while self._busy is None and self._is_writable and self.is_open:
            if self._at < len(self._unread) or self._reader.is_ahead:
                self._read()
                has_unread = self._at < len(self._unread)
                if self.is_idle and has_unread:  # the others have their turn first
                    asyncio.get_running_loop().call_soon(self._go_on)
                    break
            else:
                if self._is_last:
                    self._transport.close()
                break

    def _read(self) -> None:
        try:
            request, self._at = self._reader.read(self._unread, self._at)
        except NotServed as refusal:
            self._refuse(refusal.response)
            return
        if request is None:
            if self._reader.awaits_continue:
                self._reader.awaits_continue = False
                self._transport.write(_CONTINUE)
            return
        if request.is_upgrade:
            self._upgrade(request, self._unread[self._at :])
        else:
            self._busy = request
            if request.upload is not None:
                self._take_upload(request.upload)
            self._site.in_turn(self, request)

    def _take_upload(self, upload: Upload) -> None:
        """Its body is read while the request is being answered."""
        upload.on_room = self._go_on
        if self._reader.awaits_continue:
            self._reader.awaits_continue = False
            self._transport.write(_CONTINUE)
        asyncio.get_running_loop().call_soon(self._go_on)

    def _read_upload(self) -> None:
        """Read on in the body of the request that is being answered, if it is handled as it comes."""
        if self._busy is not None and self._busy.upload is not None:
            self._at = self._reader.read_on(self._unread, self._at, is_last=self._is_last)

    def _pause_or_resume(self) -> None:
        """While something waits to be read here, nothing is read from the socket."""
        if not self.is_open:
            return
        if self._at < len(self._unread):
            if not self._held_bytes and self._hold(len(self._unread)):
                self._transport.pause_reading()
        elif self._held_bytes:
            self._drop_unread()
            self._transport.resume_reading()
        else:
            self._unread, self._at = b"", 0

    def _hold(self, size_bytes: int) -> bool:
        """Count bytes that wait here; False: all hold too many, and this client must go."""
        if not self._site.held.add(size_bytes, self._held_bytes):
            self._transport.abort()
            return False
        self._held_bytes += size_bytes
        return True

    def _drop_unread(self) -> bytes:
        """Hold nothing that was not read; what it was."""
        left = self._unread[self._at :]
        self._site.held.drop(self._held_bytes)
        self._unread, self._at, self._held_bytes = b"", 0, 0
        return left

    def _upgrade(self, request: Request, behind: bytes) -> None:
        """Hand the connection over to the protocol that the request asks for."""
        name = request.headers["upgrade"].lower()
        self._switch(self._site.upgrades[name](request.headers), name, behind)

    def _switch(self, protocol: asyncio.Protocol, name: str, behind: bytes) -> None:
        was_paused = bool(self._held_bytes)
        self._leave()
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {name}\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.set_protocol(protocol)
        if was_paused:
            self._transport.resume_reading()
        protocol.connection_made(self._transport)
        if behind:
            protocol.data_received(behind)

    def _leave(self) -> None:
        self._site.closed(self)
        self._reader.end()
        self._drop_unread()

    # Answers

    def reply(self, answer: Answer | Awaitable[Answer]) -> None:
        """Answer the request that is under way."""
        if isinstance(answer, Response | Streaming | Switching):
            self._write_or_abort(answer)
        elif isinstance(answer, Later):
            answer.then(self._came)
        else:
            body_bytes = 0 if self._busy is None else len(self._busy.body)
            self._site.awaited(answer, self._answered, body_bytes)

    def _answered(self, waiting: asyncio.Future[Answer]) -> None:
        self._came(self._site.result(waiting))

    def _came(self, answer: Answer) -> None:
        if self.is_open:
            try:
                self._write_or_abort(answer)
            except Exception as error:  # our fault, but not of whoever brings the answer
                fault = {"message": "an answer was not written", "exception": error}
                asyncio.get_running_loop().call_exception_handler(fault)
        elif isinstance(answer, Streaming):
            answer.stream.client_left()  # else it would collect events for nobody
        elif isinstance(answer, Switching):
            answer.protocol.connection_lost(None)

    def _write_or_abort(self, answer: Answer) -> None:
        try:
            self._write(answer)
        except BaseException:
            self._transport.abort()  # our fault; this client would wait for ever
            raise

    def _write(self, answer: Answer) -> None:
        request = self._busy
        assert request is not None
        if isinstance(answer, Streaming):
            self._begin_stream(answer)
            return
        if isinstance(answer, Switching):
            self._switch(answer.protocol, answer.name, self._unread[self._at :])
            return
        keeps_alive = request.keeps_alive and _is_read(request)
        if answer is ACCEPTED and keeps_alive:
            self._transport.write(self._site.accepted)
        else:
            head = head_of(answer, self._site.date, keeps_alive=keeps_alive)
            whole = answer.body if request.method != "HEAD" else b""
            self._transport.writelines([head, whole])
            if isinstance(answer, Filed) and request.method != "HEAD":
                self._begin_file(answer)
                return
        self._written(request)

    def _written(self, request: Request) -> None:
        self._busy = None
        self._file = None
        if not _is_read(request):
            self._is_dropping = True
            self._end()
        elif not request.keeps_alive:
            self._end()
        else:
            self._site.rested(self)
            if self._unread or self._is_last or self._reader.is_ahead:
                self._go_on()

    def _begin_file(self, answer: Filed) -> None:
        request = self._busy
        assert request is not None
        self._write_file(answer.file, answer.after, lambda: self._written(request))

    def _write_file(self, file: SharedFile, after: bytes, done: Callable[[], None]) -> None:
        """Write the file and `after`, as the client takes it."""
        self._file = FileWriter(self._transport, file, after, lambda: self._is_writable, done)
        self._file.resume()

    def _begin_stream(self, answer: Streaming) -> None:
        lines = _lines(200, self._site.date, answer.headers)
        lines.append(f"Content-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._transport.write("".join(lines).encode("latin-1"))
        self._stream = answer.stream
        self._reader.forget()  # nor is a request that had begun too slow
        if self._held_bytes:  # nobody listens to what comes, but its end is to be heard
            self._transport.resume_reading()
        self._drop_unread()
        if answer.first is None:
            answer.stream.attach(self._transport)
        else:
            self._begin_first(answer.stream, answer.first)

    def _begin_first(self, stream: RecordStream, first: Filed) -> None:
        """One chunk from a file, then what the stream has."""

        def written() -> None:
            self._file = None
            stream.attach(self._transport)

        self._transport.write(b"%x\r\n%b" % (first.body_bytes, first.body))
        self._write_file(first.file, first.after + b"\r\n", written)

    def _refuse(self, refusal: Response) -> None:
        """Answer this, and end: what follows is no request."""
        self._is_dropping = True
        self._transport.writelines(
            [
                head_of(refusal, self._site.date, keeps_alive=False),
                b"" if self._reader.is_head else refusal.body,
            ]
        )
        self._end()

    def _end(self) -> None:
        """Close; but a client that still sends would lose the answer by our reset."""
        self._reader.forget()
        still_sends = bool(self._drop_unread()) or self._is_dropping
        if not self.is_open:
            return
        if not still_sends or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._is_dropping = True
        self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)


def _is_read(request: Request) -> bool:
    """Nothing of the request is still to come."""
    return request.upload is None or request.upload.is_whole


def head_of(answer: Response, date: str, *, keeps_alive: bool) -> bytes:
    """The status line and headers of a whole answer."""
    lines = _lines(answer.status, date, answer.headers)
    if answer.content_type is not None:
        lines.append(f"Content-Type: {answer.content_type}\r\n")
    if not keeps_alive:
        lines.append("Connection: close\r\n")
    lines.append(f"Content-Length: {answer.body_bytes}\r\n\r\n")
    return "".join(lines).encode("latin-1", "replace")


def _lines(status: int, date: str, headers: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f"HTTP/1.1 {status} {_PHRASES[status]}\r\nDate: {date}\r\n"]
    for name, value in headers:
        lines.append(f"{name}: {value.translate(_ONE_LINE)}\r\n")
    return lines
