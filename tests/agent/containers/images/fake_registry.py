"""A registry in memory that can be asked to misbehave."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from multidict import CIMultiDictProxy

from tests.agent.containers.images.made import Made, digest

PIECE_BYTES = 16 * 1024


class Asked:
    """One request that came."""

    def __init__(self, request: web.Request) -> None:
        self.method = request.method
        self.path = request.path
        self.query = dict(request.query)
        self.headers: CIMultiDictProxy[str] = request.headers


class FakeRegistry:
    """What a registry serves, what was asked of it, and how it misbehaves."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.url = ""
        # How it misbehaves, or is protected.
        self.failures: Counter[str] = Counter()  # by end of path: 503 so many times
        self.cuts: dict[str, list[int]] = {}  # by digest: the connection ends after so many bytes
        self.broken: Counter[str] = Counter()  # by digest: so many times other bytes are sent
        self.has_ranges = True
        self.blobs_at = ""  # base URL that blobs are redirected to
        self.user = ""  # name:password that has access
        self.auth = ""  # '', 'basic' or 'bearer'
        self.token = "token-1"
        self.refresh_token = ""
        self.stops_at: dict[str, int] = {}  # by digest: after so many bytes it waits for `gate`
        self.stopped = asyncio.Event()  # it waits
        self.standing: set[str] = set()  # digests of the blobs that are asked for, and wait
        self.gate = asyncio.Event()
        self.uploads = 0

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def add(self, repository: str, tag: str, image: Made) -> None:
        self.add_manifest(repository, tag, image.manifest, image.media_type)
        self.blobs.update(image.blobs)

    def add_manifest(self, repository: str, tag: str, content: bytes, media_type: str) -> None:
        self.manifests[repository, tag] = (content, media_type)
        self.manifests[repository, digest(content)] = (content, media_type)

    def count(self, method: str, ending: str = "") -> int:
        return sum(one.method == method and one.path.endswith(ending) for one in self.asked)

    def fetched(self) -> list[str]:
        """Digests of the blobs that were asked for."""
        return [
            one.path.rpartition("/")[2]
            for one in self.asked
            if one.method == "GET" and "/blobs/" in one.path
        ]

    # Requests

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request))
        for ending in list(self.failures):
            if request.path.endswith(ending) and self.failures[ending]:
                self.failures[ending] -= 1
                return web.json_response({"errors": [{"message": "later"}]}, status=503)
        if request.path == "/token":
            return await self._token(request)
        if (refusal := self._refusal(request)) is not None:
            return refusal
        if request.path == "/v2/":
            return web.json_response({})
        repository, _, rest = request.path.removeprefix("/v2/").rpartition("/manifests/")
        if repository:
            return await self._manifest(request, repository, rest)
        if request.path.endswith("/blobs/uploads/"):
            self.uploads += 1
            location = f"{request.path}{self.uploads}?state=a%2Bb"
            return web.Response(status=202, headers={"Location": location})
        if "/blobs/uploads/" in request.path:
            return await self._uploaded(request)
        return await self._blob(request)

    def _refusal(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(self.user.encode()).decode()
        if self.auth == "basic" and given != basic:
            return _unauthorized('Basic realm="here"')
        if self.auth == "bearer" and given != f"Bearer {self.token}":
            repository = (
                request.path.removeprefix("/v2/").split("/manifests/")[0].split("/blobs/")[0]
            )
            scope = f"repository:{repository}:pull"
            return _unauthorized(f'Bearer realm="{self.url}/token",service="fake",scope="{scope}"')
        return None

    async def _token(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            form = await request.post()
            if form.get("refresh_token") != self.refresh_token:
                return web.json_response({"details": "no such refresh token"}, status=401)
            return web.json_response({"access_token": self.token})
        basic = "Basic " + base64.b64encode(self.user.encode()).decode()
        if self.user and request.headers.get("Authorization") != basic:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        return web.json_response({"token": self.token})

    async def _manifest(self, request: web.Request, repository: str, name: str) -> web.Response:
        if request.method == "PUT":
            self.add_manifest(repository, name, await request.read(), request.content_type)
            return web.Response(status=201)
        found = self.manifests.get((repository, name))
        if found is None:
            error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}
            return web.json_response({"errors": [error]}, status=404)
        return web.Response(body=found[0], headers={"Content-Type": found[1]})

    async def _uploaded(self, request: web.Request) -> web.Response:
        content = await request.read()
        if digest(content) != request.query["digest"] or request.query["state"] != "a+b":
            return web.json_response({"errors": [{"message": "not what was said"}]}, status=400)
        self.blobs[digest(content)] = content
        return web.Response(status=201)

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        if self.blobs_at:
            raise web.HTTPTemporaryRedirect(f"{self.blobs_at}{request.path}?signature=a%2Fb")
        content = self.blobs.get(name)
        if content is None:
            return web.Response(status=404)
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(len(content))})
        if self.broken[name]:
            self.broken[name] -= 1
            content = bytes(len(content))
        begin = 0
        if self.has_ranges and (asked := request.headers.get("Range")):
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        answer = web.StreamResponse(status=206 if begin else 200)
        answer.content_length = len(content) - begin
        if begin:
            answer.headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        await answer.prepare(request)
        await self._send(request, answer, name, content, begin)
        return answer

    async def _send(
        self, request: web.Request, answer: web.StreamResponse, name: str, content: bytes, at: int
    ) -> None:
        cut = self.cuts[name].pop(0) if self.cuts.get(name) else len(content)
        stops_at = self.stops_at.get(name, len(content))
        while at < len(content):
            end = min(at + PIECE_BYTES, len(content), max(cut, at + 1))
            if at < stops_at < len(content):
                end = min(end, stops_at)
            if at >= stops_at:
                self.stopped.set()
                self.standing.add(name)
                try:
                    await self.gate.wait()
                finally:
                    self.standing.discard(name)
            await answer.write(content[at:end])
            at = end
            if cut <= at < len(content):
                assert request.transport is not None
                request.transport.close()
                return


def _unauthorized(challenge: str) -> web.Response:
    error = {"code": "UNAUTHORIZED", "message": "authentication required"}
    return web.json_response(
        {"errors": [error]}, status=401, headers={"WWW-Authenticate": challenge}
    )


@asynccontextmanager
async def fake_registry() -> AsyncIterator[FakeRegistry]:
    """Give a registry that is served on this machine."""
    fake = FakeRegistry()
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        fake.gate.set()
        await runner.cleanup()
