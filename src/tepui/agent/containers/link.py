"""One connection to the launcher: frames in, frames out, writes joined per tick of the loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from msgspec import DecodeError, Struct, json

from tepui.agent.launcher import terminals
from tepui.agent.launcher.frames import HEADER_BYTES, Malformed, bodies

READ_BYTES = 1 << 18

Fault = tuple[str, str, str]
"""Operation, subject and cause, as HostError has them."""


class Head(Struct, frozen=True):
    """What every message of the launcher may have, before it is known what it is."""

    n: int = 0
    event: str = ""
    fault: Fault | None = None
    descriptor: bool = False  # one comes with it


class Busy(Struct, frozen=True):
    """The launcher's only message while another agent is connected."""

    pid: int


class Hello(Struct, frozen=True):
    """The launcher's first message."""

    version: int
    pid: int
    enforced: tuple[str, ...]
    unenforced: str
    revision: int = 0  # of a launcher that an older agent has started, and whose tasks still run


_head = json.Decoder(Head)


class _Piece:
    """What is to be sent, and the descriptors that go with its first byte."""

    __slots__ = ("data", "descriptors")

    def __init__(self, data: bytes, descriptors: list[int]) -> None:
        self.data = data
        self.descriptors = descriptors

    def close(self) -> None:
        """Those that were sent, or never will be."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors = []


class Link:
    """One connection; `on_message` gets each message's head and whole body, `on_lost` its end, once.

    A socket of its own and no transport, for descriptors come and go with messages. The third that
    `on_message` gets is the one that came with the message, its own from then on, or -1.
    """

    def __init__(
        self,
        on_message: Callable[[Head, bytes, int], None],
        on_lost: Callable[[Link], None],
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._read = bytearray()
        self._handed: deque[int] = deque()  # descriptors whose message has not come whole yet
        self._waiting: deque[_Piece] = deque()
        self._socket: socket.socket | None = None
        self._is_flushing = False  # at the end of this turn, or when the launcher reads
        self.ended = asyncio.Event()

    def open(self, connection: socket.socket) -> None:
        """Speak on this socket, which is the link's from now on."""
        connection.setblocking(False)
        self._socket = connection
        asyncio.get_running_loop().add_reader(connection, self._readable)

    def send(self, body: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send `body` as one frame with others of this tick; it is dropped when the connection is lost.

        Copies of the descriptors go with it: the caller's may be closed when this returns.
        """
        if self._socket is None:
            return
        frame = len(body).to_bytes(HEADER_BYTES, "big") + body
        self._waiting.append(_Piece(frame, [os.dup(fd) for fd in descriptors]))
        if not self._is_flushing:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        """End the connection; `on_lost` follows."""
        self._flush()
        self._end_soon()

    def _flush(self) -> None:
        self._is_flushing = False
        while self._socket is not None and self._waiting:
            piece = _joined(self._waiting)
            try:
                sent = terminals.send(self._socket, piece.data, piece.descriptors)
            except BlockingIOError:
                self._waiting.appendleft(piece)
                self._is_flushing = True
                asyncio.get_running_loop().add_writer(self._socket, self._writable)
                return
            except OSError:
                piece.close()
                self._end_soon()
                return
            piece.close()
            if sent < len(piece.data):
                self._waiting.appendleft(_Piece(piece.data[sent:], []))

    def _writable(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_writer(self._socket)
        self._flush()

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            data, handed = terminals.receive(self._socket, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data, handed = b"", []
        self._handed += handed
        if not data:
            self._end()
            return
        self._read += data
        try:
            for body in bodies(self._read):
                head = _head.decode(body)
                descriptor = self._handed.popleft() if head.descriptor and self._handed else -1
                self._on_message(head, body, descriptor)
        except (Malformed, DecodeError):
            self._end_soon()  # nothing that follows can be understood

    def _end_soon(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None
        for fd in self._handed:
            os.close(fd)
        self._handed.clear()
        for piece in self._waiting:
            piece.close()
        self._waiting.clear()
        self.ended.set()
        self._on_lost(self)


def _joined(waiting: deque[_Piece]) -> _Piece:
    """Take the first of `waiting`, with those behind it that have no descriptors."""
    first = waiting.popleft()
    if not waiting or waiting[0].descriptors:
        return first
    parts = [first.data]
    while waiting and not waiting[0].descriptors:
        parts.append(waiting.popleft().data)
    return _Piece(b"".join(parts), first.descriptors)
