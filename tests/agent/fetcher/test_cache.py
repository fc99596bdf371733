"""The fetcher's cache: one download a user and URI, never more bytes than there may be."""

from __future__ import annotations

import asyncio
import gzip
import os
import pwd
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tepui.agent.fetcher.cache import Cache
from tepui.agent.fetcher.errors import FetchFailed
from tepui.agent.fetcher.fetch import Fetcher
from tepui.wire import mesos
from tests.agent.fetcher.test_fetch import tar_of, zip_of

URI = mesos.CommandInfo.URI


class Place:
    """Things to fetch, an agent's cache of 100 bytes, and a sandbox for each fetch."""

    def __init__(self, root: Path, bytes_max: int = 100) -> None:
        self.root = root
        self.source = root / "source"
        self.source.mkdir()
        self.cache = Cache(root / "work" / "fetch", bytes_max)
        self.fetcher = Fetcher(timeout_ms=20_000, bytes_max=20_000, cache=self.cache)
        self.fetcher.open()
        self._sandboxes = 0

    def file(self, name: str, content: bytes = b"content") -> str:
        (self.source / name).write_bytes(content)
        return str(self.source / name)

    async def fetch(self, *uris: URI, user: str | None = None) -> Path:
        self._sandboxes += 1
        sandbox = self.root / f"sandbox{self._sandboxes}"
        sandbox.mkdir()
        await self.fetcher.fetch(uris, str(sandbox), user)
        return sandbox

    def cached(self) -> list[bytes]:
        """What the files of the cache hold, the oldest first."""
        files = sorted(self.cache.directory.iterdir(), key=lambda path: int(path.name[1:]))
        return [path.read_bytes() for path in files]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def cached(value: str, **more: object) -> URI:
    return mesos.CommandInfo.URI(value=value, cache=True, **more)  # type: ignore[arg-type]  # its fields


def names(directory: Path) -> list[str]:
    found = (path for path in directory.rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(directory)) for path in found)


def test_a_cached_uri_is_fetched_once_and_its_change_is_not_noticed(place: Place) -> None:
    async def play() -> None:
        source = place.file("one", b"first")
        assert (await place.fetch(cached(source)) / "one").read_bytes() == b"first"
        place.file("one", b"second")
        sandbox = await place.fetch(cached(source), URI(value=source, output_file="now"))
        assert (sandbox / "one").read_bytes() == b"first"
        assert (sandbox / "now").read_bytes() == b"second"
        assert place.cached() == [b"first"]
        assert place.cache.used_bytes == 5

    asyncio.run(play())


def test_what_a_task_does_to_its_file_is_not_seen_by_the_next(place: Place) -> None:
    async def play() -> None:
        source = place.file("one", b"first")
        first = await place.fetch(cached(source, executable=True, output_file="sub/run"))
        assert os.access(first / "sub/run", os.X_OK)
        (first / "sub/run").write_bytes(b"changed")
        second = await place.fetch(cached(source))
        assert (second / "one").read_bytes() == b"first"
        assert not os.access(second / "one", os.X_OK)

    asyncio.run(play())


def test_archives_come_out_of_the_cache_without_themselves(place: Place) -> None:
    place.cache.total_bytes = 20_000
    uris = [
        cached(place.file("a.tgz", tar_of({"a/x": b"1"}))),
        cached(place.file("b?v=1", zip_of({"b/x": b"1"})), output_file="b.zip"),
        cached(place.file("c.gz", gzip.compress(b"1")), output_file="s/c.gz"),
        cached(place.file("d.tgz", tar_of({"d/x": b"1"})), extract=False),
    ]

    async def play() -> None:
        for _ in range(2):
            sandbox = await place.fetch(*uris)
            assert names(sandbox) == ["a/x", "b/x", "d.tgz", "s/c"]
        assert len(place.cached()) == 4

    asyncio.run(play())


