"""Calls and event streams over HTTP: one POST per call, RecordIO records on a long answer.

Source: Mesos docs/scheduler-http-api.md, docs/executor-http-api.md.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BytesIO
from typing import Generic, TypeVar
from weakref import WeakSet

import aiohttp
from msgspec import Struct

from tepui.sdk.errors import BadPeer, Disconnected, Unreachable
from tepui.wire.errors import Malformed
from tepui.wire.media import Media, decode, encode
from tepui.wire.message import ProtoMessage
from tepui.wire.recordio import Deframer

M = TypeVar("M", bound=ProtoMessage)

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 3.0  # less than servers keep an idle connection: a call must not meet its end
CLOSE_S = 0.5  # for a peer to read what was written to it, when the client is closed
CALL_TIMEOUT_S = 30.0  # for the whole answer of a call
ANSWER_TIMEOUT_S = 60.0  # for the status line of a stream: a busy master answers late
BODY_BYTES_AT_ONCE = 1024 * 1024  # aiohttp warns of longer ones: they are written in pieces
RECORD_BYTES_MAX = 512 * 1024 * 1024  # one event: the state of a very large cluster
REASON_BYTES_MAX = 16 * 1024  # of the text that explains a refusal

# What a connection can fail with, be it at its start or in its middle.
NETWORK_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


@contextmanager
def network_faults() -> Iterator[None]:
    """What a connection fails with is raised as Unreachable, when none was made, or as Disconnected."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise Unreachable(str(error)) from None
    except (aiohttp.ClientError, OSError) as error:
        raise Disconnected(str(error)) from None


class Answer(Struct, frozen=True):
    """The answer to a call, read whole."""

    status: int
    body: bytes
    media: str
    location: str | None

    @property
    def text(self) -> str:
        """The reason of a refusal."""
        return self.body[:REASON_BYTES_MAX].decode("utf-8", "replace").strip()


class Stream(Generic[M]):
    """An event stream that was opened; `status` other than 200: it was not, see `answer`."""

    def __init__(self, response: aiohttp.ClientResponse, event: type[M], media: Media) -> None:
        self._response = response
        self._event = event
        self._media = media
        self._records = Deframer(RECORD_BYTES_MAX)
        self.status = response.status
        self.stream_id = response.headers.get("Mesos-Stream-Id")

    async def refusal(self) -> Answer:
        """Why the stream was not opened."""
        return await _read(self._response, REASON_BYTES_MAX)

    async def next_events(self, silence_ms_max: int | None) -> list[M] | None:
        """The next events; None at the end of the stream.

        Raises TimeoutError after `silence_ms_max` without a byte, one of NETWORK_ERRORS when the
        connection breaks, and BadPeer when what comes is not the API.
        """
        while True:
            async with asyncio.timeout(None if silence_ms_max is None else silence_ms_max / 1000):
                piece = await self._response.content.readany()
            if not piece:
                return None
            try:
                records = self._records.feed(piece)
                if records:
                    return [decode(self._event, record, self._media) for record in records]
            except Malformed as error:
                raise BadPeer(f"{self._response.url}: {error}") from None


class Http:
    """Connections to masters and agents; kept open between calls. Needs a running loop."""

    def __init__(
        self, media: Media, headers: Mapping[str, str] | None = None, *, connections_max: int = 16
    ) -> None:
        self._media = media
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections_max,
                keepalive_timeout=KEEPALIVE_S,
                socket_factory=self._new_socket,
            ),
            headers={"Accept": media.value, "Accept-Encoding": "identity", **(headers or {})},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )

    async def call(
        self, url: str, message: ProtoMessage, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Post the call and read its answer; raises one of NETWORK_ERRORS."""
        with self._breaks_when_closed():
            return await self._post(url, message, headers)

    async def _post(
        self, url: str, message: ProtoMessage, headers: Mapping[str, str] | None
    ) -> Answer:
        async with (
            asyncio.timeout(CALL_TIMEOUT_S),
            self._session.post(
                url,
                data=self._body(message),
                headers={"Content-Type": self._media.value, **(headers or {})},
                allow_redirects=False,
            ) as response,
        ):
            return await _read(response, RECORD_BYTES_MAX)

    async def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """GET `url`; raises one of NETWORK_ERRORS."""
        with self._breaks_when_closed():
            async with (
                asyncio.timeout(CALL_TIMEOUT_S),
                self._session.get(
                    url, params=params, headers={"Accept": "*/*"}, allow_redirects=False
                ) as response,
            ):
                return await _read(response, RECORD_BYTES_MAX)

    @asynccontextmanager
    async def stream(
        self, url: str, message: ProtoMessage, event: type[M]
    ) -> AsyncIterator[Stream[M]]:
        """Post a SUBSCRIBE; the stream is closed when the block is left."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            response = await self._session.post(
                url,
                data=self._body(message),
                headers={"Content-Type": self._media.value},
                allow_redirects=False,
            )
        try:
            yield Stream(response, event, self._media)
        finally:
            response.close()

    def _body(self, message: ProtoMessage) -> bytes | BytesIO:
        body = encode(message, self._media)
        return body if len(body) <= BODY_BYTES_AT_ONCE else BytesIO(body)

    def decode(self, message: type[M], answer: Answer) -> M:
        """The message in an answer; raises BadPeer when there is none."""
        try:
            return decode(message, answer.body, self._media)
        except Malformed as error:
            raise BadPeer(str(error)) from None

    async def close(self) -> None:
        """Close every connection; calls under way fail with one of NETWORK_ERRORS."""
        closing = asyncio.create_task(self._session.close())
        _, waiting = await asyncio.wait((closing,), timeout=CLOSE_S)
        if waiting:  # for a peer to read; it may never do so
            for one in self._sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        await closing

    def _new_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    @contextmanager
    def _breaks_when_closed(self) -> Iterator[None]:
        """aiohttp cancels those who wait for a connection when the session is closed."""
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._session.closed and task is not None and not task.cancelling():
                raise aiohttp.ClientConnectionError("the client was closed") from None
            raise


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> Answer:
    body = bytearray()
    while len(body) < bytes_max and (piece := await response.content.readany()):
        body += piece
    return Answer(
        status=response.status,
        body=bytes(body[:bytes_max]),
        media=response.headers.get("Content-Type", ""),
        location=response.headers.get("Location"),
    )
