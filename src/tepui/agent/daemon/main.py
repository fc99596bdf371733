"""The agent daemon: a core, its loop, and the sockets, directories and containers around it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.starting import LauncherConfig
from tepui.agent.core.actions import Action, Record, Reply
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import FROM_PEERS, Event, StopAsked
from tepui.agent.core.state import State
from tepui.agent.core.step import step
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.endpoints import Endpoints
from tepui.agent.daemon.executor_api import ExecutorApi
from tepui.agent.daemon.machine import resources_of
from tepui.agent.daemon.master_link import MasterLink, address_of
from tepui.agent.daemon.operator_api import OperatorApi
from tepui.agent.daemon.options import AgentOptions, flags_of, settings_of
from tepui.agent.daemon.probing import Probing
from tepui.agent.daemon.sandboxes import Sandboxes
from tepui.agent.daemon.shell import Shell
from tepui.agent.fetcher.fetch import Fetcher
from tepui.base.ids import Uuids
from tepui.base.loop import CoreLoop, now_ms
from tepui.resources import Resources, parse_attributes
from tepui.web.event_streams import EventStreams
from tepui.web.files import Files, FilesApi
from tepui.web.http import Request, Response, text
from tepui.web.loglevel import LogLevel
from tepui.web.requests import Requests
from tepui.web.routes import Routes
from tepui.web.server import WebServer, listen
from tepui.wire import mesos

log = logging.getLogger("tepui.agent")


class AgentDaemon:
    """One agent, from `start` to `stop`."""

    def __init__(self, options: AgentOptions) -> None:
        """Raises OSError when the address can't be listened on, Refused for a wrong flag."""
        address_of(options.master, "master")
        Path(options.work_dir).mkdir(parents=True, exist_ok=True)
        resources = resources_of(options.resources, options.default_role, options.work_dir)
        attributes = parse_attributes(options.attributes)
        self._listener = listen(options.ip, options.port)
        self.port: int = self._listener.getsockname()[1]
        self.state = _state_of(options, self.port, resources, attributes)
        self.loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step,
            save=self._save,
            act=self._act,
            next_ms=self.state.timers.next_ms,
            refusable=FROM_PEERS,
        )
        put = self.loop.put
        files = Files()
        if options.log_file is not None:
            files.attach("/slave/log", options.log_file)
        fetcher = Fetcher(timeout_ms=options.fetch_timeout_ms, bytes_max=options.fetch_bytes_max)
        self.containers = Containers(put)
        config = LauncherConfig(
            runtime_directory=options.runtime_dir,
            cgroups=options.cgroups,
            cfs_quota=options.cgroups_enable_cfs,
            cgroup_root=options.cgroups_root,
        )
        self._runtime = ProcessRuntime(config, self.containers.exited)
        self.containers.bind(self._runtime)
        self._sandboxes = Sandboxes(put, fetcher, files)
        self._probing = Probing(put, self.containers)
        self._streams: EventStreams[int] = EventStreams()
        self._master = MasterLink(options.master, put, options.registration_backoff_factor_ms)
        self._log_level = LogLevel()
        requests: Requests[Reply] = Requests()
        self.shell = Shell(
            self._master,
            self._sandboxes,
            self.containers,
            self._probing,
            self._streams,
            requests,
        )
        flags = flags_of(options, self.port)
        executor_api = ExecutorApi(put, requests, self._streams)
        operator_api = OperatorApi(put, requests, files, self.containers, flags, self._log_level)
        endpoints = Endpoints(put, requests, self.containers, self._master, flags, self._log_level)
        routes = _routes(executor_api, operator_api, endpoints, FilesApi(files))
        self._server = WebServer(routes, self._listener)

    async def start(self) -> None:
        """Serve, and look for the master. Raises HostError when there is no launcher."""
        try:
            await self.containers.clear()
            await self._server.start()
        except BaseException:
            self._listener.close()
            raise
        capabilities = self._runtime.capabilities()
        if capabilities.unenforced:
            log.warning("limits_unenforced reason=%s", capabilities.unenforced)
        self.loop.wake()
        self._master.start()
        log.info(
            "started pid=%s work_dir=%s", self.state.settings.pid, self.state.settings.work_dir
        )

    async def stop(self) -> None:
        """Close all connections, and end the tasks that are left."""
        await self._master.stop()
        self.loop.close()
        self._log_level.reset()
        await self._probing.close()
        await self._sandboxes.close()
        self._streams.close()
        await self._server.stop()
        await self._runtime.end()
        await self.containers.close()
        log.info("stopped")

    @property
    def enforced(self) -> tuple[str, ...]:
        """What this machine holds containers to; known when it has started."""
        return self._runtime.capabilities().enforced

    def _step(self, events: Sequence[Event], at_ms: int) -> Effects:
        return step(self.state, events, at_ms)

    def _act(self, actions: list[Action]) -> None:
        self.shell.act(actions)

    async def _save(self, records: list[Record]) -> None:
        """Nothing is checkpointed: a new agent ends the tasks of the one before."""


async def run(options: AgentOptions, started: Callable[[int], None] = lambda port: None) -> None:
    """Be an agent until SIGTERM, SIGINT or the master says so; `started` is told the port."""
    daemon = AgentDaemon(options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.loop.put, StopAsked())
    await daemon.start()
    started(daemon.port)
    await daemon.shell.ended.wait()
    await daemon.stop()


def _state_of(
    options: AgentOptions,
    port: int,
    resources: Resources,
    attributes: tuple[mesos.Attribute, ...],
) -> State:
    """The state of an agent that nobody knows yet."""
    ip = options.advertise_ip or _reachable(options.ip)
    port = options.advertise_port or port
    hostname = options.hostname or ip
    return State(
        settings=settings_of(options, ip, port, hostname),
        info=mesos.AgentInfo(
            hostname=hostname,
            port=port,
            resources=resources.to_wire(role=None, refinement=True),
            attributes=attributes,
            domain=options.domain,
        ),
        uuids=Uuids(os.urandom(32)),
        started_ms=now_ms(),
    )


def _routes(
    executor_api: ExecutorApi, operator_api: OperatorApi, endpoints: Endpoints, files: FilesApi
) -> Routes:
    routes = Routes(prefixes=("/slave(1)",))
    routes.add("/api/v1/executor", executor_api.handle)
    routes.add("/api/v1", operator_api.handle)
    for part in (endpoints, files):
        for path, handler in part.handlers().items():
            routes.add(path, handler)
    routes.add("", _not_found)
    return routes


async def _not_found(request: Request) -> Response:
    return text(404, "404 Not Found.")


def _reachable(ip: str) -> str:
    """The address that others reach us by."""
    if ip not in ("0.0.0.0", "::"):
        return ip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks for the route
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address
