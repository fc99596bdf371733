"""A streaming answer: records out, each in a chunk of its own, joined per turn of the loop.

Some clients of Mesos read one chunk as one record, so a record is never split and two are never
joined in a chunk; but all chunks of one turn leave in one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

STREAM_BYTES_MAX: Final = 32 * 1024 * 1024  # unread when a turn begins; more is too slow
TURN_FACTOR: Final = 8  # one turn may add so much more: all tasks of a framework, say
END_MS: Final = 5_000  # how long a client may take to read the end


class RecordStream:
    """The writing side of one streaming answer.

    Lifecycle: made by a handler, attached to a connection when the head has been sent; `send`
    before that is kept. It is over when `end` was called or the client has left; `on_close` is
    called once, when it is over for any reason. `send` on a stream that is over does nothing.
    """

    def __init__(
        self,
        on_close: Callable[[], None],
        *,
        overflow_record: bytes,
        bytes_max: int = STREAM_BYTES_MAX,
    ) -> None:
        self._on_close: Callable[[], None] | None = on_close
        self._overflow_record = overflow_record  # the last words to a client that reads too slowly
        self._bytes_max = bytes_max
        self._transport: asyncio.WriteTransport | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._waited_bytes = 0  # that were kept until the head was out, and may still be unread
        self._flush_scheduled = False
        self._is_over = False

    @property
    def over(self) -> bool:
        """Nothing more can be sent."""
        return self._is_over

    @property
    def pending_bytes(self) -> int:
        """What was sent and not yet written."""
        return self._pending_bytes

    def send(self, record: bytes) -> None:
        """Send a record, already framed, in this turn of the loop.

        A client is too slow when it has not read what earlier turns sent; what one turn sends
        is bounded by more, and so is what was sent before the stream was attached.
        """
        if self._is_over:
            return
        unread = 0 if self._transport is None else self._transport.get_write_buffer_size()
        begins = not self._flush_scheduled and self._transport is not None
        if unread <= self._bytes_max:
            self._waited_bytes = 0
        allowed = self._bytes_max + self._waited_bytes
        if unread > allowed if begins else self._is_full(unread, record):
            if self._overflow_record:
                self._pending.append(_chunk(self._overflow_record))
            self.end()
            return
        self._append(record)
        if begins:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def pause(self) -> None:
        """The client reads more slowly than is written; here that is of no interest."""

    def resume(self) -> None:
        """The client has read what was written."""

    def _append(self, record: bytes) -> None:
        self._pending.append(_chunk(record))
        self._pending_bytes += len(record)

    def _is_full(self, unread: int, record: bytes) -> bool:
        whole = unread + self._pending_bytes + len(record)
        return self._pending_bytes > 0 and whole > TURN_FACTOR * self._bytes_max

    def end(self) -> None:
        """End the answer properly, after what was sent."""
        if self._is_over:
            return
        self._flush()
        if self._transport is not None:
            self._close(self._transport)
        self._finish()

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """The head was sent on `transport`; records follow."""
        self._transport = transport
        self._waited_bytes = self._pending_bytes
        self._flush()
        if self._is_over:  # ended before its head was out
            self._close(transport)

    @staticmethod
    def _close(transport: asyncio.WriteTransport) -> None:
        if not transport.is_closing():
            transport.write(b"0\r\n\r\n")
            transport.close()
            asyncio.get_running_loop().call_later(END_MS / 1000, transport.abort)

    def client_left(self) -> None:
        """The connection is closed."""
        self._finish()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if not self._pending or self._transport is None:
            return
        if not self._transport.is_closing():  # the client may have left, and its loss not told yet
            self._transport.write(b"".join(self._pending))
        self._pending.clear()
        self._pending_bytes = 0

    def _finish(self) -> None:
        self._is_over = True
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close()


def _chunk(record: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(record), record)
