"""Agents' links on real sockets: what a hostile agent says ends its own link and harms nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from msgspec import structs

from tepui.base.names import AgentId
from tepui.master.core import caps
from tepui.master.daemon import agent_link
from tepui.master.daemon.main import MasterDaemon
from tepui.web import link_writer
from tepui.web.link_writer import LinkWriter
from tepui.wire import link, mesos
from tepui.wire.media import Media
from tests.limits.kit import (
    DEADLINE_S,
    UPGRADE,
    Link,
    Stream,
    connect,
    get,
    raw_frame,
    register,
    running_master,
)
from tests.wire.test_link import recorded

pytestmark = pytest.mark.real


def play(scenario: Callable[[MasterDaemon], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with running_master() as master:
            await scenario(master)

    asyncio.run(whole())


def status_of(agent_id: str, task_id: str = "t", data: bytes | None = None) -> mesos.TaskStatus:
    return mesos.TaskStatus(
        task_id=mesos.TaskID(task_id),
        state=mesos.TaskState.TASK_RUNNING,
        agent_id=mesos.AgentID(agent_id),
        uuid=b"0123456789abcdef",
        timestamp=1.0,
        data=data,
    )


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        raw_frame(b"not msgpack"),
        raw_frame(b""),
        raw_frame(b"\x91\xa7Unknown"),
        raw_frame(b"\x92\xa4Pong\xa1x"),  # a sequence that is a text
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\x00\x00\x01",  # one byte more than a message may have
        link.frame(link.Pong(1)),  # before it has said who it is
        link.frame(link.Hello(link.PROTOCOL, "1")) + link.frame(link.Unregister()),
        link.frame(link.StatusUpdated("F", status_of("A"), mesos.TaskState.TASK_RUNNING)),
        link.frame(structs.replace(register(), address="nowhere")),
    ],
)
def test_what_is_not_of_the_link_ends_it_and_no_other(sent: bytes) -> None:
    async def scenario(master: MasterDaemon) -> None:
        good = await Link.registered(master.port, "good")
        bad = await Link.open(master.port, sent)
        assert await bad.hear() is None
        good.say(register("good"))  # still there, and still known
        assert isinstance(await good.hear(), link.Registered)
        assert len(master.links) == 1
        assert (await get(master.port, "/health"))[0] == 200

    play(scenario)


def test_a_peer_without_a_common_protocol_is_closed() -> None:
    async def scenario(master: MasterDaemon) -> None:
        future = await Link.open(master.port, link.frame(link.Hello(link.PROTOCOL + 1, "9")))
        assert await future.hear() is None

    play(scenario)


def test_an_agent_of_protocol_1_is_admitted() -> None:
    async def scenario(master: MasterDaemon) -> None:
        frames = [frame for frame, from_agent in recorded() if from_agent]
        agent = await Link.open(master.port, frames[0] + frames[1])
        welcome = await agent.hear()
        assert isinstance(welcome, link.Registered)
        assert list(master.state.agents) == [welcome.agent_id]

    play(scenario)


def test_who_greets_or_registers_twice_is_one_agent() -> None:
    async def scenario(master: MasterDaemon) -> None:
        agent = await Link.open(master.port)
        hello = link.Hello(link.PROTOCOL, "1")
        agent.say(hello, hello, register(), hello, register())
        first, second = await agent.hear(), await agent.hear()
        assert isinstance(first, link.Registered)
        assert first == second
        assert list(master.state.agents) == [first.agent_id]

    play(scenario)


def test_a_registration_that_arrives_byte_by_byte_is_one() -> None:
    async def scenario(master: MasterDaemon) -> None:
        agent = await Link.open(master.port)
        agent.writer.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        for byte in link.frame(register()):
            agent.writer.write(bytes([byte]))
            await agent.writer.drain()
        assert isinstance(await agent.hear(), link.Registered)

    play(scenario)


def test_half_a_message_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "REGISTRATION_MS", 50)

    async def scenario(master: MasterDaemon) -> None:
        for sent in (b"", b"\x00", link.frame(register())[:-1], link.frame(link.Hello(1, "1"))):
            slow = await Link.open(master.port, sent)
            assert await slow.hear() is None
        assert master.state.unregistered_links == {}
        assert master.state.closing_links == set()

    play(scenario)


def test_an_agent_speaks_for_itself_only() -> None:
    async def scenario(master: MasterDaemon) -> None:
        victim = await Link.registered(master.port, "victim")
        other = await Link.registered(master.port, "other")
        (victim_id, other_id) = master.state.agents
        info = structs.replace(register("victim").info, id=mesos.AgentID(victim_id))
        other.say(link.Reregister(info, "1", "victim:5051", (), (), ()))
        assert await other.hear() is None
        victim.say(register("victim"))
        assert await victim.hear() == link.Registered(
            AgentId(victim_id), 75_000, master.state.epoch
        )
        assert set(master.state.agents) == {victim_id, other_id}

    play(scenario)


@pytest.mark.parametrize("kind", [Media.JSON, Media.PROTOBUF])
def test_updates_of_unknown_tasks_and_frameworks_change_no_task(kind: Media) -> None:
    async def scenario(master: MasterDaemon) -> None:
        owner = await Stream.open(master.port, kind)
        agent = await Link.registered(master.port)
        (agent_id,) = master.state.agents
        status = status_of(agent_id)
        running = mesos.TaskState.TASK_RUNNING
        agent.say(
            link.StatusUpdated("nobody", status, running),
            link.StatusUpdated(owner.framework_id, structs.replace(status, uuid=None), running),
            link.ExecutorMessage("nobody", "ex", b"x"),
            link.ExecutorExited("nobody", "ex", 9, False),
            link.StatusUpdated(owner.framework_id, status, running),
        )
        event = await owner.next_of(event_type("UPDATE"))
        assert event.update is not None
        assert event.update.status.task_id.value == "t"  # told, as Mesos does, and not believed
        (framework,) = master.state.frameworks.values()
        assert framework.tasks == {}
        assert master.state.counters.events["invalid_status_updates"] == 3

    play(scenario)


def event_type(name: str) -> Any:  # mypy sees the members of the API's enums by name only
    from tepui.wire import scheduler

    return scheduler.Event.Type[name]


def test_a_flood_on_a_link_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []

    async def scenario(master: MasterDaemon) -> None:
        put = master.loop.put

        def watched(event: Any) -> None:  # any event of the core
            put(event)
            waited.append(master.loop.waiting)

        monkeypatch.setattr(master.leader._shared, "put", watched)
        floods = [await Link.registered(master.port, f"flood{number}") for number in range(8)]
        messages = 60_000
        pongs = link.frame(link.Pong(-1)) * messages
        for flood in floods:
            flood.writer.write(pongs + link.frame(register("again")))
        assert (await get(master.port, "/health"))[0] == 200
        late = await Link.registered(master.port, "late")
        late.close()
        assert (await get(master.port, "/health"))[0] == 200
        for flood in floods:
            assert isinstance(await flood.hear(), link.Registered)  # all before it was read
        assert max(waited) <= agent_link.CORE_WAITING_MAX + len(floods) * 256 + 16

    play(scenario)


def test_a_link_tells_so_much_in_a_turn() -> None:
    async def scenario() -> None:
        told: list[object] = []
        links = agent_link.SharedByLinks(told.append, lambda: 0, lambda _: None)
        transport = FakeTransport()
        one = agent_link.AgentLink(cast(Any, 1), links)
        one.connection_made(transport)
        told.clear()
        turn = agent_link.MESSAGES_PER_TURN_MAX
        one.data_received(link.frame(link.Pong(1)) * turn)
        assert len(told) == turn
        one.data_received(link.frame(link.Pong(1)) * (turn + 1))
        assert (len(told), transport.is_reading()) == (2 * turn, False)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (len(told), transport.is_reading()) == (2 * turn + 1, True)

    asyncio.run(scenario())


def test_while_the_core_has_much_before_it_links_are_not_read() -> None:
    async def scenario() -> None:
        told: list[object] = []
        waiting = agent_link.CORE_WAITING_MAX
        links = agent_link.SharedByLinks(told.append, lambda: waiting, lambda _: None)
        transport = FakeTransport()
        one = agent_link.AgentLink(cast(Any, 1), links)
        one.connection_made(transport)
        told.clear()
        one.data_received(link.frame(link.Pong(1)))
        assert (len(told), transport.is_reading()) == (1, True)
        waiting += 1
        one.data_received(link.frame(link.Pong(2)))
        assert (len(told), transport.is_reading()) == (1, False)
        waiting -= 1
        async with asyncio.timeout(DEADLINE_S):
            await transport.reads.wait()
        assert len(told) == 2

    asyncio.run(scenario())


def test_of_links_that_hold_too_much_together_the_largest_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_link, "HELD_BYTES_MAX", 3_000)

    async def scenario(master: MasterDaemon) -> None:
        good = await Link.registered(master.port, "good")
        large = await Link.open(master.port, raw_frame(bytes(5_000))[:2_000])
        small = await Link.open(master.port, raw_frame(bytes(5_000))[:1_000])
        good.say(register("good"))
        assert isinstance(await good.hear(), link.Registered)
        assert len(master.links) == 3  # exactly at the limit
        small.writer.write(b"x")
        assert await large.hear() is None
        assert len(master.links) == 2
        good.say(register("good"))
        assert isinstance(await good.hear(), link.Registered)

    play(scenario)


def test_unregistered_links_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "LINKS_MAX", 2)

    async def scenario(master: MasterDaemon) -> None:
        good = await Link.registered(master.port, "good")
        silent = [await Link.open(master.port) for _ in range(3)]
        assert await silent[0].hear() is None
        silent[1].say(register("late"))
        assert isinstance(await silent[1].hear(), link.Registered)
        good.say(register("good"))
        assert isinstance(await good.hear(), link.Registered)

    play(scenario)


def test_an_upgrade_with_the_first_messages_behind_it_is_read_whole() -> None:
    async def scenario(master: MasterDaemon) -> None:
        reader, writer = await connect(master.port)
        for byte in UPGRADE + link.frame(register()):
            writer.write(bytes([byte]))
        await reader.readuntil(b"\r\n\r\n")
        agent = Link(reader, writer)
        assert isinstance(await agent.hear(), link.Hello)
        assert isinstance(await agent.hear(), link.Registered)

    play(scenario)


# The writer, the same on both sides


class FakeTransport(asyncio.Transport):
    """A transport whose peer reads nothing, and that says what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self._is_closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    def abort(self) -> None:
        self._is_closing = True
        self.aborted.set()

    def is_reading(self) -> bool:
        return self.reads.is_set()

    def pause_reading(self) -> None:
        self.reads.clear()

    def resume_reading(self) -> None:
        self.reads.set()


