"""Cuts a byte stream into JSON messages: four bytes of length, big-endian, then the message."""

from __future__ import annotations

import json

PROTOCOL_VERSION = 1
CONTAINERS_REVISION = (
    1  # what was added since: containers, groups, terminals, descriptors, further limits
)
REVISION = 2  # and then: user namespaces
HEADER_BYTES = 4
FRAME_BYTES_MAX = 8 << 20  # an environment and arguments are at most 2 MiB for the kernel
Message = dict[str, object]


class Malformed(Exception):
    """The peer broke the framing or sent what is not a JSON object; the connection is of no more use."""


def encode(message: Message) -> bytes:
    """Return `message` as one frame."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def bodies(buffer: bytearray) -> list[bytes]:
    """Take all whole frames out of `buffer` and return their bodies; the rest stays in it."""
    found: list[bytes] = []
    start = 0
    while len(buffer) - start >= HEADER_BYTES:
        size = int.from_bytes(buffer[start : start + HEADER_BYTES], "big")
        if size > FRAME_BYTES_MAX:
            raise Malformed(f"a frame of {size} bytes is over the limit of {FRAME_BYTES_MAX}")
        end = start + HEADER_BYTES + size
        if len(buffer) < end:
            break
        found.append(bytes(buffer[start + HEADER_BYTES : end]))
        start = end
    del buffer[:start]
    return found


def decode(body: bytes) -> Message:
    """Return the message in `body`."""
    try:
        message: object = json.loads(body)
    except ValueError as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise Malformed("not a JSON object")
    return message
