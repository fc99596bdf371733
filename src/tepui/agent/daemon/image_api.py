"""The images of the agent over HTTP, beside what Mesos has (PRUNE_IMAGES).

    GET /images                   JSON: {"images": [...]}
    POST /images                  a JSON object `Wanted`; a line of JSON for each step, the last one says how it ended
    DELETE /images?name=NAME      409 while a container lives on it

A pull whose client leaves is given up, unless others wait for the same image.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Final

import msgspec
from msgspec import Struct

from tepui.agent.containers.images.errors import ImageError
from tepui.agent.containers.images.image import Image, KeptImage, PullRequest
from tepui.agent.containers.images.images import Images
from tepui.base import tasks
from tepui.web.http import Answer, Handler, Request, Streaming, json, not_allowed, text
from tepui.web.stream import RecordStream
from tepui.wire import mesos

PULLS_MAX: Final = 64  # that clients wait for
PULSE_S: Final = 10.0  # without a step the last one is said again: we are still there
LINES_TYPE: Final = "application/x-ndjson"

log = logging.getLogger("tepui.agent")


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client wants to have pulled."""

    name: str
    docker_config: str | None = None  # credentials for this pull alone: JSON as in config.json
    cached: bool = (
        True  # as in Mesos's Image; False: the registry is asked again what the name means
    )


class Shown(Struct, frozen=True):
    """An image as clients see it."""

    name: str
    digest: str
    size_bytes: int
    layers: int
    used_at_s: float
    containers: tuple[str, ...]


class ImageApi:
    """The handlers, bound to the daemon. `refusal` says why this agent can use no images; else ''."""

    def __init__(self, images: Images, refusal: str) -> None:
        self._images = images
        self._refusal = refusal
        self._pulls: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[str, Handler]:
        """All of them, by path."""
        return {"/images": self.handle}

    async def close(self) -> None:
        """All pulls have been given up."""
        for one in list(self._pulls):
            one.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        if request.rest:
            return text(404, "404 Not Found.")
        match request.method:
            case "GET" | "HEAD":
                return json({"images": [shown(one) for one in self._images.kept()]}, request)
            case "POST":
                return self._pull(request)
            case "DELETE":
                return await self._remove(request)
            case _:
                return not_allowed(request, "GET", "POST", "DELETE")

    async def prune(self, excluded: Collection[mesos.Image]) -> None:
        """The images that nobody uses are gone, but for these."""
        names = [one.docker.name for one in excluded if one.docker is not None]
        for name in await self._images.prune(names):
            log.info("image_pruned image=%s", name)

    def _pull(self, request: Request) -> Answer:
        if self._refusal:
            return text(409, f"This agent runs no images: {self._refusal}")
        try:
            wanted = msgspec.json.decode(request.body, type=Wanted)
        except msgspec.DecodeError as error:  # a ValidationError is one, too
            return text(400, f"Failed to parse body into Wanted: {error}")
        if not wanted.name:
            return text(400, "Expecting 'name' to be the name of an image")
        if len(self._pulls) >= PULLS_MAX:
            return text(503, f"{PULLS_MAX} images are being pulled")
        try:
            self._images.find(wanted.name)
        except ImageError as error:
            return text(400, str(error))

        def give_up() -> None:
            pulling.cancel()

        stream = RecordStream(give_up, overflow_record=b"")
        pulling = tasks.start(self._tell(wanted, stream))
        self._pulls.add(pulling)
        pulling.add_done_callback(self._pulls.discard)
        return Streaming(stream, LINES_TYPE)

    async def _tell(self, wanted: Wanted, stream: RecordStream) -> None:
        """The stream has had all steps of the pull, and its end."""
        last = f"pulling {wanted.name}"

        def say(step: str) -> None:
            nonlocal last
            last = step
            stream.send(_line({"progress": step}))

        asked = PullRequest(
            name=wanted.name,
            docker_config=wanted.docker_config,
            is_cached_enough=wanted.cached,
        )
        pulling = asyncio.ensure_future(self._images.pull(asked, say))
        try:
            while not (await asyncio.wait((pulling,), timeout=PULSE_S))[0]:
                say(last)
            stream.send(_line({"image": shown(self._kept(pulling.result()))}))
        except ImageError as error:
            log.info("image_not_pulled image=%s reason=%s", wanted.name, error)
            stream.send(_line({"error": str(error)}))
        finally:
            pulling.cancel()
            await asyncio.gather(pulling, return_exceptions=True)
            stream.end()

    def _kept(self, image: Image) -> KeptImage:
        """The image with who uses it; it may be gone again by now."""
        found = self._images.find(image.name)
        return found or KeptImage(image=image, used_at_s=0, containers=())

    async def _remove(self, request: Request) -> Answer:
        name = request.query.get("name")
        if not name:
            return text(400, "Expecting 'name=value' in query.")
        try:
            found = self._images.find(name)
        except ImageError as error:
            return text(400, str(error))
        if found is None:
            return text(404, f"image '{name}' is not here")
        try:
            await self._images.remove(name)
        except ImageError as error:
            return text(409, str(error))
        log.info("image_removed image=%s", found.image.name)
        return json({"image": shown(found)})


def shown(kept: KeptImage) -> Shown:
    """The image as clients see it."""
    image = kept.image
    return Shown(
        name=image.name,
        digest=image.digest,
        size_bytes=image.size_bytes,
        layers=len(image.layers),
        used_at_s=kept.used_at_s,
        containers=kept.containers,
    )


def _line(value: dict[str, Shown] | dict[str, str]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
