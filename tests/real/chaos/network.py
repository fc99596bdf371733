"""The network between the processes: a proxy before each server, and rules between two names.

Who connects is found out by the process that has the other end of the connection, so that the proxy
before a master knows its agents apart. What a rule does is what a network can do to TCP:

    CUT     connections are closed, and new ones at once
    HOLD    what is sent waits, and arrives when the rule has ended, as after a short partition
    DROP    what is sent vanishes; who lost something finds the connection closed when the rule ends,
            as after a long one

HOLD and DROP may concern one direction only. New connections are made all the same, as with a host
that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
# Of the kernel: linux/netlink.h, linux/sock_diag.h; the inode is the last of inet_diag_msg, 72 bytes.
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
INODE_AT = 68
AGAIN_S = 0.05  # after which a server that refused is tried again
END_S = 5.0  # for what was sent to leave, when the other side has closed


class Mode(enum.Enum):
    """What becomes of what is sent."""

    CUT = "cut"
    HOLD = "hold"
    DROP = "drop"


class Direction(enum.Enum):
    """As seen from who connects."""

    BOTH = "both"
    TO_SERVER = "to"
    FROM_SERVER = "from"


class Rule(Struct, frozen=True, eq=False):
    """Between some names, until it is taken away."""

    clients: frozenset[str]
    servers: frozenset[str]
    mode: Mode
    direction: Direction = Direction.BOTH

    def concerns(self, client: str, server: str) -> bool:
        """Whether it holds between the two."""
        return client in self.clients and server in self.servers


class Network:
    """All proxies. `pids` says which process has which name now."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids = pids
        self._rules: list[Rule] = []
        self._changed = asyncio.Event()
        self._wires: set[Wire] = set()
        self._servers: list[asyncio.Server] = []
        self.connections = 0
        self.unknown = 0  # whose process had gone when it was looked for

    async def proxy(self, name: str, port: Callable[[], int], patience_s: float = 0.0) -> int:
        """The port of a new proxy before the server `name`, which is at `port` when asked for.

        Who connects is not refused before the server has refused for so long.
        """

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._accept(name, port(), patience_s, reader, writer)

        server = await asyncio.start_server(accept, HOST, 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def add(self, rule: Rule) -> None:
        """From now on it holds."""
        self._rules.append(rule)
        if rule.mode is Mode.CUT:
            for wire in [one for one in self._wires if rule.concerns(one.client, one.server)]:
                wire.abort()
        self._wake()

    def remove(self, rule: Rule) -> None:
        """It holds no more."""
        self._rules.remove(rule)
        if rule.mode is Mode.DROP:
            for wire in list(self._wires):
                if wire.has_lost and rule.concerns(wire.client, wire.server):
                    wire.abort()
        self._wake()

    def has_lost(self, client: str, server: str) -> bool:
        """Some connection between the two has lost what was sent."""
        found = (one for one in self._wires if (one.client, one.server) == (client, server))
        return any(one.has_lost for one in found)

    def modes(self, client: str, server: str, direction: Direction) -> set[Mode]:
        """What holds for one direction between the two."""
        return {
            rule.mode
            for rule in self._rules
            if rule.concerns(client, server) and rule.direction in (direction, Direction.BOTH)
        }

    async def changed(self) -> None:
        """Return when a rule was added or has gone."""
        await self._changed.wait()

    async def close(self) -> None:
        """Nothing is open any more."""
        for server in self._servers:
            server.close()
        while self._wires:
            wires = list(self._wires)
            for wire in wires:
                wire.abort()
            await asyncio.gather(*(wire.over() for wire in wires))
        for server in self._servers:
            await server.wait_closed()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(
        self,
        server: str,
        port: int,
        patience_s: float,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        client = self._client(writer)
        self.connections += 1
        if Mode.CUT in self.modes(client, server, Direction.TO_SERVER):
            writer.transport.abort()
            return
        try:
            from_server, to_server = await _connected(port, patience_s)
        except OSError:
            writer.transport.abort()
            return
        wire = Wire(self, client, server, (reader, writer), (from_server, to_server))
        self._wires.add(wire)
        try:
            await wire.over()
        finally:
            self._wires.discard(wire)

    def _client(self, writer: asyncio.StreamWriter) -> str:
        """The name of the process at the other end; empty when it is none of ours."""
        peer = writer.get_extra_info("peername")
        own = writer.get_extra_info("sockname")
        inode = _inode(peer[1], own[1])
        if inode is not None:
            wanted = f"socket:[{inode}]"
            for name, pid in self._pids().items():
                if wanted in _open_files(pid):
                    return name
        self.unknown += 1
        return ""


class Wire:
    """One connection through a proxy."""

    def __init__(
        self,
        network: Network,
        client: str,
        server: str,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._network = network
        self.client = client
        self.server = server
        self.has_lost = False  # bytes; it can't go on when the rule has gone
        self._writers = (near[1], far[1])
        self._pumps = (
            asyncio.create_task(self._pump(near[0], far[1], Direction.TO_SERVER)),
            asyncio.create_task(self._pump(far[0], near[1], Direction.FROM_SERVER)),
        )

    def abort(self) -> None:
        """Both sides see that the connection is reset."""
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def over(self) -> None:
        """Return when both sides are closed."""
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        for writer in self._writers:  # what the one has sent before its end, the other gets
            writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            async with asyncio.timeout(END_S):
                for writer in self._writers:
                    await writer.wait_closed()
        self.abort()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                chunk = await source.read(CHUNK_BYTES)
                if await self._passes(direction, is_end=not chunk):
                    if not chunk:
                        return
                    target.write(chunk)
                    await target.drain()

    async def _passes(self, direction: Direction, *, is_end: bool) -> bool:
        """Wait while it is held back; False when it is lost. An end is not lost: it comes late."""
        while modes := self._network.modes(self.client, self.server, direction):
            if Mode.DROP in modes and not is_end:
                self.has_lost = True
                return False
            await self._network.changed()
        return True


async def _connected(
    port: int, patience_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    until_s = time.monotonic() + patience_s
    while True:
        try:
            return await asyncio.open_connection(HOST, port)
        except OSError:
            if time.monotonic() >= until_s:
                raise
        await asyncio.sleep(AGAIN_S)


def _inode(local_port: int, remote_port: int) -> int | None:
    """Of the connected socket of this machine with these ports; the kernel looks up this one only.

    Source: linux/inet_diag.h, linux/sock_diag.h.
    """
    address = socket.inet_aton(HOST).ljust(16, b"\0")
    identity = struct.pack("!HH16s16s", local_port, remote_port, address, address)
    identity += struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # any interface, no cookie
    asked = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + identity
    head = struct.pack("=IHHII", 16 + len(asked), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(head + asked)
        answer = kernel.recv(CHUNK_BYTES)
    kind = int(struct.unpack_from("=H", answer, 4)[0])
    if kind != SOCK_DIAG_BY_FAMILY:
        return None  # an error: there is no such socket any more
    return int(struct.unpack_from("=I", answer, 16 + INODE_AT)[0]) or None


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{number}")


@asynccontextmanager
async def network(pids: Callable[[], Mapping[str, int]]) -> AsyncIterator[Network]:
    """A network that is gone with its block."""
    found = Network(pids)
    try:
        yield found
    finally:
        await found.close()
