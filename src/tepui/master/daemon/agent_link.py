"""One connection of an agent: frames in, frames out, writes joined per turn of the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

import tepui
from tepui.base.loop import Overloaded
from tepui.master.core.events import LinkClosed, LinkId, LinkOpened, LinkReceived
from tepui.wire import link
from tepui.wire.errors import Malformed

UNREAD_BYTES_MAX: Final = 256 * 1024 * 1024  # of an agent that does not read; then it is cut off

log = logging.getLogger("tepui.master")

LinkEvent = LinkOpened | LinkReceived | LinkClosed


class AgentLink(asyncio.Protocol):
    """Made for an upgraded connection; speaks until either side closes."""

    def __init__(
        self, link_id: LinkId, put: Callable[[LinkEvent], None], forget: Callable[[LinkId], None]
    ) -> None:
        self._id = link_id
        self._put = put
        self._forget = forget
        self._reader = link.LinkReader()
        self._transport: asyncio.Transport | None = None
        self._pending: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        ip = str((transport.get_extra_info("peername") or ("",))[0])
        self._put(LinkOpened(self._id, ip))
        self.send(link.Hello(link.PROTOCOL, tepui.__version__))

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.from_agent(data):
                self._put(LinkReceived(self._id, message))
        except (Malformed, Overloaded) as error:
            log.warning("link_cut link=%s reason=%s", self._id, error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._forget(self._id)
        self._put(LinkClosed(self._id))

    def send(self, message: link.FromMaster) -> None:
        """Send in this turn of the loop; nothing when the connection is closed."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append(link.frame(message))

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._pending and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._pending))
            if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                log.warning("link_cut link=%s reason=the agent does not read", self._id)
                self._transport.abort()
        self._pending.clear()
