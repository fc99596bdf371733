"""One connection of an agent: frames in, frames out, writes joined per turn of the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import tepui
from tepui.base.loop import Overloaded
from tepui.master.core.events import LinkClosed, LinkId, LinkOpened, LinkReceived
from tepui.web.link_writer import LinkWriter
from tepui.wire import link
from tepui.wire.errors import Malformed

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
        self._writer: LinkWriter | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._writer = LinkWriter(transport, self._does_not_read)
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
        self._writer = None
        self._forget(self._id)
        self._put(LinkClosed(self._id))

    def send(self, message: link.FromMaster) -> None:
        """Send in this turn of the loop; nothing when the connection is closed."""
        if self._writer is not None:
            self._writer.send(message)

    def close(self) -> None:
        """Close the connection after what was sent."""
        if self._writer is not None:
            self._writer.close()

    def _does_not_read(self) -> None:
        log.warning("link_cut link=%s reason=the agent does not read", self._id)
