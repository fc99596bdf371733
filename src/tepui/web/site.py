"""What all connections of one server share: the routes, what they hold together, and the date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from email.utils import formatdate
from itertools import islice
from typing import Final

import msgspec

from tepui.web.answering import FAILED, answer, failed
from tepui.web.connection import Connection
from tepui.web.http import Answer, Request
from tepui.web.memory import Peaks
from tepui.web.reader import HELD_ALWAYS_BYTES, Held, RequestReader
from tepui.web.routes import Routes
from tepui.web.turns import Turns

CONNECTIONS_MAX: Final = 10_000  # of clients; links to agents are not among them
EVICTED: Final = 100  # idle connections that make room when there are too many
UNSENT_BYTES_MAX: Final = 1024 * 1024 * 1024  # answers that nobody takes, of all together


log = logging.getLogger("tepui.web")

Upgrade = Callable[[Mapping[str, str]], asyncio.Protocol]


class Site:
    """Answers requests, and keeps count of what the connections hold."""

    def __init__(
        self,
        routes: Routes,
        upgrades: Mapping[str, Upgrade] | None = None,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._connections_max = connections_max
        self.upgrades = dict(upgrades or {})  # by the value of the header Upgrade
        self.connections: dict[Connection, None] = {}  # the one that rests longest comes first
        self.now_s = 0.0
        self.date = ""
        self.accepted = b""  # a whole answer 202, which is nearly all that schedulers ever get
        self._routes = routes
        self._turns = Turns()
        self.held = Held()
        self._peaks = Peaks()
        self._tasks: set[asyncio.Future[Answer]] = set()
        self._emptied = asyncio.Event()

    def serve(self, routes: Routes, upgrades: Mapping[str, Upgrade] | None = None) -> None:
        """Answer with these from now on; connections that there are close after their request."""
        self._routes, self.upgrades = routes, dict(upgrades or {})
        for connection in list(self.connections):
            connection.close()

    def tick(self) -> None:
        """A second has passed: put the date forward and look for clients that are too slow."""
        self.now_s = asyncio.get_running_loop().time()
        self.date = formatdate(usegmt=True)
        self.accepted = (
            f"HTTP/1.1 202 Accepted\r\nDate: {self.date}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        for connection in list(self.connections):
            connection.check(self.now_s)
        self._cut_unread()

    # For connections

    def opened(self, connection: Connection) -> None:
        """A client has connected; when there are too many, those that rest longest must go."""
        if len(self.connections) >= self._connections_max:
            idle = list(islice((each for each in self.connections if each.is_idle), EVICTED))
            log.warning("too_many_connections limit=%d closed=%d", self._connections_max, len(idle))
            for each in idle or [connection]:
                each.abort()
        self.connections[connection] = None

    def rested(self, connection: Connection) -> None:
        """It has been answered and may send its next request."""
        if self.connections.pop(connection, False) is None:
            self.connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """It has ended."""
        self.connections.pop(connection, None)
        if not self.connections:
            self._emptied.set()

    async def close(self, within_s: float) -> None:
        """End all connections, each when its request under way is answered, or `within_s`."""
        self._emptied.clear()
        for connection in list(self.connections):
            connection.close()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), within_s)
        for connection in list(self.connections):
            connection.abort()

    def reader(self, server: str) -> RequestReader:
        """What reads a new connection; `server` is the host and port of our side."""
        reader = RequestReader(
            server,
            self.held,
            frozenset(self.upgrades),
            lambda *head: self._routes.takes_upload(*head),
        )
        reader.now_s = self.now_s
        return reader

    def in_turn(self, connection: Connection, request: Request) -> None:
        """Have the request handled when it is its turn, unless its client has left by then."""
        route = None
        found = self._routes.find(request.path)
        if found is not None:
            route, rest = found
            if rest:
                request = msgspec.structs.replace(request, rest=rest)

        def handle() -> None:
            if connection.is_open:
                connection.reply(answer(request, route))

        lane = "" if route is None or route.lane is None else route.lane(request)
        self._turns.take(lane, handle)

    def awaited(
        self,
        coming: Awaitable[Answer],
        then: Callable[[asyncio.Future[Answer]], None],
        body_bytes: int,
    ) -> None:
        """Call `then` when the answer is there; until then the body of its request is held."""
        if isinstance(coming, asyncio.Future):  # whoever will answer holds it
            waiting = coming
        else:
            waiting = asyncio.ensure_future(coming)
            self._tasks.add(waiting)  # the loop itself keeps weak references only
            waiting.add_done_callback(self._tasks.discard)
        if body_bytes > HELD_ALWAYS_BYTES:
            self.held.keep(body_bytes)
            waiting.add_done_callback(lambda _: self.held.drop(body_bytes))
        waiting.add_done_callback(then)

    def result(self, waiting: asyncio.Future[Answer]) -> Answer:
        """The answer that was awaited."""
        if waiting.cancelled():
            return FAILED  # the server ends, and with it whoever would have answered
        error = waiting.exception()  # not raised here: its traceback would hold `waiting`, and
        return waiting.result() if error is None else failed(error)  # that the error, for ever

    def _cut_unread(self) -> None:
        """Cut off those that leave most unread, if all together leave too much."""
        unsent = {each: each.unsent_bytes for each in self.connections}
        total = sum(unsent.values())
        self._peaks.held(total + self.held.total_bytes)
        for connection in _largest_first(unsent):
            if total <= UNSENT_BYTES_MAX:
                return
            total -= unsent[connection]
            connection.abort()


def _largest_first(sizes: dict[Connection, int]) -> Iterator[Connection]:
    yield from sorted(sizes, key=sizes.__getitem__, reverse=True)
