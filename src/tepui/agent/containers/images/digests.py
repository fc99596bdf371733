"""Digests of content: `sha256:<64 hex>`. Source: OCI image specification, descriptor.md."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

_DIGEST: Final = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


def is_digest(text: str) -> bool:
    """Whether the text is a digest that can be verified."""
    return _DIGEST.match(text) is not None


def hasher(digest: str) -> Hash:
    """Return a hash of the digest's algorithm that has read nothing."""
    return hashlib.new(digest.partition(":")[0])


def digest_of(content: bytes, like: str = "sha256:") -> str:
    """Return the content's digest, by the same algorithm as `like`."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return for each layer the name of it with all that is below (OCI: ChainID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)