def test_a_peer_that_reads_nothing_is_cut_off_at_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frame_bytes = len(link.frame(link.Pong(1)))
    monkeypatch.setattr(link_writer, "UNREAD_BYTES_MAX", 3 * frame_bytes)

    async def scenario() -> None:
        transport = FakeTransport()
        slow: list[bool] = []
        writer = LinkWriter(transport, lambda: slow.append(True))
        for _ in range(3):
            writer.send(link.Pong(1))
        await asyncio.sleep(0)
        assert (len(transport.written), slow) == (1, [])
        writer.send(link.Pong(1))
        await asyncio.sleep(0)
        assert transport.aborted.is_set()
        assert slow == [True]

    asyncio.run(scenario())


def test_what_may_be_lost_is_lost_before_the_link_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = link.SchedulerMessage("F", "ex", bytes(100))
    monkeypatch.setattr(link_writer, "LOSSY_UNREAD_BYTES_MAX", len(link.frame(lossy)))

    async def scenario() -> None:
        transport = FakeTransport()
        writer = LinkWriter(transport, lambda: None)
        for _ in range(4):
            writer.send(lossy)
        writer.send(link.Pong(1))
        await asyncio.sleep(0)
        assert writer.lost == 2
        assert b"".join(transport.written) == link.frame(lossy) * 2 + link.frame(link.Pong(1))

    asyncio.run(scenario())


