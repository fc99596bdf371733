"""What has to be had for an image: its configuration, and where each of its layers comes from."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tepui.agent.containers.images import local, manifest
from tepui.agent.containers.images.credentials import Credential, Credentials
from tepui.agent.containers.images.digests import chain_ids, digest_of
from tepui.agent.containers.images.downloads import Downloads, Progress, again
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import PullRequest
from tepui.agent.containers.images.reference import HUB, Reference
from tepui.agent.containers.images.settings import DOCKER_HUB, ImageSettings
from tepui.agent.containers.images.shared import in_thread
from tepui.agent.containers.images.streams import Slice

if TYPE_CHECKING:
    from tepui.agent.containers.images.registry import Endpoint, Http, Registry


class Plan(Protocol):
    """One image, known but for the content of its layers."""

    digest: str
    stamp: str
    config: manifest.Config
    chain: tuple[str, ...]  # chain ids, the base first
    sizes: tuple[int, ...]  # bytes of the layers as they are sent

    def blob(self, at: int, gained: Progress) -> AbstractAsyncContextManager[tuple[Slice, str]]:
        """Give the content of a layer and the digest still to be verified; '' if it was."""
        ...


class RemotePlan:
    """An image in a registry."""

    stamp = ""

    def __init__(
        self,
        digest: str,
        config: manifest.Config,
        layers: tuple[manifest.Descriptor, ...],
        sources: Sequence[Registry],
        downloads: Downloads,
    ) -> None:
        self.digest = digest
        self.config = config
        self.chain = chain_ids(config.diff_ids)
        self.sizes = tuple(layer.size for layer in layers)
        self._layers = layers
        self._sources = sources
        self._downloads = downloads

    @asynccontextmanager
    async def blob(self, at: int, gained: Progress) -> AsyncIterator[tuple[Slice, str]]:
        async with self._downloads.blob(self._sources, self._layers[at], gained) as blob:
            yield blob, ""


class LocalPlan:
    """An image in a layout or archive."""

    def __init__(self, image: local.LocalImage, stamp: str) -> None:
        self.stamp = stamp
        self.digest = image.digest
        self.config = manifest.parse_config(image.config)
        self.chain = chain_ids(self.config.diff_ids)
        self.sizes = tuple(layer.blob.size for layer in image.layers)
        self._layers = image.layers
        _check_layers(self.config, len(image.layers))

    @asynccontextmanager
    async def blob(self, at: int, gained: Progress) -> AsyncIterator[tuple[Slice, str]]:
        layer = self._layers[at]
        gained(layer.blob.size)
        yield layer.blob, layer.digest


async def plan_local(
    place: local.Place, temporary: Path, settings: ImageSettings, executor: Executor
) -> LocalPlan:
    """Return the plan for an archive; `temporary` may have been made, and is the caller's. Raises Fault."""
    bytes_max = settings.unpacked_bytes_max

    def read(is_stopped: threading.Event) -> LocalPlan:
        stamp = local.stamp_of(place)
        return LocalPlan(local.read(place, temporary, bytes_max, is_stopped), stamp)

    return await in_thread(executor, read)


