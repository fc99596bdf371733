"""The event streams of executors, by the numbers that the core knows them by."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from tepui.agent.core.events import ExecutorLeft
from tepui.agent.daemon.master_link import Put
from tepui.web.stream import RecordStream
from tepui.wire import executor, media, recordio

TOO_SLOW = executor.Event(
    type=executor.Event.Type.ERROR,
    error=executor.Event.Error(message="The executor does not read its events"),
)


class Subscriber(Struct, frozen=True):
    """A stream and the encoding that its executor asked for."""

    stream: RecordStream
    media: media.Media
    accepted: asyncio.Future[None]


class ExecutorStreams:
    """Streams that are open, or wait for the core to accept them."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._open: dict[int, Subscriber] = {}

    def make(self, connection: int, accepted: media.Media) -> RecordStream:
        """A stream that the core knows by this number; its end is told to the core."""

        def left() -> None:
            if self._open.pop(connection, None) is not None:
                self._put(ExecutorLeft(connection))

        overflow = recordio.frame(media.encode(TOO_SLOW, accepted))
        stream = RecordStream(left, overflow_record=overflow)
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open[connection] = Subscriber(stream, accepted, waiting)
        return stream

    def opened(self, connection: int) -> asyncio.Future[None]:
        """Done when the core has accepted the stream."""
        return self._open[connection].accepted

    def refuse(self, connection: int) -> None:
        """The core does not want it."""
        self._open.pop(connection, None)

    def accept(self, connection: int) -> None:
        """Events follow; the stream keeps them until the head of the answer is out."""
        subscriber = self._open.get(connection)
        if subscriber is not None and not subscriber.accepted.done():
            subscriber.accepted.set_result(None)

    def send(self, connection: int, event: executor.Event) -> None:
        """Send the event in this turn of the loop."""
        subscriber = self._open.get(connection)
        if subscriber is not None:
            record = media.encode(event, subscriber.media)
            subscriber.stream.send(recordio.frame(record))

    def end(self, connection: int) -> None:
        """End the stream after what was sent."""
        subscriber = self._open.pop(connection, None)
        if subscriber is not None:
            subscriber.stream.end()

    def close(self) -> None:
        """End all streams."""
        for connection in list(self._open):
            self.end(connection)
