"""The proxies of a chaos run do what a network can do, and the plan is the seed's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.real.chaos.network import HOST, Direction, Mode, Network, Rule, network
from tests.real.chaos.plan import CALM_S, HURT_S_MAX, plan

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SERVER = "server"
OWN = "test"
ANSWER_S = 10.0
SILENCE_S = 0.1  # nothing comes in this; a slow machine only makes it surer


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Network, int]]:
    """A network with one server, which sends everything back; and the port of its proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    port = int(server.sockets[0].getsockname()[1])
    async with network(lambda: {OWN: os.getpid()}) as proxies:
        yield proxies, await proxies.proxy(SERVER, lambda: port)
    server.close()
    await server.wait_closed()


def play(story: Callable[[Network, Peer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with echoing() as (proxies, port):
            peer = await asyncio.open_connection(HOST, port)
            assert await said(peer, b"one") == b"one"
            await story(proxies, peer)
            peer[1].close()

    asyncio.run(run())


async def said(peer: Peer, data: bytes) -> bytes:
    peer[1].write(data)
    return await asyncio.wait_for(peer[0].read(100), ANSWER_S)


def rule(mode: Mode, direction: Direction = Direction.BOTH, client: str = OWN) -> Rule:
    return Rule(frozenset((client,)), frozenset((SERVER,)), mode, direction)


@pytest.mark.parametrize("direction", list(Direction))
def test_what_is_held_back_arrives_when_the_rule_has_gone(direction: Direction) -> None:
    async def story(proxies: Network, peer: Peer) -> None:
        held = rule(Mode.HOLD, direction)
        proxies.add(held)
        peer[1].write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer[0].read(100), SILENCE_S)
        proxies.remove(held)
        assert await asyncio.wait_for(peer[0].read(100), ANSWER_S) == b"two"
        assert await said(peer, b"three") == b"three"

    play(story)


@pytest.mark.parametrize("direction", list(Direction))
def test_who_has_lost_something_is_cut_off_when_the_rule_has_gone(direction: Direction) -> None:
    async def story(proxies: Network, peer: Peer) -> None:
        dropping = rule(Mode.DROP, direction)
        proxies.add(dropping)
        peer[1].write(b"two")
        async with asyncio.timeout(ANSWER_S):
            while not proxies.has_lost(OWN, SERVER):  # noqa: ASYNC110 -- it has a deadline
                await asyncio.sleep(0)
        proxies.remove(dropping)
        assert await ended(peer)

    play(story)


def test_connections_are_cut_and_new_ones_refused_while_the_rule_holds() -> None:
    async def run() -> None:
        async with echoing() as (proxies, port):
            peer = await asyncio.open_connection(HOST, port)
            assert await said(peer, b"one") == b"one"
            cut = rule(Mode.CUT)
            proxies.add(cut)
            assert await ended(peer)
            assert await ended(await asyncio.open_connection(HOST, port))
            proxies.remove(cut)
            peer = await asyncio.open_connection(HOST, port)
            assert await said(peer, b"two") == b"two"
            peer[1].close()

    asyncio.run(run())


def test_a_rule_for_another_does_not_concern_this_one() -> None:
    async def story(proxies: Network, peer: Peer) -> None:
        proxies.add(rule(Mode.CUT, client="another"))
        proxies.add(rule(Mode.HOLD, client="another"))
        assert await said(peer, b"two") == b"two"
        assert proxies.unknown == 0

    play(story)


async def ended(peer: Peer) -> bool:
    try:
        return await asyncio.wait_for(peer[0].read(100), ANSWER_S) == b""
    except ConnectionError:
        return True
    finally:
        peer[1].close()


def test_the_same_seed_has_the_same_faults_and_zookeeper_is_never_hurt_for_long() -> None:
    faults = plan(7, 600)
    assert faults == plan(7, 600)
    assert faults != plan(8, 600)
    assert faults[0].at_s == CALM_S
    assert {fault.seconds <= HURT_S_MAX for fault in faults if fault.hurts_zookeeper} == {True}
    assert faults[: len(plan(7, 300))] == plan(7, 300)
