"""Candidates that stand with real ZooKeeper servers, whose connections and processes end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import msgspec
import pytest

from tepui.election import lease as lease_module
from tepui.election.detect import watch_leader
from tepui.election.election import Following, Leading, Lost
from tests.election.told import Ear, Note, check_notes, info, standing
from tests.real.proxy import Mode, proxied
from tests.real.zookeeper import HOST, ZooKeeper, available
from tests.storage.stores import opened_session

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0


def through(url: str, port: int) -> str:
    """`url` with the server behind another port."""
    return f"zk://{HOST}:{port}/{url.removeprefix('zk://').partition('/')[2]}"


def test_the_first_leads_and_the_second_knows_it(zk_url: str) -> None:
    async def test() -> None:
        notes: list[Note] = []
        async with standing(zk_url, "m1", notes=notes) as one:
            first = await one.ear.leading()
            async with standing(zk_url, "m2", notes=notes) as two:
                await two.ear.following(info("m1"))
                assert one.ear.heard == [Leading(first)]
                await one.close()
                assert await two.ear.leading() > first
                assert two.ear.heard[:-1] == [Following(info("m1"))]

    asyncio.run(test())


def test_the_nodes_are_those_that_mesos_reads(zk_url: str) -> None:
    async def test() -> None:
        async with standing(zk_url, "m1") as one:
            epoch = await one.ear.leading()
            async with opened_session(zk_url) as session:
                path = session.url.path
                assert await session.children(path) == [f"json.info_{epoch:010}"]
                node = await session.get(f"{path}/json.info_{epoch:010}")
                assert node.data == info("m1")
                assert node.owner == one.session.id

    asyncio.run(test())


def test_a_third_follows_the_second_when_the_first_leaves(zk_url: str) -> None:
    async def test() -> None:
        async with standing(zk_url, "m1") as one:
            await one.ear.leading()
            async with standing(zk_url, "m2") as two:
                await two.ear.following(info("m1"))
                async with standing(zk_url, "m3") as three:
                    await three.ear.following(info("m1"))
                    await one.close()
                    await three.ear.following(info("m2"))
                    await two.close()
                    await three.ear.leading()

    asyncio.run(test())


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.SILENT, Mode.DEAF])
def test_a_leader_that_is_cut_off_has_lost_before_another_leads(
    one_server: ZooKeeper, zk_url: str, mode: Mode
) -> None:
    async def test() -> None:
        notes: list[Note] = []
        async with (
            proxied(one_server.servers[0].port) as proxy,
            standing(through(zk_url, proxy.port), "m1", notes=notes) as one,
        ):
            first = await one.ear.leading()
            async with standing(zk_url, "m2", notes=notes) as two:
                await two.ear.following(info("m1"))
                proxy.set(mode)
                second = await two.ear.leading()
                assert second > first
                assert isinstance(one.ear.heard[1], Lost)
                proxy.set(Mode.CUT)  # so that connections that were deaf are not used again
                proxy.set(Mode.OPEN)
                await one.ear.following(info("m2"))
                await two.close()
                assert await one.ear.leading(above=second) > second
        check_notes(notes)

    asyncio.run(test())


def test_an_election_holds_while_its_candidate_leads_and_never_else(
    one_server: ZooKeeper, zk_url: str
) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            standing(through(zk_url, proxy.port), "m1") as one,
        ):
            assert not one.election.holds()
            first = await one.ear.leading()
            async with standing(zk_url, "m2") as two:
                await two.ear.following(info("m1"))
                assert not two.election.holds()
                proxy.set(Mode.CUT)
                await two.ear.leading()
                assert two.election.holds()
                assert not one.election.holds()
                proxy.set(Mode.OPEN)
                await two.close()
                assert not two.election.holds()
                await one.ear.leading(above=first)
        for each in (one, two):
            heard = each.ear.heard[: len(each.held)]
            assert each.held == [isinstance(told, Leading) for told in heard]

    asyncio.run(test())


def test_a_lease_that_ended_while_the_machine_stood_still_is_not_renewed(
    zk_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer of the loop has not rung: its clock stood still as well."""
    late_s = 0.0

    def clock_s() -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + late_s

    async def test() -> None:
        nonlocal late_s
        async with standing(zk_url, "m1", timeout_ms=10_000) as one:
            first = await one.ear.leading()
            assert one.election.holds()
            late_s = 7.0  # two thirds of the session are less
            assert not one.election.holds()
            await one.ear.lost()
            assert await one.ear.leading(above=first) > first
            assert one.election.holds()

    monkeypatch.setattr(lease_module, "clock_s", clock_s)
    asyncio.run(test())


