"""URIs of a container: so many, so often redirected, with so many members."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from tepui.agent.fetcher import archives, fetch
from tepui.agent.fetcher import web as web_downloads
from tepui.agent.fetcher.errors import FetchFailed
from tepui.agent.fetcher.fetch import Fetcher
from tepui.wire import mesos
from tests.agent.fetcher.test_fetch import Place, tar_of, zip_of

URI = mesos.CommandInfo.URI


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_container_has_so_many_uris(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setattr(fetch, "URIS_MAX", 2)
    uris = [URI(value=place.file(name)) for name in "abc"]
    place.fetch(*uris[:2])
    assert place.fetched() == ["a", "b"]
    assert place.failure(*uris) == "3 URIs are more than 2"
    assert place.fetched() == ["a", "b"]


@pytest.mark.parametrize(("name", "make"), [("a.tgz", tar_of), ("a.zip", zip_of)])
def test_an_archive_has_so_many_members(
    monkeypatch: pytest.MonkeyPatch,
    place: Place,
    name: str,
    make: Callable[[dict[str, bytes]], bytes],
) -> None:
    monkeypatch.setattr(archives, "MEMBERS_MAX", 2)
    place.fetch(URI(value=place.file(name, make({"x": b"1", "y": b"2"}))))
    assert place.fetched() == [name, "x", "y"]
    text = place.failure(URI(value=place.file(name, make({"p": b"1", "q": b"2", "r": b"3"}))))
    assert text.endswith("the archive has more than 2 members")


def serving(play: Callable[[str, asyncio.Event], Awaitable[None]]) -> None:
    """Give `play` the address of a server: `/n` redirects n times, `/hang` waits for the event."""
    go_on = asyncio.Event()

    async def redirect(request: web.Request) -> web.StreamResponse:
        left = int(request.match_info["left"])
        if left:
            raise web.HTTPFound(f"/{left - 1}")
        return web.Response(text="here")

    async def hang(request: web.Request) -> web.StreamResponse:
        await go_on.wait()
        return web.Response(text="here")

    async def whole() -> None:
        application = web.Application()
        application.router.add_get("/hang", hang)
        application.router.add_get("/{left}", redirect)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            await play(f"http://127.0.0.1:{runner.addresses[0][1]}", go_on)
        finally:
            go_on.set()
            await runner.cleanup()

    asyncio.run(whole())


@pytest.mark.real
def test_a_uri_is_redirected_so_often(place: Place) -> None:
    async def play(address: str, _: asyncio.Event) -> None:
        fetcher = Fetcher(timeout_ms=20_000, bytes_max=1_000)
        last = web_downloads.REDIRECTS_MAX - 1  # aiohttp counts the first request too
        await fetcher.fetch([URI(value=f"{address}/{last}")], str(place.sandbox), None)
        with pytest.raises(FetchFailed, match="more than 10 redirects"):
            await fetcher.fetch([URI(value=f"{address}/{last + 1}")], str(place.sandbox), None)

    serving(play)


@pytest.mark.real
def test_who_fetches_while_too_many_do_waits_for_a_turn(
    monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    monkeypatch.setattr(fetch, "FETCHING_MAX", 1)

    async def play(address: str, go_on: asyncio.Event) -> None:
        fetcher = Fetcher(timeout_ms=20_000, bytes_max=1_000)
        sandbox = str(place.sandbox)
        slow = asyncio.create_task(fetcher.fetch([URI(value=f"{address}/hang")], sandbox, None))
        await asyncio.sleep(0)
        other = asyncio.create_task(fetcher.fetch([URI(value=place.file("b"))], sandbox, None))
        for _ in range(100):  # far more turns than it would take to copy a file
            await asyncio.sleep(0)
        assert not other.done()
        assert place.fetched() == []
        go_on.set()
        await asyncio.gather(slow, other)
        assert place.fetched() == ["b", "hang"]

    serving(play)


@pytest.mark.real
def test_a_server_that_says_nothing_is_left(place: Place) -> None:
    async def play(address: str, _: asyncio.Event) -> None:
        fetcher = Fetcher(timeout_ms=20_000, bytes_max=1_000, stall_ms=1)
        with pytest.raises(FetchFailed, match=r"no byte for 0\.001 s"):
            await fetcher.fetch([URI(value=f"{address}/hang")], str(place.sandbox), None)

    serving(play)
