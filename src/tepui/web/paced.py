"""A streaming answer whose writer waits for its reader: nothing is lost, and little is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tepui.web.stream import RecordStream


class PacedStream(RecordStream):
    """A `RecordStream` that is written to only while `is_writable`; `on_room` is called when it is again.

    What is sent nevertheless is kept: a heartbeat, or the last words.
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        super().__init__(on_close, overflow_record=b"")
        self.on_room: Callable[[], None] | None = None
        self._is_paused = False

    @property
    def is_writable(self) -> bool:
        """The reader keeps up."""
        return self._transport is not None and not self._is_paused and not self.over

    def send(self, record: bytes) -> None:
        """Send a record, already framed, in this turn of the loop."""
        if self.over:
            return
        self._append(record)
        if self._transport is not None and not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """The head was sent on `transport`; records follow."""
        super().attach(transport)
        self._has_room()

    def pause(self) -> None:
        """The reader has enough for now."""
        self._is_paused = True

    def resume(self) -> None:
        """The reader has taken what was sent."""
        self._is_paused = False
        self._has_room()

    def _has_room(self) -> None:
        if self.is_writable and self.on_room is not None:
            self.on_room()
