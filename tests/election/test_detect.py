"""Agents and tools follow who leads."""

from __future__ import annotations

import asyncio

import pytest

from tepui.election.detect import watch_leader
from tepui.election.election import Following
from tests.election.test_zookeeper import through
from tests.election.told import Ear, info, standing
from tests.real.proxy import Mode, proxied
from tests.real.zookeeper import ZooKeeper
from tests.storage.stores import opened_session

pytestmark = pytest.mark.real


def test_a_detector_follows_the_nodes_that_others_make(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as masters, opened_session(zk_url) as agent:
            path, ear = agent.url.path, Ear("agent")
            watch = watch_leader(agent, path, ear)
            await ear.following(None)  # a path that is not there yet is one without masters
            await masters.create(f"{path}/log_replicas", b"")
            await masters.create(f"{path}/json.info_0000000003", b"\xff")
            await masters.create(f"{path}/json.info_0000000005", info("m5"))
            await ear.following(info("m5"))
            await masters.create(f"{path}/json.info_0000000004", info("m4"))
            await ear.following(info("m4"))
            await masters.delete(f"{path}/json.info_0000000004")
            await masters.delete(f"{path}/json.info_0000000005")
            await watch.close()
            assert ear.heard[:3] == [
                Following(None),
                Following(info("m5")),
                Following(info("m4")),
            ]

    asyncio.run(test())


def test_a_detector_sees_one_leader_after_the_other(zk_url: str) -> None:
    async def test() -> None:
        async with opened_session(zk_url) as agent, standing(zk_url, "m1") as one:
            ear = Ear("agent")
            watch = watch_leader(agent, agent.url.path, ear)
            await ear.following(info("m1"))
            async with standing(zk_url, "m2") as two:
                await two.ear.following(info("m1"))
                await one.close()
                await ear.following(info("m2"))
            await watch.close()

    asyncio.run(test())


def test_a_detector_that_is_cut_off_knows_no_leader_until_it_is_back(
    one_server: ZooKeeper, zk_url: str
) -> None:
    async def test() -> None:
        async with (
            standing(zk_url, "m1") as one,
            proxied(one_server.servers[0].port) as proxy,
            opened_session(through(zk_url, proxy.port), timeout_ms=400) as agent,
        ):
            await one.ear.leading()
            ear = Ear("agent")
            watch = watch_leader(agent, agent.url.path, ear)
            await ear.following(info("m1"))
            proxy.set(Mode.CUT)
            await ear.following(None)
            ear.heard.clear()
            proxy.set(Mode.OPEN)
            await ear.following(info("m1"))
            await watch.close()

    asyncio.run(test())
