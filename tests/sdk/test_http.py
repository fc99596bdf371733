"""Calls over HTTP fail with an error of the network, however their connection ends."""

from __future__ import annotations

import asyncio

import pytest

from tepui.sdk.http import NETWORK_ERRORS, Http
from tepui.wire import mesos, scheduler
from tepui.wire.media import Media

CONNECTIONS = 2
UNSENT_BYTES = 32 * 1024 * 1024  # more than sockets hold
CALL = scheduler.Call(type=scheduler.Call.Type.REVIVE)


class Silent(asyncio.Protocol):
    """Answers nothing; says when so many requests have come."""

    def __init__(self, asked: asyncio.Semaphore) -> None:
        self._asked = asked

    def data_received(self, data: bytes) -> None:
        self._asked.release()


def test_calls_under_way_or_waiting_fail_when_the_client_is_closed() -> None:
    asyncio.run(_close_while_calling())


async def _close_while_calling() -> None:
    asked = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Silent(asked), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        http = Http(Media.JSON, connections_max=CONNECTIONS)
        calls = [asyncio.create_task(http.call(url, CALL)) for _ in range(2 * CONNECTIONS)]
        for _ in range(CONNECTIONS):
            await asked.acquire()
        await http.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, NETWORK_ERRORS) for outcome in outcomes), outcomes


def test_a_call_that_is_cancelled_is_cancelled() -> None:
    asyncio.run(_cancel())


async def _cancel() -> None:
    asked = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Silent(asked), "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        http = Http(Media.JSON)
        call = asyncio.create_task(http.call(url, CALL))
        await asked.acquire()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await http.close()


def test_closing_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    asyncio.run(_close_unread())


async def _close_unread() -> None:
    acknowledge = scheduler.Call.Acknowledge(
        agent_id=mesos.AgentID("an agent"),
        task_id=mesos.TaskID("x" * UNSENT_BYTES),
        uuid=bytes(16),
    )
    call = scheduler.Call(type=scheduler.Call.Type.ACKNOWLEDGE, acknowledge=acknowledge)
    connected: asyncio.Queue[asyncio.Transport] = asyncio.Queue()

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            connected.put_nowait(transport)

    server = await asyncio.get_running_loop().create_server(Deaf, "127.0.0.1", 0)
    async with server:
        http = Http(Media.PROTOBUF)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        calling = asyncio.create_task(http.call(url, call))
        async with asyncio.timeout(20):
            peer = await connected.get()
            await http.close()
            [outcome] = await asyncio.gather(calling, return_exceptions=True)
        peer.abort()
    assert isinstance(outcome, NETWORK_ERRORS), outcome
