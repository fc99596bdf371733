"""Sessions, terminals and containers of operators on a real agent, over its API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.daemon.main import AgentDaemon
from tepui.sdk import CallRefused
from tepui.sdk.reach import ContainerClient, nested_id, stdin_message, window_message
from tepui.wire import agent, media, mesos
from tepui.wire.agent import ProcessIO
from tepui.wire.recordio import Deframer, frame
from tests.agent.containers.host import ended, wait_gone
from tests.agent.daemon.client import call, get, request
from tests.agent.daemon.fake_master import (
    DEADLINE_S,
    FakeMaster,
    command_task,
    run_task,
    running_agent,
)

pytestmark = pytest.mark.real

TTY = mesos.TTYInfo(window_size=mesos.TTYInfo.WindowSize(rows=33, columns=117))
GIB = 1 << 30


class World:
    """An agent with one task that runs, and a client of it."""

    def __init__(
        self, master: FakeMaster, daemon: AgentDaemon, client: ContainerClient, pid: int,
        parent: mesos.ContainerID, sandbox: Path,
    ) -> None:  # fmt: skip
        self.master = master
        self.daemon = daemon
        self.client = client
        self.pid = pid
        self.parent = parent
        self.sandbox = sandbox
        self._ids = 0

    def new_id(self) -> mesos.ContainerID:
        self._ids += 1
        return nested_id(self.parent, f"s{self._ids}")

    async def run(self, script: str, tty: mesos.TTYInfo | None = None) -> tuple[bytes, int | None]:
        """What a session writes, and its wait status."""
        session = self.new_id()
        async with self.client.session(session, mesos.CommandInfo(value=script), tty) as output:
            written = [one.data.data or b"" async for one in output if one.data is not None]
        return b"".join(written), await self.client.wait(session)


def scenario(
    act: Callable[[World], Awaitable[None]], deadline_s: float = 10 * DEADLINE_S, **changes: object
) -> None:
    """Run `act` while a task runs; `changes` are of the task."""

    async def run() -> None:
        async with asyncio.timeout(deadline_s), running_agent() as (master, daemon):
            task = structs.replace(command_task("t", "sleep 1000"), **changes)
            master.send(run_task(task))
            (_, running) = await master.updates("t", 2)
            status = running.container_status
            assert status is not None and status.container_id is not None  # noqa: PT018
            assert status.executor_pid is not None
            sandbox = Path(daemon.state.containers[status.container_id.value].directory)
            async with ContainerClient(f"127.0.0.1:{daemon.port}") as client:
                pid = status.executor_pid
                await act(World(master, daemon, client, pid, status.container_id, sandbox))

    asyncio.run(run())


async def first(output: AsyncIterator[ProcessIO], end: bytes = b"\n") -> bytes:
    """What comes up to `end`."""
    got = b""
    while end not in got:
        message = await anext(output)
        if message.data is not None:
            got += message.data.data or b""
    return got


def test_session_runs_in_the_tasks_sandbox_and_tells_both_streams_and_its_status() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        command = mesos.CommandInfo(value="pwd; echo wrong >&2; echo $MESOS_EXECUTOR_ID; exit 7")
        streams: dict[object, bytes] = {}
        async with world.client.session(session, command) as output:
            async for message in output:
                assert message.data is not None
                kind = message.data.type
                streams[kind] = streams.get(kind, b"") + (message.data.data or b"")
        kinds = ProcessIO.Data.Type
        assert streams[kinds.STDOUT] == f"{world.sandbox}\nt\n".encode()
        assert streams[kinds.STDERR] == b"wrong\n"
        assert await world.client.wait(session) == 7 << 8
        await world.client.remove(session)
        with pytest.raises(CallRefused, match="cannot be found"):
            await world.client.wait(session)
        assert not ended(world.pid)

    scenario(act)


def test_what_is_typed_reaches_the_session_and_its_end_too() -> None:
    async def act(world: World) -> None:
        session = world.new_id()

        async def typed() -> AsyncIterator[ProcessIO]:
            yield stdin_message(b"one\n")
            yield stdin_message(b"two\n")
            yield stdin_message(b"")

        async with world.client.session(session, mesos.CommandInfo(value="cat; echo over")) as out:
            await world.client.input(session, typed())
            assert await first(out, b"over\n") == b"one\ntwo\nover\n"
        assert await world.client.wait(session) == 0

    scenario(act)


def test_terminal_of_a_session_has_its_size_and_passes_an_interrupt() -> None:
    async def act(world: World) -> None:
        assert await world.run("stty size; tty -s", TTY) == (b"33 117\r\n", 0)
        session = world.new_id()
        resized = asyncio.Event()
        interrupt = asyncio.Event()

        async def typed() -> AsyncIterator[ProcessIO]:
            await resized.wait()
            yield window_message(50, 90)
            await interrupt.wait()
            yield stdin_message(b"\x03")
            await asyncio.Event().wait()

        script = (
            "trap 'stty size' WINCH; trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done"
        )
        async with world.client.session(session, mesos.CommandInfo(value=script), TTY) as output:
            typing = asyncio.create_task(world.client.input(session, typed()))
            await first(output, b"ready\r\n")
            resized.set()
            assert await first(output, b"\r\n") == b"50 90\r\n"
            interrupt.set()
            assert await world.client.wait(session) == 42 << 8
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(typing, return_exceptions=True)

    scenario(act)


def test_session_whose_client_goes_away_is_killed_and_the_task_is_not() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        command = mesos.CommandInfo(value="sleep 1000 & echo $$ $!; sleep 1000")
        async with world.client.session(session, command) as output:
            pids = [int(one) for one in (await first(output)).split()]
        for pid in pids:
            await asyncio.to_thread(wait_gone, pid)
        assert await world.client.wait(session) == 9
        assert not ended(world.pid)

    scenario(act)


def test_program_that_is_not_there_is_said_in_words() -> None:
    async def act(world: World) -> None:
        command = mesos.CommandInfo(value="/no/such", shell=False, arguments=("such",))
        with pytest.raises(CallRefused, match="no such file") as refused:
            async with world.client.session(world.new_id(), command):
                raise AssertionError
        assert refused.value.status == 400

    scenario(act)


def test_unread_output_is_not_lost_and_holds_the_session_back() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        size = 64 << 20
        command = mesos.CommandInfo(value=f"head -c {size} /dev/zero; echo done")
        async with world.client.session(session, command) as output:
            message = await anext(output)
            assert message.data is not None
            total = len(message.data.data or b"")
            waited = asyncio.create_task(world.client.wait(session))
            await asyncio.sleep(0)  # what is read goes on below; nothing is awaited before
            assert not waited.done()
            last = b""
            async for message in output:
                assert message.data is not None
                last = message.data.data or b""
                total += len(last)
            assert total == size + 5
            assert last.endswith(b"done\n")
            assert await waited == 0

    scenario(act)


@pytest.mark.long
@pytest.mark.timeout(900)  # most of it for the processor, should the machine be busy
def test_a_gigabyte_goes_through_a_session_whole() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        before = held_bytes()
        block = os.urandom(1 << 20)
        there, back = hashlib.sha256(), hashlib.sha256()

        async def typed() -> AsyncIterator[ProcessIO]:
            for number in range(GIB // len(block)):
                piece = number.to_bytes(8, "big") + block[8:]
                there.update(piece)
                yield stdin_message(piece)
            yield stdin_message(b"")

        async with world.client.session(session, mesos.CommandInfo(value="cat")) as output:
            typing = asyncio.create_task(world.client.input(session, typed()))
            total = 0
            async for message in output:
                if message.data is not None and message.data.data is not None:
                    total += len(message.data.data)
                    back.update(message.data.data)
            await typing
        assert total == GIB
        assert there.digest() == back.digest()
        assert held_bytes() - before < 200 << 20, "neither side has held much of it"

    scenario(act, deadline_s=840)


def held_bytes() -> int:
    """Memory of this process, which has been used for other tests before."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# In JSON, as others write it