def test_a_link_that_is_closed_does_not_wait_for_a_peer_that_reads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_writer, "CLOSE_MS", 1)

    async def scenario(master: MasterDaemon) -> None:
        agent = await Link.registered(master.port)
        (link_id,) = master.links
        deaf = master.links[link_id]
        gone = asyncio.Event()
        monkeypatch.setattr(master.leader._shared, "forget", lambda _: gone.set())
        deaf.send(link.SchedulerMessage("F", "ex", bytes(32 << 20)))  # no socket takes so much
        deaf.close()
        await gone.wait()
        agent.close()

    play(scenario)


def test_an_agent_that_neither_reads_nor_writes_any_more_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_writer, "CLOSE_MS", 1)

    async def scenario(master: MasterDaemon) -> None:
        agent = await Link.registered(master.port)
        (deaf,) = master.links.values()
        gone = asyncio.Event()
        monkeypatch.setattr(master.leader._shared, "forget", lambda _: gone.set())
        deaf.send(link.SchedulerMessage("F", "ex", bytes(32 << 20)))
        await asyncio.sleep(0)
        agent.writer.write_eof()
        await gone.wait()

    play(scenario)


def test_a_master_stops_although_an_agent_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_writer, "CLOSE_MS", 1)

    async def scenario(master: MasterDaemon) -> None:
        await Link.registered(master.port)
        (deaf,) = master.links.values()
        deaf.send(link.SchedulerMessage("F", "ex", bytes(32 << 20)))

    play(scenario)
