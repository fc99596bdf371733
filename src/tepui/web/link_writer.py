"""The sending half of the link between master and agent, the same on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from tepui.wire import link

UNREAD_BYTES_MAX: Final = 256 * 1024 * 1024  # of a peer that does not read; then it is cut off


class LinkWriter:
    """Joins the frames of one turn of the loop in one write. Made when the connection is."""

    def __init__(self, transport: asyncio.BaseTransport, on_slow: Callable[[], None]) -> None:
        """`on_slow` is called when the peer is cut off because it does not read."""
        self.transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._on_slow = on_slow
        self._pending: list[bytes] = []

    def send(self, message: link.LinkMessage) -> None:
        """Send in this turn of the loop; nothing when the connection is closed."""
        if self.transport.is_closing():
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(link.frame(message))

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._flush()
        self.transport.close()

    def _flush(self) -> None:
        if self._pending and not self.transport.is_closing():
            self.transport.write(b"".join(self._pending))
            if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                self.transport.abort()
                self._on_slow()
        self._pending.clear()
