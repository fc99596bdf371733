"""The launcher's one connection: whole requests in, replies and exits out, both bounded."""

from __future__ import annotations

import socket

from . import frames
from .loop import READABLE, WRITABLE, Loop

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 1 << 18
WAITING_BYTES_MAX = 32 << 20  # for an agent that does not read; over it the connection is closed


class Client:
    """One agent's connection. After `close` all that is sent to it is dropped."""

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        on_message: Callable[[Client, frames.Message], None],
        on_close: Callable[[Client], None],
    ) -> None:
        self._loop = loop
        self._connection: socket.socket | None = connection
        self._on_message = on_message
        self._on_close = on_close
        self._read = bytearray()
        self._waiting = bytearray()
        connection.setblocking(False)
        loop.watch(connection.fileno(), self._ready)

    def send(self, message: frames.Message) -> None:
        """Send `message`, now or when the agent reads."""
        if self._connection is None:
            return
        idle = not self._waiting
        self._waiting += frames.encode(message)
        if idle:
            self._flush()
        if len(self._waiting) > WAITING_BYTES_MAX:
            self.close()  # it reconnects and asks for the list

    def close(self) -> None:
        """End the connection."""
        if self._connection is None:
            return
        self._loop.unwatch(self._connection.fileno())
        self._connection.close()
        self._connection = None
        self._on_close(self)

    def _ready(self) -> None:
        if self._waiting:
            self._flush()
        self.read()

    def read(self) -> None:
        """Act on what has come, if anything has; the connection may be closed afterwards."""
        if self._connection is None:
            return
        try:
            data = self._connection.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._read += data
        try:
            for body in frames.bodies(self._read):
                self._on_message(self, frames.decode(body))
        except frames.Malformed:
            self.close()

    def _flush(self) -> None:
        if self._connection is None:
            return
        try:
            sent = self._connection.send(self._waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._waiting[:sent]
        events = READABLE | WRITABLE if self._waiting else READABLE
        self._loop.rewatch(self._connection.fileno(), events)