def recordio(*messages: object) -> bytes:
    return b"".join(frame(json.dumps(one).encode()) for one in messages)


def attach_input(**fields: object) -> dict[str, object]:
    return {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": fields}


def process_io(**fields: object) -> dict[str, object]:
    return attach_input(type="PROCESS_IO", process_io=fields)


STREAM_HEADERS = (
    ("Content-Type", "application/recordio"),
    ("Message-Content-Type", "application/json"),
    ("Accept", "application/json"),
)
TYPED = process_io(type="DATA", data={"type": "STDIN", "data": base64.b64encode(b"x\n").decode()})


def test_input_is_checked_record_by_record_with_the_words_of_mesos() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        ids = {"value": session.value, "parent": {"value": world.parent.value}}
        whose = attach_input(type="CONTAINER_ID", container_id=ids)
        port = world.daemon.port
        cases: list[tuple[bytes, int, str]] = [
            (b"", 400, "Received EOF while reading request body"),
            (recordio(TYPED), 400, "Expecting 'attach_container_input.type' to be CONTAINER_ID"),
            (
                recordio(attach_input(type="CONTAINER_ID", container_id={"value": "nope"})),
                500,
                "Unknown container nope",
            ),
            (recordio(whose), 200, ""),
            (
                recordio(whose, whose),
                400,
                "Expecting 'attach_container_input.type' to be 'PROCESS_IO' instead of:"
                " 'CONTAINER_ID'",
            ),
            (recordio(whose, process_io()), 400, "Expecting 'process_io.type' to be present"),
            (
                recordio(whose, process_io(type="DATA", data={"type": "STDOUT", "data": ""})),
                400,
                "Expecting 'process_io.data.type' to be 'STDIN'",
            ),
            (
                recordio(whose, process_io(type="CONTROL", control={"type": "TTY_INFO"})),
                400,
                "Expecting 'process_io.control.tty_info' to be present",
            ),
            (
                recordio(
                    whose,
                    process_io(
                        type="CONTROL",
                        control={"type": "HEARTBEAT", "heartbeat": {}},
                    ),
                    TYPED,
                ),
                200,
                "",
            ),
            (recordio(whose) + b"x\n{}", 400, "Failed to decode length 'x'"),
            (
                recordio({"type": "GET_HEALTH"}),
                415,
                "Streaming 'Content-Type' application/recordio is not supported for GET_HEALTH call",
            ),
        ]
        async with world.client.session(session, mesos.CommandInfo(value="cat")) as output:
            for body, status, text in cases:
                answer = await request(port, "POST", "/api/v1", STREAM_HEADERS, body)
                assert answer.status == status, (body, answer.body)
                assert answer.body.decode().startswith(text), body
            assert await first(output) == b"x\n"

    scenario(act)


def test_only_one_client_types_at_a_time() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        begun = asyncio.Event()

        async def typed() -> AsyncIterator[ProcessIO]:
            yield stdin_message(b"begun\n")
            begun.set()
            await asyncio.Event().wait()

        async def nothing() -> AsyncIterator[ProcessIO]:
            return
            yield

        async with world.client.session(session, mesos.CommandInfo(value="cat")) as output:
            typing = asyncio.create_task(world.client.input(session, typed()))
            await first(output)
            with pytest.raises(CallRefused, match="Multiple input connections") as refused:
                await world.client.input(session, nothing())
            assert refused.value.status == 409
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)

    scenario(act)


