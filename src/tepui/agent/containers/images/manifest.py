"""Manifests and configurations of images: what they say, and which of several fits this machine.

Source: OCI image specification (manifest.md, image-index.md, config.md); distribution's
manifest-v2-2.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from tepui.agent.containers.images.digests import is_digest
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import ImageConfig

DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
ACCEPTED: Final = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

MANIFEST_BYTES_MAX: Final = 4 << 20  # as distribution's registries have it
CONFIG_BYTES_MAX: Final = 8 << 20
LAYERS_MAX: Final = 127  # Docker's; overlay file systems take more
INDEX_DEPTH_MAX: Final = 3  # indexes within indexes

STEP: Final = "reading the manifest"
CONFIG_STEP: Final = "reading the configuration"
PLATFORM_STEP: Final = "choosing a platform"

# What the kernel calls a machine, and what images call it: the best first.
_MACHINES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "x86_64": (("amd64", ""), ("amd64", "v1")),
    "aarch64": (("arm64", ""), ("arm64", "v8")),
    "armv7l": (("arm", "v7"), ("arm", ""), ("arm", "v6"), ("arm", "v5")),
    "armv6l": (("arm", "v6"), ("arm", ""), ("arm", "v5")),
    "ppc64le": (("ppc64le", ""),),
    "s390x": (("s390x", ""),),
    "riscv64": (("riscv64", ""),),
    "loongarch64": (("loong64", ""),),
    "i686": (("386", ""),),
}


class Platform(Struct, frozen=True):
    """What a machine must be."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(Struct, frozen=True, rename="camel", kw_only=True):
    """Content, named by its digest."""

    digest: str
    size: int
    media_type: str = ""
    platform: Platform | None = None
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None


class Manifest(Struct, frozen=True):
    """One image for one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]  # the base first


class Index(Struct, frozen=True):
    """An image for several platforms: a manifest for each."""

    manifests: tuple[Descriptor, ...]


class _Document(Struct, frozen=True, rename="camel"):
    schema_version: int = 0
    media_type: str | None = None
    manifests: tuple[Descriptor, ...] | None = None
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    artifact_type: str | None = None


class _Schema(Struct, frozen=True, rename="camel"):
    schema_version: int = 0


class Config(Struct, frozen=True):
    """What an image's configuration holds of interest."""

    image: ImageConfig
    diff_ids: tuple[str, ...]
    platform: Platform


def parse(content: bytes) -> Manifest | Index:
    """Return what the document is. Raises Fault naming the rule that it breaks."""
    if len(content) > MANIFEST_BYTES_MAX:
        raise Fault(STEP, f"it is longer than {MANIFEST_BYTES_MAX} bytes")
    try:
        if msgspec.json.decode(content, type=_Schema).schema_version == 1:
            raise Fault(
                STEP,
                "it is of schema 1, which Docker has given up; push the image again with a "
                "Docker of 2016 or newer",
            )
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault(STEP, f"it is not a manifest: {error}") from None
    if document.schema_version != 2:
        raise Fault(STEP, f"schemaVersion is {document.schema_version}, not 2")
    # A document that can be read in two ways is a different image to different readers.
    if document.manifests is not None and (document.layers is not None or document.config):
        raise Fault(STEP, "it has `manifests` and also `layers` or `config`")
    if document.manifests is not None:
        return Index(tuple(_checked(entry) for entry in document.manifests))
    if document.config is None or document.layers is None:
        raise Fault(STEP, "it has neither `manifests` nor `config` and `layers`")
    return _manifest(document.config, document.layers)


def _manifest(config: Descriptor, layers: tuple[Descriptor, ...]) -> Manifest:
    if config.media_type not in (OCI_CONFIG, DOCKER_CONFIG, ""):
        raise Fault(STEP, f"it is no image: its configuration is of type '{config.media_type}'")
    if config.size > CONFIG_BYTES_MAX:
        raise Fault(STEP, f"the configuration is longer than {CONFIG_BYTES_MAX} bytes")
    if len(layers) > LAYERS_MAX:
        raise Fault(STEP, f"{len(layers)} layers are more than {LAYERS_MAX}")
    for layer in layers:
        if "encrypted" in layer.media_type:
            raise Fault(STEP, f"layer '{layer.digest}' is encrypted")
        if layer.urls:
            raise Fault(STEP, f"layer '{layer.digest}' is not in the registry but at `urls`")
    return Manifest(_checked(config), tuple(_checked(layer) for layer in layers))


