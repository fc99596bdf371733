"""A connection without a socket: what a client sends goes in, what it would read comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tepui.web.connection import Connection
from tepui.web.site import Site

TURNS = 20  # of the loop: more than anything here takes


class FakeTransport(asyncio.Transport):
    """Remembers what was written; `unread` is what the client leaves in its buffers."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 5050)})
        self.written = b""
        self.unread = 0
        self.reading = True
        self.ended = False  # no more will be written
        self.closed = False
        self.aborted = False
        self.protocol: asyncio.BaseProtocol | None = None

    def write(self, data: Any) -> None:  # Any: asyncio's own signature
        assert not self.closed
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closed
        self.reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            assert self.protocol is not None
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.aborted = True
        self.close()


class Client:
    """One client of a site."""

    def __init__(self, site: Site) -> None:
        self.connection = Connection(site)
        self.transport = FakeTransport()
        self.transport.set_protocol(self.connection)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        """The bytes arrive, if anybody reads."""
        assert self.transport.reading
        assert isinstance(self.transport.protocol, asyncio.Protocol)
        self.transport.protocol.data_received(data)

    async def read(self) -> bytes:
        """What has come since the last read."""
        await turns()
        written, self.transport.written = self.transport.written, b""
        return written


async def turns() -> None:
    """Whatever the loop had planned has happened."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def play(site: Site, act: Callable[[Site], Awaitable[None]]) -> None:
    """Run `act` in a loop, with the site's clock started."""

    async def run() -> None:
        site.tick()
        await act(site)

    asyncio.run(run())
