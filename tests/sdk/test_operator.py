"""The operator's client: pure parts, then against a small master on a real socket."""

from __future__ import annotations

import asyncio

import pytest

from tepui.base.errors import Refused
from tepui.sdk import CallRefused, Disconnected, OperatorClient, Unreachable, find_leader
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.core.masters import parse_masters, redirect_target
from tepui.sdk.core.tail import Read, Tail
from tepui.wire import master, mesos
from tests.sdk.fake_master import FakeMaster, fake_master
from tests.sdk.test_scheduler import within_deadline


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("m1:5050", ("http://m1:5050",)),
        ("m1", ("http://m1:5050",)),
        (" m1:1 , m2:2,m1:1 ", ("http://m1:1", "http://m2:2")),
        ("http://m1:80/", ("http://m1:80",)),
        ("https://proxy/mesos/", ("https://proxy/mesos",)),
        ("[::1]:5050", ("http://[::1]:5050",)),
    ],
)
def test_addresses_become_base_urls(text: str, urls: tuple[str, ...]) -> None:
    assert parse_masters(text) == urls


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected host:port"),
        ("m1:port", "address 'm1:port'"),
        ("m1:99999", "address 'm1:99999'"),
        ("ftp://m1", "unknown scheme 'ftp'"),
        ("m1:5050/path", "nothing behind it"),
        ("http://:5050", "expected host:port"),
    ],
)
def test_what_is_no_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        parse_masters(text)


def test_a_location_without_scheme_has_that_of_the_asked_master() -> None:
    assert redirect_target("https://m1", "//m2:5050/master/x") == "https://m2:5050"
    assert redirect_target("http://m1", "http://m2:1/x") == "http://m2:1"
    assert redirect_target("http://m1", "/x") is None
    assert redirect_target("http://m1", "//m2:port/") is None


def test_waits_double_up_to_their_limit_and_jitter_takes_up_to_half() -> None:
    whole = Backoff(100, 350, lambda: 0.0)
    assert [whole.next_ms() for _ in range(4)] == [100, 200, 350, 350]
    whole.reset()
    assert whole.next_ms() == 100
    assert Backoff(100, 350, lambda: 0.999).next_ms() == 51


def test_a_growing_file_is_read_on_from_where_it_ended() -> None:
    tail = Tail("out")
    assert tail.got(3, b"abc")
    assert tail.next_read() == Read("out", 3)
    assert not tail.got(3, b"")
    assert tail.next_read() == Read("out", 3)


def test_a_rotated_file_s_rest_is_read_before_the_new_file() -> None:
    tail = Tail("out", 3)
    assert tail.got(1, b"")  # smaller than what was read
    assert tail.next_read() == Read("out.1", 3)
    assert tail.got(5, b"de")
    assert tail.next_read() == Read("out.1", 5)
    assert tail.got(5, b"")
    assert tail.next_read() == Read("out", 0)


def test_a_file_rotated_twice_goes_on_with_the_new_file() -> None:
    tail = Tail("out", 30)
    tail.got(1, b"")
    assert tail.got(2, b"")  # out.1 is another file already
    assert tail.next_read() == Read("out", 0)


def test_a_truncated_file_without_a_rotated_one_is_read_from_its_start() -> None:
    tail = Tail("out", 30)
    tail.got(1, b"")
    assert tail.missing()
    assert tail.next_read() == Read("out", 0)
    assert not tail.missing()


@pytest.mark.real
def test_a_typed_call_follows_a_standby_to_the_leader() -> None:
    async def test() -> None:
        async with fake_master() as leader, fake_master() as standby:
            standby.leader = leader.address
            async with OperatorClient(f"127.0.0.1:1,{standby.address}") as client:
                assert await client.get_agents() == master.Response.GetAgents()
                assert client.address == f"http://{leader.address}"

    within_deadline(test())


@pytest.mark.real
def test_a_refused_call_has_status_and_text() -> None:
    async def test() -> None:
        async with fake_master() as fake, OperatorClient(fake.address) as client:
            with pytest.raises(CallRefused, match="403 not allowed"):
                await client.get_quota()

    within_deadline(test())


@pytest.mark.real
def test_nobody_to_ask_is_unreachable() -> None:
    async def test() -> None:
        async with OperatorClient("127.0.0.1:1,127.0.0.1:2") as client:
            with pytest.raises(Unreachable):
                await client.get_agents()
            with pytest.raises(Unreachable):
                await client.get_json("/state")

    within_deadline(test())


@pytest.mark.real
def test_classic_endpoints_give_json() -> None:
    async def test() -> None:
        async with fake_master() as fake, OperatorClient(fake.address) as client:
            assert await client.get_json("/state") == {"cluster": "fake", "slaves": []}
            with pytest.raises(CallRefused) as refused:
                await client.get_json("/nope")
            assert refused.value.status == 404

    within_deadline(test())


@pytest.mark.real
def test_the_event_stream_gives_events_and_says_when_it_ends() -> None:
    kind = master.Event.Type
    gone = master.Event(
        type=kind.AGENT_REMOVED,
        agent_removed=master.Event.AgentRemoved(agent_id=mesos.AgentID("a1")),
    )
    first = master.Event(type=kind.SUBSCRIBED, subscribed=master.Event.Subscribed())

    def prepare(fake: FakeMaster) -> None:
        fake.operator_events = [first, master.Event(type=kind.HEARTBEAT), gone]

    async def test() -> None:
        async with fake_master(prepare) as fake, OperatorClient(fake.address) as client:
            events = client.events()
            assert [await anext(events), await anext(events)] == [first, gone]
            with pytest.raises(Disconnected):
                await anext(events)

    within_deadline(test())


@pytest.mark.real
def test_a_followed_file_comes_whole_across_a_rotation() -> None:
    async def test() -> None:
        async with fake_master() as agent, OperatorClient(agent.address) as client:
            ended = asyncio.Event()
            pieces = client.follow_file("box/stdout", ended=ended, poll_ms=1)
            first = asyncio.ensure_future(anext(pieces))  # the file is not there yet
            agent.files["box/stdout"] = b"one "
            assert await first == b"one "
            agent.files["box/stdout.1"] = b"one two "
            agent.files["box/stdout"] = b"3"
            assert await anext(pieces) == b"two "
            assert await anext(pieces) == b"3"
            agent.files["box/stdout"] = b"3 four"
            ended.set()
            assert [piece async for piece in pieces] == [b" four"]

    within_deadline(test())


@pytest.mark.real
def test_a_file_is_read_whole_and_a_missing_one_is_refused() -> None:
    async def test() -> None:
        async with fake_master() as agent, OperatorClient(agent.address) as client:
            agent.files["big"] = bytes(range(256)) * 600
            read = b"".join([piece async for piece in client.read_whole_file("big")])
            assert read == agent.files["big"]
            with pytest.raises(CallRefused) as refused:
                await client.read_file("nope")
            assert refused.value.status == 404

    within_deadline(test())


@pytest.mark.real
def test_the_leader_is_found_through_a_standby() -> None:
    async def test() -> None:
        async with fake_master() as leader, fake_master() as standby:
            standby.leader = leader.address
            found = await find_leader(f"127.0.0.1:1,{standby.address}")
            assert found == f"http://{leader.address}"

    within_deadline(test())


@pytest.mark.real
def test_no_leader_in_time_says_why() -> None:
    async def test() -> None:
        with pytest.raises(Unreachable, match=r"within 0\.05 s"):
            await find_leader("127.0.0.1:1", timeout_s=0.05)

    within_deadline(test())
