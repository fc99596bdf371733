"""Into containers, over the agent that runs them: sessions, terminals, ports.

    async with ContainerClient("127.0.0.1:5051") as agent:
        session = nested_id(container_id, "debug")
        async with agent.session(session, CommandInfo(value="ls")) as output:
            async for message in output: ...
        status = await agent.wait(session)

Source: Mesos docs/operator-http-api.md (LAUNCH_NESTED_CONTAINER_SESSION, ATTACH_CONTAINER_INPUT).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp

from tepui.sdk.errors import BadPeer, CallRefused, Disconnected, Unreachable
from tepui.sdk.http import REASON_BYTES_MAX, network_faults
from tepui.sdk.one_agent import OneAgent
from tepui.wire import agent, media, mesos
from tepui.wire.agent import ProcessIO
from tepui.wire.errors import Malformed
from tepui.wire.recordio import Deframer, frame

CALL_TIMEOUT_S = 60.0  # a container may need its time to start
RECORD_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES_MAX = 64 * 1024
TO_TYPE = "application/x-protobuf"

Type = agent.Call.Type
Attach = agent.Call.AttachContainerInput


def nested_id(parent: mesos.ContainerID, value: str) -> mesos.ContainerID:
    """The id of a container within another one."""
    return mesos.ContainerID(value=value, parent=parent)


def flat_id(container_id: mesos.ContainerID) -> str:
    """All values from the outermost on, joined by dots."""
    own = container_id.value
    return own if container_id.parent is None else f"{flat_id(container_id.parent)}.{own}"


def stdin_message(data: bytes) -> ProcessIO:
    """What is typed; nothing is the end of what is typed."""
    kind = ProcessIO.Data.Type.STDIN
    return ProcessIO(type=ProcessIO.Type.DATA, data=ProcessIO.Data(type=kind, data=data))


def window_message(rows: int, columns: int) -> ProcessIO:
    """The terminal has another size."""
    size = mesos.TTYInfo.WindowSize(rows=rows, columns=columns)
    kind = ProcessIO.Control.Type.TTY_INFO
    control = ProcessIO.Control(type=kind, tty_info=mesos.TTYInfo(window_size=size))
    return ProcessIO(type=ProcessIO.Type.CONTROL, control=control)


class ContainerClient(OneAgent):
    """One agent. Every call raises CallRefused, Unreachable or Disconnected, as OperatorClient's do."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._url = f"http://{address}/api/v1"

    def _new_session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        return aiohttp.ClientSession(timeout=timeout, connector=connector)

    @asynccontextmanager
    async def session(
        self,
        container_id: mesos.ContainerID,
        command: mesos.CommandInfo,
        tty: mesos.TTYInfo | None = None,
    ) -> AsyncIterator[AsyncIterator[ProcessIO]]:
        """Run the command within the container whose id is the parent; what it writes, to its end.

        It is killed when this context is left.
        """
        info = None
        if tty is not None:
            info = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS, tty_info=tty)
        part = agent.Call.LaunchNestedContainerSession(
            container_id=container_id, command=command, container=info
        )
        kind = Type.LAUNCH_NESTED_CONTAINER_SESSION
        call = agent.Call(type=kind, launch_nested_container_session=part)
        async with self._stream(call) as messages:
            yield messages

    @asynccontextmanager
    async def output(
        self, container_id: mesos.ContainerID
    ) -> AsyncIterator[AsyncIterator[ProcessIO]]:
        """What a session, or a container with a terminal, writes from now on."""
        part = agent.Call.AttachContainerOutput(container_id=container_id)
        call = agent.Call(type=Type.ATTACH_CONTAINER_OUTPUT, attach_container_output=part)
        async with self._stream(call) as messages:
            yield messages

    async def input(
        self, container_id: mesos.ContainerID, messages: AsyncIterator[ProcessIO]
    ) -> None:
        """Send the messages into the container; returns when they, or the container, have ended."""

        async def body() -> AsyncIterator[bytes]:
            first = Attach(type=Attach.Type.CONTAINER_ID, container_id=container_id)
            yield _record(first)
            async for message in messages:
                yield _record(Attach(type=Attach.Type.PROCESS_IO, process_io=message))

        headers = {
            "Content-Type": media.Media.RECORDIO.value,
            "Message-Content-Type": TO_TYPE,
            "Accept": TO_TYPE,
        }
        with network_faults():
            async with self._open.post(self._url, data=body(), headers=headers) as response:
                if response.status != 200:
                    raise CallRefused(response.status, await _reason(response))

    async def wait(self, container_id: mesos.ContainerID) -> int | None:
        """The wait status of a container's process, when it has ended; None: nobody knows it."""
        part = agent.Call.WaitContainer(container_id=container_id)
        answer = await self._call(agent.Call(type=Type.WAIT_CONTAINER, wait_container=part), None)
        return None if answer.wait_container is None else answer.wait_container.exit_status

    async def remove(self, container_id: mesos.ContainerID) -> None:
        """Nothing is kept of a container that has ended."""
        part = agent.Call.RemoveContainer(container_id=container_id)
        await self._call(agent.Call(type=Type.REMOVE_CONTAINER, remove_container=part))

    async def connect(
        self, container_id: mesos.ContainerID, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to what listens at `port` in the container."""
        host, _, at = self.address.rpartition(":")
        try:
            reader, writer = await asyncio.open_connection(
                host.strip("[]"), int(at), limit=HEAD_BYTES_MAX
            )
        except OSError as error:
            raise Unreachable(str(error)) from None
        path = f"/port-forward?container_id={quote(flat_id(container_id))}&port={port}"
        head = f"GET {path} HTTP/1.1\r\nHost: {self.address}\r\n"
        writer.write(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                status = int(answer.split(" ", 2)[1])
                if status != 101:
                    reason = (await reader.read(REASON_BYTES_MAX)).decode(errors="replace")
                    raise CallRefused(status, reason.strip())
        except BaseException as error:
            writer.close()
            too_long = asyncio.LimitOverrunError
            if isinstance(error, OSError | EOFError | ValueError | IndexError | too_long):
                raise Disconnected(str(error)) from None
            raise
        return reader, writer

    async def _call(
        self, call: agent.Call, timeout_s: float | None = CALL_TIMEOUT_S
    ) -> agent.Response:
        headers = {"Content-Type": TO_TYPE, "Accept": TO_TYPE}
        body = media.encode(call, media.Media.PROTOBUF)
        with network_faults():
            async with (
                asyncio.timeout(timeout_s),
                self._open.post(self._url, data=body, headers=headers) as response,
            ):
                if response.status not in (200, 202):
                    raise CallRefused(response.status, await _reason(response))
                answer = await response.read()
        if not answer:
            return agent.Response()
        return media.decode(agent.Response, answer, media.Media.PROTOBUF)

    @asynccontextmanager
    async def _stream(self, call: agent.Call) -> AsyncIterator[AsyncIterator[ProcessIO]]:
        headers = {
            "Content-Type": TO_TYPE,
            "Accept": media.Media.RECORDIO.value,
            "Message-Accept": TO_TYPE,
        }
        body = media.encode(call, media.Media.PROTOBUF)
        with network_faults():
            response = await self._open.post(self._url, data=body, headers=headers)
        try:
            if response.status != 200:
                raise CallRefused(response.status, await _reason(response))
            yield _messages(response)
        finally:
            response.close()


async def _messages(response: aiohttp.ClientResponse) -> AsyncIterator[ProcessIO]:
    records = Deframer(RECORD_BYTES_MAX)
    try:
        with network_faults():
            async for piece in response.content.iter_any():
                for record in records.feed(piece):
                    yield media.decode(ProcessIO, record, media.Media.PROTOBUF)
    except Malformed as malformed:
        raise BadPeer(malformed.text) from None


async def _reason(response: aiohttp.ClientResponse) -> str:
    return (await response.content.read(REASON_BYTES_MAX)).decode(errors="replace").strip()


def _record(attach: Attach) -> bytes:
    call = agent.Call(type=Type.ATTACH_CONTAINER_INPUT, attach_container_input=attach)
    return frame(media.encode(call, media.Media.PROTOBUF))
