"""What the agent's shell reads of those that it asks: masters, and the servers that checks probe."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tepui.agent.daemon import master_link, probing
from tepui.agent.daemon.master_link import MasterLink, Refusal
from tepui.wire import link
from tests.limits.kit import DEADLINE_S

pytestmark = pytest.mark.real

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + link.frame(
    link.Hello(link.PROTOCOL, "test")
)


def answering(answers: list[bytes], play: Callable[[int], Awaitable[None]]) -> None:
    """Give `play` the port of a server that gives each connection the next answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        port = writer.get_extra_info("sockname")[1]
        writer.write(answers.pop(0).replace(b"PORT", b"%d" % port))
        try:
            await reader.read()
        finally:
            writer.transport.abort()

    async def whole() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with asyncio.timeout(DEADLINE_S):
            await play(server.sockets[0].getsockname()[1])
        server.close()
        await asyncio.sleep(0)

    asyncio.run(whole())


@pytest.mark.parametrize("count", [master_link.REDIRECTS_MAX - 1, master_link.REDIRECTS_MAX])
def test_an_agent_is_redirected_so_often(count: int) -> None:
    redirect = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:PORT/link\r\n\r\n"

    async def play(port: int) -> None:
        uplink = MasterLink(f"127.0.0.1:{port}", lambda _: None, 1)
        if count < master_link.REDIRECTS_MAX:
            await uplink._connect()
        else:
            with pytest.raises(Refusal, match="redirected 5 times"):
                await uplink._connect()
        await uplink.stop()

    answering([redirect] * count + [UPGRADED], play)


@pytest.mark.parametrize("more_bytes", [0, 1])
def test_an_answer_to_the_upgrade_has_so_many_bytes(more_bytes: int) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nX: "
    fill = b"x" * (master_link.HEAD_BYTES_MAX - len(head) + more_bytes)

    async def play(port: int) -> None:
        uplink = MasterLink(f"127.0.0.1:{port}", lambda _: None, 1)
        if more_bytes:
            with pytest.raises(Refusal, match="the answer to the upgrade is too long"):
                await uplink._connect()
        else:  # it waits for the end of the head
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await uplink._connect()
        await uplink.stop()

    answering([head + fill], play)


@pytest.mark.parametrize("more_bytes", [0, 1])
def test_the_first_line_of_an_answer_to_a_check_has_so_many_bytes(more_bytes: int) -> None:
    begin = b"HTTP/1.1 200 "
    # The end of the line is a byte of it.
    fill = b"x" * (probing.STATUS_LINE_BYTES_MAX - len(begin) - 1 + more_bytes)

    async def play(port: int) -> None:
        url = f"http://127.0.0.1:{port}/"
        if more_bytes:
            with pytest.raises(ValueError, match="longer than limit"):
                await probing._get_status(url, None)
        else:
            assert await probing._get_status(url, None) == 200

    answering([begin + fill + b"\r\n"], play)
