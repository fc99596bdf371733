"""Clients of a running master that are slow, many, or never done."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tepui.master.daemon import scheduler_api
from tepui.master.daemon.main import MasterDaemon
from tepui.web import connection, decoding, http, site
from tepui.wire import json
from tests.limits.kit import Stream, answer_of, connect, get, post, running_master

FORM_TYPE = "application/x-www-form-urlencoded"

pytestmark = pytest.mark.real

IDLE = 5_000  # connections


def play(scenario: Callable[[MasterDaemon], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_master() as master:
            await scenario(master)

    asyncio.run(whole())


@pytest.mark.parametrize(
    "sent",
    [
        b"P",
        b"POST /api/v1 HTTP/1.1\r\nHost: m\r\n",
        b"POST /api/v1 HTTP/1.1\r\nHost: m\r\nX-Long: " + b"x" * 1_000,
        post("/api/v1/scheduler", b"x" * 1_000)[:-1],
        b"POST /api/v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n",
    ],
)
def test_a_request_that_is_never_whole_is_refused_in_time(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "REQUEST_READ_S", 0)

    async def scenario(master: MasterDaemon) -> None:
        reader, writer = await connect(master.port)
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        assert (await get(master.port, "/health"))[0] == 200

    play(scenario)


def test_an_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_READ_S", -1)

    async def scenario(master: MasterDaemon) -> None:
        reader, writer = await connect(master.port)
        for _ in range(3):
            master._server.site.tick()
        writer.write(b"GET /health HTTP/1.1\r\nHost: m\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    play(scenario)


def test_idle_connections_make_room_and_streams_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "EVICTED", 1)

    async def scenario(master: MasterDaemon) -> None:
        master._server.site._connections_max = 4
        streams = [await Stream.open(master.port) for _ in range(2)]
        idle = [await connect(master.port) for _ in range(2)]
        assert (await get(master.port, "/health"))[0] == 200  # the fifth
        reader, _ = idle[0]
        assert await reader.read() == b""
        assert len(master.streams) == len(streams)
        assert len(master.state.framework_by_stream) == len(streams)

    play(scenario)


def test_where_every_connection_is_busy_a_new_one_is_refused() -> None:
    async def scenario(master: MasterDaemon) -> None:
        master._server.site._connections_max = 2
        streams = [await Stream.open(master.port) for _ in range(2)]
        reader, _ = await connect(master.port)
        assert await reader.read() == b""
        assert len(master.streams) == len(streams)

    play(scenario)


@pytest.fixture
def _many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE + 1_000  # both ends are ours
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} open files are not allowed here, only {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.long
@pytest.mark.usefixtures("_many_files")
def test_five_thousand_idle_connections_keep_nobody_waiting() -> None:
    async def scenario(master: MasterDaemon) -> None:
        scheduler = await Stream.open(master.port)
        for _ in range(IDLE):
            await connect(master.port)
        assert len(master._server.site.connections) >= IDLE
        assert (await get(master.port, "/health"))[0] == 200
        again = await Stream.open(master.port)
        assert scheduler.framework_id != again.framework_id

    play(scenario)


def test_a_body_that_trickles_in_has_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_READ_S", 0)

    async def scenario(master: MasterDaemon) -> None:
        reader, writer = await connect(master.port)
        writer.write(post("/api/v1/scheduler", b"x" * 1_000_000)[:-999_999])
        answer = asyncio.create_task(reader.readuntil(b"\r\n"))
        while not answer.done():  # until the deadline of `running_master`
            writer.write(b"x")
            await writer.drain()
            await asyncio.wait((answer,), timeout=0.001)
            master._server.site.tick()
        assert answer.result().startswith(b"HTTP/1.1 408 ")

    play(scenario)


def test_a_form_may_have_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FORM_BYTES_MAX", 20)

    async def play() -> None:
        async with running_master() as master:
            just = await answer_of(master.port, "/teardown", b"frameworkId=" + b"x" * 8, FORM_TYPE)
            assert just == (400, b"No framework found with specified ID")
            more = await answer_of(master.port, "/teardown", b"frameworkId=" + b"x" * 9, FORM_TYPE)
            assert more == (400, b"a form may have 20 bytes at most")

    asyncio.run(play())


def test_json_that_only_mesos_takes_may_have_so_many_bytes_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict = b'{"type":"GET_HEALTH"}'
    lenient = b'{"type":"GET_HEALTH","x":01}'
    monkeypatch.setattr(json, "LENIENT_BYTES_MAX", len(lenient))

    async def play() -> None:
        async with running_master() as master:
            for body, status in (
                (strict + b" " * 100, 200),
                (lenient, 200),
                (lenient + b" ", 400),
            ):
                found, text = await answer_of(master.port, "/api/v1", body, "application/json")
                assert (found, b"must be strict JSON" in text) == (status, status == 400)

    asyncio.run(play())


def test_a_large_body_is_decoded_beside_the_loop_and_answered_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = (b'{"type":"GET_HEALTH"}', b'{"type":7}', b"{", b"")

    async def answers(kind: str) -> list[tuple[int, bytes]]:
        async with running_master() as master:
            return [
                await answer_of(master.port, path, body, kind)
                for path in ("/api/v1", "/api/v1/scheduler")
                for body in bodies
            ]

    for kind in ("application/json", "application/x-protobuf"):
        at_once = asyncio.run(answers(kind))
        monkeypatch.setattr(decoding, "LARGE_BODY_BYTES", 0)
        monkeypatch.setattr(scheduler_api, "LARGE_BODY_BYTES", 0)
        assert asyncio.run(answers(kind)) == at_once
