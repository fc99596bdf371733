"""The sending half of the link between master and agent, the same on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from tepui.wire import link

UNREAD_BYTES_MAX: Final = 256 * 1024 * 1024  # of a peer that does not read; then it is cut off
LOSSY_UNREAD_BYTES_MAX: Final = 64 * 1024 * 1024  # then what may be lost is not sent any more
CLOSE_MS: Final = 5_000  # how long a peer may take to read the end; then it is cut off

# Schedulers and executors write these as often as they like, and know that they may be lost; so
# whoever floods an executor harms that and not the agent.
LOSSY: Final = (link.SchedulerMessage, link.ExecutorMessage)


class LinkWriter:
    """Joins the frames of one turn of the loop in one write. Made when the connection is."""

    def __init__(self, transport: asyncio.BaseTransport, on_slow: Callable[[], None]) -> None:
        """`on_slow` is called when the peer is cut off because it does not read."""
        self.transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self.lost = 0  # messages that were not sent because the peer does not read
        self._on_slow = on_slow
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._has_ended = False

    def send(self, message: link.LinkMessage) -> None:
        """Send in this turn of the loop; nothing when the connection is closed, or after `end`."""
        if self._has_ended or self.transport.is_closing():
            return
        if isinstance(message, LOSSY) and self._unread_bytes() > LOSSY_UNREAD_BYTES_MAX:
            self.lost += 1
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        frame = link.frame(message)
        self._pending.append(frame)
        self._pending_bytes += len(frame)

    def close(self) -> None:
        """Close the connection after what was sent, if the peer reads it soon."""
        self._flush()
        if not self.transport.is_closing():
            self.transport.close()
            asyncio.get_running_loop().call_later(CLOSE_MS / 1000, self.transport.abort)

    def end(self) -> None:
        """Send nothing more after what was sent; what comes is still read."""
        self._flush()
        self._has_ended = True
        if not self.transport.is_closing():
            self.transport.write_eof()

    def _unread_bytes(self) -> int:
        return self._pending_bytes + self.transport.get_write_buffer_size()

    def _flush(self) -> None:
        if self._pending and not self.transport.is_closing():
            self.transport.write(b"".join(self._pending))
            if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                self.transport.abort()
                self._on_slow()
        self._pending.clear()
        self._pending_bytes = 0
