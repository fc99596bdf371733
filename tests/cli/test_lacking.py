"""What `tepui node show` says of a node's shortcomings, as its agent answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tepui.cli.lacking import lacking

pytestmark = pytest.mark.real


@contextmanager
def agent_that_says(status: str, body: bytes) -> Iterator[str]:
    """The address of one that answers every request so."""
    ready, over = threading.Event(), threading.Event()
    ports: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        ready.wait()
        yield f"127.0.0.1:{ports[0]}"
    finally:
        over.set()
        thread.join()


def told(status: str, body: bytes) -> list[tuple[str, str]]:
    with agent_that_says(status, body) as address:
        return lacking(address)


def test_each_thing_that_is_missing_is_told() -> None:
    body = {"lacking": {"limits": "not enforced", "docker": "no Engine"}}
    assert told("200 OK", json.dumps(body).encode()) == [
        ("limits", "not enforced"),
        ("docker", "no Engine"),
    ]


@pytest.mark.parametrize("body", [b'{"id": "A"}', b"[]", b'{"lacking": "all"}', b'{"lacking": {}}'])
def test_agent_that_says_nothing_of_it_lacks_nothing(body: bytes) -> None:
    assert told("200 OK", body) == []


def test_agent_of_mesos_is_not_held_to_it() -> None:
    assert told("404 Not Found", b"404 Not Found.") == []


def test_agent_that_does_not_answer_is_named() -> None:
    with agent_that_says("200 OK", b"") as address:
        pass
    for found in (lacking(address), told("403 Forbidden", b"no"), told("200 OK", b"not JSON")):
        [(name, why)] = found
        assert name == "unknown"
        assert why