def test_the_file_that_was_wanted_longest_ago_makes_room(place: Place) -> None:
    a, b, c = (place.file(name, name.encode() * 40) for name in "abc")

    async def play() -> None:
        await place.fetch(cached(a))
        await place.fetch(cached(b))
        await place.fetch(cached(a))  # now b is the one
        await place.fetch(cached(c))
        assert place.cached() == [b"a" * 40, b"c" * 40]
        assert place.cache.used_bytes == 80
        await place.fetch(cached(place.file("d", b"d" * 100)))  # the largest that can be
        assert place.cached() == [b"d" * 100]

    asyncio.run(play())


def test_what_is_too_large_goes_past_the_cache_and_harms_nobody_in_it(place: Place) -> None:
    small, large = place.file("small"), place.file("large", b"x" * 101)

    async def play() -> None:
        sandbox = await place.fetch(cached(small), cached(large))
        assert names(sandbox) == ["large", "small"]
        assert place.cached() == [b"content"]
        assert place.cache.used_bytes == 7

    asyncio.run(play())


def test_a_file_in_use_makes_no_room(place: Place) -> None:
    async def get(path: Path, room: Callable[[int], None]) -> None:
        room(60)
        path.write_bytes(b"x" * 60)

    async def play() -> None:
        async with place.cache.hold(None, "held", get) as held:
            assert held is not None
            other = await place.fetch(cached(place.file("other", b"y" * 60)))
            assert names(other) == ["other"]
            assert place.cached() == [b"x" * 60]
        await place.fetch(cached(place.file("other", b"y" * 60)))
        assert place.cached() == [b"y" * 60]

    asyncio.run(play())


def test_a_file_that_has_vanished_or_changed_is_fetched_anew(place: Place) -> None:
    async def play() -> None:
        source = place.file("one", b"first")
        await place.fetch(cached(source))
        (place.cache.directory / "c1").unlink()
        assert (await place.fetch(cached(source)) / "one").read_bytes() == b"first"
        (place.cache.directory / "c2").write_bytes(b"f")
        assert (await place.fetch(cached(source)) / "one").read_bytes() == b"first"
        assert place.cached() == [b"first"]
        assert place.cache.used_bytes == 5

    asyncio.run(play())


