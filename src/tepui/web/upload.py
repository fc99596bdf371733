"""The body of a request that is handled while it comes in, piece by piece.

Nothing more is read from the client while enough of it waits here, so that whoever takes it slowly
slows its sender down and holds little of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

UPLOAD_BYTES_MAX: Final = 256 * 1024  # that wait to be taken; what came at once may be above

LEFT: Final = "the client left before its request was whole"


class UploadFailed(Exception):
    """The rest of the body will not come; `str()` says why."""


class Upload:
    """One body. The connection feeds it and ends it; one reader takes it."""

    def __init__(self) -> None:
        self.is_whole = False
        self.on_room: Callable[[], None] | None = None  # called when it is full no more
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._failed: str | None = None
        self._reader: asyncio.Future[None] | None = None  # it waits for the next piece

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.is_whole or self._failed is not None

    @property
    def is_full(self) -> bool:
        """So much waits that no more is to be read."""
        return self._waiting_bytes >= UPLOAD_BYTES_MAX

    def feed(self, piece: bytes) -> None:
        """The next piece has come."""
        self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        self._wake()

    def end(self) -> None:
        """The last piece has come."""
        self.is_whole = True
        self._wake()

    def fail(self, why: str) -> None:
        """It breaks off here; the reader is told behind what has come."""
        if not self.is_over:
            self._failed = why
            self._wake()

    async def read(self) -> bytes:
        """The next piece; empty at the end. Raises UploadFailed."""
        while not self._pieces:
            if self.is_whole:
                return b""
            if self._failed is not None:
                raise UploadFailed(self._failed)
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        piece = self._pieces.popleft()
        was_full = self.is_full
        self._waiting_bytes -= len(piece)
        if was_full and not self.is_full and self.on_room is not None:
            self.on_room()
        return piece

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
