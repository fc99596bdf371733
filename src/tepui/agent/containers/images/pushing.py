"""Pushes an image to a registry: from a layout, from what Docker saved, or made of a directory.

Source: OCI distribution specification, "Pushing".
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import subprocess
import tempfile
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from tepui.agent.containers.images import local, manifest
from tepui.agent.containers.images.digests import digest_of
from tepui.agent.containers.images.downloads import again
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.images.layers import Stopped
from tepui.agent.containers.images.reference import Reference
from tepui.agent.containers.images.settings import ImageSettings
from tepui.agent.containers.images.shared import in_thread
from tepui.agent.containers.images.streams import CHUNK_BYTES, Slice, chunks, unpacked

if TYPE_CHECKING:
    from tepui.agent.containers.images.registry import Registry

UPLOADS_MAX: Final = 3  # blobs of one image at once
COMPRESSION: Final = 6  # zlib's default: further levels cost more time than they save
STEP: Final = "packing the layers"


class RootDirectory(Struct, frozen=True):
    """A directory that becomes an image of one layer."""

    path: Path
    config: ImageConfig = ImageConfig()


class Packed(Struct, frozen=True):
    """A layer as it is sent."""

    blob: Slice
    digest: str
    diff_id: str


class Push:
    """One image on its way. `temporary` is a directory that may be made, and is removed by the caller."""

    def __init__(
        self,
        registry: Registry,
        reference: Reference,
        settings: ImageSettings,
        executor: Executor,
        temporary: Path,
    ) -> None:
        self._registry = registry
        self._reference = reference
        self._settings = settings
        self._executor = executor
        self._temporary = temporary
        self._turns = asyncio.Semaphore(UPLOADS_MAX)

    async def run(self, source: str | RootDirectory, progress: Callable[[str], None]) -> str:
        """Return the manifest's digest; the registry has all of it. Raises Fault and OSError."""
        if self._reference.digest:
            raise Fault(
                "reading the name", "images are pushed by tag: their digest is what comes out"
            )
        progress("packing the layers")
        content, media_type, blobs = await in_thread(
            self._executor, functools.partial(self._prepare, source)
        )
        done = 0

        async def send(digest: str, blob: Slice | bytes) -> None:
            nonlocal done
            async with self._turns:
                await self._again(functools.partial(self._send, digest, blob))
            done += 1
            progress(f"{done} of {len(blobs)} parts sent")

        try:
            async with asyncio.TaskGroup() as group:
                for digest, blob in blobs.items():
                    group.create_task(send(digest, blob))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        await self._again(
            lambda: self._registry.put_manifest(self._reference.tag, content, media_type)
        )
        return digest_of(content)

    async def _again(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        await again(work, self._settings.retry_ms, lambda: 0)

    async def _send(self, digest: str, blob: Slice | bytes) -> None:
        if await self._registry.has_blob(digest):
            return
        size = len(blob) if isinstance(blob, bytes) else blob.size
        await self._registry.upload(digest, size, lambda: self._read(blob))

    async def _read(self, blob: Slice | bytes) -> AsyncIterator[bytes]:
        if isinstance(blob, bytes):
            yield blob
            return
        reading = chunks(blob)
        while chunk := await asyncio.to_thread(next, reading, b""):
            yield chunk

    def _prepare(
        self, source: str | RootDirectory, is_stopped: threading.Event
    ) -> tuple[bytes, str, dict[str, Slice | bytes]]:
        """Return manifest, its type, and all blobs by digest. Runs in a thread."""
        self._temporary.mkdir(mode=0o700)
        if isinstance(source, RootDirectory):
            packed = _pack_directory(source.path, self._temporary / "layer", is_stopped)
            return _made(_config(source.config, packed.diff_id), [packed])
        place = local.place_of(source)
        image = local.read(
            place, self._temporary / "archive", self._settings.unpacked_bytes_max, is_stopped
        )
        if image.manifest:
            parsed = manifest.parse(image.manifest)
            assert isinstance(parsed, manifest.Manifest)  # what `read` returns
            blobs: dict[str, Slice | bytes] = {layer.digest: layer.blob for layer in image.layers}
            return image.manifest, image.media_type, {**blobs, parsed.config.digest: image.config}
        layers = [
            _pack(unpacked(layer.blob), self._temporary / str(at), is_stopped)
            for at, layer in enumerate(image.layers)
        ]
        return _made(image.config, layers)


def _made(config: bytes, layers: list[Packed]) -> tuple[bytes, str, dict[str, Slice | bytes]]:
    def descriptor(media_type: str, digest: str, size: int) -> dict[str, str | int]:
        return {"mediaType": media_type, "digest": digest, "size": size}

    config_digest = digest_of(config)
    content = msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": manifest.DOCKER_MANIFEST,
            "config": descriptor(manifest.DOCKER_CONFIG, config_digest, len(config)),
            "layers": [
                descriptor(manifest.DOCKER_LAYER, layer.digest, layer.blob.size) for layer in layers
            ],
        }
    )
    blobs: dict[str, Slice | bytes] = {layer.digest: layer.blob for layer in layers}
    return content, manifest.DOCKER_MANIFEST, {**blobs, config_digest: config}


