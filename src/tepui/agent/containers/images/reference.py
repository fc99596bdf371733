"""Names of images: `[registry[:port]/]repository[:tag][@digest]`, and what a short one means.

Source: distribution's reference grammar; Docker's normalisation of familiar names; Mesos
slave/containerizer/mesos/provisioner/docker (a default registry that is not Docker Hub).
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from tepui.agent.containers.images.digests import is_digest
from tepui.agent.containers.images.errors import Fault

HUB: Final = "docker.io"
HUB_NAMES: Final = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})
NAME_LENGTH_MAX: Final = 255  # registry and repository together
STEP: Final = "reading the name"

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_IMAGE_ID: Final = re.compile(r"[a-f0-9]{64}\Z")


class Reference(Struct, frozen=True):
    """Where an image is, in full. With a digest the tag says nothing."""

    registry: str  # host, with a port if it was named: 'docker.io', 'localhost:5000'
    repository: str
    tag: str  # '' where only a digest was named
    digest: str  # '' where none was named

    @property
    def wanted(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"


def parse(text: str, default_registry: str = HUB) -> Reference:
    """Return what the name means. Raises Fault.

    Names without a registry are in `default_registry`, a host; those of Docker Hub without a
    user are in `library`.
    """
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise Fault(STEP, f"'{digest}' is not a digest: sha256 or sha512, and lower-case hex")
    registry, repository, was_named = _split_registry(rest, default_registry)
    repository, colon, tag = repository.partition(":")
    if colon and not _TAG.match(tag):
        raise Fault(STEP, f"'{tag}' is not a tag: letters, digits, '_', '.' and '-', at most 128")
    if not _REGISTRY.match(registry):
        raise Fault(STEP, f"'{registry}' is not a registry: a host, and a port after ':'")
    if not _REPOSITORY.match(repository):
        raise Fault(
            STEP,
            f"'{repository}' is not a repository: lower-case letters and digits, '.', '_' or '-' "
            "between them, and '/' between parts",
        )
    if not was_named and _IMAGE_ID.match(repository):
        raise Fault(STEP, f"'{repository}' is an image's id; images are named by repository")
    if registry in HUB_NAMES:
        registry = HUB
        repository = repository if "/" in repository else f"library/{repository}"
    if len(registry) + 1 + len(repository) > NAME_LENGTH_MAX:
        raise Fault(STEP, f"registry and repository are longer than {NAME_LENGTH_MAX} characters")
    return Reference(registry, repository, tag or ("" if digest else "latest"), digest)


def _split_registry(text: str, default_registry: str) -> tuple[str, str, bool]:
    """Return registry, the rest, and whether a registry was named.

    What comes before the first '/' is one if it could be no part of a repository: it has a dot, a
    port or an upper-case letter, or is `localhost`.
    """
    first, slash, rest = text.partition("/")
    looks_like_host = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if slash and looks_like_host:
        return first, rest, True
    return default_registry, text, False
