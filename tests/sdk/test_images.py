"""The images of an agent, by the library: what it asks, and what it makes of right and wrong answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing

import pytest

from tepui.sdk import BadPeer, CallRefused, Disconnected, Unreachable, images
from tepui.sdk.images import Image, ImageClient, PullFailed

pytestmark = pytest.mark.real

SHOWN = {
    "name": "docker.io/library/a:latest",
    "digest": "sha256:1",
    "size_bytes": 7,
    "layers": 2,
    "used_at_s": 1.5,
    "containers": ["c"],
}
IMAGE = Image(
    name="docker.io/library/a:latest",
    digest="sha256:1",
    size_bytes=7,
    layers=2,
    used_at_s=1.5,
    containers=("c",),
)


class FakeAgent:
    """Answers every request with the same status and pieces of a body, and keeps what it was asked."""

    def __init__(self, status: int, pieces: tuple[bytes, ...], *, ends: bool = True) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.address = ""
        self._status = status
        self._pieces = pieces
        self._ends = ends
        self._serving: list[asyncio.Future[None]] = []

    def start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.ensure_future(self.serve(reader, writer)))

    async def end(self) -> None:
        await asyncio.gather(*self._serving)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:])}
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        self.asked.append((head[0].removesuffix(" HTTP/1.1"), body))
        writer.write(f"HTTP/1.1 {self._status} X\r\nConnection: close\r\n".encode())
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in self._pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if self._ends:
            writer.write(b"0\r\n\r\n")
        else:
            await reader.read()  # until the client has had enough
        writer.close()
        with contextlib.suppress(OSError):  # of a client that has left before
            await writer.wait_closed()


@asynccontextmanager
async def fake_agent(
    status: int, *pieces: object, ends: bool = True
) -> AsyncIterator[tuple[FakeAgent, ImageClient]]:
    """An agent that answers with these lines, and a client of it."""
    lines = tuple(
        piece if isinstance(piece, bytes) else json.dumps(piece).encode() + b"\n"
        for piece in pieces
    )
    agent = FakeAgent(status, lines, ends=ends)
    server = await asyncio.start_server(agent.start, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        async with ImageClient(f"{host}:{port}") as client:
            yield agent, client
        await agent.end()


async def steps(client: ImageClient) -> list[str | Image]:
    return [step async for step in client.pull("a", docker_config="{}", cached=False)]


def test_a_pull_tells_its_steps_and_ends_with_the_image() -> None:
    async def scenario() -> None:
        answer = ({"progress": "one"}, {"progress": "two"}, {"image": {**SHOWN, "newer": 1}})
        async with fake_agent(200, *answer) as (agent, client):
            assert await steps(client) == ["one", "two", IMAGE]
            ((line, body),) = agent.asked
            assert line == "POST /images"
            assert json.loads(body) == {"name": "a", "docker_config": "{}", "cached": False}

    asyncio.run(scenario())


def test_images_are_listed_removed_and_pruned() -> None:
    async def scenario() -> None:
        async with fake_agent(200, {"images": [SHOWN]}) as (agent, client):
            assert await client.images() == (IMAGE,)
            await client.remove("a b:1")
            await client.prune(["kept"])
            assert [line for line, _ in agent.asked] == [
                "GET /images",
                "DELETE /images?name=a+b:1",
                "POST /api/v1",
            ]
            excluded = [{"type": "DOCKER", "docker": {"name": "kept"}, "cached": True}]
            assert json.loads(agent.asked[-1][1]) == {
                "type": "PRUNE_IMAGES",
                "prune_images": {"excluded_images": excluded},
            }

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "answer", "error", "said"),
    [
        (200, [{"progress": "one"}, {"error": "no such image"}], PullFailed, "no such image"),
        (200, [{"progress": "one"}], Disconnected, "the answer ended before the pull"),
        (200, [b"hello\n"], BadPeer, "not the answer of an agent"),
        (
            200,
            [b"1" * (images.LINE_BYTES_MAX + 1)],
            Disconnected,
            "Got more than 1048576 bytes|too big",
        ),
        (409, [b"no crun\n"], CallRefused, "409 no crun"),
    ],
)
def test_a_pull_that_goes_wrong_says_how(
    status: int, answer: list[object], error: type[Exception], said: str
) -> None:
    async def scenario() -> None:
        async with fake_agent(status, *answer) as (_, client):
            with pytest.raises(error, match=said):
                await steps(client)

    asyncio.run(scenario())


def test_a_step_may_be_as_long_as_the_limit() -> None:
    async def scenario() -> None:
        text = "1" * (images.LINE_BYTES_MAX - len('{"progress": ""}\n'))
        async with fake_agent(200, {"progress": text}, {"image": SHOWN}) as (_, client):
            assert await steps(client) == [text, IMAGE]

    asyncio.run(scenario())


def test_an_agent_that_falls_silent_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "SILENCE_S", 0.05)

    async def scenario() -> None:
        async with fake_agent(200, {"progress": "one"}, ends=False) as (_, client):
            with pytest.raises(Disconnected, match="does not answer"):
                await steps(client)

    asyncio.run(scenario())


def test_nobody_there_is_unreachable() -> None:
    async def scenario(port: int) -> None:
        async with ImageClient(f"127.0.0.1:{port}") as client:
            for call in calls(client):
                with pytest.raises(Unreachable):
                    await call()

    with closing(socket.socket()) as bound:  # bound, so that nobody else is there either
        bound.bind(("127.0.0.1", 0))
        asyncio.run(scenario(bound.getsockname()[1]))


def calls(client: ImageClient) -> list[Callable[[], Awaitable[object]]]:
    return [client.images, client.prune, lambda: client.remove("a"), lambda: steps(client)]