def _pack(stream: Iterator[bytes], target: Path, is_stopped: threading.Event) -> Packed:
    """Return what the tar stream is compressed, in the file `target`. Raises Stopped and OSError."""
    diff_hash, blob_hash = hashlib.sha256(), hashlib.sha256()
    compressing = zlib.compressobj(COMPRESSION, wbits=31)
    with target.open("xb") as file:
        for chunk in stream:
            if is_stopped.is_set():
                raise Stopped
            diff_hash.update(chunk)
            piece = compressing.compress(chunk)
            blob_hash.update(piece)
            file.write(piece)
        piece = compressing.flush()
        blob_hash.update(piece)
        file.write(piece)
        size = file.tell()
    return Packed(
        Slice(str(target), 0, size),
        f"sha256:{blob_hash.hexdigest()}",
        f"sha256:{diff_hash.hexdigest()}",
    )


def _pack_directory(directory: Path, target: Path, is_stopped: threading.Event) -> Packed:
    if not directory.is_dir():
        raise Fault(STEP, f"there is no directory '{directory}'")
    with tempfile.TemporaryFile() as complaints:
        tar = subprocess.Popen(
            [
                "tar", "--create", "--file=-", f"--directory={directory}", "--format=pax",
                "--sort=name", "--numeric-owner", "--one-file-system", "--xattrs",
                "--xattrs-exclude=trusted.*", "--xattrs-exclude=security.selinux",
                "--pax-option=delete=atime,delete=ctime", "--warning=no-file-ignored", ".",
            ],
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )  # fmt: skip
        assert tar.stdout is not None
        try:
            with tar.stdout as stdout:
                packed = _pack(iter(lambda: stdout.read(CHUNK_BYTES), b""), target, is_stopped)
            code = tar.wait()
        finally:
            tar.kill()
            tar.wait()
        if code != 0:
            complaints.seek(0)
            told = complaints.read(500).decode(errors="replace").strip()
            raise Fault(STEP, told or f"tar ended with {code}")
    return packed


def _config(config: ImageConfig, diff_id: str) -> bytes:
    platform = manifest.this_machine()[0]
    return msgspec.json.encode(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {
                "Entrypoint": config.entrypoint or None,
                "Cmd": config.cmd or None,
                "Env": config.environment,
                "WorkingDir": config.directory,
                "User": config.user,
                "Labels": config.labels,
                "StopSignal": config.stop_signal,
                "Volumes": {path: {} for path in config.volumes},
                "ExposedPorts": {port: {} for port in config.exposed_ports},
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    )
