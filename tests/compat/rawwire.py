"""Raw bytes both ways on one connection, and what was recorded of them."""

from __future__ import annotations

import contextlib
import json
import re
import time

from msgspec import Struct

from tests.compat.connection import Connection, Ended, Stream
from tests.compat.jsonvalue import Json, parse
from tests.compat.recorded import Response, Step

QUIET_S = 0.5  # nothing comes within this time where nothing was recorded
ANSWERS = re.compile(r"(?=HTTP/1\.1 \d{3} )")
HEADER_BYTES = 100_000  # of the one too long header that was recorded as "(long)"


class Answer(Struct, frozen=True):
    """One answer on the connection; `events` when it is a stream."""

    head: Response
    body: str
    events: tuple[Json, ...] | None = None


def recorded_answers(text: str) -> list[Answer]:
    """The answers kept as text; chunk lengths in it are of other ids."""
    found = []
    for part in ANSWERS.split(text):
        if not part:
            continue
        head, _, body = part.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = tuple((name, value.strip()) for name, _, value in pairs)
        chunked = ("Transfer-Encoding", "chunked") in headers
        events = tuple(_events(body)) if chunked else None
        found.append(Answer(Response(int(first.split(" ")[1]), headers), body, events))
    return found


def answers(port: int, step: Step, recorded: list[Answer]) -> tuple[list[Answer], bool]:
    """What comes when the recorded bytes are sent, and whether the server then closes."""
    sent = step.raw_request or ""
    if sent == "(long)":
        sent = f"GET /version HTTP/1.1\r\nHost: m\r\nX: {'a' * HEADER_BYTES}\r\n\r\n"
    connection = Connection(port)
    try:
        half = len(sent) - 10 if "two TCP segments" in (step.case or "") else len(sent)
        for part in (sent[:half], sent[half:]):
            connection.socket.sendall(part.encode())
        found = [_answer(connection, one, sent.partition(" ")[0]) for one in recorded]
        closed = _closes(connection, found)
        if connection.buffer and not found:
            found.append(Answer(connection.head(), connection.buffer.decode()))
        return found, closed
    except (Ended, TimeoutError, ConnectionError):
        return [], connection.closed
    finally:
        connection.close()


def _answer(connection: Connection, recorded: Answer, method: str) -> Answer:
    head = connection.head()
    if head.status == 100:  # Mesos reads the body without it
        head = connection.head()
    if recorded.events is None:
        return Answer(head, connection.body(head, method).decode())
    stream = Stream(connection)
    found: list[Json] = []
    with contextlib.suppress(TimeoutError):
        until = time.monotonic() + 5
        while len(found) < len(recorded.events):
            record = stream.next(until)
            if record is None:
                break
            found.append(parse(record))
    return Answer(head, "", tuple(found))


def _closes(connection: Connection, found: list[Answer]) -> bool:
    if found and found[-1].events is not None:
        return connection.closed
    with contextlib.suppress(Ended, TimeoutError):
        while True:
            connection.receive(time.monotonic() + QUIET_S)
    return connection.closed


def _events(text: str) -> list[Json]:
    decoder = json.JSONDecoder()
    found: list[Json] = []
    at = text.find("{")
    while at >= 0:
        record, end = decoder.raw_decode(text, at)
        found.append(record)
        at = text.find("{", end)
    return found
