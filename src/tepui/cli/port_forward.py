"""`tepui task port-forward`: local ports that lead to ports of a task."""

from __future__ import annotations

import asyncio
import contextlib

import click

from tepui.cli.inside import Inside
from tepui.sdk import SdkError
from tepui.sdk.reach import ContainerClient

PIECE_BYTES = 64 * 1024
HOST = "127.0.0.1"


async def forward(inside: Inside, ports: list[tuple[int, int]]) -> None:
    """Listen until interrupted."""
    async with contextlib.AsyncExitStack() as stack:
        agent = await stack.enter_async_context(ContainerClient(inside.address))
        for local, remote in ports:
            try:
                server = await asyncio.start_server(_Forwarding(agent, inside, remote), HOST, local)
            except OSError as error:
                raise click.ClickException(f"port {local}: {error.strerror}") from None
            stack.callback(server.close)
            bound = server.sockets[0].getsockname()[1]
            click.echo(f"forwarding {HOST}:{bound} to {inside.task.task_id.value}:{remote}")
        await asyncio.Event().wait()


class _Forwarding:
    """Takes the connections of one port."""

    def __init__(self, agent: ContainerClient, inside: Inside, remote: int) -> None:
        self._agent = agent
        self._inside = inside
        self._remote = remote

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far = await self._agent.connect(self._inside.container_id, self._remote)
        except SdkError as error:
            click.echo(f"tepui: port {self._remote}: {error}", err=True)
            writer.close()
            return
        try:
            await asyncio.gather(_pipe(reader, far[1]), _pipe(far[0], writer))
        finally:
            far[1].close()
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