def _checked(descriptor: Descriptor) -> Descriptor:
    if not is_digest(descriptor.digest):
        raise Fault(STEP, f"'{descriptor.digest}' is not a sha256 or sha512 digest")
    if descriptor.size < 0:
        raise Fault(STEP, f"'{descriptor.digest}' has a size of {descriptor.size}")
    return descriptor


def this_machine() -> tuple[Platform, ...]:
    """Return what runs here, the best first."""
    machine = os.uname().machine
    names = _MACHINES.get(machine, ((machine, ""),))
    return tuple(Platform("linux", architecture, variant) for architecture, variant in names)


def choose(manifests: Sequence[Descriptor], wanted: Sequence[Platform]) -> Descriptor:
    """Return the manifest that fits best. Raises Fault that lists what there is."""
    for platform in wanted:
        for entry in manifests:
            if entry.platform == platform:
                return entry
    unnamed = [entry for entry in manifests if entry.platform in (None, Platform())]
    if len(unnamed) == 1 and len(manifests) == 1:
        return unnamed[0]
    # Of what is attested about an image the platform is 'unknown/unknown'.
    there = [str(entry.platform) for entry in manifests if entry.platform is not None]
    names = ", ".join(sorted({name for name in there if "unknown" not in name})) or "nothing"
    raise Fault(PLATFORM_STEP, f"it is for {names}, not for {wanted[0]}")


class _RunConfig(Struct, frozen=True, rename="pascal"):
    entrypoint: tuple[str, ...] | str | None = None
    cmd: tuple[str, ...] | str | None = None
    env: tuple[str, ...] | None = None
    working_dir: str | None = None
    user: str | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    volumes: dict[str, object] | None = None
    exposed_ports: dict[str, object] | None = None


class _RootFs(Struct, frozen=True):
    diff_ids: tuple[str, ...] | None = None


class _ConfigDocument(Struct, frozen=True):
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    config: _RunConfig | None = None
    rootfs: _RootFs | None = None


def parse_config(content: bytes) -> Config:
    """Return what the configuration says. Raises Fault naming the rule that it breaks."""
    if len(content) > CONFIG_BYTES_MAX:
        raise Fault(CONFIG_STEP, f"it is longer than {CONFIG_BYTES_MAX} bytes")
    try:
        document = msgspec.json.decode(content, type=_ConfigDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Fault(CONFIG_STEP, f"it is not an image's configuration: {error}") from None
    if document.rootfs is None:
        raise Fault(CONFIG_STEP, "it has no `rootfs`")
    diff_ids = document.rootfs.diff_ids or ()
    if len(diff_ids) > LAYERS_MAX:
        raise Fault(CONFIG_STEP, f"{len(diff_ids)} layers are more than {LAYERS_MAX}")
    for diff_id in diff_ids:
        if not is_digest(diff_id):
            raise Fault(CONFIG_STEP, f"'{diff_id}' is not a sha256 or sha512 digest")
    if document.os not in ("linux", "", None):
        raise Fault(PLATFORM_STEP, f"it is for {document.os}, not for linux")
    platform = Platform(document.os or "", document.architecture or "", document.variant or "")
    return Config(_image_config(document.config or _RunConfig()), diff_ids, platform)


def _image_config(run: _RunConfig) -> ImageConfig:
    return ImageConfig(
        entrypoint=_words(run.entrypoint),
        cmd=_words(run.cmd),
        environment=run.env or (),
        directory=run.working_dir or "",
        user=run.user or "",
        labels=run.labels or {},
        stop_signal=run.stop_signal or "",
        volumes=tuple(sorted(run.volumes or {})),
        exposed_ports=tuple(sorted(run.exposed_ports or {})),
    )


def _words(value: tuple[str, ...] | str | None) -> tuple[str, ...]:
    if isinstance(value, str):  # as Docker: a text is for the shell
        return ("/bin/sh", "-c", value) if value else ()
    return value or ()
