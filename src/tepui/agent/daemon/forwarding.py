"""GET /port-forward?container_id=&port=: the connection becomes one to a port in the container's network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, cast

FORWARDS_MAX: Final = 500  # connections at one time
PROTOCOL: Final = "tcp"  # the value of Upgrade


class Half(asyncio.Protocol):
    """One of two connections: what comes on it goes out on the other, and no faster than that takes it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Half | None = None
        self.on_lost: Callable[[], None] | None = None  # called when it is over
        self._waiting = bytearray()  # until the other is there; its sender is paused
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Cast: a stream's transport, but those of uvloop are of none of asyncio's classes.
        self.transport = cast("asyncio.Transport", transport)
        self.catch_up()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._waiting += data
            if self.transport is not None:
                self.transport.pause_reading()
        else:
            self.other.transport.write(data)

    def catch_up(self) -> None:
        """Both are there, perhaps: what came before goes out."""
        other = self.other
        if other is None or other.transport is None or self.transport is None:
            return
        for one, to in ((self, other.transport), (other, self.transport)):
            if one._waiting:
                to.write(bytes(one._waiting))
                one._waiting.clear()
                if one.transport is not None:
                    one.transport.resume_reading()
            if one._has_ended and to.can_write_eof():
                to.write_eof()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            with contextlib.suppress(RuntimeError):  # it is closing
                self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        self._has_ended = True
        other = None if self.other is None else self.other.transport
        if other is not None and not other.is_closing() and other.can_write_eof():
            other.write_eof()
        if self.other is not None and self.other._has_ended:
            self.close()
        return True  # the other direction may go on

    def close(self) -> None:
        """End both, when what was received has been sent on."""
        for one in (self, self.other):
            if one is not None and one.transport is not None:
                one.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.on_lost is not None:
            self.on_lost()
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


def joined() -> tuple[Half, Half]:
    """Two connections that are each other's other."""
    one, other = Half(), Half()
    one.other, other.other = other, one
    return one, other
