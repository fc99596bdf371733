"""Executors of a running agent that subscribe twice, never read, or speak of what is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from msgspec import structs

from tepui.agent.daemon.main import AgentDaemon
from tepui.web import event_streams, stream
from tepui.wire import executor, link, media, mesos
from tepui.wire.media import Media
from tests.agent.daemon.fake_master import FakeMaster, command_task, run_task, running_agent
from tests.limits.kit import DEADLINE_S, chunks, close_all, connect, post

pytestmark = pytest.mark.real

Call = executor.Call
Event = executor.Event
BOTH = pytest.mark.parametrize("kind", [Media.JSON, Media.PROTOBUF])
UUID_BYTES = UUID(int=1, version=4).bytes
PATH = "/api/v1/executor"


def play(scenario: Callable[[FakeMaster, AgentDaemon], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_agent() as (master, agent):
            try:
                async with asyncio.timeout(DEADLINE_S):
                    await scenario(master, agent)
            finally:
                await close_all()

    asyncio.run(whole())


def launch(master: FakeMaster, task_id: str = "a", executor_id: str = "ex") -> None:
    """An executor that does nothing has the task; the test speaks for it."""
    task = command_task(task_id, "")
    info = mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.CUSTOM,
        executor_id=mesos.ExecutorID(executor_id),
        command=mesos.CommandInfo(value="sleep 1000"),
        resources=task.resources,
    )
    master.send(run_task(structs.replace(task, command=None, executor=info)))


def call(
    kind: Call.Type, executor_id: str = "ex", framework_id: str = "F", **parts: object
) -> Call:
    return Call(
        type=kind,
        executor_id=mesos.ExecutorID(executor_id),
        framework_id=mesos.FrameworkID(framework_id),
        **parts,  # type: ignore[arg-type]  # the test's own
    )


async def answer(agent: AgentDaemon, said: Call, kind: Media) -> tuple[int, str]:
    """Status and text of the agent's answer."""
    reader, writer = await connect(agent.port)
    writer.write(post(PATH, media.encode(said, kind), kind, "Connection: close"))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body.decode()


class Subscribed:
    """The stream of an executor."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Media
    ) -> None:
        self.writer = writer
        self._chunks = chunks(reader)
        self._kind = kind

    @classmethod
    async def open(
        cls,
        agent: AgentDaemon,
        kind: Media,
        executor_id: str = "ex",
        *,
        receive_bytes: int = 0,
    ) -> Subscribed:
        """Subscribed, as soon as the agent has heard of the executor."""
        said = call(Call.Type.SUBSCRIBE, executor_id, subscribe=Call.Subscribe())
        while True:  # until the deadline of `play`
            reader, writer = await connect(agent.port, receive_bytes=receive_bytes)
            writer.write(post(PATH, media.encode(said, kind), kind))
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 200 "):
                self = cls(reader, writer, kind)
                assert (await self.next_of(Event.Type.SUBSCRIBED)).subscribed is not None
                return self
            writer.transport.abort()

    async def next(self) -> Event | None:
        """The next event; None at the end."""
        record = await anext(self._chunks, None)
        if record is None:
            return None
        return media.decode(Event, record.partition(b"\n")[2], self._kind)

    async def next_of(self, kind: Event.Type) -> Event:
        """The next event of that kind."""
        while (event := await self.next()) is not None:
            if event.type is kind:
                return event
        raise AssertionError(f"the stream ended before {kind}")


def status(task_id: str, executor_id: str = "ex") -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=mesos.TaskState.TASK_RUNNING,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        executor_id=mesos.ExecutorID(executor_id),
        uuid=UUID_BYTES,
    )


@BOTH
def test_who_subscribes_twice_has_one_stream(kind: Media) -> None:
    async def scenario(master: FakeMaster, agent: AgentDaemon) -> None:
        launch(master)
        first = await Subscribed.open(agent, kind)
        second = await Subscribed.open(agent, kind)
        while await first.next() is not None:
            pass  # it ends
        master.send(link.SchedulerMessage("F", "ex", b"hello"))
        heard = await second.next_of(Event.Type.MESSAGE)
        assert heard.message is not None
        assert heard.message.data == b"hello"
        assert len(agent.state.connections) == 1

    play(scenario)


@BOTH
def test_an_executor_speaks_of_its_own_tasks_only(kind: Media) -> None:
    async def scenario(master: FakeMaster, agent: AgentDaemon) -> None:
        launch(master, "a", "ex")
        launch(master, "b", "other")
        own = await Subscribed.open(agent, kind, "ex")
        await Subscribed.open(agent, kind, "other")

        async def said(one: Call) -> tuple[int, str]:
            return await answer(agent, one, kind)

        foreign = Call.Update(status=status("b"))
        assert (await said(call(Call.Type.UPDATE, update=foreign)))[0] == 202
        acknowledged = await own.next_of(Event.Type.ACKNOWLEDGED)  # or it would come for ever
        assert acknowledged.acknowledged is not None
        wrong = call(Call.Type.UPDATE, "other", update=Call.Update(status=status("b")))
        assert (await said(wrong))[0] == 400
        unknown = call(Call.Type.UPDATE, "nobody", update=Call.Update(status=status("a", "nobody")))
        assert await said(unknown) == (400, "Executor cannot be found")
        elsewhere = call(Call.Type.UPDATE, "ex", "G", update=Call.Update(status=status("a")))
        assert await said(elsewhere) == (400, "Framework cannot be found")
        assert (await said(call(Call.Type.UPDATE, update=Call.Update(status=status("a")))))[
            0
        ] == 202
        await master.updates("a", 1)
        assert [one.task_id.value for one in master.statuses] == ["a"]

    play(scenario)


@BOTH
def test_an_executor_that_never_reads_is_told_so_and_cut_off(
    monkeypatch: pytest.MonkeyPatch, kind: Media
) -> None:
    made = stream.RecordStream

    def small(on_close: Callable[[], None], *, overflow_record: bytes) -> stream.RecordStream:
        return made(on_close, overflow_record=overflow_record, bytes_max=100_000)

    monkeypatch.setattr(event_streams, "RecordStream", small)

    async def scenario(master: FakeMaster, agent: AgentDaemon) -> None:
        launch(master)
        deaf = await Subscribed.open(agent, kind, receive_bytes=4096)
        while agent.state.connections:  # until the deadline of `play`
            master.send(link.SchedulerMessage("F", "ex", bytes(200_000)))
            assert (await answer(agent, call(Call.Type.HEARTBEAT), kind))[0] == 202
        last = await deaf.next_of(Event.Type.ERROR)
        assert last.error is not None
        assert last.error.message == "The executor does not read its events"
        assert await deaf.next() is None
        master.send(run_task(command_task("other", "true")))
        assert len(await master.updates("other", 3)) == 3  # the agent goes on

    play(scenario)


@BOTH
def test_a_body_that_is_not_the_api_is_refused_and_the_stream_goes_on(kind: Media) -> None:
    async def scenario(master: FakeMaster, agent: AgentDaemon) -> None:
        launch(master)
        good = await Subscribed.open(agent, kind)
        for body in (b"", b"\xff" * 100, b"{" * 100_000, b'{"type":' + b"9" * 10_000 + b"}"):
            reader, writer = await connect(agent.port)
            writer.write(post(PATH, body, kind, "Connection: close"))
            assert (await reader.read()).startswith(b"HTTP/1.1 400 "), body[:20]
        master.send(link.SchedulerMessage("F", "ex", b"x"))
        await good.next_of(Event.Type.MESSAGE)

    play(scenario)
