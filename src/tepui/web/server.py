"""The HTTP server of a daemon: uvicorn, embedded, with a bare ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tepui.base.loop import Overloaded
from tepui.web.http import BODY_BYTES_MAX, Answer, Request, Response, Streaming, text
from tepui.web.routes import Routes

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveCallable,
        ASGISendCallable,
        HTTPScope,
        Scope,
    )

HEADERS_BYTES_MAX: Final = 64 * 1024
BODY_READ_MS: Final = 60_000  # a client gets this long to send its body
KEEP_ALIVE_S: Final = 24 * 3600  # Mesos never closes an idle connection; clients count on it
STOP_S: Final = 1
CONNECTION: Final = "tepui.connection"  # the extension that holds the request's own cycle

_SLASHES = re.compile(r"/{2,}")

TOO_LARGE: Final = text(413, f"The body is larger than {BODY_BYTES_MAX} bytes")

Upgrade = Callable[[Mapping[str, str]], asyncio.Protocol]


class Application:
    """The ASGI application: reads a request whole, finds its route, writes the answer."""

    def __init__(self, routes: Routes, upgrades: Mapping[str, Upgrade] | None = None) -> None:
        self.routes = routes
        self.upgrades = dict(upgrades or {})  # by the value of the header Upgrade

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        assert scope["type"] == "http"
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        cycle = (scope.get("extensions") or {})[CONNECTION]["cycle"]
        assert isinstance(cycle, RequestResponseCycle)
        is_whole = not cycle.more_body  # as nearly always: no time is to be measured
        body = await (_read_body(receive) if is_whole else _read_slow_body(receive))
        if headers.get("content-encoding") == "gzip" and isinstance(body, bytes):
            body = _unzipped(body)
        answer = body if isinstance(body, Response) else await self._answer(scope, headers, body)
        if isinstance(answer, Response):
            await _write(answer, send)
        else:
            await _stream(answer, cycle, receive, send)

    async def _answer(self, scope: HTTPScope, headers: Mapping[str, str], body: bytes) -> Answer:
        """What the route's handler says."""
        if not scope["path"].startswith("/"):
            return text(400, "Request URL path must start with '/'")
        path = _SLASHES.sub("/", scope["path"]).rstrip("/")
        found = self.routes.find(path)
        if found is None:
            return text(404, "404 Not Found.")
        handler, rest = found
        server = scope.get("server") or ("", 0)
        request = Request(
            method=scope["method"],
            path=path,
            rest=rest,
            headers=headers,
            query_text=scope["query_string"].decode("latin-1"),
            body=body,
            server=f"{server[0]}:{server[1]}",
        )
        try:
            return await handler(request)
        except ValueError as error:  # a query with too many fields
            return text(400, str(error))
        except Overloaded as overloaded:
            return text(503, str(overloaded))


async def _read_slow_body(receive: ASGIReceiveCallable) -> bytes | Response:
    """The same for a body that is still under way; it has BODY_READ_MS."""
    try:
        async with asyncio.timeout(BODY_READ_MS / 1000):
            return await _read_body(receive)
    except TimeoutError:
        return text(408, f"The body did not arrive within {BODY_READ_MS // 1000} seconds")


async def _read_body(receive: ASGIReceiveCallable) -> bytes | Response:
    """The whole body; or the answer to one that is too large."""
    parts: list[bytes] = []
    size = 0
    message = await receive()
    while message["type"] == "http.request":
        size += len(message["body"])
        if size > BODY_BYTES_MAX:
            return TOO_LARGE
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)
        message = await receive()
    return text(400, "The client left before its body was complete")


def _unzipped(body: bytes) -> bytes | Response:
    """A gzip body; one that is not gzip is answered as in Mesos (libprocess: 500)."""
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        whole = unzip.decompress(body, BODY_BYTES_MAX)
    except zlib.error:
        return text(500, "failed to decode body")
    if unzip.unconsumed_tail:
        return TOO_LARGE
    return whole


async def _write(answer: Answer, send: ASGISendCallable) -> None:
    assert isinstance(answer, Response)
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.content_type is not None:
        headers.append((b"content-type", answer.content_type.encode()))
    headers.append((b"content-length", b"%d" % len(answer.body)))
    if answer.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": headers,
            "trailers": False,
        }
    )
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def _stream(
    answer: Streaming,
    cycle: RequestResponseCycle,
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    headers += [
        (b"content-type", answer.content_type.encode()),
        (b"transfer-encoding", b"chunked"),
    ]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers, "trailers": False}
    )
    stream = answer.stream
    stream.attach(cycle.transport)
    left = asyncio.ensure_future(receive())  # answers when the client has left
    over = asyncio.ensure_future(stream.wait_over())
    await asyncio.wait((left, over), return_when=asyncio.FIRST_COMPLETED)
    left.cancel()
    over.cancel()
    stream.client_left()
    cycle.transport.close()
    cycle.disconnected = True  # the end was written by the stream itself


class WebProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on headers and connections that are upgraded to others."""

    _headers_bytes = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._headers_bytes = 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.scope["extensions"] = {CONNECTION: {"cycle": cycle}}
        super()._start_asgi_task(cycle, app)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_bytes += len(name) + len(value)
        if self._headers_bytes > HEADERS_BYTES_MAX:
            raise ValueError("headers too large")  # the parser turns it into a 400 and closes
        super().on_header(name, value)

    def _should_upgrade(self) -> bool:
        return self._upgrade() is not None

    def _upgrade(self) -> Upgrade | None:
        application = self.config.app
        assert isinstance(application, Application)
        name = self._get_upgrade()
        return None if name is None else application.upgrades.get(name.decode("latin-1"))

    def handle_websocket_upgrade(self) -> None:
        upgrade = self._upgrade()
        assert upgrade is not None
        self.connections.discard(self)
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in self.scope["headers"]}
        protocol = upgrade(headers)
        name = headers["upgrade"]
        self.transport.write(
            f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {name}\r\n\r\n".encode()
        )
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the daemon's


class WebServer:
    """Serves one application on one listening socket."""

    def __init__(self, application: Application, listener: socket.socket) -> None:
        self._listener = listener
        config = uvicorn.Config(
            application,
            http=WebProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_S,
            backlog=4096,
        )
        config.load()
        self._server = _Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._ticks: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections when this returns."""
        await self._server.startup(sockets=[self._listener])
        self._ticks = asyncio.create_task(self._server.main_loop())

    async def stop(self) -> None:
        """Close all connections."""
        self._server.should_exit = True
        if self._ticks is not None:
            await self._ticks
            await self._server.shutdown(sockets=[self._listener])


def listen(ip: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any. Raises OSError."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ip, port))
        listener.listen(4096)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