def test_session_in_json_is_framed_by_recordio() -> None:
    async def act(world: World) -> None:
        ids = {"value": "j", "parent": {"value": world.parent.value}}
        part = {"container_id": ids, "command": {"value": "echo hello"}}
        message = {
            "type": "LAUNCH_NESTED_CONTAINER_SESSION",
            "launch_nested_container_session": part,
        }
        answer = await call(world.daemon.port, message)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        chunks = answer.body
        body = b""
        while chunks:
            size, _, rest = chunks.partition(b"\r\n")
            body += rest[: int(size, 16)]
            chunks = rest[int(size, 16) + 2 :]
        (record,) = Deframer(1 << 20).feed(body)
        said = media.decode(ProcessIO, record, media.Media.JSON)
        assert said.data is not None
        assert said.data.data == b"hello\n"

    scenario(act)


# Terminals of tasks


def test_terminal_of_a_task_can_be_attached_to_and_its_output_is_in_the_file() -> None:
    info = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS, tty_info=TTY)
    script = "echo begun; while read line; do echo got $line; done"

    async def act(world: World) -> None:
        stop = asyncio.Event()

        async def typed() -> AsyncIterator[ProcessIO]:
            yield window_message(40, 100)
            yield stdin_message(b"hello\n")
            await stop.wait()
            yield stdin_message(b"\x04")
            await asyncio.Event().wait()

        async with world.client.output(world.parent) as output:
            typing = asyncio.create_task(world.client.input(world.parent, typed()))
            assert (await first(output, b"got hello\r\n")).endswith(b"got hello\r\n")
            stop.set()
            async for _ in output:
                pass
            await typing
        (*_, last) = await world.master.updates("t", 3)
        assert last.state is mesos.TaskState.TASK_FINISHED
        written = (world.sandbox / "stdout").read_text().splitlines()
        assert written == ["begun", "hello", "got hello"]

    scenario(act, container=info, command=mesos.CommandInfo(value=script))