def test_a_leader_whose_loop_has_much_to_do_goes_on_leading(zk_url: str) -> None:
    async def test() -> None:
        async with standing(zk_url, "m1", timeout_ms=2_000) as one:
            epoch = await one.ear.leading()
            async with standing(zk_url, "m2", timeout_ms=2_000) as two:
                await two.ear.following(info("m1"))
                threading.Event().wait(2 * 2.0)  # nothing else happens in the loop
                assert one.election.holds()
                assert one.ear.heard == [Leading(epoch)]

    asyncio.run(test())


def test_a_connection_that_comes_back_in_time_is_not_told(
    one_server: ZooKeeper, zk_url: str
) -> None:
    async def test() -> None:
        async with (
            proxied(one_server.servers[0].port) as proxy,
            standing(through(zk_url, proxy.port), "m1", timeout_ms=10_000) as one,
        ):
            epoch = await one.ear.leading()
            session_id = one.session.id
            lost = asyncio.Event()
            one.session.listen(lambda state: lost.set())
            for _ in range(3):
                lost.clear()
                proxy.set(Mode.CUT)
                await lost.wait()
                proxy.set(Mode.OPEN)
                await one.session.connected()
            async with standing(zk_url, "m2") as two:
                await two.ear.following(info("m1"))
            assert one.session.id == session_id
            assert one.ear.heard == [Leading(epoch)]

    asyncio.run(test())


def test_a_node_whose_making_was_not_answered_is_found_again(
    one_server: ZooKeeper, zk_url: str
) -> None:
    async def test() -> None:
        async with (
            opened_session(zk_url) as other,
            proxied(one_server.servers[0].port) as proxy,
        ):
            path = other.url.path
            await other.ensure(path)
            made = asyncio.Event()
            await other.children(path, made.set)
            proxy.deaf_after = b"/json.info_"
            async with standing(through(zk_url, proxy.port), "m1", timeout_ms=10_000) as one:
                async with asyncio.timeout(WITHIN_S):
                    await made.wait()
                proxy.set(Mode.CUT)
                proxy.set(Mode.OPEN)
                await one.ear.leading()
                assert len(await other.children(path)) == 1

    asyncio.run(test())


def test_a_leader_whose_node_is_removed_has_lost_and_stands_again(zk_url: str) -> None:
    async def test() -> None:
        notes: list[Note] = []
        async with (
            opened_session(zk_url) as other,
            standing(zk_url, "m1", notes=notes) as one,
        ):
            first = await one.ear.leading()
            await other.delete(f"{other.url.path}/json.info_{first:010}")
            await one.ear.lost()
            assert await one.ear.leading(above=first) > first
            assert len(await other.children(other.url.path)) == 1
        check_notes(notes)

    asyncio.run(test())


