"""The launcher's one connection: whole requests in, replies and exits out, both bounded."""

from __future__ import annotations

import os
import socket
from collections import deque

from . import frames, terminals
from .loop import READABLE, WRITABLE, Loop

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 1 << 18
HANDED_MAX = 256  # descriptors whose request has not come whole yet
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
        self._handed: deque[int] = deque()  # came with a request, in order
        self._passing: deque[tuple[int, int]] = deque()  # where in what waits a descriptor goes out
        connection.setblocking(False)
        loop.watch(connection.fileno(), self._ready)

    def take_descriptors(self, count: int) -> list[int]:
        """Return those that came with the request that is being read. Raises Malformed."""
        if len(self._handed) < count:
            raise frames.Malformed(f"{count} descriptors belong to the request")
        return [self._handed.popleft() for _ in range(count)]

    def send(self, message: frames.Message, descriptor: int = -1) -> None:
        """Send `message`, now or when the agent reads, and a copy of the descriptor with it."""
        if self._connection is None:
            return
        idle = not self._waiting
        if descriptor >= 0:
            self._passing.append((len(self._waiting), os.dup(descriptor)))
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
        for fd in (*self._handed, *(fd for _, fd in self._passing)):
            os.close(fd)
        self._handed.clear()
        self._passing.clear()
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
            data, handed = terminals.receive(self._connection, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data, handed = b"", []
        self._handed += handed
        if not data or len(self._handed) > HANDED_MAX:
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
            while self._waiting and self._send_some():
                pass
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        events = READABLE | WRITABLE if self._waiting else READABLE
        self._loop.rewatch(self._connection.fileno(), events)

    def _send_some(self) -> bool:
        """Send up to the next message that has a descriptor; tell whether all of that went."""
        assert self._connection is not None
        descriptors: list[int] = []
        if self._passing and self._passing[0][0] == 0:
            descriptors = [self._passing[0][1]]
        behind = [at for at, _ in self._passing if at > 0]
        piece = bytes(self._waiting[: behind[0]]) if behind else self._waiting
        size = len(piece)
        sent = terminals.send(self._connection, piece, descriptors)
        if descriptors:
            os.close(self._passing.popleft()[1])
        del self._waiting[:sent]
        self._passing = deque((at - sent, fd) for at, fd in self._passing)
        return sent == size
