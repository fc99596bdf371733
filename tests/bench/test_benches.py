"""Every benchmark still runs: tiny, so that its figures mean nothing, but all it asserts holds."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from pathlib import Path
from typing import Literal

import pytest

import bench.table
from bench import (
    agent,
    allocator,
    containers,
    disk,
    faults,
    idle,
    launch,
    reconcile,
    state,
    suite,
    up,
    usage,
)
from bench.calls import Calls, Events
from bench.faults import Failed, fault, run, until
from bench.table import Row, meets
from tests.agent.containers.oci_host import needs_oci

MODULES = sorted(path.stem for path in Path(bench.table.__file__).parent.glob("*.py"))


@pytest.fixture(autouse=True)
def _no_run_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "RUN_S_MAX", 60.0)


def check(rows: list[Row]) -> None:
    """The rows can be lines of a table."""
    assert rows
    assert len({row.what for row in rows}) == len(rows)
    for row in rows:
        assert row.figure >= 0, row
        assert row.limit is None or row.limit > 0, row
        meets(row.figure, row.goal)


@pytest.mark.parametrize("name", MODULES)
def test_module_can_be_imported(name: str) -> None:
    importlib.import_module(f"bench.{name}")


def test_every_bench_of_the_table_has_a_title_of_its_own() -> None:
    titles = [bench.title for bench in suite.benches(seconds=60)]

    assert len(set(titles)) == len(titles)


def test_rounds_of_allocation_are_measured() -> None:
    size = allocator.Size(40, 8, 4, "< 150", changed=10)

    check(allocator.rows(sizes=(size,), refusing=allocator.Size(10, 5, 5)))


def test_the_disk_is_measured(tmp_path: Path) -> None:
    check(disk.rows(tmp_path))


def test_a_run_fails_with_all_faults_that_were_counted_in_it() -> None:
    async def measure() -> None:
        fault("an update was lost")
        fault("an update was lost")
        asyncio.get_running_loop().call_soon([].pop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(Failed, match=r"2 × an update was lost; 1 × .*IndexError"):
        run(measure())


def test_a_run_that_breaks_tells_why() -> None:
    async def measure() -> None:
        raise AssertionError("nothing has come")

    with pytest.raises(Failed, match="nothing has come"):
        run(measure())


def test_an_answer_that_is_not_202_fails_the_run() -> None:
    async def measure() -> None:
        left = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
            await reader.read()
            writer.close()
            left.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        calls = Calls(server.sockets[0].getsockname()[1], "/")
        await calls.connect(1)
        calls.post(b"")
        await asyncio.wait_for(left.wait(), 10)
        calls.close()
        server.close()

    with pytest.raises(Failed, match=r"503 Service Unavailable.*busy"):
        run(measure())


def test_calls_that_were_posted_before_there_were_connections_are_answered() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def measure() -> int:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        calls = Calls(server.sockets[0].getsockname()[1], "/")
        for _ in range(3):
            calls.post(b"")
        await calls.connect(2)
        await until(lambda: len(calls.answer_s) == 3 and calls.idle, "all is answered")
        calls.close()
        server.close()
        return len(calls.answer_s)

    assert run(measure()) == 3


def test_records_are_read_however_they_are_cut_into_chunks_and_packets() -> None:
    stream = b"1\n{2\n[]10\n0123456789"
    cut = [stream[:4], stream[4:9], stream[9:]]
    wire = b"HTTP/1.1 200 OK\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in cut)
    records: list[bytes] = []

    for size in (1, 3, len(wire)):
        events = Events(b"", lambda head: None, records.append)
        for at in range(0, len(wire), size):
            events.data_received(wire[at : at + size])

    assert records == [b"{", b"[]", b"0123456789"] * 3


@pytest.mark.real
@pytest.mark.parametrize(("per_accept", "updates", "pipeline"), [(1, 3, 1), (3, 2, 4)])
def test_launches_are_measured(per_accept: int, updates: Literal[2, 3], pipeline: int) -> None:
    options = launch.Options(
        seconds=0.2,
        warm_up_s=0.1,
        agents=4,
        connections=8,
        in_flight=8,
        per_accept=per_accept,
        updates=updates,
        pipeline=pipeline,
    )

    check(launch.rows(options))


@pytest.mark.real
def test_tasks_of_a_real_agent_are_measured() -> None:
    check(agent.rows(agent.Options(tasks=5, one_at_a_time=2)))


@pytest.mark.real
def test_the_start_of_a_cluster_is_measured() -> None:
    check(up.rows())


@pytest.mark.real
def test_idle_memory_is_measured() -> None:
    check(idle.rows(settle_s=0.0))


@pytest.mark.real
def test_reconciliation_is_measured() -> None:
    check(reconcile.rows(reconcile.Options(tasks=10, seconds=0.2, warm_up_s=0.1)))


@pytest.mark.real
def test_large_reads_are_measured() -> None:
    check(state.rows(state.Options(agents=4, tasks_per_agent=3, pollers=2, seconds=0.3)))


@pytest.mark.real
@needs_oci
def test_containers_of_an_image_are_measured() -> None:
    tiny = containers.Options(2, cycles=4, at_once=2, together=3, with_docker=False)
    check(containers.rows(tiny))


@pytest.mark.real
def test_what_containers_use_is_measured() -> None:
    check(usage.rows(usage.Options(containers=3, seconds=1)))
