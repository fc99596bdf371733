"""Operators that subscribe to a running master whose state is large, while it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tepui.base.names import StreamId
from tepui.master.core import operator
from tepui.master.core.actions import Effects
from tepui.master.core.events import OperatorLeft
from tepui.master.core.state import State
from tepui.master.core.step import HANDLERS
from tepui.master.core.views import v1
from tepui.master.daemon.main import MasterDaemon
from tepui.resources import parse_resources
from tepui.web.filed import PIECE_BYTES
from tepui.web.snapshots import SnapshotFailed
from tepui.wire import json, link, master, media, mesos, recordio, scheduler
from tepui.wire.media import Media
from tests.limits.kit import Link, Stream, answer_of, chunks, connect, post, running_master
from tests.master.operator.mirror import Mirror

pytestmark = pytest.mark.real

Call = scheduler.Call
TaskState = mesos.TaskState
TASKS = 600  # that run before anybody subscribes
ROUNDS = 30  # in which a task is launched and another ends
LABEL_BYTES = 16 * 1024  # of each of TASKS: more than sockets hold
RECORD_BYTES_MAX = 1 << 30
BOTH = pytest.mark.parametrize("kind", [Media.JSON, Media.PROTOBUF])


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked, it is too much for the master itself."""

    def never(state: object) -> master.Event:
        raise AssertionError("made by the master itself")

    monkeypatch.setattr(operator, "SNAPSHOT_ITEMS_MIN", -1)
    monkeypatch.setattr(v1, "subscribed", never)


class Cluster:
    """A framework with one agent, and tasks that begin and end when a test says so."""

    def __init__(self, daemon: MasterDaemon, agent: Link, framework: Stream) -> None:
        self.daemon = daemon
        self.agent = agent
        self.framework = framework
        self._launched = 0
        self._updates = 0

    @classmethod
    async def open(cls, daemon: MasterDaemon) -> Cluster:
        """With TASKS that run."""
        agent = await Link.open(daemon.port)
        info = mesos.AgentInfo(
            hostname="h",
            resources=parse_resources("cpus:10000;mem:1000000").to_wire(role=None, refinement=True),
        )
        agent.say(link.Hello(link.PROTOCOL, "1"), link.Register(info, "1", "h:5051"))
        assert isinstance(await agent.hear(), link.Registered)
        self = cls(daemon, agent, await Stream.open(daemon.port))
        await self.launch(TASKS, LABEL_BYTES)
        return self

    async def launch(self, count: int, label_bytes: int = 1) -> None:
        """So many further tasks run."""
        offers = await self.framework.next_of(scheduler.Event.Type.OFFERS)
        assert offers.offers is not None
        (offer,) = offers.offers.offers
        label = mesos.Label(key="k", value="x" * label_bytes)
        tasks = tuple(
            mesos.TaskInfo(
                name="t",
                task_id=mesos.TaskID(f"t{self._launched + number}"),
                agent_id=offer.agent_id,
                resources=parse_resources("cpus:0.1;mem:1").to_wire(role=None, refinement=True),
                command=mesos.CommandInfo(value="true"),
                labels=mesos.Labels(labels=(label,)),
            )
            for number in range(count)
        )
        await self._call(
            Call.Type.ACCEPT,
            accept=Call.Accept(
                offer_ids=(offer.id,),
                operations=(
                    mesos.Offer.Operation(
                        type=mesos.Offer.Operation.Type.LAUNCH,
                        launch=mesos.Offer.Operation.Launch(task_infos=tasks),
                    ),
                ),
                filters=mesos.Filters(refuse_seconds=0.0),
            ),
        )
        heard = 0
        while heard < count:
            heard += isinstance(await self.agent.hear(), link.RunTasks)
        for number in range(self._launched, self._launched + count):
            self.agent.say(self._status(number, offer.agent_id, TaskState.TASK_RUNNING))
        self._launched += count

    def finish(self, number: int) -> None:
        """A task ends."""
        (agent_id,) = self.daemon.state.agents
        self.agent.say(self._status(number, mesos.AgentID(agent_id), TaskState.TASK_FINISHED))

    async def teardown(self) -> None:
        """The framework is removed, which is the last that operators are told."""
        await self._call(Call.Type.TEARDOWN)

    def _status(self, number: int, agent_id: mesos.AgentID, to: TaskState) -> link.StatusUpdated:
        self._updates += 1
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(f"t{number}"),
            state=to,
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            agent_id=agent_id,
            timestamp=1.0,
            uuid=(4 << 76 | 2 << 62 | self._updates).to_bytes(16, "big"),
        )
        return link.StatusUpdated(self.framework.framework_id, status, to)

    async def _call(self, kind: Call.Type, accept: Call.Accept | None = None) -> None:
        call = Call(
            type=kind, framework_id=mesos.FrameworkID(self.framework.framework_id), accept=accept
        )
        reader, writer = await connect(self.daemon.port)
        headers = (f"Mesos-Stream-Id: {self.framework.id}", "Connection: close")
        body = media.encode(call, Media.JSON)
        writer.write(post("/api/v1/scheduler", body, Media.JSON, *headers))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 202 "), answer


