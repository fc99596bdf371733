"""One HTTP request on a connection of its own, with exactly these headers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

DEADLINE_S = 20.0


class Answer(Struct, frozen=True):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> object:
        value: object = msgspec.json.decode(self.body)
        return value


async def request(
    port: int,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(DEADLINE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            answered = await reader.read()
    finally:
        writer.close()
    pairs = [line.partition(": ") for line in head[1:] if line]
    return Answer(
        int(head[0].split(" ")[1]), {name.lower(): value for name, _, value in pairs}, answered
    )


async def get(port: int, path: str) -> Answer:
    return await request(port, "GET", path)


async def call(port: int, message: object, path: str = "/api/v1") -> Answer:
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
    return await request(port, "POST", path, headers, msgspec.json.encode(message))