class Remotes:
    """Registries, as the settings say where they are and who we are to them."""

    def __init__(
        self, settings: ImageSettings, http: Callable[[], Http], default_registry: str
    ) -> None:
        self._settings = settings
        self._http = http
        self._default = default_registry

    def sources(self, found: Reference, docker_config: str | None) -> list[Registry]:
        """Return where to ask, in this order: mirrors, and last the registry itself. Raises Fault."""
        from tepui.agent.containers.images.registry import Registry

        endpoints = [*self._mirrors(found.registry), self._endpoint(found.registry)]
        return [
            Registry(self._http(), at, found.repository, self._credential(at.host, docker_config))
            for at in endpoints
        ]

    def to_push(self, found: Reference, docker_config: str | None) -> Registry:
        """Return the repository to push to. Raises Fault."""
        from tepui.agent.containers.images.registry import Registry

        at = self._endpoint(found.registry)
        credential = self._credential(at.host, docker_config)
        return Registry(self._http(), at, found.repository, credential, "pull,push")

    def _credential(self, host: str, docker_config: str | None) -> Credential | None:
        for text in (docker_config, self._settings.docker_config):
            if text and (credential := Credentials(text).of(host)) is not None:
                return credential
        return None

    def _endpoint(self, registry: str) -> Endpoint:
        from tepui.agent.containers.images.registry import endpoint_at, endpoint_of

        insecure = self._settings.insecure_registries
        is_url = self._settings.registry.startswith(("http://", "https://"))
        if registry == self._default and is_url:
            return endpoint_at(self._settings.registry, insecure)
        if registry == HUB:
            return endpoint_at(DOCKER_HUB, insecure)
        return endpoint_of(registry, insecure)

    def _mirrors(self, registry: str) -> list[Endpoint]:
        from tepui.agent.containers.images.registry import endpoint_at

        found: list[Endpoint] = []
        for text in self._settings.mirrors:
            host, equals, url = text.partition("=")
            if not equals or "/" in host:
                host, url = self._default, text
            if host == registry:
                found.append(endpoint_at(url, self._settings.insecure_registries))
        return found


async def plan_remote(
    found: Reference,
    request: PullRequest,
    remotes: Remotes,
    downloads: Downloads,
    settings: ImageSettings,
) -> RemotePlan:
    """Return the plan for what the registry, or the first mirror that knows, has there. Raises Fault."""
    sources = remotes.sources(found, request.docker_config)
    make = functools.partial(_plan_from, found, downloads, settings)
    for at in range(len(sources) - 1):
        try:
            return await make(sources[at:])
        except Fault:
            continue  # a mirror may lack anything
    return await again(lambda: make(sources[-1:]), settings.retry_ms, lambda: 0)


async def _plan_from(
    found: Reference, downloads: Downloads, settings: ImageSettings, sources: Sequence[Registry]
) -> RemotePlan:
    source = sources[0]
    content, digest = await source.manifest(found.wanted)
    parsed = manifest.parse(content)
    depth = 0
    while isinstance(parsed, manifest.Index):
        depth += 1
        if depth > manifest.INDEX_DEPTH_MAX:
            rule = f"it has more than {manifest.INDEX_DEPTH_MAX} indexes within each other"
            raise Fault(manifest.STEP, rule)
        chosen = manifest.choose(parsed.manifests, manifest.this_machine())
        content, digest = await source.manifest(chosen.digest)
        parsed = manifest.parse(content)
    size_bytes = sum(layer.size for layer in parsed.layers)
    if size_bytes > settings.image_bytes_max:
        rule = f"its layers have {size_bytes} bytes, more than {settings.image_bytes_max}"
        raise Fault(manifest.STEP, rule)
    config = manifest.parse_config(await _read(source, parsed.config))
    _check_layers(config, len(parsed.layers))
    return RemotePlan(digest, config, parsed.layers, sources, downloads)


async def _read(source: Registry, wanted: manifest.Descriptor) -> bytes:
    """Return a small blob, verified. Raises Fault."""
    step = f"fetching the configuration from '{source.host}'"
    content = bytearray()
    async with source.blob(wanted.digest, 0) as (_, pieces):
        async for piece in pieces:
            content += piece
            if len(content) > wanted.size:
                raise Fault(step, f"more than {wanted.size} bytes came", passing=True)
    if (found := digest_of(bytes(content), wanted.digest)) != wanted.digest:
        rule = f"what came for '{wanted.digest}' has the digest '{found}'"
        raise Fault(step, rule, passing=True)
    return bytes(content)


def _check_layers(config: manifest.Config, layers: int) -> None:
    if len(config.diff_ids) != layers:
        rule = f"it has {layers} layers, and the configuration {len(config.diff_ids)}"
        raise Fault(manifest.STEP, rule)
