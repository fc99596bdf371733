"""The agent's side of the link: it connects, greets, and connects again when that is lost.

The link is an upgraded HTTP connection to the master's own port. A master that does not lead
answers with a redirect to the one that does. After a loss agents wait a random part of
`--registration_backoff_factor`, so that they do not all come at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import Final

from tepui.agent.core.events import LinkLost, LinkOpened, MasterSpoke
from tepui.agent.daemon.finding import finder
from tepui.agent.daemon.put import Put
from tepui.base import tasks
from tepui.base.addresses import address_of
from tepui.base.errors import Refused
from tepui.base.loop import Overloaded
from tepui.web.link_writer import LinkWriter
from tepui.wire import link
from tepui.wire.errors import Malformed

RETRY_MIN_MS: Final = 50  # a master that is just starting is found soon
RETRY_MAX_MS: Final = 60_000  # Mesos: REGISTER_RETRY_INTERVAL_MAX
CONNECT_MS: Final = 10_000  # to the connection, over all addresses of the name
GREETING_MS: Final = 10_000  # from the connection to the master's Hello
END_MS: Final = 1_000  # for the master to close, when this agent ends; it may be gone
HEAD_BYTES_MAX: Final = 16 * 1024
REDIRECTS_MAX: Final = 5

log = logging.getLogger("tepui.agent")


class Refusal(Exception):
    """The other side is no master that we can speak to."""


class Redirected(Exception):
    """Another master leads."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


class MasterLink:
    """Keeps one link to the leading master, from `start` to `stop`."""

    def __init__(self, master: str, put: Put, backoff_factor_ms: int) -> None:
        """`master` is the value of --master; raises Refused when it is no address."""
        self._finder = finder(master)
        self._put = put
        self._backoff_factor_ms = backoff_factor_ms
        self._connection: Connection | None = None
        self._keeping: asyncio.Task[None] | None = None
        self.retry_ms = RETRY_MIN_MS  # how long, at most, the next failure waits
        self._is_registered = False  # over the link that is open
        self._has_moved = asyncio.Event()  # while a failure is waited out
        self._may_open = asyncio.Event()  # the core has done with the link that was lost
        self._attempt: asyncio.Timeout | None = None  # while one is under way
        self.leader = master  # host:port of the master that was tried last

    def start(self) -> None:
        """Connect now, and whenever the link is lost and `open_again` was called."""
        self._finder.start(lambda leader: self._moved(leader))
        self._keeping = tasks.start(self._keep())

    async def stop(self) -> None:
        """Send what waits, take what is on its way, close, and stay closed."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._connection is not None:
            await self._connection.end()
        await self._finder.stop()

    def send(self, message: link.FromAgent) -> None:
        """Send in this turn of the loop; nothing without a link."""
        if self._connection is not None:
            self._connection.send(message)

    def registered(self) -> None:
        """The master has taken the agent: this link was worth it, and the next is soon tried."""
        self._is_registered = True
        self.retry_ms = RETRY_MIN_MS

    def open_again(self) -> None:
        """Nothing comes any more of what was to be sent on the link that is lost."""
        self._may_open.set()

    def close(self, reason: str) -> None:
        """Give this connection up; another follows."""
        if self._connection is not None:
            log.warning("link_closed master=%s reason=%s", self.leader, reason)
            self._connection.abort()

    def _moved(self, leader: str) -> None:
        """Another master leads: whoever we are connected to has nothing to say any more."""
        self.retry_ms = RETRY_MIN_MS
        self._has_moved.set()
        if leader != self.leader:
            self.close(f"the master {leader} leads")
            if self._attempt is not None:  # a master that is frozen takes connections all the same
                self._attempt.reschedule(0)
                self._attempt = None

    async def _keep(self) -> None:
        while True:
            try:
                await self._connect()
            except (OSError, Refusal, Refused, TimeoutError) as error:
                reason = str(error) or "it does not answer in time"
                log.info("link_failed master=%s reason=%s", self.leader, reason)
                await self._back_off()
                continue
            await self._stay()
            if self._is_registered:
                await asyncio.sleep(random.uniform(0, self._backoff_factor_ms) / 1000)
            else:
                await self._back_off()  # a master that refuses us is not asked hot

    async def _back_off(self) -> None:
        """Longer each time, but not while another master leads already."""
        self._has_moved.clear()
        try:
            async with asyncio.timeout(random.uniform(self.retry_ms / 2, self.retry_ms) / 1000):
                await self._has_moved.wait()
        except TimeoutError:
            self.retry_ms = min(2 * self.retry_ms, RETRY_MAX_MS)
        else:
            await asyncio.sleep(random.uniform(0, self._backoff_factor_ms) / 1000)

    async def _stay(self) -> None:
        """The link was open, and is lost again."""
        assert self._connection is not None, "connected before"
        self._is_registered = False
        log.info("link_opened master=%s", self.leader)
        self._put(LinkOpened(self._connection.greeted.result()))
        await self._connection.over.wait()
        self._connection = None
        log.warning("link_lost master=%s", self.leader)
        self._may_open.clear()
        self._put(LinkLost())
        await self._may_open.wait()

    async def _connect(self) -> None:
        """The link to the leading master is open and greeted."""
        address = self.leader = await self._finder.next()
        try:
            async with asyncio.timeout(None) as self._attempt:
                await self._open(address)
        finally:
            self._attempt = None

    async def _open(self, address: str) -> None:
        for _ in range(REDIRECTS_MAX):
            connection = Connection(address, self._put)
            try:
                await _greet(connection, *address_of(address, "address"))
            except Redirected as redirected:
                connection.abort()
                if self._finder.is_told:  # it may send us back to the one that is frozen
                    raise Refusal(f"it still follows {redirected.address}") from None
                address = redirected.address
                continue
            except BaseException:
                connection.abort()
                raise
            self._connection, self.leader = connection, address
            return
        raise Refusal(f"redirected {REDIRECTS_MAX} times")


async def _greet(connection: Connection, host: str, port: int) -> None:
    """The master has answered with its Hello. Raises OSError, TimeoutError, Refusal, Redirected."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_MS / 1000):
            await loop.create_connection(lambda: connection, host, port)
    except ValueError as error:  # the resolver does not take the name
        raise Refusal(f"'{host}': {error}") from None
    async with asyncio.timeout(GREETING_MS / 1000):
        await connection.greeted


