"""Schedulers and operators on real sockets that read slowly, leave, or say what is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tepui.base.names import StreamId
from tepui.master.daemon.main import MasterDaemon
from tepui.web import event_streams, stream
from tepui.wire import media, mesos, scheduler
from tepui.wire.media import Media
from tests.limits.kit import Stream, connect, get, post, running_master

pytestmark = pytest.mark.real

Call = scheduler.Call
Event = scheduler.Event
BOTH = pytest.mark.parametrize("kind", [Media.JSON, Media.PROTOBUF])

STREAM_BYTES_MAX = 200_000


@pytest.fixture
def small_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of which little may stay unread."""
    made = stream.RecordStream

    def small(on_close: Callable[[], None], *, overflow_record: bytes) -> stream.RecordStream:
        return made(on_close, overflow_record=overflow_record, bytes_max=STREAM_BYTES_MAX)

    monkeypatch.setattr(event_streams, "RecordStream", small)


def play(scenario: Callable[[MasterDaemon], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_master() as master:
            await scenario(master)

    asyncio.run(whole())


async def ask(port: int, of: Stream, call: Call) -> tuple[int, bytes]:
    """What the master answers to a call of that scheduler, on a connection of its own."""
    reader, writer = await connect(port)
    headers = (f"Mesos-Stream-Id: {of.id}", "Connection: close")
    writer.write(post("/api/v1/scheduler", media.encode(call, of.kind), of.kind, *headers))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def reconcile(of: Stream, count: int) -> Call:
    """A call that has the master send so many events."""
    one = Call.Reconcile.Task(task_id=mesos.TaskID("x" * 200))
    return Call(
        type=Call.Type.RECONCILE,
        framework_id=mesos.FrameworkID(of.framework_id),
        reconcile=Call.Reconcile(tasks=(one,) * count),
    )


@BOTH
@pytest.mark.usefixtures("small_streams")
def test_a_scheduler_that_never_reads_is_told_so_and_cut_off(kind: Media) -> None:
    async def scenario(master: MasterDaemon) -> None:
        other = await Stream.open(master.port, kind, name="other")
        deaf = await Stream.open(master.port, kind, name="deaf", receive_bytes=4096)
        unread_bytes = 0
        status, body = 202, b""
        while status == 202:
            status, body = await ask(master.port, deaf, reconcile(deaf, 100))
            for connection in master._server.site.connections:
                unread_bytes = max(unread_bytes, connection.unsent_bytes)
        assert (status, body) == (403, b"Framework is not subscribed")
        one_turn_bytes = 100 * 2_000
        assert unread_bytes <= STREAM_BYTES_MAX + 2 * one_turn_bytes
        last = await deaf.next_of(Event.Type.ERROR)
        assert last.error is not None
        assert last.error.message == "The scheduler does not read its events"
        assert await deaf.next() is None
        assert list(master.streams) == [StreamId(other.id)]
        assert (await ask(master.port, other, reconcile(other, 1)))[0] == 202
        await other.next_of(Event.Type.UPDATE)

    play(scenario)


@BOTH
def test_a_call_with_the_stream_of_another_is_refused(kind: Media) -> None:
    async def scenario(master: MasterDaemon) -> None:
        victim = await Stream.open(master.port, kind, name="victim")
        other = await Stream.open(master.port, kind, name="other")
        call = Call(type=Call.Type.TEARDOWN, framework_id=mesos.FrameworkID(victim.framework_id))
        status, body = await ask(master.port, other, call)
        assert status == 400
        assert body.startswith(f"The stream ID '{other.id}' included".encode())
        assert victim.framework_id in master.state.frameworks

    play(scenario)


@BOTH
def test_a_body_that_is_not_the_api_is_refused_and_the_stream_goes_on(kind: Media) -> None:
    async def scenario(master: MasterDaemon) -> None:
        good = await Stream.open(master.port, kind)
        for body in (b"", b"\xff" * 100, b"{" * 100_000, b'{"type":' + b"9" * 10_000 + b"}"):
            reader, writer = await connect(master.port)
            writer.write(post("/api/v1/scheduler", body, kind, "Connection: close"))
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 "), (body[:20], answer[:200])
        assert (await ask(master.port, good, reconcile(good, 1)))[0] == 202
        await good.next_of(Event.Type.UPDATE)

    play(scenario)


def test_a_scheduler_that_sends_on_after_it_subscribed_is_not_heard() -> None:
    async def scenario(master: MasterDaemon) -> None:
        good = await Stream.open(master.port)
        good.writer.write(b"POST / HTTP/1.1\r\n" + b"x" * 1_000_000)
        assert (await get(master.port, "/health"))[0] == 200
        assert (await ask(master.port, good, reconcile(good, 1)))[0] == 202
        await good.next_of(Event.Type.UPDATE)

    play(scenario)


@BOTH
def test_a_scheduler_that_neither_reads_nor_writes_any_more_has_left(kind: Media) -> None:
    async def scenario(master: MasterDaemon) -> None:
        deaf = await Stream.open(master.port, kind, receive_bytes=4096)
        (connection,) = master._server.site.connections
        while connection.unsent_bytes == 0:  # until nothing more fits into the sockets
            assert (await ask(master.port, deaf, reconcile(deaf, 100)))[0] == 202
        deaf.writer.write_eof()
        assert (await ask_until(master.port, deaf, 403))[1] == b"Framework is not subscribed"

    play(scenario)


async def ask_until(port: int, of: Stream, status: int) -> tuple[int, bytes]:
    """The first answer with that status."""
    while True:
        answer = await ask(port, of, reconcile(of, 1))
        if answer[0] == status:
            return answer
