"""A TCP proxy in the test's own loop, between a client and a server, that can be cut or go deaf."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536


class Mode(enum.Enum):
    """What becomes of what is sent."""

    OPEN = "both ways"
    DEAF = "what the server sends is dropped"
    SILENT = "all is dropped, and connections stay"
    CUT = "connections are closed at once"


class Proxy:
    """Made by `proxied`."""

    def __init__(self, port: int) -> None:
        self.port = 0  # where clients connect
        self.mode = Mode.OPEN
        self.deaf_after: bytes | None = None  # the client's sending this makes it DEAF
        self._server_port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def set(self, mode: Mode) -> None:
        """From now on; connections that are open are cut by CUT and stay otherwise."""
        self.mode = mode
        if mode is Mode.CUT:
            for writer in list(self._writers):
                writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        if self.mode is Mode.CUT:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_connection(HOST, self._server_port)
        except OSError:
            writer.transport.abort()
            return
        for source, target, deaf in (
            (reader, to_server, (Mode.SILENT,)),
            (from_server, writer, (Mode.SILENT, Mode.DEAF)),
        ):
            self._writers.add(target)
            task = asyncio.create_task(self._forward(source, target, deaf, reader))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        deaf: tuple[Mode, ...],
        from_client: asyncio.StreamReader,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if source is from_client and self.deaf_after and self.deaf_after in chunk:
                    self.mode, self.deaf_after = Mode.DEAF, None
                if self.mode in deaf:
                    continue
                target.write(chunk)
                await target.drain()
        self._writers.discard(target)
        target.close()


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[Proxy]:
    """A proxy to the server at `port` of this machine."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.accept, HOST, 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        proxy.set(Mode.CUT)
        while proxy._tasks:
            await asyncio.wait(set(proxy._tasks))
        await server.wait_closed()