def test_users_never_share(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can fetch for others")
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        place = Place(Path(open_to_all))
        source = place.file("a.tar", b"x" * 30)
        os.chmod(source, 0o600)

        async def play() -> None:
            await place.fetch(cached(source, extract=False))
            with pytest.raises(FetchFailed, match="user 'nobody' may not read it"):
                await place.fetch(cached(source, extract=False), user="nobody")
            os.chmod(source, 0o644)
            for _ in range(2):
                sandbox = await place.fetch(cached(source, extract=False), user="nobody")
                uid = pwd.getpwnam("nobody").pw_uid
                assert (sandbox / "a.tar").stat().st_uid == uid
            assert len(place.cached()) == 2
            assert {path.stat().st_uid for path in place.cache.directory.iterdir()} == {0}

        asyncio.run(play())


def test_an_agent_begins_with_an_empty_cache_and_touches_nothing_else(place: Place) -> None:
    async def play() -> None:
        await place.fetch(cached(place.file("one")))

    asyncio.run(play())
    beside = place.cache.directory.parent / "beside"
    beside.write_text("kept")
    later = Cache(place.cache.directory, 100)
    later.open()
    assert list(place.cache.directory.iterdir()) == []
    assert later.used_bytes == 0
    assert beside.read_text() == "kept"


def test_without_a_directory_or_bytes_nothing_goes_through_the_cache(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("no directory")
    for place in (Place(tmp_path), Place(_made(tmp_path / "other"), bytes_max=0)):

        async def play(place: Place = place) -> None:
            sandbox = await place.fetch(cached(place.file("one")))
            assert names(sandbox) == ["one"]
            assert place.fetcher.metrics() == {
                "containerizer/fetcher/cache_size_total_bytes": place.cache.total_bytes,
                "containerizer/fetcher/cache_size_used_bytes": 0,
            }

        asyncio.run(play())
        assert not place.cache.directory.exists()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


class Server:
    """Answers `/get?name=N` with N, at once or when `go_on` is set; counts who has asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard = asyncio.Event()
        self.go_on = asyncio.Event()
        self.address = ""

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.heard.set()
        if "wait" in request.query:
            await self.go_on.wait()
        if "fail" in request.query:
            raise web.HTTPServiceUnavailable
        content = b"x" * int(request.query.get("size", 5))
        if "told" in request.query:
            return web.Response(body=content)
        answer = web.StreamResponse()  # chunked: its length is not told before
        await answer.prepare(request)
        await answer.write(content)
        return answer

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("/get")

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/get", self.get)
        application.router.add_get("/moved", self.redirect)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            self.go_on.set()
            await runner.cleanup()


def serving(play: Callable[[Server], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = Server()
        async with server.serve():
            await play(server)

    asyncio.run(whole())


@pytest.mark.real
def test_those_who_want_the_same_at_once_share_one_download(place: Place) -> None:
    async def play(server: Server) -> None:
        uri = cached(f"{server.address}/get?wait")
        fetches = [asyncio.create_task(place.fetch(uri)) for _ in range(5)]
        await server.heard.wait()
        fetches[0].cancel()  # who began it may go: the others still wait for it
        await asyncio.wait([fetches[0]])
        server.go_on.set()
        for one in fetches[1:]:
            assert (await one / "get").read_bytes() == b"xxxxx"
        assert server.asked == 1
        assert place.cached() == [b"xxxxx"]

    serving(play)


@pytest.mark.real
def test_a_download_that_nobody_waits_for_ends_and_leaves_nothing(place: Place) -> None:
    async def play(server: Server) -> None:
        uri = cached(f"{server.address}/get?wait&told")
        fetch = asyncio.create_task(place.fetch(uri))
        await server.heard.wait()
        fetch.cancel()
        await asyncio.wait([fetch])
        again = asyncio.create_task(place.fetch(uri))
        server.go_on.set()
        await again
        assert server.asked == 2
        assert place.cached() == [b"xxxxx"]
        assert place.cache.used_bytes == 5

    serving(play)


@pytest.mark.real
def test_a_failed_download_fails_all_who_waited_and_leaves_no_entry(place: Place) -> None:
    async def play(server: Server) -> None:
        uri = cached(f"{server.address}/get?wait&fail")
        fetches = [asyncio.create_task(place.fetch(uri)) for _ in range(3)]
        await server.heard.wait()
        server.go_on.set()
        for one in fetches:
            with pytest.raises(FetchFailed, match="the server answered 503 Service Unavailable"):
                await one
        assert server.asked == 1
        assert place.cached() == []
        assert place.cache.used_bytes == 0
        with pytest.raises(FetchFailed):
            await place.fetch(uri)
        assert server.asked == 2

    serving(play)


@pytest.mark.real
@pytest.mark.parametrize("told", ["", "&told"])
def test_sizes_may_be_told_or_not_and_the_cache_holds_to_its_own(place: Place, told: str) -> None:
    async def play(server: Server) -> None:
        largest = cached(f"{server.address}/get?size=100{told}")
        await place.fetch(largest)
        await place.fetch(largest)
        assert (server.asked, place.cache.used_bytes) == (1, 100)
        larger = cached(f"{server.address}/get?size=101{told}")
        for _ in range(2):
            sandbox = await place.fetch(larger)
            assert (sandbox / "get").stat().st_size == 101
        assert server.asked == 5  # each time once for the cache, and once past it
        assert len(place.cached()) in (0, 1)
        assert place.cache.used_bytes == sum(len(one) for one in place.cached())

    serving(play)


@pytest.mark.real
def test_an_address_that_redirects_is_an_entry_of_its_own(place: Place) -> None:
    async def play(server: Server) -> None:
        for _ in range(2):
            await place.fetch(cached(f"{server.address}/moved"), cached(f"{server.address}/get"))
        assert server.asked == 2
        assert place.cached() == [b"xxxxx", b"xxxxx"]

    serving(play)
