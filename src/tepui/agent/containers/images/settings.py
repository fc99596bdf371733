"""What an operator chooses about images."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

DOCKER_HUB: Final = "https://registry-1.docker.io"


class ImageSettings(Struct, frozen=True, kw_only=True):
    """Where images come from, whom to trust, and how large they may be."""

    # For names without a registry: its URL, or a directory with `<name>.tar` (Mesos: --docker_registry).
    registry: str = DOCKER_HUB
    # Base URLs asked before `registry`; `host=URL` is asked before that host.
    mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()  # `host` or `host:port`: unverified TLS or plain HTTP
    certificates: str = "/etc/docker/certs.d"  # <host:port>/*.crt, *.cert with *.key
    docker_config: str | None = None  # credentials for all pulls: JSON as in config.json
    local_directories: tuple[str, ...] = ("/",)  # archives may be named by path below these
    image_bytes_max: int = 64 << 30  # one image's layers as they are sent
    unpacked_bytes_max: int = 128 << 30  # the same unpacked
    files_max: int = 2_000_000  # of one image: files, directories and links
    retry_ms: int = 500  # before the second attempt; doubled before each further one
    connect_ms: int = 30_000
    stall_ms: int = 60_000  # without a byte for so long
    partial_keep_s: int = 7 * 86_400  # downloads that nobody goes on with are kept so long
