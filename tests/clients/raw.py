"""HTTP as bytes on a socket: exactly what is sent, and exactly what comes back.

    with Conversation(address) as talk:
        talk.send(post("/api/v1/scheduler", call))
        head, first = talk.head(), talk.event()

Nothing is added, corrected or retried, as a client library would.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

ANSWER_S = 30.0  # for anything that is waited for

JSON_TYPE = ("Content-Type", "application/json")
Pair = tuple[str, str]


class Head(NamedTuple):
    """A status line and the headers, their names as they were written."""

    status: int
    pairs: tuple[Pair, ...]

    def get(self, name: str) -> str | None:
        """The header of that name, in whatever capitals."""
        found = [value for key, value in self.pairs if key.lower() == name.lower()]
        return found[-1] if found else None


class Whole(NamedTuple):
    """A whole answer."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    def json(self) -> Any:  # any JSON; each test says which
        return json.loads(self.body)


class Conversation:
    """One connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), ANSWER_S)
        self.reader = self.socket.makefile("rb")

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> Head:
        """The status line and headers of the next answer."""
        status = int(self.reader.readline().split(b" ")[1])
        pairs: list[Pair] = []
        while line := self.reader.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(": ")
            pairs.append((name, value))
        return Head(status, tuple(pairs))

    def chunk(self) -> bytes:
        """The next chunk of the body, empty at its end."""
        size = int(self.reader.readline(), 16)
        data = self.reader.read(size)
        assert self.reader.readline() == b"\r\n"
        return data

    def event(self) -> Any:  # any JSON
        """The record in the next chunk, which must be one and whole."""
        return json.loads(record(self.chunk()))

    def event_of(self, kind: str) -> Any:  # any JSON
        """The next event of that type; heartbeats do not prolong the wait for it."""
        until_s = time.monotonic() + ANSWER_S
        while (event := self.event())["type"] != kind:
            assert time.monotonic() < until_s, f"no {kind} within {ANSWER_S:.0f} s"
        return event

    def whole(self) -> Whole:
        """The next answer with its body."""
        head = self.head()
        if head.get("Transfer-Encoding") == "chunked":
            return Whole(head, b"".join(iter(self.chunk, b"")))
        return Whole(head, self.reader.read(int(head.get("Content-Length") or 0)))


def record(chunk: bytes) -> bytes:
    """What one chunk holds, when it is exactly one record of RecordIO."""
    length, newline, found = chunk.partition(b"\n")
    assert newline, chunk
    assert length.isdigit(), chunk
    assert int(length) == len(found), chunk
    return found


def request(
    method: str, path: str, body: bytes | None = None, headers: Sequence[Pair] = ()
) -> bytes:
    """The bytes of a request; a body has its length said unless a header says otherwise."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None and not any(name == "Transfer-Encoding" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def post(path: str, message: object, *headers: Pair) -> bytes:
    """The bytes of a POST of JSON; other headers go with it."""
    return request("POST", path, json.dumps(message).encode(), (JSON_TYPE, *headers))


def ask(address: str, data: bytes) -> Whole:
    """The answer to one request."""
    with Conversation(address) as talk:
        talk.send(data)
        return talk.whole()


def get(address: str, path: str, *headers: Pair) -> Whole:
    """The answer to one GET."""
    return ask(address, request("GET", path, headers=headers))
