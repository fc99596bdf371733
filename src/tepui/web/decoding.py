"""Bodies of requests decoded: small ones at once, large ones beside the loop.

A body of megabytes takes up to seconds. In a thread it shares the interpreter with the loop, which
goes on in between. There is one, so that many large bodies wait for one another and not the loop.
"""

from __future__ import annotations

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tepui.web.http import BODY_BYTES_MAX
from tepui.wire import media
from tepui.wire.message import ProtoMessage

LARGE_BODY_BYTES: Final = 64 * 1024  # takes about a millisecond, if it is as it should be
DECODING_MAX: Final = 1  # threads

_POOL = ThreadPoolExecutor(DECODING_MAX, "decoding")

M = TypeVar("M", bound=ProtoMessage)


class NotUnzipped(Exception):
    """A body is no gzip; `str()` says why."""


async def decoded(cls: type[M], body: bytes, content: media.Media) -> M:
    """The `cls` that `body` holds; raises Malformed."""
    if len(body) <= LARGE_BODY_BYTES:
        return media.decode(cls, body, content)
    return await asyncio.get_running_loop().run_in_executor(_POOL, media.decode, cls, body, content)


async def unzipped(body: bytes) -> bytes | None:
    """What a gzip body holds; None when that is more than BODY_BYTES_MAX. Raises NotUnzipped."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, _unzipped, body)


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
