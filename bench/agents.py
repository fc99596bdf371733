"""Agents that speak the link and run nothing: each task passes through its states by itself."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import msgspec
from msgspec import Raw, Struct

import tepui
from bench.calls import Value
from bench.processes import HOST
from tepui.resources import parse_resources
from tepui.wire import link, mesos

TaskState = mesos.TaskState
STATES = {
    2: (TaskState.TASK_RUNNING, TaskState.TASK_FINISHED),
    3: (TaskState.TASK_STARTING, TaskState.TASK_RUNNING, TaskState.TASK_FINISHED),
}
REGISTERED_S = 30.0  # an agent is admitted by then
UUID_END = b"\x40\x00\x80\x00tepui\x00"  # version 4


# What a master sends, less what these agents do not need. The names are the tags of `wire.link`.


class _Message(Struct, frozen=True, tag=True, array_like=True):
    pass


class Hello(_Message, frozen=True):
    protocol: int


class Registered(_Message, frozen=True):
    agent_id: str


class _Framework(Struct, frozen=True):
    id: Value


class _Task(Struct, frozen=True):
    task_id: Value


class RunTasks(_Message, frozen=True):
    framework: _Framework
    executor: Raw
    tasks: tuple[_Task, ...]


class AcknowledgeUpdate(_Message, frozen=True):
    framework_id: str
    task_id: str


class Ping(_Message, frozen=True):
    sequence: int


_DECODER = msgspec.msgpack.Decoder(Hello | Registered | RunTasks | AcknowledgeUpdate | Ping)


class FakeAgent(asyncio.Protocol):
    """One agent: registers, and sends each update of a task when the one before is acknowledged.

    As a real one it says of a command that ended that its executor has ended, too.
    """

    uuids = 0  # of all agents

    def __init__(self, number: int, port: int, resources: str, updates: int) -> None:
        self._info = mesos.AgentInfo(
            hostname=f"host{number}",
            port=5051,
            resources=parse_resources(resources).to_wire(role=None, refinement=True),
        )
        self._address = f"{HOST}:{20_000 + number}"
        self._master = port
        self._states = STATES[updates]
        self._sent: dict[str, int] = {}  # updates of each task
        self._rest = b""
        self._is_upgraded = False
        self._pending: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._now_s = time.time()
        self.registered: asyncio.Future[str] = self._loop.create_future()

    async def connect(self) -> None:
        """Return when the master has admitted the agent."""
        await self._loop.create_connection(lambda: self, HOST, self._master)
        async with asyncio.timeout(REGISTERED_S):
            self._agent_id = mesos.AgentID(await self.registered)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # TCP connections have this kind
        self._transport.write(
            f"GET /link HTTP/1.1\r\nHost: {HOST}:{self._master}\r\nConnection: Upgrade\r\n"
            "Upgrade: tepui-link\r\n\r\n".encode()
        )

    def close(self) -> None:
        """Break the link."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._is_upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            assert found, head
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_upgraded = True
            self._send(link.Hello(link.PROTOCOL, tepui.__version__))
            self._send(link.Register(self._info, tepui.__version__, self._address))
        at = 0
        while len(data) >= at + 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            self._take(data[at + 4 : end])
            at = end
        self._rest = data[at:]

    def _take(self, body: bytes) -> None:
        message = _DECODER.decode(body)
        match message:
            case AcknowledgeUpdate():
                self._update(message.framework_id, message.task_id)
            case RunTasks():
                for task in message.tasks:
                    self._update(message.framework.id.value, task.task_id.value)
            case Ping():
                self._send(link.Pong(message.sequence))
            case Registered():
                self.registered.set_result(message.agent_id)
            case Hello():
                assert message.protocol == link.PROTOCOL, message

    def _update(self, framework_id: str, task_id: str) -> None:
        sent = self._sent.get(task_id, 0)
        if sent == len(self._states):
            del self._sent[task_id]
            return
        self._sent[task_id] = sent + 1
        state = self._states[sent]
        FakeAgent.uuids += 1
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(task_id),
            state=state,
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            agent_id=self._agent_id,
            executor_id=mesos.ExecutorID(task_id),
            timestamp=self._now_s,
            uuid=FakeAgent.uuids.to_bytes(6, "big") + UUID_END,
        )
        self._send(link.StatusUpdated(framework_id, status, state))
        if sent + 1 == len(self._states):
            self._send(link.ExecutorExited(framework_id, task_id, 0, built_in=True))

    def _send(self, message: link.LinkMessage) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(link.frame(message))

    def _flush(self) -> None:
        assert self._transport is not None
        self._transport.write(b"".join(self._pending))
        self._pending.clear()
