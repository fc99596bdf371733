"""The master daemon: a core, its loop, and the sockets around it."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from uuid import uuid4

from tepui import MESOS_VERSION
from tepui.base.effects import Step
from tepui.base.loop import CoreLoop, now_ms
from tepui.base.names import Role, StreamId
from tepui.master.core.actions import Action, Record
from tepui.master.core.events import (
    FROM_PEERS,
    Event,
    LinkId,
    SnapshotDue,
    SubscribeReceived,
    slow_lane,
)
from tepui.master.core.recovery import recover
from tepui.master.core.state import new
from tepui.master.core.step import step
from tepui.master.core.views.questions import question_in
from tepui.master.core.views.reading import render
from tepui.master.daemon.agent_link import AgentLink, SharedByLinks
from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.registry import Registry
from tepui.master.daemon.routes import routes
from tepui.master.daemon.shell import Shell
from tepui.storage.memory import Memory, MemoryStore
from tepui.storage.sqlite import SqliteStore
from tepui.web.event_streams import EventStreams
from tepui.web.http import Response
from tepui.web.requests import Requests
from tepui.web.server import WebServer, listen
from tepui.web.snapshots import Snapshots
from tepui.wire import mesos

log = logging.getLogger("tepui.master")


class MasterDaemon:
    """One master, from `start` to `stop`."""

    def __init__(self, options: MasterOptions) -> None:
        """Raises OSError when the address can't be listened on."""
        self._listener = listen(options.ip, options.port)
        self.port: int = self._listener.getsockname()[1]
        self._snapshots = Snapshots(
            lambda question: render(self.state, question_in(question), now_ms()),
            lambda: self.loop.put(SnapshotDue()),
        )
        self.streams: EventStreams[StreamId] = EventStreams()
        self.links: dict[LinkId, AgentLink] = {}
        requests: Requests[Response] = Requests()
        shell = Shell(requests, self.streams, self.links, self._snapshots)
        self.state = new(
            master_info(options, self.port),
            now_ms=now_ms(),
            seed=os.urandom(32),
            settings=options.settings,
            weights={Role(role): weight for role, weight in options.weights.items()},
            flags=options.flags,
        )
        path = options.registry
        self._registry = Registry(MemoryStore(Memory()) if path is None else SqliteStore(path))
        self.loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step,
            save=self._registry.save,
            act=shell.act,
            next_ms=self.state.timers.next_ms,
            refusable=FROM_PEERS,
            slow_lane=slow_lane,
        )
        self._last_link = 0
        self._shared = SharedByLinks(self.loop.put, lambda: self.loop.waiting, self._forget_link)
        self._server = WebServer(
            routes(options, self.state.info, self.loop.put, requests, self.streams),
            self._listener,
            {"tepui-link": self._open_link},
        )

    async def start(self) -> None:
        """Know what the registry holds, and serve. Raises HostError when it can't be read."""
        try:
            registered = await self._registry.open()
        except BaseException:
            self._listener.close()
            raise
        recover(self.state, registered, now_ms())
        await self._server.start()
        self.loop.wake()
        log.info(
            "started pid=%s id=%s agents_expected=%d",
            self.state.info.pid,
            self.state.info.id,
            len(self.state.recovered_agents),
        )

    async def stop(self) -> None:
        """Close all connections; frameworks and agents look for the next master."""
        self.streams.close()
        for agent_link in list(self.links.values()):
            agent_link.close()
        await self._server.stop()  # requests that are under way are answered before
        self._snapshots.close()
        self.loop.close()
        await self._registry.close()
        log.info("stopped")

    def _step(self, events: Sequence[Event], at_ms: int) -> Step[Record, Action]:
        for event in events:
            if isinstance(event, SubscribeReceived) and event.call.subscribe is not None:
                name = event.call.subscribe.framework_info.name
                log.info("scheduler_subscribed framework=%r stream=%s", name, event.stream)
        return step(self.state, events, at_ms)

    def _forget_link(self, link_id: LinkId) -> None:
        self.links.pop(link_id, None)

    def _open_link(self, headers: Mapping[str, str]) -> asyncio.Protocol:
        self._last_link += 1
        link_id = LinkId(self._last_link)
        agent_link = AgentLink(link_id, self._shared)
        self.links[link_id] = agent_link
        return agent_link


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
