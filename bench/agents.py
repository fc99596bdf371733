"""Agents that speak the link and run nothing: each task passes through its states by itself."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import msgspec
from msgspec import Raw, Struct

import tepui
from bench.calls import Value
from bench.faults import fault
from bench.processes import HOST
from tepui.resources import parse_resources
from tepui.wire import link, mesos

TaskState = mesos.TaskState
STATES = {
    2: (TaskState.TASK_RUNNING, TaskState.TASK_FINISHED),
    3: (TaskState.TASK_STARTING, TaskState.TASK_RUNNING, TaskState.TASK_FINISHED),
}
PROTOCOL = 1  # of the link: the oldest, which all masters speak
REGISTERED_S = 30.0  # an agent is admitted by then
UUID_BYTES = 6  # of 16 that differ
UUID_END = b"\x40\x00\x80\x00tepui\x00"  # version 4


# What a master sends, less what these agents do not need. The names are the tags of `wire.link`.


class _Message(Struct, frozen=True, tag=True, array_like=True):
    pass


class Hello(_Message, frozen=True):
    oldest: int


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


class UpdateFramework(_Message, frozen=True):
    pass


class Ping(_Message, frozen=True):
    sequence: int


_DECODER = msgspec.msgpack.Decoder(
    Hello | Registered | RunTasks | AcknowledgeUpdate | UpdateFramework | Ping
)


def greeting() -> link.Hello:
    """What both sides say first; of a version that is compared, perhaps, which knew one protocol."""
    return link.hello() if hasattr(link, "hello") else link.Hello(PROTOCOL, tepui.__version__)


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
        self._sent: dict[str, int] = {}  # updates of each task that is under way
        self._prepared: dict[tuple[int, int], list[bytes]] = {}  # by the lengths of the ids
        self._rest = b""
        self._is_upgraded = False
        self._pending: list[bytes] = []
        self._is_closed = False
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._now_s = time.time()
        self.registered: asyncio.Future[str] = self._loop.create_future()

    @property
    def idle(self) -> bool:
        """Every update of every task is acknowledged."""
        return not self._sent

    def tell_lost(self) -> None:
        """Count what was not acknowledged as faults."""
        for sent in self._sent.values():
            fault(f"{self._states[sent - 1].name} was not acknowledged to the agent")

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

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_closed:
            fault("the master broke a link")

    def close(self) -> None:
        """Break the link."""
        self._is_closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._is_upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            assert found, head
            assert head.startswith(b"HTTP/1.1 101"), head
            self._is_upgraded = True
            self._greet()
        at = 0
        while len(data) >= at + 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            self._take(data[at + 4 : end])
            at = end
        self._rest = data[at:]

    def _greet(self) -> None:
        """Say what comes first on a link."""
        for message in self._first_messages():
            self._send(message)

    def _first_messages(self) -> tuple[link.LinkMessage, ...]:
        return greeting(), link.Register(self._info, tepui.__version__, self._address)

    def _take(self, body: bytes) -> None:
        message = _DECODER.decode(body)
        match message:
            case AcknowledgeUpdate():
                task_id = message.task_id
                self._update(message.framework_id, task_id, self._sent[task_id])
            case RunTasks():
                for task in message.tasks:
                    self._update(message.framework.id.value, task.task_id.value, 0)
            case Ping():
                self._send(link.Pong(message.sequence))
            case Registered():
                self.registered.set_result(message.agent_id)
            case Hello():
                assert message.oldest == PROTOCOL, message

    def _update(self, framework_id: str, task_id: str, sent: int) -> None:
        """Send the next update after `sent` of them, or forget the task."""
        if sent == len(self._states):
            del self._sent[task_id]
            return
        self._sent[task_id] = sent + 1
        FakeAgent.uuids += 1
        lengths = len(framework_id), len(task_id)
        prepared = self._prepared.get(lengths) or self._prepare(*lengths)
        self._write(
            prepared[sent]
            % {
                b"framework": framework_id.encode(),
                b"task": task_id.encode(),
                b"uuid": FakeAgent.uuids.to_bytes(UUID_BYTES, "big"),
            }
        )

    def _prepare(self, framework_length: int, task_length: int) -> list[bytes]:
        """The frames of each update, for all ids of these lengths."""
        assert min(framework_length, task_length) >= UUID_BYTES, "shorter ones may occur by chance"
        framework_id, task_id = "\1" * framework_length, "\2" * task_length
        uuid = b"\3" * UUID_BYTES
        prepared = []
        for state in self._states:
            status = mesos.TaskStatus(
                task_id=mesos.TaskID(task_id),
                state=state,
                source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
                agent_id=self._agent_id,
                executor_id=mesos.ExecutorID(task_id),
                timestamp=self._now_s,
                uuid=uuid + UUID_END,
            )
            frame = link.frame(link.StatusUpdated(framework_id, status, state))
            if state is self._states[-1]:
                frame += link.frame(link.ExecutorExited(framework_id, task_id, 0, built_in=True))
            prepared.append(
                frame.replace(b"%", b"%%")
                .replace(framework_id.encode(), b"%(framework)b")
                .replace(task_id.encode(), b"%(task)b")
                .replace(uuid, b"%(uuid)b")
            )
        self._prepared[framework_length, task_length] = prepared
        return prepared

    def _send(self, message: link.LinkMessage) -> None:
        self._write(link.frame(message))

    def _write(self, frame: bytes) -> None:
        """All frames of a turn are one write."""
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(frame)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._pending))
        self._pending.clear()
