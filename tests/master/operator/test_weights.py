"""Weights by the older name of UPDATE_WEIGHTS: PUT /weights."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.limits.kit import connect, get, running_master

pytestmark = pytest.mark.real


async def put(port: int, body: bytes) -> tuple[int, str]:
    """Status and body of the answer."""
    reader, writer = await connect(port)
    head = f"PUT /weights HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    said, _, text = (await reader.read()).partition(b"\r\n\r\n")
    return int(said.split(b" ")[1]), text.decode()


def test_weights_are_put_all_or_none() -> None:
    async def play() -> None:
        async with running_master() as master:
            assert await put(master.port, b'[{"role":"web","weight":2.5}]') == (200, "")
            for body, word in (
                (b"{", "Failed to parse update weights request JSON"),
                (b'[{"role":"ads","weight":1},{"role":"web","weight":-1}]', "web"),
                (b'[{"role":"ads","weight":"much"}]', "weight"),
            ):
                status, text = await put(master.port, body)
                assert status == 400
                assert word in text
            status, listed = await get(master.port, "/weights")
            assert (status, json.loads(listed)) == (200, [{"role": "web", "weight": 2.5}])

    asyncio.run(play())
