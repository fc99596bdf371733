"""Masters by their addresses, in a file, and by who leads in ZooKeeper."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tepui.sdk import (
    Disconnected,
    OperatorClient,
    Refused,
    SchedulerClient,
    Unreachable,
    find_leader,
)
from tepui.sdk.core import events as ev
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.core.masters import Masters
from tepui.sdk.whereabouts import Whereabouts
from tepui.wire import master, scheduler
from tests.real.zookeeper import ZooKeeper
from tests.sdk.fake_master import FakeMaster, fake_master, frozen_master
from tests.sdk.test_scheduler import INFO, next_event, within_deadline
from tests.storage.stores import opened_session

NOBODY = "zk://127.0.0.1:1,127.0.0.1:2/mesos"


def no_jitter() -> float:
    return 0.0


@asynccontextmanager
async def stands(url: str, number: int, one: FakeMaster) -> AsyncIterator[None]:
    """`one` has its node, with this number, until the block is left."""
    info = {"id": f"m{number}", "ip": 16777343, "port": one.port, "hostname": "127.0.0.1"}
    async with opened_session(url) as session:
        await session.ensure(session.url.path)
        path = f"{session.url.path}/json.info_{number:010}"
        await session.create(path, json.dumps(info).encode(), ephemeral=True)
        yield


def test_an_address_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "master"
    file.write_text("m1:5050,m2:5050\n")
    assert Whereabouts(f"file://{file}", no_jitter).masters.current == "http://m1:5050"
    file.write_text("zk://z1:2181/mesos\n")
    assert not Whereabouts(f"file://{file}", no_jitter).masters.is_known


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("zk://", "must have the form host:port"),
        ("zk://z1:port/mesos", "the port of 'z1:port'"),
        ("zk://user@z1:2181/mesos", "must have the form user:password"),
        ("m1:5050,zk://z1:2181/mesos", "unknown scheme 'zk'"),
        ("file:///nowhere/master", "cannot read the address in '/nowhere/master'"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(address: str, why: str) -> None:
    for client in (lambda: OperatorClient(address), lambda: SchedulerClient(address, INFO)):
        with pytest.raises(Refused, match=why):
            client()


def test_who_is_elected_is_asked_alone_and_once_more_before_a_wait() -> None:
    masters = Masters((), Backoff(100, 1000, no_jitter))
    assert not masters.is_known
    masters.elected("http://m1:1")
    assert (masters.current, masters.failed(), masters.failed()) == ("http://m1:1", 0, 100)
    masters.redirected("//m2:1/")
    masters.elected("http://m1:1")
    assert masters.current == "http://m1:1"


def test_the_client_of_zookeeper_is_imported_only_for_its_addresses() -> None:
    program = (
        "import sys; from tepui.sdk import OperatorClient, SchedulerClient\n"
        "OperatorClient('m1:5050'); import tepui.cli.connect, tepui.cli.runner\n"
        "sys.exit(' '.join(name for name in sys.modules if 'kazoo' in name) or None)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.real
def test_a_zookeeper_that_cannot_be_reached_is_named() -> None:
    async def test() -> None:
        hosts = "ZooKeeper at 127.0.0.1:1,127.0.0.1:2 cannot be reached"
        with pytest.raises(Unreachable, match=f"no leading master within 0.1 s: {hosts}"):
            await find_leader(NOBODY, timeout_s=0.1)
        async with SchedulerClient(NOBODY, INFO, connect_timeout_s=0.1) as client:
            with pytest.raises(Unreachable, match=hosts):
                await anext(client.events())
        whereabouts = Whereabouts(NOBODY, no_jitter)
        whereabouts.start()
        with pytest.raises(Unreachable, match=f"{hosts} within 0.1 s"):
            await whereabouts.known(0.1)
        await whereabouts.close()

    within_deadline(test())


@pytest.mark.real
def test_a_frozen_master_is_left_when_zookeeper_names_another() -> None:
    async def test() -> None:
        async with (
            frozen_master() as (frozen, was_asked),
            fake_master() as good,
            SchedulerClient(NOBODY, INFO) as client,
        ):
            client._driver.put(ev.Elected(f"http://{frozen}"))
            await was_asked.wait()
            client._driver.put(ev.Elected(f"http://{good.address}"))
            assert (await next_event(client)).subscribed is not None

    within_deadline(test())


@pytest.mark.real
@pytest.mark.parametrize("news", [ev.Elected("http://127.0.0.1:1"), ev.NobodyLeads("nobody")])
def test_a_call_to_a_frozen_master_fails_when_it_leads_no_more(news: ev.Leadership) -> None:
    async def test() -> None:
        async with fake_master() as one, SchedulerClient(NOBODY, INFO) as client:
            client._driver.put(ev.Elected(f"http://{one.address}"))
            await next_event(client)
            one.answers_calls = False
            reviving = asyncio.create_task(client.revive())
            await one.next_call(scheduler.Call.Type.REVIVE)
            client._driver.put(news)
            with pytest.raises(Disconnected, match="it leads no more"):
                await reviving

    within_deadline(test())


@pytest.mark.real
def test_an_election_without_a_leader_is_named_without_its_password(
    one_server: ZooKeeper,
) -> None:
    async def test() -> None:
        url = one_server.url(f"/{uuid4()}", "me:secret")
        shown = url.replace("secret", r"\*\*\*")
        with pytest.raises(Unreachable, match=f"no master leads at {shown}"):
            await find_leader(url, timeout_s=2.0)
        with pytest.raises(Unreachable) as caught:
            await find_leader(url, timeout_s=2.0)
        assert "secret" not in str(caught.value)

    within_deadline(test())


@pytest.mark.real
def test_tools_ask_whoever_leads_in_zookeeper(zk_url: str) -> None:
    async def test() -> None:
        async with fake_master() as one, fake_master() as two, OperatorClient(zk_url) as client:
            async with stands(zk_url, 1, one), stands(zk_url, 2, two):
                assert await find_leader(zk_url) == f"http://{one.address}"
                assert await client.get_agents() == master.Response.GetAgents()
                assert client.address == f"http://{one.address}"
            async with stands(zk_url, 2, two):
                assert await find_leader(zk_url) == f"http://{two.address}"
                async with OperatorClient(zk_url) as later:
                    assert await later.get_agents() == master.Response.GetAgents()
                    assert later.address == f"http://{two.address}"

    within_deadline(test())


@pytest.mark.real
def test_a_scheduler_leaves_a_master_that_zookeeper_says_leads_no_more(zk_url: str) -> None:
    async def test() -> None:
        async with (
            fake_master() as one,
            fake_master() as two,
            AsyncExitStack() as leading,
            SchedulerClient(zk_url, INFO) as client,
        ):
            await leading.enter_async_context(stands(zk_url, 1, one))
            assert (await next_event(client)).subscribed is not None
            async with stands(zk_url, 2, two):
                await leading.aclose()
                stream = await two.next_stream()  # the first one would have served it still
                assert stream.subscribe.framework_id is not None
                assert stream.subscribe.framework_id.value == client.framework_id == "fw-1"

    within_deadline(test())
