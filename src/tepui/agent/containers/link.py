"""One connection to the launcher: frames in, frames out, writes joined per tick of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from msgspec import DecodeError, Struct, json

from tepui.agent.launcher.frames import HEADER_BYTES, Malformed, bodies

Fault = tuple[str, str, str]
"""Operation, subject and cause, as HostError has them."""


class Head(Struct, frozen=True):
    """What every message of the launcher may have, before it is known what it is."""

    n: int = 0
    event: str = ""
    fault: Fault | None = None


class Busy(Struct, frozen=True):
    """The launcher's only message while another agent is connected."""

    pid: int


class Hello(Struct, frozen=True):
    """The launcher's first message."""

    version: int
    pid: int
    enforced: tuple[str, ...]
    unenforced: str


_head = json.Decoder(Head)


class Link(asyncio.Protocol):
    """One connection; `on_message` gets each message's head and whole body, `on_lost` its end, once."""

    def __init__(
        self, on_message: Callable[[Head, bytes], None], on_lost: Callable[[Link], None]
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._read = bytearray()
        self._waiting: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()

    def send(self, body: bytes) -> None:
        """Send `body` as one frame with others of this tick; it is dropped when the connection is lost."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting += (len(body).to_bytes(HEADER_BYTES, "big"), body)

    def close(self) -> None:
        """End the connection; `on_lost` follows."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._waiting and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Cast: a stream's transport can write, but those of uvloop are of none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        try:
            for body in bodies(self._read):
                self._on_message(_head.decode(body), body)
        except (Malformed, DecodeError):
            self.close()  # nothing that follows can be understood

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended.set()
        self._on_lost(self)
