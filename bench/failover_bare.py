"""What a master's machine can do without a master: reads what agents bring, decodes it, and answers.

python -m bench.failover_bare PORT
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import cast

import uvloop

from bench.agents import greeting
from bench.processes import HOST
from tepui.wire import link

BACKLOG = 4096


class BareLink(asyncio.Protocol):
    """One link: welcomes whoever says what it has, and forgets it."""

    def __init__(self) -> None:
        self._reader = link.LinkReader()
        self._is_upgraded = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind

    def data_received(self, data: bytes) -> None:
        if not self._is_upgraded:
            self._is_upgraded = True  # a request for an upgrade is one packet here
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + HELLO)
            return
        for message in self._reader.from_agent(data):
            if isinstance(message, link.Return):
                assert message.info.id is not None
                self._transport.write(link.frame(link.Registered(message.info.id.value, 75_000)))


HELLO = link.frame(greeting())


async def main() -> None:
    """Serve until ended."""
    gc.disable()  # messages have no cycles
    loop = asyncio.get_running_loop()
    server = await loop.create_server(BareLink, HOST, int(sys.argv[1]), backlog=BACKLOG)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
