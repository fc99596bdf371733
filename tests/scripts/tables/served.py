"""A daemon's routes without its sockets: requests in, answers and records of streams out."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from types import FunctionType
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from tepui.base.effects import Step
from tepui.base.loop import CoreLoop
from tepui.web.answering import answer, failed
from tepui.web.http import Answer, Request, Response, Streaming, Switching, text
from tepui.web.routes import Route, Routes
from tepui.web.upload import Upload
from tests.scripts.tables.case import Seen

Event = TypeVar("Event")
Record = TypeVar("Record")
Action = TypeVar("Action")

DEADLINE_S = 20.0
TURNS_MAX = 8  # of asyncio's loop until a core that has nothing waiting is quiet
SERVER = "127.0.0.1:5050"


class Wire(asyncio.WriteTransport):
    """Where a streaming answer writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Served(Generic[Event, Record, Action]):
    """A core in its loop, with a clock that stands still. A core that raises fails the test."""

    def __init__(
        self,
        step: Callable[[Sequence[Event], int], Step[Record, Action]],
        act: Callable[[list[Action]], None],
        next_ms: Callable[[], int | None],
        now_ms: int,
    ) -> None:
        self._core = step
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.loop: CoreLoop[Event, Record, Action] = CoreLoop(
            step=self._step, save=self._save, act=act, next_ms=next_ms, clock_ms=lambda: now_ms
        )
        self.routes = Routes()
        self.listening: dict[str, Wire] = {}  # streams that were there before, by their names

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        principal: str | None = None,
    ) -> Seen:
        """The answer of the route that the path belongs to."""
        path, _, query = target.partition("?")
        found = self.routes.find(path.rstrip("/"))
        if found is None:
            return _seen(text(404, "404 Not Found."))
        route, rest = found
        lower = {name.lower(): value for name, value in headers.items()}
        takes_upload = route.takes_upload is not None and route.takes_upload(lower)
        upload = _whole(body) if body and takes_upload else None
        request = Request(
            method=method,
            path=path.rstrip("/"),
            rest=rest,
            headers=lower,
            query_text=query,
            body=body if upload is None else b"",
            upload=upload,
            server=SERVER,
            principal=principal,
        )
        answering = asyncio.ensure_future(_handled(route, request))
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait((answering, self._fault), return_when=asyncio.FIRST_COMPLETED)
        if self._fault.done():
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            self._fault.result()
        said = answering.result()
        assert not isinstance(said, Switching), "no table asks for another protocol"
        seen = _seen(said) if isinstance(said, Response) else await self._read(said)
        await self.quiet()
        return replace(seen, told=tuple(self._told()))

    def _told(self) -> Iterator[str]:
        """What came on the streams that are listened to, since the last request."""
        for name, wire in self.listening.items():
            yield from (f"{name}: {record}" for record in _records(wire.written))
            if wire.closed:
                yield f"{name}: <end of the stream>"
            wire.written = b""

    async def quiet(self) -> None:
        """Everything that waited has been stepped and acted on."""
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
        if self._fault.done():
            self._fault.result()

    async def _read(self, answer: Streaming) -> Seen:
        wire = Wire()
        answer.stream.attach(wire)
        await self.quiet()
        ended = wire.closed
        answer.stream.client_left()
        await self.quiet()
        return Seen(200, answer.content_type, b"", tuple(_records(wire.written)), ended)

    def _step(self, events: Sequence[Event], at_ms: int) -> Step[Record, Action]:
        try:
            return self._core(events, at_ms)
        except Exception as fault:
            if not self._fault.done():
                self._fault.set_exception(fault)
            return Step()

    async def _save(self, records: list[Record]) -> None:
        """Nothing is kept."""


def _whole(body: bytes) -> Upload:
    """A body for a route that takes it as it comes: all of it is there."""
    upload = Upload()
    upload.feed(body)
    upload.end()
    return upload


async def _handled(route: Route, request: Request) -> Answer:
    """What the handler answers, at once or later."""
    try:
        said = answer(request, route)
        return said if isinstance(said, Response | Streaming | Switching) else await said
    except Exception as error:
        return failed(error)


def encoded(state: object) -> dict[str, bytes]:
    """The fields of a state in bytes, to be compared; without what only counts."""
    names: Sequence[str] = state.__struct_fields__  # type: ignore[attr-defined]  # a Struct
    return {name: _pickled(getattr(state, name)) for name in names if name != "counters"}


class _ByName(pickle.Pickler):
    """Functions that were made by others are told apart by their names only."""

    def reducer_override(self, value: object) -> Any:  # as in its base class
        if isinstance(value, FunctionType):
            return str, (value.__qualname__,)
        return NotImplemented


def _pickled(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except AttributeError:  # compiled constraints are functions
        written = BytesIO()
        _ByName(written).dump(value)
        return written.getvalue()


def _seen(answer: Response) -> Seen:
    return Seen(answer.status, answer.content_type, answer.body)


def _records(written: bytes) -> list[str]:
    """The records of a chunked stream of RecordIO; one chunk holds one record."""
    found: list[str] = []
    while written:
        size_text, _, rest = written.partition(b"\r\n")
        size = int(size_text, 16)
        chunk, written = rest[:size], rest[size + 2 :]
        if size:  # the last chunk has none
            record = chunk.partition(b"\n")[2]
            found.append(record.decode() if record.startswith(b"{") else "hex:" + record.hex())
    return found