def test_task_without_terminal_says_that_there_is_nothing_to_attach_to() -> None:
    async def act(world: World) -> None:
        with pytest.raises(CallRefused, match="is no session and has no terminal") as refused:
            async with world.client.output(world.parent):
                raise AssertionError
        assert refused.value.status == 400

    scenario(act)


# Containers of operators


def test_nested_and_standalone_containers_run_and_leave_nothing() -> None:
    async def act(world: World) -> None:
        port = world.daemon.port
        ids = {"value": "n", "parent": {"value": world.parent.value}}
        for container_id, place in (
            (ids, world.sandbox / "containers/n"),
            (
                {"value": "alone"},
                Path(world.daemon.state.settings.work_dir) / "sandboxes/alone/sandbox",
            ),
        ):
            resources = (
                {}
                if "parent" in container_id
                else {
                    "resources": [
                        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                        {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
                    ]
                }
            )
            part = {"container_id": container_id, "command": {"value": "pwd; exit 3"}} | resources
            launched = {"type": "LAUNCH_CONTAINER", "launch_container": part}
            assert (await call(port, launched)).status == 200
            waited = {"type": "WAIT_CONTAINER", "wait_container": {"container_id": container_id}}
            answer = await call(port, waited)
            assert answer.json() == {
                "type": "WAIT_CONTAINER",
                "wait_container": {"exit_status": 768},
            }
            assert (place / "stdout").read_text() == f"{place}\n"
            removed = {
                "type": "REMOVE_CONTAINER",
                "remove_container": {"container_id": container_id},
            }
            assert (await call(port, removed)).status == 200
        assert world.daemon.state.operator_containers == {}

    scenario(act)


def test_processes_of_a_container_are_listed() -> None:
    async def act(world: World) -> None:
        path = f"/containers/processes?container_id={world.parent.value}"
        answer = await get(world.daemon.port, path)
        assert answer.status == 200
        found = answer.json()
        assert isinstance(found, dict)
        assert world.pid in [one["pid"] for one in found["processes"]]
        assert any("sleep 1000" in one["command"] for one in found["processes"])
        assert (await get(world.daemon.port, "/containers/processes")).status == 400
        nobody = await get(world.daemon.port, "/containers/processes?container_id=nope")
        assert nobody.status == 404

    scenario(act)


def test_port_of_a_task_is_forwarded_with_both_ends() -> None:
    async def act(world: World) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got = await reader.read()
            writer.write(b"got " + hashlib.sha256(got).hexdigest().encode())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sent = os.urandom(4 << 20)
        reader, writer = await world.client.connect(world.parent, port)
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b"got " + hashlib.sha256(sent).hexdigest().encode()
        writer.close()
        server.close()
        with pytest.raises(CallRefused) as refused:
            await world.client.connect(world.parent, port)
        assert refused.value.status == 502
        bad = await get(
            world.daemon.port, f"/port-forward?container_id={world.parent.value}&port=0"
        )
        assert bad.status == 400

    scenario(act)


def test_containers_are_shown_with_those_within_them_when_asked() -> None:
    async def act(world: World) -> None:
        session = world.new_id()
        async with world.client.session(session, mesos.CommandInfo(value="echo; cat")) as output:
            await first(output)
            message = {"type": "GET_CONTAINERS", "get_containers": {"show_nested": True}}
            answer = (await call(world.daemon.port, message)).body
            shown = media.decode(agent.Response, answer, media.Media.JSON).get_containers
            assert shown is not None
            found = {one.container_id for one in shown.containers}
            assert found == {world.parent, session}

    scenario(act)


def test_removed_container_takes_nothing_with_it_that_a_link_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "n"
    precious.mkdir()

    async def act(world: World) -> None:
        port = world.daemon.port
        ids = {"value": "n", "parent": {"value": world.parent.value}}
        part = {"container_id": ids, "command": {"value": "true"}}
        launched = {"type": "LAUNCH_CONTAINER", "launch_container": part}
        assert (await call(port, launched)).status == 200
        await world.client.wait(nested_id(world.parent, "n"))
        (world.sandbox / "containers").rename(world.sandbox / "moved")
        (world.sandbox / "containers").symlink_to(tmp_path)
        removed = {"type": "REMOVE_CONTAINER", "remove_container": {"container_id": ids}}
        assert (await call(port, removed)).status == 200

    scenario(act)
    assert precious.is_dir()
