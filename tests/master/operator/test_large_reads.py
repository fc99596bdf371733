"""Reads of a running master whose answers are made from snapshots."""

from __future__ import annotations

import asyncio

import pytest

from tepui.master.core import operator
from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.wire import master, protobuf

pytestmark = pytest.mark.real

DEADLINE_S = 20
CALL = b'{"type":"GET_STATE"}'
PATHS = ("/state", "/state-summary?jsonp=f", "/slaves", "/tasks.json", "/frameworks", "/roles")


async def exchange(port: int, target: str, accept: str = "*/*", body: bytes = b"") -> bytes:
    """The whole answer, without its date."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    method = "POST" if body else "GET"
    writer.write(
        f"{method} {target} HTTP/1.1\r\nConnection: close\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    writer.write(body)
    answer = await reader.read()
    writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    return b"\r\n".join(line for line in head.split(b"\r\n") if b"Date:" not in line) + rest


async def answers(port: int) -> list[bytes]:
    """What all readers are answered who ask at once, each question twice."""
    asked = [exchange(port, path) for path in (*PATHS, *PATHS)]
    for accept in ("application/json", "application/x-protobuf"):
        asked.append(exchange(port, "/api/v1", accept, CALL))
    return await asyncio.gather(*asked)


def test_master_answers_the_same_from_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        daemon = MasterDaemon(MasterOptions(port=0))
        await daemon.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                at_once = await answers(daemon.port)
                monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)
                assert await answers(daemon.port) == at_once
        finally:
            await daemon.stop()
        assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in at_once)
        body = at_once[-1].partition(b"Content-Length: ")[2].lstrip(b"0123456789")
        found = protobuf.decode(master.Response, body)
        assert found.type is master.Response.Type.GET_STATE

    asyncio.run(play())
