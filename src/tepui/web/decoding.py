"""Bodies of requests decoded: small ones at once, large ones beside the loop.

A body of megabytes takes up to seconds. In a thread it shares the interpreter with the loop, which
goes on in between. There is one, so that many large bodies wait for one another and not the loop.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tepui.base.loop import Overloaded
from tepui.web.http import BODY_BYTES_MAX
from tepui.wire import media
from tepui.wire.message import ProtoMessage

LARGE_BODY_BYTES: Final = 64 * 1024  # takes about a millisecond, if it is as it should be
DECODING_MAX: Final = 1  # threads

WAITING_BYTES_MAX: Final = 256 * 1024 * 1024  # of bodies that wait for a thread; 503 above

M = TypeVar("M", bound=ProtoMessage)
T = TypeVar("T")


class NotUnzipped(Exception):
    """A body is no gzip; `str()` says why."""


class _Threads:
    """The threads, and what waits for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(DECODING_MAX, "decoding")
        self._waiting_bytes = 0

    async def run(self, do: Callable[[bytes], T], body: bytes) -> T:
        """What `do` makes of the body. Raises Overloaded."""
        if self._waiting_bytes + len(body) > WAITING_BYTES_MAX:
            raise Overloaded(f"bodies of {self._waiting_bytes} bytes wait to be decoded")
        self._waiting_bytes += len(body)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, do, body)
        finally:
            self._waiting_bytes -= len(body)


_THREADS: Final = _Threads()


async def decoded(cls: type[M], body: bytes, content: media.Media) -> M:
    """The `cls` that `body` holds; raises Malformed, Overloaded."""
    if len(body) <= LARGE_BODY_BYTES:
        return media.decode(cls, body, content)
    return await _THREADS.run(lambda whole: media.decode(cls, whole, content), body)


async def unzipped(body: bytes) -> bytes | None:
    """What a gzip body holds; None when that is more than BODY_BYTES_MAX.

    Raises NotUnzipped, Overloaded.
    """
    return await _THREADS.run(_unzipped, body)


def _unzipped(body: bytes) -> bytes | None:
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        whole = unzip.decompress(body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise NotUnzipped(str(error)) from None
    if unzip.unconsumed_tail:
        return None
    if not unzip.eof:
        raise NotUnzipped("its end is missing")
    return whole
