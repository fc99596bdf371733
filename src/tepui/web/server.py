"""The HTTP server of a daemon: one listening socket, and a look at its connections every second."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Mapping
from typing import Final

from tepui.web.connection import Connection
from tepui.web.routes import Routes
from tepui.web.site import CONNECTIONS_MAX, Site, Upgrade

STOP_S: Final = 1  # for requests that are under way
BACKLOG: Final = 4096
CONNECTIONS_SHARE: Final = 2  # clients have at most half of the files that the process may open
_TICK_S: Final = 1.0


class WebServer:
    """Serves one site on one listening socket."""

    def __init__(
        self,
        routes: Routes,
        listener: socket.socket,
        upgrades: Mapping[str, Upgrade] | None = None,
    ) -> None:
        files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.site = Site(routes, upgrades, min(CONNECTIONS_MAX, files_max // CONNECTIONS_SHARE))
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Accept connections when this returns."""
        self._tick()
        self._server = await asyncio.get_running_loop().create_server(
            self.connection, sock=self._listener, backlog=BACKLOG
        )

    def serve(self, routes: Routes, upgrades: Mapping[str, Upgrade] | None = None) -> None:
        """Answer with these from now on; connections that there are close after their request."""
        self.site.serve(routes, upgrades)

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self.site)

    async def stop(self) -> None:
        """Close all connections; requests that are under way are answered, if they are quick."""
        if self._server is None:
            return
        self._server.close()
        await self.site.close(STOP_S)
        if self._ticking is not None:
            self._ticking.cancel()

    def _tick(self) -> None:
        self._ticking = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self.site.tick()


def listen(ip: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any. Raises OSError."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ip, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {ip}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
