"""The agent daemon: a core, its loop, and the sockets, directories and containers around it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tepui.agent.containers.isolation.gpus import find_gpus
from tepui.agent.containers.specs.kinds import Kind
from tepui.agent.core.actions import Action, Record, Reply
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import FROM_PEERS, Event, StopAsked
from tepui.agent.core.launches import under_way
from tepui.agent.core.leftovers import awaits_docker
from tepui.agent.core.reconfiguration import reconfiguration_error
from tepui.agent.core.recovery import Leftovers, recover
from tepui.agent.core.saved import AGENT, SavedAgent
from tepui.agent.core.state import State
from tepui.agent.core.step import step
from tepui.agent.daemon.checkpoint import Checkpoint
from tepui.agent.daemon.container_calls import ContainerCalls
from tepui.agent.daemon.container_parts import container_parts
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.devices import refuse_missing
from tepui.agent.daemon.disk import Disk
from tepui.agent.daemon.endpoints import Endpoints
from tepui.agent.daemon.executor_api import ExecutorApi
from tepui.agent.daemon.fetching import fetcher_of
from tepui.agent.daemon.finding import finder
from tepui.agent.daemon.image_api import ImageApi
from tepui.agent.daemon.image_collecting import Collecting
from tepui.agent.daemon.machine import gpus_of, resources_of
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.operator_api import OperatorApi, is_call_stream
from tepui.agent.daemon.options import AgentOptions, Recover, flags_of, settings_of
from tepui.agent.daemon.probing import Probing
from tepui.agent.daemon.reaching import Reaching
from tepui.agent.daemon.sandboxes import Sandboxes, left_in
from tepui.agent.daemon.sessions import Sessions
from tepui.agent.daemon.shell import Shell
from tepui.base.errors import Refused
from tepui.base.ids import Uuids
from tepui.base.loop import CoreLoop, now_ms
from tepui.resources import Resources, parse_attributes
from tepui.storage.sqlite import SqliteStore
from tepui.web.event_streams import EventStreams
from tepui.web.files import Files, FilesApi
from tepui.web.http import Handler, Request, Response, text
from tepui.web.loglevel import LogLevel
from tepui.web.requests import Requests
from tepui.web.routes import Routes
from tepui.web.server import WebServer, listen
from tepui.wire import mesos

SETTLE_MS: Final = 5_000  # for launches that are under way when the agent is asked to end
SETTLE_LOOK_MS: Final = 10

log = logging.getLogger("tepui.agent")


class AgentDaemon:
    """One agent, from `start` to `stop`."""

    def __init__(self, options: AgentOptions) -> None:
        """Raises OSError when the address can't be listened on, Refused for a wrong flag."""
        self._options = options
        finder(options.master)  # a wrong one is refused before anything is opened
        path = Path(options.work_dir) / "meta" / "agent.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        role, devices = options.default_role, options.containers.devices
        refuse_missing(devices or ())
        gpus = gpus_of(options.resources, role, options.containers.nvidia_devices, find_gpus())
        resources = resources_of(options.resources, role, options.work_dir, gpus)
        attributes = parse_attributes(options.attributes)
        self._listener = listen(options.ip, options.port)
        self.port: int = self._listener.getsockname()[1]
        self.state = _state_of(options, self.port, resources, attributes)
        self._disk = Disk(
            options.work_dir, lambda event: self.loop.put(event), options.disk_watch_interval_ms
        )
        store = SqliteStore(path, self._disk.make_room)
        self._checkpoint = Checkpoint(store, path, strict=options.strict)
        self.loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step,
            save=self._checkpoint.save,
            act=self._act,
            next_ms=self.state.timers.next_ms,
            refusable=FROM_PEERS,
        )
        put = self.loop.put
        files = Files()
        if options.log_file is not None:
            files.attach("/slave/log", options.log_file)
        self._fetcher = fetcher = fetcher_of(options)
        self.containers = Containers(put)
        self._parts = parts = container_parts(options, gpus, self.containers.exited)
        self.containers.bind(
            parts.runtimes,
            parts.specs,
            parts.provisioning,
            parts.usage,
            parts.disk,
            parts.devices,
            is_quota_enforced=parts.is_quota_enforced,
        )
        self._sandboxes = Sandboxes(put, fetcher, files)
        self._probing = Probing(put, self.containers)
        self._streams: EventStreams[int] = EventStreams()
        self._master = MasterLink(options.master, put, options.registration_backoff_factor_ms)
        self._log_level = LogLevel()
        requests: Requests[Reply] = Requests()
        self._sessions = Sessions(put, self.containers)
        self._container_calls = ContainerCalls(put, requests, self._sessions, self.containers)
        self.shell = Shell(
            self._master,
            self._sandboxes,
            self.containers,
            self._probing,
            self._sessions,
            self._streams,
            requests,
        )
        flags = flags_of(options, self.port)
        executor_api = ExecutorApi(put, requests, self._streams)
        images = self._parts.images
        self._images = ImageApi(images, self._parts.without_images())
        self._collecting = Collecting(
            images, options.containers.image_headroom, options.disk_watch_interval_ms
        )
        operator_api = OperatorApi(
            put,
            requests,
            files,
            self.containers,
            self._container_calls,
            flags,
            self._log_level,
            self._images.prune,
            fetcher.metrics,
        )
        endpoints = Endpoints(
            put,
            requests,
            self.containers,
            self._master,
            flags,
            self._log_level,
            fetcher.metrics,
            parts.lacking,
        )
        self._reaching = Reaching(self._container_calls, self.containers)
        files_api = FilesApi(files)
        routes = _routes(
            executor_api, operator_api, endpoints, files_api, self._reaching, self._images
        )
        self._server = WebServer(routes, self._listener)

    async def start(self) -> None:
        """Go on where the agent before has ended, serve, and look for the master.

        Raises HostError when there is no launcher or the checkpoint can't be read, and Refused when
        this agent can't be the one that was checkpointed. Whoever connects meanwhile waits.
        """
        try:
            self._disk.prepare()
            await self._recover()
            await self._server.start()
        except BaseException:
            self._listener.close()
            await self._checkpoint.close()
            raise
        capabilities = self._parts.runtimes.capabilities()
        if capabilities.unenforced:
            log.warning("limits_unenforced reason=%s", capabilities.unenforced)
        self.loop.wake()
        self._disk.start()
        self._collecting.start()
        self._parts.await_docker()
        if self._options.recover is Recover.CLEANUP:
            self.loop.put(StopAsked())
        else:
            self._master.start()
        log.info(
            "started pid=%s work_dir=%s", self.state.settings.pid, self.state.settings.work_dir
        )

    async def stop(self, *, leaves_tasks: bool = False) -> None:
        """Close all connections, and end the tasks that are left, or leave them to the next agent."""
        await self._master.stop()
        if leaves_tasks:
            await self._settle()
        self.loop.close()
        self._log_level.reset()
        await self._probing.close()
        await self._sandboxes.close()
        await self._container_calls.close()
        await self._sessions.close()
        self._reaching.close()
        await self._collecting.stop()
        await self._images.close()
        self._streams.close()
        await self._server.stop()
        await self._parts.close(leaves_tasks=leaves_tasks)
        await self.containers.close()
        await self._parts.provisioning.close(leaves_containers=leaves_tasks)
        await self._disk.stop()  # what still waits for room is not saved: as after a crash
        await self._checkpoint.close()
        log.info("stopped")

    async def _settle(self) -> None:
        """What was asked of this agent has begun, unless that takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_MS / 1000):
                while under_way(self.state) or not self.loop.idle:  # noqa: ASYNC110 -- no event
                    await asyncio.sleep(SETTLE_LOOK_MS / 1000)

    @property
    def enforced(self) -> tuple[str, ...]:
        """What this machine holds containers to; known when it has started."""
        return self._parts.runtimes.capabilities().enforced

    def _step(self, events: Sequence[Event], at_ms: int) -> Effects:
        return step(self.state, events, at_ms)

    def _act(self, actions: list[Action]) -> None:
        self.shell.act(actions)

    async def _recover(self) -> None:
        objects = await self._checkpoint.open()
        await asyncio.to_thread(self._fetcher.open)  # its work_dir is this agent's alone now
        before = objects.get(AGENT)
        if isinstance(before, SavedAgent):
            policy = self._options.reconfiguration_policy
            error = reconfiguration_error(before.info, self.state.info, policy)
            if error is not None and before.boot_id == self.state.settings.boot_id:
                raise Refused(
                    f"{error} (to start as a new agent, which ends the tasks of the one before,"
                    f" remove '{self._options.work_dir}/meta')"
                )
            if error is not None:
                log.warning("new_agent_after_reboot reason=%s", error)
                objects = {key: one for key, one in objects.items() if key != AGENT}
        default = self.state.settings.default_container_info
        await self._parts.find_out(awaits_docker=awaits_docker(objects, default))
        left = Leftovers(
            saved=objects,
            containers=await self.containers.recover(),
            sandboxes=await asyncio.to_thread(left_in, self._options.work_dir),
            docker_away=self._parts.lacks.get(Kind.DOCKER, ""),
        )
        effects = recover(self.state, left, now_ms())
        if effects.save:
            await self._checkpoint.save(effects.save)
        self._act(effects.then)
        self.containers.recovered()
        if self.state.info.id is not None:
            agent_id, count = self.state.info.id.value, len(self.state.containers)
            log.info("recovered agent=%s containers=%d", agent_id, count)


async def run(options: AgentOptions, started: Callable[[int], None] = lambda port: None) -> None:
    """Be an agent until SIGTERM, SIGINT, SIGUSR1 or the master says so; `started` is told the port.

    After SIGUSR1 the agent leaves the cluster, and its tasks end with it, as in Mesos. After the
    others they run on, and the next agent with this work_dir takes them over.
    """
    daemon = AgentDaemon(options)
    loop = asyncio.get_running_loop()
    left = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, left.set)
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, asked.set)
    await daemon.start()
    loop.add_signal_handler(signal.SIGUSR1, daemon.loop.put, StopAsked())
    if asked.is_set():  # it waited, for a core that has not recovered must not be stepped
        daemon.loop.put(StopAsked())
    started(daemon.port)
    waiting = [asyncio.create_task(one.wait()) for one in (left, daemon.shell.ended)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    await daemon.stop(leaves_tasks=not daemon.shell.ended.is_set())


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


class _Part(Protocol):
    """Serves some paths."""

    def handlers(self) -> dict[str, Handler]: ...


def _routes(executor_api: ExecutorApi, operator_api: OperatorApi, *parts: _Part) -> Routes:
    routes = Routes(prefixes=("/slave(1)",))
    routes.add("/api/v1/executor", executor_api.handle)
    routes.add("/api/v1", operator_api.handle, takes_upload=is_call_stream)
    for part in parts:
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
