"""One connection of an agent: frames in, frames out, writes joined per turn of the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Final

from tepui.base.loop import Overloaded
from tepui.master.core.events import LinkClosed, LinkId, LinkOpened, LinkReceived
from tepui.web.link_writer import LinkWriter
from tepui.wire import link
from tepui.wire.errors import Malformed

MESSAGES_PER_TURN_MAX: Final = 256  # of one link; half of what the core takes in a turn
CORE_WAITING_MAX: Final = 20_000  # events; while more wait, nothing more is read from links
CORE_RETRY_MS: Final = 5  # until it is looked at again how many wait
HELD_BYTES_MAX: Final = 1024 * 1024 * 1024  # parts of messages, of all links together

log = logging.getLogger("tepui.master")

LinkEvent = LinkOpened | LinkReceived | LinkClosed


class SharedByLinks:
    """What all links share: whom they tell, and what they hold together."""

    def __init__(
        self,
        put: Callable[[LinkEvent], None],
        waiting: Callable[[], int],
        forget: Callable[[LinkId], None],
    ) -> None:
        """`waiting` says how many events the core has before it."""
        self.put = put
        self.waiting = waiting
        self.forget = forget
        self._held: dict[AgentLink, int] = {}
        self._held_bytes = 0

    def hold(self, holder: AgentLink, size_bytes: int) -> None:
        """The link holds so much of messages; if all hold too much, those with most are cut off."""
        self._held_bytes += size_bytes - self._held.pop(holder, 0)
        if size_bytes:
            self._held[holder] = size_bytes
        while self._held_bytes > HELD_BYTES_MAX:
            largest = max(self._held, key=self._held.__getitem__)
            largest.cut(f"all links hold more than {HELD_BYTES_MAX} bytes of messages")


class AgentLink(asyncio.Protocol):
    """Made for an upgraded connection; speaks until either side closes."""

    def __init__(self, link_id: LinkId, links: SharedByLinks) -> None:
        self._id = link_id
        self._links = links
        self._reader = link.LinkReader()
        self._writer: LinkWriter | None = None
        self._coming: Iterator[link.FromAgent] = iter(())  # read, and not yet told
        self._is_paused = False

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._writer = LinkWriter(transport, self._does_not_read)
        ip = str((transport.get_extra_info("peername") or ("",))[0])
        self._links.put(LinkOpened(self._id, ip))
        self.send(link.hello())

    def data_received(self, data: bytes) -> None:
        self._coming = chain(self._coming, self._reader.from_agent(data))
        self._tell()

    def eof_received(self) -> None:
        self.close()  # an agent that does not read either must not be waited for

    def connection_lost(self, exc: Exception | None) -> None:
        if self._writer is not None and self._writer.lost:
            log.warning("link_messages_lost link=%s count=%d", self._id, self._writer.lost)
        self._writer = None
        self._links.hold(self, 0)
        self._links.forget(self._id)
        self._links.put(LinkClosed(self._id))

    # For the core

    def send(self, message: link.FromMaster) -> None:
        """Send in this turn of the loop; nothing when the connection is closed."""
        if self._writer is not None:
            self._writer.send(message)

    def close(self) -> None:
        """Close the connection after what was sent."""
        if self._writer is not None:
            self._writer.close()

    def cut(self, reason: object) -> None:
        """Close the connection; nothing that came on it and was not told is of interest."""
        log.warning("link_cut link=%s reason=%s", self._id, reason)
        self._links.hold(self, 0)
        self._reader = link.LinkReader()
        self._coming = iter(())
        self.close()

    # Receiving

    def _tell(self) -> None:
        """Tell the core as much as it is this link's turn, and read on when all is told."""
        writer = self._writer
        if writer is None or writer.transport.is_closing():
            return
        try:
            is_all = self._tell_some()
        except (Malformed, Overloaded) as error:
            self.cut(error)
            return
        self._links.hold(self, self._reader.held_bytes)
        if writer.transport.is_closing():
            return  # it held most of all
        if is_all and self._is_paused:
            self._is_paused = False
            writer.transport.resume_reading()
        elif not is_all and not self._is_paused:
            self._is_paused = True
            writer.transport.pause_reading()

    def _tell_some(self) -> bool:
        """Whether all that was read is told now; the rest follows by itself."""
        loop = asyncio.get_running_loop()
        if self._links.waiting() > CORE_WAITING_MAX:
            loop.call_later(CORE_RETRY_MS / 1000, self._tell)
            return False
        for _ in range(MESSAGES_PER_TURN_MAX):
            message = next(self._coming, None)
            if message is None:
                return True
            self._links.put(LinkReceived(self._id, message))
        loop.call_soon(self._tell)
        return False

    def _does_not_read(self) -> None:
        log.warning("link_cut link=%s reason=the agent does not read", self._id)