class Connection(asyncio.Protocol):
    """One connection: first HTTP, then the link's frames."""

    def __init__(self, address: str, put: Put) -> None:
        self._address = address
        self._put = put
        self._head = b""
        self._is_upgraded = False
        self._reader = link.LinkReader()
        self._writer: LinkWriter | None = None
        # What both speak, once the master has said what it does.
        self.greeted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._writer = LinkWriter(transport, self._does_not_read)
        self._writer.transport.write(
            f"GET /link HTTP/1.1\r\nHost: {self._address}\r\nConnection: Upgrade\r\n"
            "Upgrade: tepui-link\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        try:
            if not self._is_upgraded:
                data = self._read_head(data)
            if self._is_upgraded:
                for message in self._reader.from_master(data):
                    self._take(message)
        except (Malformed, Overloaded, Refusal, Redirected) as error:
            self._fail(error)

    def eof_received(self) -> None:
        self.close()  # a master that does not read either must not be waited for

    def connection_lost(self, exc: Exception | None) -> None:
        self._writer = None
        if not self.greeted.done():
            self.greeted.set_exception(Refusal("the master closed the connection"))
            self.greeted.exception()  # seen: the waiting side may have given up already
        self.over.set()

    # Sending

    def send(self, message: link.FromAgent) -> None:
        """Send in this turn of the loop."""
        if self._writer is not None:
            self._writer.send(message)

    async def end(self) -> None:
        """Close when the master has, too: nothing that it has sent before is lost."""
        if self._writer is not None:
            self._writer.end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_MS / 1000):
                    await self.over.wait()
        self.close()

    def close(self) -> None:
        """Close after what was sent."""
        if self._writer is not None:
            self._writer.close()

    def abort(self) -> None:
        """Close at once."""
        if self._writer is not None:
            self._writer.transport.abort()

    def _does_not_read(self) -> None:
        self._fail(Refusal("the master does not read"))

    # Receiving

    def _take(self, message: link.FromMaster) -> None:
        if self.greeted.done():
            self._put(MasterSpoke(message))
            return
        if not isinstance(message, link.Hello):
            raise Refusal(f"the master began with {type(message).__name__}")
        protocol = link.common_protocol(message)
        if protocol is None:
            raise Refusal(link.no_common_protocol(message, "master", "agent"))
        self.greeted.set_result(protocol)

    def _read_head(self, data: bytes) -> bytes:
        """What follows the answer to the upgrade; nothing before it is whole."""
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            if len(self._head) > HEAD_BYTES_MAX:
                raise Refusal("the answer to the upgrade is too long")
            return b""
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1:2]
        headers = {
            name.strip().lower(): value.strip() for name, _, value in map(_halves, lines[1:])
        }
        if status == ["307"] and "location" in headers:
            raise Redirected(headers["location"].removeprefix("http:").strip("/").split("/")[0])
        if status != ["101"]:
            raise Refusal(f"the master answered '{lines[0]}'")
        self._is_upgraded = True
        self.send(link.hello())
        return rest

    def _fail(self, error: Exception) -> None:
        if not self.greeted.done():
            known = isinstance(error, Refusal | Redirected)
            self.greeted.set_exception(error if known else Refusal(str(error)))
            self.greeted.exception()
        else:
            log.warning("link_cut master=%s reason=%s", self._address, error)
        self.abort()


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(":")
