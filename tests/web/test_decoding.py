"""Large bodies wait for a thread, and not too many of them."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from tepui.base.loop import Overloaded
from tepui.web import decoding
from tepui.wire import scheduler
from tepui.wire.media import Media

LARGE = b'{"type":"REVIVE"}' + b" " * 100_000


def test_bodies_that_wait_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WAITING_BYTES_MAX", 3 * len(LARGE) - 1)

    async def decode() -> scheduler.Call:
        return await decoding.decoded(scheduler.Call, LARGE, Media.JSON)

    async def play() -> None:
        for _ in range(2):
            first, second, third = await asyncio.gather(
                decode(), decode(), decode(), return_exceptions=True
            )
            assert isinstance(first, scheduler.Call)
            assert first == second
            assert isinstance(third, Overloaded)

    asyncio.run(play())


def test_bodies_that_wait_to_be_unzipped_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(LARGE)
    monkeypatch.setattr(decoding, "WAITING_BYTES_MAX", 2 * len(body) - 1)

    async def play() -> None:
        for _ in range(2):
            first, second = await asyncio.gather(
                decoding.unzipped(body), decoding.unzipped(body), return_exceptions=True
            )
            assert first == LARGE
            assert isinstance(second, Overloaded)

    asyncio.run(play())
