"""The master daemon: one socket, and behind it the leader, or a standby that knows who leads."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from uuid import uuid4

from msgspec import Struct

from tepui import MESOS_VERSION
from tepui.base import tasks
from tepui.base.errors import HostError
from tepui.base.loop import CoreLoop, MayNotAct
from tepui.base.names import StreamId
from tepui.election.election import Election, Following, Leading, Lost, Told
from tepui.election.info import read_info
from tepui.election.zookeeper import ZooKeeperElection
from tepui.master.core.actions import Action, Record
from tepui.master.core.events import Event, LinkId
from tepui.master.core.state import NO_IDS, State, ids_given
from tepui.master.daemon.agent_link import AgentLink
from tepui.master.daemon.leader import Leader
from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.standby import Standby
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import Store
from tepui.storage.zookeeper import ZooKeeperStore
from tepui.web.event_streams import EventStreams
from tepui.web.server import WebServer, listen
from tepui.wire import json, mesos
from tepui.zookeeper.session import ZooKeeperSession

# Clients of Mesos look at the children of the path, and know this one: it is Mesos's own registry.
REGISTRY = "log_replicas/registry"

RETRY_S = 1.0  # until a registry that could not be read is tried again

log = logging.getLogger("tepui.master")


class SaveFailed(Struct, frozen=True):
    """What was decided could not be written: the leader knows what is not so, and must begin anew."""

    reason: str


class ActsNoMore(Struct, frozen=True):
    """The election held no more when something was to be done: Lost follows."""

    reason: str


class MasterDaemon:
    """One master, from `start` to `stop`; it may lead, and lead no more, any number of times."""

    def __init__(self, options: MasterOptions) -> None:
        """Raises OSError when the address can't be listened on."""
        self._options = options
        self._listener = listen(options.ip, options.port)
        self.port: int = self._listener.getsockname()[1]
        self.info = master_info(options, self.port)
        self._standby = Standby(options)
        self._server = WebServer(self._standby.routes, self._listener)
        self._leader: Leader | None = None
        self._ids_given = NO_IDS  # as often as it has led
        self._terms: asyncio.Task[None] | None = None  # what is done about what was told
        self._news: asyncio.Queue[Told | SaveFailed | ActsNoMore] = (
            asyncio.Queue()
        )  # a few a minute
        self._is_elected = options.zk is None
        self._session: ZooKeeperSession | None = None
        self._election: Election | None = None
        self._memory = Memory()
        if options.zk is not None:
            self._session = ZooKeeperSession(options.zk, options.zk_session_timeout_ms)
            self._election = ZooKeeperElection(self._session, options.zk.path)

    async def start(self) -> None:
        """Serve, and stand for election; without others it leads when this returns.

        Raises HostError when it leads and the registry can't be read.
        """
        try:
            if self._session is None:
                await self._lead()
            await self._server.start()
        except BaseException:
            self._listener.close()
            raise
        self._terms = tasks.start(self._keep_to_the_news())
        if self._session is not None and self._election is not None:
            self._session.start()
            self._election.start(json.encode(self.info), self._told)
        log.info("started pid=%s id=%s", self.info.pid, self.info.id)

    async def stop(self) -> None:
        """Close all connections; frameworks and agents look for the next leader."""
        if self._leader is not None:
            self._leader.leave()
        await self._server.stop()  # requests that are under way are answered before
        if self._terms is not None:
            self._terms.cancel()
            await asyncio.gather(self._terms, return_exceptions=True)
        await self._abdicate()
        if self._session is not None and self._election is not None:
            await self._election.close()
            await self._session.close()
        log.info("stopped")

    # What tests and tools look at, while it leads

    @property
    def leader(self) -> Leader:
        """Only while it leads."""
        assert self._leader is not None, "this master does not lead"
        return self._leader

    @property
    def state(self) -> State:
        """Of the leader."""
        return self.leader.state

    @property
    def loop(self) -> CoreLoop[Event, Record, Action]:
        """Of the leader."""
        return self.leader.loop

    @property
    def streams(self) -> EventStreams[StreamId]:
        """Of the leader."""
        return self.leader.streams

    @property
    def links(self) -> dict[LinkId, AgentLink]:
        """Of the leader."""
        return self.leader.links

    # Elections

    def _told(self, told: Told) -> None:
        """The election calls this; who leads no more stops at once, the rest may wait."""
        if isinstance(told, Lost) and self._leader is not None:
            self._leader.end()
            self._server.serve(self._standby.routes)
        self._news.put_nowait(told)

    async def _keep_to_the_news(self) -> None:
        while True:
            told = await self._news.get()
            match told:
                case Leading():
                    self._is_elected = True
                case Lost(reason=reason):
                    log.warning("leading_no_more reason=%s", reason)
                    self._is_elected = False
                    self._standby.leader = None
                case Following(leader=leader):
                    self._standby.leader = read_info(leader)
                    log.info(
                        "following leader=%s", self._standby.leader and self._standby.leader.pid
                    )
                case SaveFailed(reason=reason):
                    log.error("registry_not_written reason=%s", reason)
                case ActsNoMore(reason=reason):
                    log.warning("leading_no_more reason=%s", reason)
            await self._abdicate()
            if self._is_elected:
                await self._try_to_lead()

    async def _try_to_lead(self) -> None:
        """Until it does, or there are news."""
        self._standby.leader, self._standby.is_recovering = self.info, True
        while self._news.empty() and self._may_act():
            try:
                await self._lead()
                break
            except HostError as error:
                log.error("cannot_lead reason=%s", error)
                await asyncio.sleep(RETRY_S)
        self._standby.is_recovering = False

    async def _lead(self) -> None:
        leader = Leader(
            self._options,
            self.info,
            self._store(),
            self._may_act,
            self._leader_failed,
            self._ids_given,
        )
        try:
            await leader.begin()
        except BaseException:
            await leader.close()
            raise
        if not self._news.empty():  # meanwhile somebody else may
            leader.end()
            await leader.close()
            return
        self._leader = leader
        self._server.serve(leader.routes, leader.upgrades)

    def _may_act(self) -> bool:
        return self._election is None or self._election.holds()

    def _leader_failed(self, error: Exception) -> None:
        """The leader's loop calls this; it does nothing any more."""
        reason = str(error) or repr(error)
        late = isinstance(error, MayNotAct)
        self._news.put_nowait(ActsNoMore(reason) if late else SaveFailed(reason))

    async def _abdicate(self) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            self._ids_given = ids_given(leader.state)
            leader.end()
            self._server.serve(self._standby.routes)
            await leader.close()

    def _store(self) -> Store:
        if self._session is not None:
            assert self._options.zk is not None
            return ZooKeeperStore(self._session, f"{self._options.zk.path.rstrip('/')}/{REGISTRY}")
        if (path := self._options.registry) is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise HostError("make", f"'{path.parent}'", error.strerror or "") from None
            return SqliteStore(path)
        return MemoryStore(self._memory)


