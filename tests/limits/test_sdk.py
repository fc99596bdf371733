"""What a framework or executor that uses the library keeps, whatever its master or agent does."""

from __future__ import annotations

import asyncio

import pytest

from tepui.sdk import SchedulerClient, Unreachable, client, operator, whereabouts
from tepui.sdk import http as sdk_http
from tepui.sdk.core import events as ev
from tepui.sdk.core import masters, session
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.core.masters import Masters
from tepui.sdk.errors import BadPeer
from tepui.sdk.http import Http
from tepui.sdk.inbox import Inbox
from tepui.wire import scheduler
from tepui.wire.media import Media
from tepui.wire.mesos import TaskState
from tests.limits.kit import DEADLINE_S
from tests.sdk.fake_master import update
from tests.sdk.test_session import INFO, delivered, do, subscribed


def test_a_full_inbox_has_the_reader_wait() -> None:
    async def scenario() -> None:
        inbox: Inbox[int] = Inbox(2)
        inbox.put(1)
        await inbox.room()
        inbox.put(2)
        waiting = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await inbox.get() == 1
        async with asyncio.timeout(DEADLINE_S):
            await waiting

    asyncio.run(scenario())


def test_masters_that_name_each_other_are_left_after_some_redirects() -> None:
    turns = Masters(("http://a:1",), Backoff(100, 1_000, lambda: 0.0))
    for _ in range(masters.REDIRECTS_MAX):
        assert turns.redirected("//b:1/") == 0
    assert turns.redirected("//b:1/") == 100
    assert turns.current == "http://a:1"


def test_handled_updates_are_remembered_up_to_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HANDLED_MAX", 2)
    state = subscribed()
    uuids = [number.to_bytes(16, "big") for number in (1, 2, 3)]
    for uuid in uuids:
        do(state, ev.Received(update("t", TaskState.TASK_RUNNING, uuid)))
        session._remember_handled(state, uuid)
    assert list(state.handled) == uuids[1:]
    again = do(state, ev.Received(update("t", TaskState.TASK_RUNNING, uuids[1])))
    assert delivered(again) == []
    forgotten = do(state, ev.Received(update("t", TaskState.TASK_RUNNING, uuids[0])))
    assert len(delivered(forgotten)) == 1


@pytest.mark.real
def test_calls_that_wait_are_dropped_above_a_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client, "SENDING_MAX", 2)

    async def scenario() -> None:
        one = SchedulerClient("127.0.0.1:1", INFO)
        call = scheduler.Call(type=scheduler.Call.Type.REVIVE)
        for _ in range(2):
            one._send_later(call)
        assert caplog.messages == []
        one._send_later(call)
        assert caplog.messages[0].startswith("call_dropped ")
        assert one._outbox.qsize() == 2

    asyncio.run(scenario())


@pytest.mark.real
def test_a_record_has_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The length is judged, so that nothing of a larger one is waited for."""
    heartbeat = b'{"type":"HEARTBEAT"}'
    monkeypatch.setattr(sdk_http, "RECORD_BYTES_MAX", len(heartbeat))
    to_send = [b"20\n" + heartbeat, b"21\n"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + to_send.pop(0))
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        http = Http(Media.JSON)
        call = scheduler.Call(type=scheduler.Call.Type.SUBSCRIBE)
        async with asyncio.timeout(DEADLINE_S):
            async with http.stream(url, call, scheduler.Event) as one:
                assert await one.next_events(None) is not None
            async with http.stream(url, call, scheduler.Event) as one:
                with pytest.raises(BadPeer, match="the limit is 20 bytes"):
                    await one.next_events(None)
        await http.close()
        server.close()

    asyncio.run(scenario())


@pytest.mark.real
def test_a_call_is_tried_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "ATTEMPTS_MAX", 2)
    monkeypatch.setattr(whereabouts, "RETRY_MS", 1)
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        address = asked[-1].partition(b"Host: ")[2].partition(b"\r\n")[0]
        writer.write(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: //%b/x\r\nContent-Length: 0\r\n\r\n"
            % address
        )
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with operator.OperatorClient(address, seed=1) as one:
            with pytest.raises(Unreachable, match="no answer in 2 attempts"):
                await one.get_json("/state")
        assert len(asked) == 2
        server.close()

    asyncio.run(scenario())


def test_the_text_of_a_refusal_has_so_many_bytes() -> None:
    longest = b"x" * sdk_http.REASON_BYTES_MAX
    assert sdk_http.Answer(400, longest + b"y", "", None).text == longest.decode()
