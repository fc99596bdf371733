"""Readers of events, by the ids that a core knows them by, each in the encoding it asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from msgspec import Struct

from tepui.web.stream import RecordStream
from tepui.wire import media, recordio
from tepui.wire.message import ProtoMessage

Id = TypeVar("Id", bound=Hashable)


class _Reader(Struct, frozen=True):
    stream: RecordStream
    media: media.Media


class EventStreams(Generic[Id]):
    """The open streams of one daemon."""

    def __init__(self) -> None:
        self._readers: dict[Id, _Reader] = {}

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._readers

    def __iter__(self) -> Iterator[Id]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    def open(
        self,
        stream_id: Id,
        accepted: media.Media,
        *,
        left: Callable[[], None],
        too_slow: ProtoMessage | None = None,
    ) -> RecordStream:
        """A new stream. `left` is called when its reader is gone and nobody here had ended it.

        `too_slow` is the last that a reader is sent who leaves too much unread.
        """

        def over() -> None:
            if self._readers.pop(stream_id, None) is not None:
                left()

        last = b"" if too_slow is None else recordio.frame(media.encode(too_slow, accepted))
        stream = RecordStream(over, overflow_record=last)
        self._readers[stream_id] = _Reader(stream, accepted)
        return stream

    def send(self, stream_id: Id, event: ProtoMessage) -> None:
        """Send the event in this turn of the loop; nothing when nobody reads it any more."""
        reader = self._readers.get(stream_id)
        if reader is not None:
            reader.stream.send(recordio.frame(media.encode(event, reader.media)))

    def end(self, stream_id: Id) -> None:
        """End the stream after what was sent."""
        reader = self._readers.pop(stream_id, None)
        if reader is not None:
            reader.stream.end()

    def drop(self, stream_id: Id) -> None:
        """It was never attached to a connection, and will not be."""
        self._readers.pop(stream_id, None)

    def close(self) -> None:
        """End all streams."""
        for stream_id in list(self._readers):
            self.end(stream_id)
