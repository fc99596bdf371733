"""Docker Engine's requests that last: waiting for an end, pulling an image, and streams of bytes both ways.

The library would keep a thread for each of them, and none could be given up.
"""

from __future__ import annotations

import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from msgspec import Struct

from tepui.agent.containers.docker.engine import NOT_FOUND, EngineRefused, away
from tepui.base.errors import HostError

CONNECT_S = 10.0
HIJACK_S = 30.0
TEXT_BYTES_MAX = 1 << 16
HEAD_BYTES_MAX = 1 << 14
LINE_BYTES_MAX = 1 << 20


class Trouble(Struct, frozen=True):
    """The body of an answer that is an error."""

    message: str = ""


class Progress(Struct, frozen=True):
    """One line of a pull: `status` of the layer `id`, or why it failed."""

    status: str = ""
    id: str = ""
    error: str | None = None


class Streams:
    """The Engine at one socket."""

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def wait(self, engine_id: str) -> None:
        """Return when the container does not run, or is not there any more."""
        async with self._post(
            f"containers/{engine_id}/wait", {"condition": "not-running"}
        ) as answer:
            try:
                if answer.status == NOT_FOUND:
                    return
                await _no_trouble(answer, "wait for", engine_id)
                await answer.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise away(self.socket, error) from None

    async def pull(
        self,
        image: str,
        platform: str | None,
        credentials: str,
        progress: Callable[[str], None],
    ) -> None:
        """The Engine has the image. The pull ends when the caller is cancelled."""
        name, tag = split_name(image)
        asked = {"fromImage": name, "tag": tag} | ({"platform": platform} if platform else {})
        headers = {"X-Registry-Auth": credentials} if credentials else {}
        decoder = msgspec.json.Decoder(Progress)
        async with self._post("images/create", asked, headers) as answer:
            try:
                await _no_trouble(answer, "pull", f"'{image}'")
                async for line in answer.content:
                    if not line.strip():
                        continue
                    one = decoder.decode(line)
                    if one.error is not None:
                        raise HostError("pull", f"'{image}'", one.error)
                    progress(f"{one.id}: {one.status}" if one.id else one.status)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                raise away(self.socket, error) from None

    async def close(self) -> None:
        """No connection is kept."""
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def _post(
        self, path: str, asked: dict[str, str], headers: dict[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(self.socket, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
                read_bufsize=LINE_BYTES_MAX,
            )
        try:
            # Without a version in the path the Engine speaks its own.
            answer = await self._session.post(
                f"http://docker/{path}", params=asked, headers=headers
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise away(self.socket, error) from None
        try:
            yield answer
        finally:
            answer.close()  # where the caller was cancelled the Engine sees that nobody waits


async def _no_trouble(answer: aiohttp.ClientResponse, operation: str, subject: str) -> None:
    if answer.status < 400:
        return
    text = _message_of((await answer.content.read(TEXT_BYTES_MAX)), answer.reason or "")
    raise EngineRefused(operation, subject, text, answer.status)


def _message_of(body: bytes, other: str) -> str:
    try:
        return msgspec.json.decode(body, type=Trouble).message or other
    except (msgspec.DecodeError, msgspec.ValidationError):
        return body.decode(errors="replace").strip() or other


def split_name(image: str) -> tuple[str, str]:
    """Return an image's name, and its tag or digest; without one it is `latest`, not all there are."""
    name, found, digest = image.partition("@")
    if found:
        return name, digest
    head, _, last = image.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{head}/{name}" if head else name, tag or "latest"


def hijack(socket: str, path: str, body: dict[str, object]) -> sockets.socket:
    """Return a connection that is the container's stream from its first byte on. Blocks: for a thread."""
    connection = sockets.socket(sockets.AF_UNIX)
    connection.settimeout(HIJACK_S)
    try:
        connection.connect(socket)
        text = json.dumps(body).encode()
        connection.sendall(
            b"POST /%s HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (path.encode(), len(text), text)
        )
        status, length = _head(connection)
        if status not in (101, 200):
            answer = b""
            while len(answer) < min(length, TEXT_BYTES_MAX) and (part := connection.recv(4096)):
                answer += part
            raise EngineRefused(
                "attach to", f"'{path}'", _message_of(answer, f"HTTP {status}"), status
            )
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise away(socket, error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _head(connection: sockets.socket) -> tuple[int, int]:
    """Read the answer's head and no byte more; return the status, and the length of what follows."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        one = connection.recv(1)
        if not one or len(head) > HEAD_BYTES_MAX:
            raise ConnectionError("the answer ends within its head")
        head += one
    first, _, rest = head.decode("latin-1").partition("\r\n")
    words = first.split(" ")
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"'{first}' is no answer")
    length = 0
    for line in rest.split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length" and value.strip().isdigit():
            length = int(value)
    return int(words[1]), length