def test_who_has_closed_is_told_nothing_and_leaves_no_node(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as other, standing(zk_url, "m1") as one:
            epoch = await one.ear.leading()
            await one.election.close()
            assert await other.children(other.url.path) == []
            await one.session.close()
            assert one.ear.heard == [Leading(epoch)]
            one._closed = True

    asyncio.run(test())


def test_a_node_that_nobody_can_read_is_passed_over(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as other:
            path = other.url.path
            await other.ensure(path)
            await other.create(f"{path}/json.info_", b"no JSON", ephemeral=True, sequence=True)
            await other.create(f"{path}/log_replicas", b"")
            await other.create(f"{path}/info_0000000000", b"")
            async with standing(zk_url, "m1") as one:
                assert await one.ear.leading() == 3

    asyncio.run(test())


def test_who_never_reaches_zookeeper_knows_no_leader(one_server: ZooKeeper, zk_url: str) -> None:
    async def test() -> None:
        async with proxied(one_server.servers[0].port) as proxy:
            proxy.set(Mode.CUT)
            async with standing(through(zk_url, proxy.port), "m1", timeout_ms=400) as one:
                await one.ear.following(None)
                proxy.set(Mode.OPEN)
                await one.ear.leading()
                assert isinstance(one.ear.heard[1], Leading)

    asyncio.run(test())


class Child:
    """A candidate in a process of its own."""

    def __init__(self, url: str, who: str, timeout_ms: int) -> None:
        self.who = who
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.election.candidate", url, who, str(timeout_ms)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )
        self.notes: list[Note] = []
        self._lines: Queue[Note] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            at_s, kind, said = msgspec.json.decode(line, type=tuple[float, str, int | str | None])
            match kind, said:
                case "Leading", int(epoch):
                    self._lines.put(Note(at_s, self.who, Leading(epoch)))
                case "Lost", str(reason):
                    self._lines.put(Note(at_s, self.who, Lost(reason)))
                case _:
                    leader = said.encode() if isinstance(said, str) else None
                    self._lines.put(Note(at_s, self.who, Following(leader)))

    def next(self) -> Note:
        """What it is told next."""
        note = self._lines.get(timeout=WITHIN_S)
        self.notes.append(note)
        return note

    def end(self) -> None:
        """It has died, as by kill -9."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def child(url: str, who: str, timeout_ms: int = 2_000) -> Iterator[Child]:
    """A candidate in a process of its own, that is killed in the end."""
    one = Child(url, who, timeout_ms)
    try:
        yield one
    finally:
        one.end()


def test_when_the_leader_is_killed_the_next_leads(zk_url: str) -> None:
    with child(zk_url, "m1") as one:
        first = one.next().told
        assert isinstance(first, Leading)
        with child(zk_url, "m2") as two:
            assert two.next().told == Following(info("m1"))
            one.process.kill()
            killed_s = time.monotonic()
            note = two.next()
            assert isinstance(note.told, Leading)
            assert note.told.epoch > first.epoch
            print(f"led {note.at_s - killed_s:.2f} s after the kill")


def test_a_leader_that_was_stopped_learns_first_that_it_has_lost(zk_url: str) -> None:
    with child(zk_url, "m1") as leader:
        assert isinstance(leader.next().told, Leading)
        with child(zk_url, "m2") as other:
            assert other.next().told == Following(info("m1"))
            leader.process.send_signal(signal.SIGSTOP)
            assert isinstance(other.next().told, Leading)
            leader.process.send_signal(signal.SIGCONT)
            assert isinstance(leader.next().told, Lost)
            note = leader.next()
            if note.told == Following(None):
                note = leader.next()
            assert note.told == Following(info("m2"))


@pytest.mark.long
def test_when_zookeeper_is_started_again_there_is_one_leader(tmp_path: Path) -> None:
    async def test(zookeeper: ZooKeeper) -> None:
        url, server = zookeeper.url("/mesos"), zookeeper.servers[0]
        notes: list[Note] = []
        async with (
            standing(url, "m1", notes=notes) as one,
            standing(url, "m2", notes=notes) as two,
        ):
            ears = [one.ear, two.ear]
            leader = await _leader(url, ears)
            for for_long in (False, True, False):
                before = _epoch(notes)
                await asyncio.to_thread(server.kill)
                if for_long:
                    await leader.leads_no_more()
                server.start()
                await asyncio.to_thread(zookeeper.await_ready)
                leader = await _leader(url, ears)
                assert _epoch(notes) >= before
        check_notes(notes)

    with available(tmp_path) as zookeeper:
        asyncio.run(test(zookeeper))


@pytest.mark.long
def test_when_the_leader_of_the_ensemble_dies_there_is_one_leader(tmp_path: Path) -> None:
    async def test(zookeeper: ZooKeeper) -> None:
        url = zookeeper.url("/mesos")
        notes: list[Note] = []
        async with (
            standing(url, "m1", notes=notes) as one,
            standing(url, "m2", notes=notes) as two,
        ):
            await asyncio.gather(*(ear.until(lambda told: True) for ear in (one.ear, two.ear)))
            await asyncio.to_thread(lambda: zookeeper.leader().kill())
            await asyncio.to_thread(zookeeper.await_ready)
            await _leader(url, [one.ear, two.ear])
        check_notes(notes)

    with available(tmp_path, servers=3) as zookeeper:
        asyncio.run(test(zookeeper))


def test_a_server_without_a_majority_renews_no_lease(tmp_path: Path) -> None:
    async def test(zookeeper: ZooKeeper) -> None:
        notes: list[Note] = []
        leading = await asyncio.to_thread(zookeeper.leader)
        url = f"zk://{HOST}:{leading.port}/mesos"  # it goes on answering reads for two seconds
        async with standing(url, "m1", timeout_ms=1_000, notes=notes) as one:
            first = await one.ear.leading()
            others = [server for server in zookeeper.servers if server is not leading]
            for server in others:
                server.freeze()
            await one.ear.lost()
            for server in others:
                server.thaw()
            assert await one.ear.leading(above=first) > first
        check_notes(notes)

    with available(tmp_path, servers=3) as zookeeper:
        asyncio.run(test(zookeeper))


def _epoch(notes: list[Note]) -> int:
    return max((note.told.epoch for note in notes if isinstance(note.told, Leading)), default=-1)


async def _leader(url: str, ears: list[Ear]) -> Ear:
    """Who leads and knows it, when an agent knows it, too."""
    async with opened_session(url) as session, asyncio.timeout(WITHIN_S):
        agent = Ear("agent")
        watch = watch_leader(session, session.url.path, agent)
        try:
            while True:
                for ear in ears:
                    seen = agent.heard[-1:] == [Following(info(ear.who))]
                    if seen and ear.heard and isinstance(ear.heard[-1], Leading):
                        return ear
                waiting = [asyncio.create_task(ear.changed()) for ear in (*ears, agent)]
                await asyncio.wait(waiting, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                for task in waiting:
                    task.cancel()
        finally:
            await watch.close()
