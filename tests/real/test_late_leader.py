"""A leader that stands still for longer than its lease, and then goes on, does nothing any more."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tepui.election import lease
from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.sdk import SchedulerClient, framework_info
from tepui.zookeeper.url import ZkUrl, parse_zk_url
from tests.limits.kit import close_all, get
from tests.real.cluster import ANSWER_S, HOST, POLL_S, READY_S, Cluster, Daemon
from tests.real.watcher import Watcher
from tests.real.zookeeper import available

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.apart]

FLAGS = ("--zk_session_timeout=2secs",)
ROUNDS = 3  # whether timers or sockets come first when a process goes on is a matter of luck
REFUSALS = (307, 503)


def test_what_waited_for_a_leader_that_stood_still_is_not_carried_out(tmp_path: Path) -> None:
    with (
        available(tmp_path / "zookeeper") as zookeeper,
        Cluster(
            tmp_path / "cluster",
            agents=1,
            masters=2,
            zk=zookeeper.url("/mesos"),
            master_flags=FLAGS,
        ) as cluster,
    ):
        asyncio.run(_play(cluster))


def test_a_leader_answers_nothing_once_its_lease_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was suspended: the loop's own clock, and so the timer of the lease, stood still."""
    late_s = 0.0

    async def play(zk: ZkUrl) -> None:
        nonlocal late_s
        master = MasterDaemon(MasterOptions(ip=HOST, port=0, zk=zk, zk_session_timeout_ms=10_000))
        await master.start()
        try:
            async with asyncio.timeout(READY_S):
                epoch = await _epoch_above(0, master)
                assert (await get(master.port, "/slaves"))[0] == 200
                late_s = 7.0  # the lease is two thirds of the session
                assert (await get(master.port, "/slaves"))[0] == 503
                await _epoch_above(epoch, master)
        finally:
            await master.stop()
            await close_all()

    monkeypatch.setattr(lease, "clock_s", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + late_s)
    with available(tmp_path) as zookeeper:
        asyncio.run(play(parse_zk_url(zookeeper.url("/mesos"))))


async def _epoch_above(epoch: float, master: MasterDaemon) -> float:
    """The epoch in which it leads, as soon as that is greater."""
    while True:
        metrics = json.loads((await get(master.port, "/metrics/snapshot"))[1])
        if metrics.get("master/epoch", 0) > epoch:
            return float(metrics["master/epoch"])
        await asyncio.sleep(POLL_S)


async def _play(cluster: Cluster) -> None:
    framework = framework_info("late", failover_timeout_s=3600.0)
    async with SchedulerClient(cluster.addresses, framework) as client:
        watcher = Watcher(client)
        offer = await watcher.launch("t")
        process = watcher.process("t")
        began = process.create_time()
        framework_id = offer.framework_id.value
        for number in range(ROUNDS):
            await asyncio.to_thread(_stand_still, cluster, framework_id)
            await watcher.finish_one(f"after-{number}")
        assert process.is_running()
        assert process.create_time() == began
        await client.teardown()


def _stand_still(cluster: Cluster, framework_id: str) -> None:
    """The leader is stopped, asked, and goes on when another leads and has the agent."""
    late = cluster.leader()
    assert late is not None
    (other,) = (master for master in cluster.masters if master is not late)
    epoch = _metrics(cluster, late)["master/epoch"]
    with _connected(late) as first, _connected(late) as second, _connected(late) as third:
        late.process.send_signal(signal.SIGSTOP)
        try:
            first.request("POST", "/teardown", urlencode({"frameworkId": framework_id}))
            second.request("GET", "/slaves")
            third.request(
                "POST",
                "/api/v1",
                json.dumps({"type": "GET_AGENTS"}),
                {"Content-Type": "application/json"},
            )
            cluster.wait_until(
                lambda: _metrics(cluster, other).get("master/slaves_active") == 1.0,
                "another master leads and has the agent",
            )
        finally:
            late.process.send_signal(signal.SIGCONT)
        for connection in (first, second, third):
            assert _status(connection) in (None, *REFUSALS)
    assert _metrics(cluster, other)["master/epoch"] > epoch
    cluster.wait_until(
        lambda: cluster.leader() is other and _metrics(cluster, late) == {"master/elected": 0.0},
        "the late leader has become a standby",
    )
    assert "leading_no_more" in late.log.read_text()


def _metrics(cluster: Cluster, master: Daemon) -> dict[str, float]:
    found = cluster.get("/metrics/snapshot", master.address)
    assert isinstance(found, dict)
    return found


@contextlib.contextmanager
def _connected(master: Daemon) -> Iterator[http.client.HTTPConnection]:
    """A connection that the master has taken, and on which it has answered."""
    connection = http.client.HTTPConnection(master.address, timeout=ANSWER_S)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b""
        yield connection


def _status(connection: http.client.HTTPConnection) -> int | None:
    """Of the answer; None: the connection was closed instead."""
    try:
        return connection.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return None
