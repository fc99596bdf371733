"""Ways into a container beside the API of Mesos: what runs in it, and its ports.

    GET /containers/processes?container_id=ID           JSON: see processes.py
    GET /port-forward?container_id=ID&port=N            101, and then the bytes of the connection

An id is that of the container, with those around it before it, joined by dots.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Final

from tepui.agent.containers import networks
from tepui.agent.daemon.container_calls import ContainerCalls, answered
from tepui.agent.daemon.containers import FAULTS, Containers
from tepui.agent.daemon.forwarding import FORWARDS_MAX, PROTOCOL, Half, joined
from tepui.agent.daemon.processes import processes_of
from tepui.base.errors import HostError, Refused
from tepui.web.http import Answer, Handler, Request, Switching, json, not_allowed, text

PORT_MAX: Final = 65_535
CONNECT_S: Final = 10.0


class Reaching:
    """The handlers, bound to the daemon."""

    def __init__(self, calls: ContainerCalls, containers: Containers) -> None:
        self._calls = calls
        self._containers = containers
        self._forwards: set[Half] = set()

    def handlers(self) -> dict[str, Handler]:
        """All of them, by path."""
        return {"/containers/processes": self.processes, "/port-forward": self.forward}

    async def processes(self, request: Request) -> Answer:
        """What runs in the container."""
        if request.method not in ("GET", "HEAD"):
            return not_allowed(request, "GET")
        wanted = request.query.get("container_id")
        if not wanted:
            return text(400, "Expecting 'container_id=value' in query.")
        reply = await self._calls.found(wanted)
        if reply.found is None:
            return answered(reply)
        return json(await processes_of(reply.found), request)

    async def forward(self, request: Request) -> Answer:
        """The connection becomes one to the container."""
        if request.method != "GET":
            return not_allowed(request, "GET")
        wanted, given = request.query.get("container_id"), request.query.get("port", "")
        if not wanted:
            return text(400, "Expecting 'container_id=value' in query.")
        if not given.isdecimal() or not 1 <= int(given) <= PORT_MAX:
            return text(400, f"Expecting 'port=value' in query, from 1 to {PORT_MAX}")
        reply = await self._calls.found(wanted)
        if reply.found is None:
            return answered(reply)
        if len(self._forwards) >= FORWARDS_MAX:
            return text(503, f"{FORWARDS_MAX} connections are forwarded")
        try:
            inside = await self._connect(wanted, int(given))
        except Refused as refused:
            return text(400, refused.text)
        except FAULTS as error:
            return text(502, str(error))
        ours, theirs = joined()
        self._forwards.add(theirs)
        theirs.on_lost = lambda: self._forwards.discard(theirs)
        await asyncio.get_running_loop().create_connection(lambda: theirs, sock=inside)
        return Switching(ours, PROTOCOL)

    async def _connect(self, container_id: str, port: int) -> socket.socket:
        network = self._containers.network_of(container_id)
        return await (_connect_here(port) if network is None else networks.connect(network, port))

    def close(self) -> None:
        """End all connections into containers."""
        for one in list(self._forwards):
            one.close()


async def _connect_here(port: int) -> socket.socket:
    """The same in the network of the machine. Raises HostError."""
    fault: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            fault = fault or error
            continue
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException as error:
            made.close()
            if not isinstance(error, OSError):  # TimeoutError is one
                raise
            fault = fault or error
        else:
            return made
    assert fault is not None, "every address failed"
    cause = os.strerror(fault.errno) if fault.errno else "no answer"  # asyncio has words of its own
    raise HostError("connect to", f"port {port}", cause)