class Operator:
    """One who subscribes, and believes what is sent."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Media
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.kind = kind
        self.mirror = Mirror()

    @classmethod
    async def open(cls, port: int, kind: Media, receive_bytes: int = 0) -> Operator:
        """It has asked, and reads nothing yet."""
        reader, writer = await connect(port, receive_bytes=receive_bytes)
        writer.write(
            post("/api/v1", b'{"type":"SUBSCRIBE"}').replace(
                b"Accept: application/json", f"Accept: {kind.value}".encode()
            )
        )
        return cls(reader, writer, kind)

    async def head(self) -> str:
        """The head of the answer."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def read_until_removed(self) -> None:
        """Read until the framework is gone. A chunk is a record."""
        assert (await self.head()).startswith("HTTP/1.1 200 ")
        async for chunk in chunks(self.reader):
            (record,) = recordio.Deframer(RECORD_BYTES_MAX).feed(chunk)
            event = media.decode(master.Event, record, self.kind)
            self.mirror.apply(event)
            if event.framework_removed is not None:
                return
        raise AssertionError("the stream ended")


def play(scenario: Callable[[Cluster], Coroutine[None, None, None]]) -> None:
    async def whole() -> None:
        async with running_master() as daemon:
            await scenario(await Cluster.open(daemon))

    asyncio.run(whole())


async def get_state(port: int) -> master.Response.GetState:
    """What GET_STATE answers."""
    status, body = await answer_of(port, "/api/v1", b'{"type":"GET_STATE"}', "application/json")
    assert status == 200
    found = json.decode(master.Response, body).get_state
    assert found is not None
    return found


@BOTH
def test_state_and_events_together_are_the_state_at_the_end(kind: Media) -> None:
    async def scenario(cluster: Cluster) -> None:
        port = cluster.daemon.port
        operators: list[Operator] = []
        reading: list[asyncio.Task[None]] = []
        rounds = 0
        while rounds < ROUNDS or len(cluster.daemon.state.operators) < len(operators):
            if rounds < ROUNDS and rounds % 5 == 0:
                operators.append(await Operator.open(port, kind))
                reading.append(asyncio.create_task(operators[-1].read_until_removed()))
            await cluster.launch(1)
            cluster.finish(rounds)
            rounds += 1
        await cluster.teardown()
        await asyncio.gather(*reading)
        state = await get_state(port)
        for each in operators:
            each.mirror.assert_is(state)
        assert len(operators[0].mirror.tasks) == TASKS + rounds

    play(scenario)


@BOTH
def test_who_reads_slowly_is_told_all_that_changes_meanwhile(kind: Media) -> None:
    async def scenario(cluster: Cluster) -> None:
        slow = await Operator.open(cluster.daemon.port, kind, receive_bytes=4096)
        connections = cluster.daemon._server.site.connections
        for number in range(ROUNDS):
            await cluster.launch(1)
            cluster.finish(number)
            if number == ROUNDS // 2:
                await until(lambda: any(each._file for each in connections))
        await cluster.teardown()
        (unread_bytes,) = (each.unsent_bytes for each in connections if each._file)
        assert unread_bytes < 2 * PIECE_BYTES  # of more than it has not read
        await slow.read_until_removed()
        assert slow.mirror.kinds.count(master.Event.Type.TASK_ADDED) >= ROUNDS // 2 - 1
        slow.mirror.assert_is(await get_state(cluster.daemon.port))

    play(scenario)


@pytest.mark.parametrize("reads_head", [True, False])
def test_who_leaves_early_is_forgotten_once(
    reads_head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cluster: Cluster) -> None:
        daemon = cluster.daemon
        left: list[StreamId] = []

        def listen(state: State, event: OperatorLeft, now_ms: int, step: Effects) -> None:
            left.append(event.stream)
            operator.operator_left(state, event, now_ms, step)

        monkeypatch.setitem(HANDLERS, OperatorLeft, listen)
        early = await Operator.open(daemon.port, Media.JSON, receive_bytes=4096)
        if reads_head:
            await early.head()
        else:
            await until(lambda: bool(daemon.state.operators_waiting))
        (stream,) = (*daemon.state.operators, *daemon.state.operators_waiting)
        early.writer.transport.abort()
        await until(lambda: bool(left))
        await get_state(daemon.port)
        assert left == [stream]
        assert not daemon.state.operators
        assert not daemon.state.operators_waiting
        assert len(daemon.streams) == 1  # that of the framework

    play(scenario)


def test_who_can_not_be_told_is_answered_so_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(cluster: Cluster) -> None:
        daemon = cluster.daemon

        def fails(question: object) -> asyncio.Future[object]:
            made: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            made.set_exception(SnapshotFailed(503, "no snapshot today"))
            return made

        with monkeypatch.context() as failing:
            failing.setattr(daemon.leader._snapshots, "ask", fails)
            call = b'{"type":"SUBSCRIBE"}'
            answer = await answer_of(daemon.port, "/api/v1", call, "application/json")
        assert answer == (503, b"no snapshot today")
        await get_state(daemon.port)  # behind which nothing is left to be read
        assert not daemon.state.operators_waiting
        assert not daemon.state.operators
        assert len(daemon.streams) == 1

    play(scenario)


async def until(there: Callable[[], bool]) -> None:
    """Return when it is so; the deadline is the master's (`running_master`)."""
    while not there():  # noqa: ASYNC110  # a master does not say when it is so
        await asyncio.sleep(0)
