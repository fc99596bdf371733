"""A master for the tests of the agent: one link, and what the agent says on it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.main import AgentDaemon
from tepui.agent.daemon.options import AgentOptions
from tepui.wire import link, mesos

DEADLINE_S = 20.0  # for anything that is awaited
FRAMEWORK = mesos.FrameworkInfo(user="root", name="f", id=mesos.FrameworkID("F"))

M = TypeVar("M", bound=link.LinkMessage)


class FakeMaster:
    """Upgrades /link, admits the agent as `A`, and acknowledges every update unless told."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.acknowledges = True
        self.seen: list[link.FromAgent] = []  # all but greetings and pongs
        self.statuses: list[mesos.TaskStatus] = []  # each update once
        self.connections = 0
        self.last_words: tuple[link.FromMaster, ...] = ()  # to an agent that says nothing more
        self._came = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()

    def send(self, message: link.FromMaster) -> None:
        assert self._writer is not None
        self._writer.write(link.frame(message))

    def break_link(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    async def see(self, kind: type[M], nth: int = 1) -> M:
        """The nth message of that kind, when it has come."""

        def found() -> list[M]:
            return [one for one in self.seen if isinstance(one, kind)]

        async with asyncio.timeout(DEADLINE_S), self._came:
            await self._came.wait_for(lambda: len(found()) >= nth)
        return found()[nth - 1]

    async def updates(self, task_id: str, count: int) -> list[mesos.TaskStatus]:
        """The first updates of the task, when so many have come."""

        def found() -> list[mesos.TaskStatus]:
            return [one for one in self.statuses if one.task_id.value == task_id]

        async with asyncio.timeout(DEADLINE_S), self._came:
            await self._came.wait_for(lambda: len(found()) >= count)
        return found()[:count]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /link HTTP/1.1\r\n"), head
        assert b"Upgrade: tepui-link\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
        )
        self._writer = writer
        self.connections += 1
        self.send(link.Hello(link.PROTOCOL, "test"))
        messages = link.LinkReader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for message in messages.from_agent(data):
                    self._take(message)
                async with self._came:
                    self._came.notify_all()
            for words in self.last_words:
                self.send(words)
        writer.close()

    def _take(self, message: link.FromAgent) -> None:
        if isinstance(message, link.Hello | link.Pong):
            return
        self.seen.append(message)
        if isinstance(message, link.Register | link.Return):
            self.send(link.Registered("A", 60_000))
        elif isinstance(message, link.StatusUpdated):
            self._take_status(message)

    def _take_status(self, message: link.StatusUpdated) -> None:
        status = message.status
        if status.uuid not in [one.uuid for one in self.statuses]:
            self.statuses.append(status)
        assert status.uuid is not None
        if self.acknowledges:
            task_id = status.task_id.value
            self.send(link.AcknowledgeUpdate(message.framework_id, task_id, status.uuid))


@contextlib.asynccontextmanager
async def running_agent(
    **options: int | str | bool | ContainerOptions,
) -> AsyncIterator[tuple[FakeMaster, AgentDaemon]]:
    """A registered agent with directories of its own, and its master."""
    master = FakeMaster()
    await master.start()
    with tempfile.TemporaryDirectory(prefix="tepui-agent-") as root:
        daemon = AgentDaemon(
            AgentOptions(
                master=f"127.0.0.1:{master.port}",
                work_dir=str(Path(root) / "work"),
                runtime_dir=str(Path(root) / "run"),
                port=0,
                resources="cpus:4;mem:1024;disk:1000",
                attributes="rack:r1",
                registration_backoff_factor_ms=1,
                **options,  # type: ignore[arg-type]  # the test's own
            )
        )
        try:
            await daemon.start()
            await master.see(link.Register)
            yield master, daemon
        finally:
            await daemon.stop()
            await master.stop()


def command_task(
    task_id: str, command: str, *, uris: tuple[mesos.CommandInfo.URI, ...] = ()
) -> mesos.TaskInfo:
    return mesos.TaskInfo(
        name=task_id,
        task_id=mesos.TaskID(task_id),
        agent_id=mesos.AgentID("A"),
        resources=(
            mesos.Resource(
                name="cpus", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(0.1)
            ),
            mesos.Resource(name="mem", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(64)),
        ),
        command=mesos.CommandInfo(value=command, uris=uris),
    )


def run_task(task: mesos.TaskInfo, framework: mesos.FrameworkInfo = FRAMEWORK) -> link.RunTasks:
    return link.RunTasks(framework, task.executor, (task,), False, "*")
