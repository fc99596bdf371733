"""The link: redirects, other protocols, masters that are not there, and the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.core.events import Event, LinkLost, LinkOpened, MasterSpoke
from tepui.agent.daemon import main, master_link
from tepui.agent.daemon.main import AgentDaemon, run
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.options import AgentOptions
from tepui.base.addresses import address_of
from tepui.base.errors import Refused
from tepui.wire import link, mesos
from tests.agent.daemon.fake_master import (
    DEADLINE_S,
    FRAMEWORK,
    FakeMaster,
    command_task,
    run_task,
    running_agent,
)

pytestmark = pytest.mark.real


class Heard:
    """The events of a link, as they come."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(DEADLINE_S):
            return await self._events.get()


async def answering(answers: list[bytes]) -> asyncio.Server:
    """A server that gives each connection the next answer, and closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def port_of(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port


def test_a_standby_sends_the_agent_to_the_leader() -> None:
    async def scenario() -> None:
        master = FakeMaster()
        await master.start()
        head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:%d/link\r\n\r\n"
        standby = await answering([head % master.port])
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(standby)}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        assert uplink.leader == f"127.0.0.1:{master.port}"
        master.break_link()
        assert await heard.next() == LinkLost()
        uplink.open_again()
        assert await heard.next() == LinkOpened()
        await uplink.stop()
        await master.stop()
        standby.close()

    asyncio.run(scenario())


def test_what_was_meant_for_a_lost_link_is_not_sent_on_the_next() -> None:
    async def scenario() -> None:
        master = FakeMaster()
        await master.start()
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{master.port}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        master.break_link()
        assert await heard.next() == LinkLost()
        uplink.send(link.ExecutorMessage("F", "late", b""))
        uplink.open_again()
        assert await heard.next() == LinkOpened()
        uplink.send(link.ExecutorMessage("F", "new", b""))
        assert (await master.see(link.ExecutorMessage)).executor_id == "new"
        await uplink.stop()
        await master.stop()

    asyncio.run(scenario())


def test_an_agent_tries_again_until_it_is_understood() -> None:
    async def scenario() -> None:
        upgraded = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        good = upgraded + link.frame(link.Hello(link.PROTOCOL, "test"))
        answers = [
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            b"nonsense",
            upgraded + link.frame(link.Hello(link.PROTOCOL + 1, "future")),
            upgraded + b"\xff\xff\xff\xff",
            upgraded + link.frame(link.Ping(1)),
            b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000,
            good,
        ]
        server = await answering(answers)
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        assert answers == [good]
        await uplink.stop()
        server.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("hello", "protocol"),
    [
        (link.Hello(1, "0.1.0"), 1),
        (link.hello(), link.PROTOCOL),
        (link.Hello(1, "future", link.PROTOCOL + 1), link.PROTOCOL),
    ],
)
def test_the_core_knows_the_protocol_that_the_master_speaks(
    hello: link.Hello, protocol: int
) -> None:
    async def scenario() -> None:
        server = await answering([b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + link.frame(hello)])
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened(protocol)
        await uplink.stop()
        server.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("h:1", ("h", 1)),
        ("127.0.0.1:65535", ("127.0.0.1", 65_535)),
        ("[::1]:5050", ("::1", 5050)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert address_of(text, "master") == address


@pytest.mark.parametrize(
    "text", ["", "h", ":5050", "h:", "h:0", "h:65536", "h:\u00b2", "h:-1", "h:" + "9" * 5_000]
)
def test_what_is_not_host_and_port_is_refused_at_the_start(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^master '.*' is not host:port"):
        AgentDaemon(AgentOptions(master=text, work_dir=str(tmp_path), runtime_dir="/r", port=0))


def test_a_name_that_no_host_can_have_is_refused() -> None:
    with pytest.raises(Refused, match=r"^master 'a\.\.b:5050': 'a\.\.b' is not the name of a host"):
        address_of("a..b:5050", "master")


@pytest.mark.parametrize("location", [b"//a..b:5050/", b"//h:\xb2/", b"//h:65536/", b"//a\x00b:1/"])
def test_a_redirect_to_nowhere_is_survived(location: bytes) -> None:
    async def scenario() -> None:
        head = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + location + b"\r\n\r\n"
        good = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        good += link.frame(link.Hello(link.PROTOCOL, "test"))
        server = await answering([head, good])
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        await uplink.stop()
        server.close()

    asyncio.run(scenario())


def test_a_master_that_does_not_greet_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_link, "GREETING_MS", 1)

    async def scenario() -> None:
        closed = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")  # and no Hello
            try:
                while await reader.read(1024):
                    pass
            except ConnectionError:
                pass
            closed.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", Heard().put, 1)
        uplink.start()
        async with asyncio.timeout(DEADLINE_S):
            await closed.wait()
        await uplink.stop()
        server.close()

    asyncio.run(scenario())


def test_a_master_that_cannot_be_reached_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_link, "CONNECT_MS", 1)

    async def scenario() -> None:
        tries: asyncio.Queue[str] = asyncio.Queue()

        async def hanging(protocol: object, host: str, port: int) -> None:
            tries.put_nowait(f"{host}:{port}")
            await asyncio.Event().wait()

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hanging)
        uplink = MasterLink("h:1", Heard().put, 1)
        uplink.start()
        async with asyncio.timeout(DEADLINE_S):
            assert [await tries.get(), await tries.get()] == ["h:1", "h:1"]
        await uplink.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("is_registered", [True, False])
def test_only_a_registration_ends_the_backing_off(
    is_registered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master_link, "RETRY_MIN_MS", 1)

    async def scenario() -> None:
        good = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        good += link.frame(link.Hello(link.PROTOCOL, "test"))
        server = await answering([good])
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", heard.put, 1)
        uplink.start()
        for _ in range(5):
            assert await heard.next() == LinkOpened()
            if is_registered:
                uplink.registered()
            assert await heard.next() == LinkLost()
            uplink.open_again()
        assert await heard.next() == LinkOpened()
        assert uplink.retry_ms == (1 if is_registered else 32)
        await uplink.stop()
        server.close()

    asyncio.run(scenario())


def test_a_master_may_be_started_after_its_agents() -> None:
    async def scenario() -> None:
        first = await answering([b""])
        port = port_of(first)
        first.close()
        await first.wait_closed()
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port}", heard.put, 1)
        uplink.start()
        master = FakeMaster(port)
        await master.start()
        assert await heard.next() == LinkOpened()
        await uplink.stop()
        await master.stop()

    asyncio.run(scenario())


def test_the_master_may_end_the_agent() -> None:
    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            master.send(run_task(command_task("t", "sleep 1000")))
            await master.updates("t", 2)
            master.send(link.Shutdown("go away"))
            async with asyncio.timeout(DEADLINE_S):
                await daemon.shell.ended.wait()

    asyncio.run(scenario())


def test_sigterm_ends_the_agent_and_tells_the_master(tmp_path: os.PathLike[str]) -> None:
    async def scenario() -> None:
        master = FakeMaster()
        await master.start()
        options = AgentOptions(
            master=f"127.0.0.1:{master.port}",
            work_dir=os.path.join(tmp_path, "work"),
            runtime_dir=os.path.join(tmp_path, "run"),
            port=0,
            resources="cpus:1;mem:100",
        )
        running = asyncio.create_task(run(options))
        await master.see(link.Register)
        master.send(run_task(command_task("t", "sleep 1000")))
        await master.updates("t", 2)
        os.kill(os.getpid(), signal.SIGUSR1)
        await master.see(link.Unregister)
        async with asyncio.timeout(DEADLINE_S):
            await running
        await master.stop()

    asyncio.run(scenario())


def test_what_the_master_has_sent_is_taken_by_an_agent_that_ends() -> None:
    async def scenario() -> None:
        master = FakeMaster()
        await master.start()
        last = run_task(command_task("t", "true"))
        master.last_words = (last,)
        heard = Heard()

        def put(event: Event) -> None:
            heard.put(event)
            uplink.send(link.Pong(1))  # after the end it is left out

        uplink = MasterLink(f"127.0.0.1:{master.port}", put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        await uplink.stop()
        assert await heard.next() == MasterSpoke(last)
        await master.stop()

    asyncio.run(scenario())


def test_a_master_that_does_not_close_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master_link, "END_MS", 1)

    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
            writer.write(head + link.frame(link.Hello(link.PROTOCOL, "test")))
            await stopped.wait()
            writer.close()

        stopped = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        heard = Heard()
        uplink = MasterLink(f"127.0.0.1:{port_of(server)}", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        async with asyncio.timeout(DEADLINE_S):
            await uplink.stop()
        stopped.set()
        server.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("in_time", [True, False])
def test_a_launch_is_brought_to_its_end_by_an_agent_that_leaves_its_tasks_or_by_the_next(
    in_time: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "SETTLE_MS", 1_000 * DEADLINE_S if in_time else 1)

    async def scenario() -> None:
        asked, answer = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await answer.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        files = await asyncio.start_server(serve, "127.0.0.1", 0)
        master = FakeMaster()
        await master.start()
        options = AgentOptions(
            master=f"127.0.0.1:{master.port}",
            work_dir=str(tmp_path / "work"),
            runtime_dir=str(tmp_path / "run"),
            port=0,
            resources="cpus:1;mem:100",
        )
        before = AgentDaemon(options)
        await before.start()
        await master.see(link.Register)
        uri = mesos.CommandInfo.URI(value=f"http://127.0.0.1:{port_of(files)}/file")
        checkpointed = structs.replace(FRAMEWORK, checkpoint=True)
        master.send(run_task(command_task("t", "sleep 1000", uris=(uri,)), checkpointed))
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
            stopping = asyncio.create_task(before.stop(leaves_tasks=True))
            if not in_time:
                await stopping
            answer.set()
            await stopping
        after = AgentDaemon(structs.replace(options, port=before.port))
        await after.start()
        first, *_ = await master.updates("t", 1)
        assert first.state is mesos.TaskState.TASK_STARTING
        await after.stop()
        await master.stop()
        files.close()

    asyncio.run(scenario())


class Told:
    """A Finder that says what the test does."""

    is_told = True
    leader = "127.0.0.1:1"

    def start(self, moved: Callable[[str], None]) -> None:
        self.moved = moved

    async def next(self) -> str:
        return self.leader

    async def stop(self) -> None:
        pass


def test_a_failure_is_not_waited_out_when_another_master_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(master_link, "RETRY_MIN_MS", 1_000 * DEADLINE_S * 4)

    async def scenario() -> None:
        told = Told()
        monkeypatch.setattr(master_link, "finder", lambda master: told)
        tries: asyncio.Queue[int] = asyncio.Queue()

        async def refused(protocol: object, host: str, port: int) -> None:
            tries.put_nowait(port)
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", refused)
        uplink = MasterLink("zk://h/mesos", Heard().put, 1)
        uplink.start()
        async with asyncio.timeout(DEADLINE_S):
            assert await tries.get() == 1
            told.leader = "127.0.0.1:2"
            told.moved(told.leader)
            assert await tries.get() == 2
        await uplink.stop()

    asyncio.run(scenario())


def test_a_master_that_does_not_answer_is_left_when_another_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CONNECT_MS", "GREETING_MS"):
        monkeypatch.setattr(master_link, name, 1_000 * DEADLINE_S * 4)

    async def scenario() -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        asked = asyncio.Event()
        frozen = await asyncio.start_server(hang, "127.0.0.1", 0)
        master = FakeMaster()
        await master.start()
        told, heard = Told(), Heard()
        told.leader = f"127.0.0.1:{port_of(frozen)}"
        monkeypatch.setattr(master_link, "finder", lambda master: told)
        uplink = MasterLink("zk://h/mesos", heard.put, 1)
        uplink.start()
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
        told.leader = f"127.0.0.1:{master.port}"
        told.moved(told.leader)
        told.moved(told.leader)
        assert await heard.next() == LinkOpened()
        assert uplink.leader == told.leader
        await uplink.stop()
        await master.stop()
        frozen.close()

    asyncio.run(scenario())


def test_a_leader_that_does_not_know_it_yet_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        master = FakeMaster()
        await master.start()
        sent_away: list[int] = []

        async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sent_away.append(1)
            writer.close()

        async def elected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0))
            writer.close()
            if not answers:
                told.leader = f"127.0.0.1:{master.port}"

        before = await asyncio.start_server(old, "127.0.0.1", 0)
        follows = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: //127.0.0.1:%d/link\r\n\r\n"
        answers = [follows % port_of(before)] * 2
        server = await asyncio.start_server(elected, "127.0.0.1", 0)
        told, heard = Told(), Heard()
        told.leader = f"127.0.0.1:{port_of(server)}"
        monkeypatch.setattr(master_link, "finder", lambda address: told)
        uplink = MasterLink("zk://h/mesos", heard.put, 1)
        uplink.start()
        assert await heard.next() == LinkOpened()
        assert (answers, sent_away) == ([], [])
        await uplink.stop()
        await master.stop()
        server.close()
        before.close()

    asyncio.run(scenario())