async def run(options: MasterOptions, started: Callable[[int], None] = lambda port: None) -> None:
    """Be a master until SIGTERM or SIGINT; `started` is told the port."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    daemon = MasterDaemon(options)
    await daemon.start()
    started(daemon.port)
    await ended.wait()
    await daemon.stop()


def master_info(options: MasterOptions, port: int) -> mesos.MasterInfo:
    """How the master describes itself to frameworks and agents."""
    ip = options.advertise_ip or options.ip
    if ip == "0.0.0.0":
        ip = _own_ip()
    port = options.advertise_port or port
    hostname = options.hostname or ip
    capability = mesos.MasterInfo.Capability
    return mesos.MasterInfo(
        id=str(uuid4()),
        ip=_network_order(ip),
        port=port,
        pid=f"master@{ip}:{port}",
        hostname=hostname,
        version=MESOS_VERSION,
        address=mesos.Address(hostname=hostname, ip=ip, port=port),
        domain=options.domain,
        capabilities=(
            capability(type=capability.Type.AGENT_UPDATE),
            capability(type=capability.Type.AGENT_DRAINING),
            capability(type=capability.Type.QUOTA_V2),
        ),
    )


def _network_order(ip: str) -> int:
    """An IPv4 address as Mesos writes it: four bytes in network order, read as little-endian."""
    address = ipaddress.ip_address(ip)
    return int.from_bytes(address.packed[:4], "little") if address.version == 4 else 0


def _own_ip() -> str:
    with contextlib.suppress(OSError):
        return socket.gethostbyname(socket.gethostname())
    return "127.0.0.1"
