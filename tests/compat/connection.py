"""One HTTP connection as the recorder had it: what is sent is given, what comes is kept byte for byte."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable

from tests.compat.recorded import Response

HOST = "127.0.0.1"
ANSWER_S = 20.0  # for the head and body of an answer
CHUNK_BYTES = 1 << 16


class Ended(Exception):
    """The server closed the connection."""


class Connection:
    """A socket with a buffer of what came and was not taken yet."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_connection((HOST, port), timeout=ANSWER_S)
        self.buffer = b""
        self.closed = False  # by the server

    def send(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> None:
        """Send one request, its headers in the order given."""
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def head(self) -> Response:
        """The status and headers of an answer; its body stays in the buffer."""
        until = time.monotonic() + ANSWER_S
        while b"\r\n\r\n" not in self.buffer:
            self.receive(until)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in rest)
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        return Response(int(first.split(" ")[1]), headers)

    def body(self, head: Response, method: str) -> bytes:
        """The whole body of the answer whose head was read."""
        until = time.monotonic() + ANSWER_S
        named = {name.lower(): value for name, value in head.headers}
        if method == "HEAD" or head.status == 204:
            return b""
        if "chunked" in named.get("transfer-encoding", ""):
            chunks = Chunks(self)
            while not chunks.ended:
                chunks.read(until)
            return chunks.data
        length = int(named.get("content-length", "0"))
        while len(self.buffer) < length:
            self.receive(until)
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def receive(self, until: float) -> None:
        """Wait for more bytes; raises TimeoutError at `until`, Ended when nothing more will come."""
        wait_s = until - time.monotonic()
        if wait_s <= 0:
            raise TimeoutError
        self.socket.settimeout(wait_s)
        try:
            more = self.socket.recv(CHUNK_BYTES)
        except ConnectionError:
            more = b""
        if not more:
            self.closed = True
            raise Ended
        self.buffer += more

    def close(self) -> None:
        """Cut the connection."""
        with contextlib.suppress(OSError):
            self.socket.close()


class Chunks:
    """The chunks of a body, put together again."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.data = b""
        self.ended = False  # the last chunk came

    def read(self, until: float) -> None:
        """Take at least one chunk; raises TimeoutError at `until`."""
        while not self._take():
            self.connection.receive(until)

    def _take(self) -> bool:
        head, found, rest = self.connection.buffer.partition(b"\r\n")
        if not found:
            return False
        length = int(head.split(b";")[0], 16)
        if len(rest) < length + 2:
            return False
        self.data += rest[:length]
        self.connection.buffer = rest[length + 2 :]
        self.ended = length == 0
        return True


class Stream:
    """The events of one SUBSCRIBE connection, as JSON texts, in the order they came."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.chunks = Chunks(connection)
        self.end: str | None = None  # how it ended: "last chunk" or "connection closed"

    def next(self, until: float) -> bytes | None:
        """The next record; None when the stream has ended. Raises TimeoutError at `until`."""
        while True:
            head, found, rest = self.chunks.data.partition(b"\n")
            if found and len(rest) >= int(head):
                self.chunks.data = rest[int(head) :]
                return rest[: int(head)]
            if self.end is not None:
                return None
            try:
                self.chunks.read(until)
            except Ended:
                self.end = "connection closed"
            if self.chunks.ended:
                self.end = "last chunk"
