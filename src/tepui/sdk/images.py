"""The images of one agent: pulled, listed, removed.

    async with ImageClient("127.0.0.1:5051") as agent:
        async for step in agent.pull("alpine:3"): ...  # texts, and at last the Image
        for image in await agent.images(): ...

It is an API of Tepui's own, but for `prune` (Mesos docs/operator-http-api.md, PRUNE_IMAGES).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp.http_exceptions import LineTooLong
from msgspec import Struct

from tepui.sdk.errors import BadPeer, CallRefused, Disconnected, SdkError, Unreachable
from tepui.sdk.http import REASON_BYTES_MAX
from tepui.sdk.one_agent import OneAgent
from tepui.wire import agent, media, mesos

CALL_TIMEOUT_S = 120.0  # the layers of many images may have to be removed
SILENCE_S = 60.0  # of a pull: agents say every 10 s that they are there
ANSWER_BYTES_MAX = 64 * 1024 * 1024
LINE_BYTES_MAX = 1024 * 1024  # of one step of a pull
PATH = "/images"

T = TypeVar("T")


class PullFailed(SdkError):
    """The agent could not pull the image; the text says why."""


class Image(Struct, frozen=True, kw_only=True):
    """An image that an agent has."""

    name: str  # in full
    digest: str
    size_bytes: int  # of its layers, unpacked
    layers: int
    used_at_s: float  # since the epoch
    containers: tuple[str, ...] = ()  # that live on it


class _Images(Struct, frozen=True):
    images: tuple[Image, ...]


class _Step(Struct, frozen=True):
    progress: str = ""
    image: Image | None = None
    error: str | None = None


class ImageClient(OneAgent):
    """One agent. Every call raises CallRefused, Unreachable or Disconnected, as OperatorClient's do."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._url = f"http://{address}"

    def _new_session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=timeout, read_bufsize=LINE_BYTES_MAX // 2)

    async def images(self) -> tuple[Image, ...]:
        """All of them, by name."""
        return _decode(await self._call("GET", PATH), _Images).images

    async def pull(
        self, name: str, *, docker_config: str | None = None, cached: bool = True
    ) -> AsyncIterator[str | Image]:
        """What is being waited for, and at last the image that the agent has then. Raises PullFailed.

        `docker_config` is JSON with credentials, as in config.json of Docker. One that the agent has
        is enough if `cached`; else the registry is asked again what the name means. Who stops
        iterating gives the pull up.
        """
        wanted = {"name": name, "docker_config": docker_config, "cached": cached}
        async with self._answer("POST", PATH, body=msgspec.json.encode(wanted)) as response:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    line = await response.content.readline()
                if not line:
                    raise Disconnected(f"{self.address}: the answer ended before the pull")
                step = _decode(line, _Step)
                if step.error is not None:
                    raise PullFailed(step.error)
                if step.image is not None:
                    yield step.image
                    return
                yield step.progress

    async def remove(self, name: str) -> None:
        """The image is gone. CallRefused: 404 for an unknown one, 409 while a container lives on it."""
        await self._call("DELETE", PATH, {"name": name})

    async def prune(self, kept: Collection[str] = ()) -> None:
        """All images that no container lives on are gone, but for those of these names."""
        docker = mesos.Image.Type.DOCKER
        images = tuple(
            mesos.Image(type=docker, docker=mesos.Image.Docker(name=name)) for name in kept
        )
        call = agent.Call(
            type=agent.Call.Type.PRUNE_IMAGES,
            prune_images=agent.Call.PruneImages(excluded_images=images),
        )
        json = media.Media.JSON
        await self._call("POST", "/api/v1", body=media.encode(call, json), kind=json.value)

    async def _call(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        body: bytes = b"",
        kind: str = media.Media.JSON.value,
    ) -> bytes:
        async with (
            self._answer(method, path, params, body, kind) as response,
            asyncio.timeout(CALL_TIMEOUT_S),
        ):
            answer = bytearray()
            async for piece in response.content.iter_any():
                answer += piece
                if len(answer) > ANSWER_BYTES_MAX:
                    raise BadPeer(
                        f"{self.address}: an answer of more than {ANSWER_BYTES_MAX} bytes"
                    )
            return bytes(answer)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        body: bytes = b"",
        kind: str = media.Media.JSON.value,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of 200; the connection is closed unless all of it is read."""
        headers = {"Content-Type": kind} if body else {}
        url = self._url + path
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                response = await self._open.request(
                    method, url, params=params, data=body or None, headers=headers
                )
            try:
                if response.status != 200:
                    reason = await response.content.read(REASON_BYTES_MAX)
                    raise CallRefused(response.status, reason.decode(errors="replace").strip())
                yield response
            finally:
                response.release() if response.content.at_eof() else response.close()
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(str(error)) from None
        except TimeoutError:
            raise Disconnected(f"{self.address} does not answer") from None
        except (aiohttp.ClientError, LineTooLong, ValueError, OSError) as error:
            raise Disconnected(str(error)) from None


def _decode(content: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=form)
    except msgspec.DecodeError as error:
        raise BadPeer(f"not the answer of an agent: {error}") from None
