"""An image as containers use it: directories of layers, and what its maker wants a program to have."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class ImageConfig(Struct, frozen=True, kw_only=True):
    """What the image says of the program that is started in it."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()  # NAME=value
    directory: str = ""
    user: str = ""  # name or number, with or without a group after ':'
    labels: Mapping[str, str] = {}
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()  # '80/tcp'


class Image(Struct, frozen=True, kw_only=True):
    """An image that is on this machine."""

    name: str  # in full: registry, repository, tag or digest; or the path of an archive
    digest: str  # of its manifest; of its configuration where an archive has no manifest
    layers: tuple[str, ...]  # absolute directories, the base first
    config: ImageConfig
    passwd: str  # /etc/passwd as the merged layers have it; '' without one
    group: str  # /etc/group likewise
    size_bytes: int  # of all layers, unpacked


class KeptImage(Struct, frozen=True, kw_only=True):
    """An image, and who uses it."""

    image: Image
    used_at_s: float  # since the epoch: when a container last asked for it
    containers: tuple[str, ...]  # that live on it


class PullRequest(Struct, frozen=True, kw_only=True):
    """What somebody wants to have on this machine."""

    name: str
    docker_config: str | None = None  # credentials for this pull alone: JSON as in config.json
    is_cached_enough: bool = True  # False: the registry is asked again what the name means
