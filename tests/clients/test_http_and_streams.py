"""What clients of Mesos rely on: HTTP and streams, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.web.routes import Routes
from tepui.wire import master, protobuf, scheduler
from tepui.wire.json import decode as json_decode
from tests.agent.daemon.fake_master import running_agent
from tests.clients.framework import (
    EXECUTOR,
    OPERATOR,
    SCHEDULER,
    Framework,
    RawExecutor,
    executor_task,
)
from tests.clients.raw import JSON_TYPE, Conversation, Head, Whole, ask, get, post, record
from tests.clients.raw import request as raw_request
from tests.master.world import World
from tests.real.cluster import Cluster

real = pytest.mark.real

AGENTS_OWN = "/slave(1)/api/v1"
STREAMS = ("scheduler", "operator", "executor")
SUBSCRIBE = {
    "type": "SUBSCRIBE",
    "subscribe": {"framework_info": {"user": "root", "name": "never"}},
}

BEGINNING = ["SUBSCRIBED", "HEARTBEAT"]
GONE = {"agent_id": {"value": "gone"}, "task_id": {"value": "gone"}}
GONE_EXECUTOR = {"agent_id": {"value": "gone"}, "executor_id": {"value": "gone"}}


@contextmanager
def stream(cluster: Cluster, kind: str) -> Iterator[tuple[Head, Conversation]]:
    """A stream of events that has just begun, asked for with every reason to compress it."""
    compressed = ("Accept-Encoding", "gzip, deflate, br")
    with Framework(
        cluster.master_address, compressed, name="sch\u00f6n \u2211 \U0001f600"
    ) as owner:
        match kind:
            case "scheduler":
                with Conversation(cluster.master_address) as talk:
                    info = {"user": "root", "name": "\u00fcber", "id": {"value": owner.id}}
                    call = {
                        "type": "SUBSCRIBE",
                        "framework_id": {"value": owner.id},
                        "subscribe": {"framework_info": info},
                    }
                    talk.send(post(SCHEDULER, call, compressed))
                    head = talk.head()
                    owner.head = head  # of the scheduler that may call from now on
                    yield head, talk
            case "operator":
                with Conversation(cluster.master_address) as talk:
                    talk.send(post(OPERATOR, {"type": "SUBSCRIBE"}, compressed))
                    yield talk.head(), talk
            case _:
                agent = cluster.agents[0].address
                owner.launch(owner.offer(), executor_task("t", owner.id, "ex"))
                cluster.wait_until(lambda: _runs(cluster, owner.id), "the executor runs")
                with RawExecutor(agent, owner.id, "ex", compressed) as executor:
                    yield executor.head, executor.talk


def _runs(cluster: Cluster, framework_id: str) -> bool:
    found = get(cluster.agents[0].address, "/containers").json()
    mine = [one["status"] for one in found if one["framework_id"] == framework_id]
    return any("executor_pid" in status for status in mine)


# Streams


@real
@pytest.mark.parametrize("kind", STREAMS)
def test_one_record_is_one_chunk_of_one_line_of_ascii(cluster: Cluster, kind: str) -> None:
    with stream(cluster, kind) as (_, talk):
        for _ in range(2):
            found = record(talk.chunk())
            assert found.isascii()
            assert b"\n" not in found
            json.loads(found)


@real
def test_one_record_is_one_chunk_in_protobuf_too(cluster: Cluster) -> None:
    message = json_decode(scheduler.Call, json.dumps(SUBSCRIBE).encode())
    kind = "application/x-protobuf"
    headers = (("Content-Type", kind), ("Accept", kind))
    with Conversation(cluster.master_address) as talk:
        talk.send(raw_request("POST", SCHEDULER, protobuf.encode(message), headers))
        assert talk.head().get("Content-Type") == kind
        events = [protobuf.decode(scheduler.Event, record(talk.chunk())) for _ in range(2)]
    assert [event.type.value for event in events if event.type] == BEGINNING


@real
@pytest.mark.parametrize("kind", STREAMS)
def test_streams_are_never_compressed(cluster: Cluster, kind: str) -> None:
    with stream(cluster, kind) as (head, talk):
        assert head.get("Content-Encoding") is None
        assert talk.event()["type"] == "SUBSCRIBED"


@real
@pytest.mark.parametrize("path", ["/state", "/master/metrics/snapshot"])
def test_answers_are_never_compressed(cluster: Cluster, path: str) -> None:
    answer = get(cluster.master_address, path, ("Accept-Encoding", "gzip, deflate, br"))
    assert answer.head.get("Content-Encoding") is None
    assert answer.json()


@real
@pytest.mark.parametrize("kind", ["scheduler", "operator"])
def test_a_heartbeat_comes_right_after_subscribed(cluster: Cluster, kind: str) -> None:
    with stream(cluster, kind) as (_, talk):
        first, second = talk.event(), talk.event()
        assert [first["type"], second["type"]] == BEGINNING
        assert 0 < first["subscribed"]["heartbeat_interval_seconds"] <= 15


def test_the_first_heartbeat_is_sent_together_with_subscribed() -> None:
    world = World()
    framework, operator = world.subscribe(), world.watch()
    assert [event.type.value for event in framework.events() if event.type] == BEGINNING
    told = world.events(operator, master.Event)
    assert [event.type.value for event in told if event.type] == BEGINNING


def test_heartbeats_come_every_fifteen_seconds_at_least() -> None:
    world = World()
    framework, operator = world.subscribe(), world.watch()
    for _ in range(4):
        framework.events()
        world.events(operator, master.Event)
        world.advance(15_000)
        heartbeat = scheduler.Event.Type.HEARTBEAT
        assert heartbeat in [event.type for event in framework.events()]
        told = [event.type for event in world.events(operator, master.Event)]
        assert master.Event.Type.HEARTBEAT in told


@real
def test_subscribe_answers_200_in_chunks_with_a_stream_id(cluster: Cluster) -> None:
    with Framework(cluster.master_address) as framework:
        assert framework.head.status == 200
        headers = dict(framework.head.pairs)  # the names as they were written
        assert headers["Transfer-Encoding"] == "chunked"
        assert headers["Content-Type"] == "application/json"
        assert 0 < len(headers["Mesos-Stream-Id"]) <= 128
        assert "Content-Length" not in headers


@real
def test_a_subscribe_with_a_stream_id_is_refused(cluster: Cluster) -> None:
    with Framework(cluster.master_address) as framework:
        stream_id = framework.head.get("Mesos-Stream-Id")
        assert stream_id is not None
        for value in (stream_id, "anything"):
            with Conversation(cluster.master_address) as talk:
                talk.send(post(SCHEDULER, SUBSCRIBE, ("Mesos-Stream-Id", value)))
                assert talk.head().status == 400


@real
@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("SUPPRESS", {}),
        ("REVIVE", {}),
        ("DECLINE", {"decline": {"offer_ids": [{"value": "gone"}]}}),
        ("RECONCILE", {"reconcile": {"tasks": []}}),
        ("KILL", {"kill": {"task_id": {"value": "gone"}}}),
        ("ACCEPT", {"accept": {"offer_ids": [{"value": "gone"}]}}),
        ("ACKNOWLEDGE", {"acknowledge": {"uuid": "EjRWeBI0RniSNFZ4EjRWeA==", **GONE}}),
        ("MESSAGE", {"message": {"data": "AA==", **GONE_EXECUTOR}}),
        ("SHUTDOWN", {"shutdown": GONE_EXECUTOR}),
        ("REQUEST", {"request": {"requests": []}}),
        ("ACCEPT_INVERSE_OFFERS", {"accept_inverse_offers": {}}),
        ("DECLINE_INVERSE_OFFERS", {"decline_inverse_offers": {}}),
    ],
)
def test_other_calls_are_answered_202_without_a_body(
    cluster: Cluster, kind: str, parts: dict[str, Any]
) -> None:
    with Framework(cluster.master_address) as framework:
        answer = framework.call(kind, **parts)
        assert (answer.status, answer.body) == (202, b"")


# Redirect


@real
@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/redirect", ""),
        ("/redirect/", ""),
        ("/master/redirect", ""),
        ("/redirect/state", "/state"),
        ("/redirect/api/v1", "/api/v1"),
    ],
)
def test_redirect_is_307_to_host_and_port_without_a_scheme(
    cluster: Cluster, path: str, below: str
) -> None:
    answer = get(cluster.master_address, path)
    assert answer.status == 307
    assert dict(answer.head.pairs)["Location"] == f"//{cluster.master_address}{below}"


# Negotiation


@real
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/*",
        "application/x-protobuf, application/json",
        "application/json;q=0.1, application/x-protobuf",
    ],
)
def test_json_comes_without_accept_and_before_protobuf(
    cluster: Cluster, accept: str | None
) -> None:
    headers = () if accept is None else (("Accept", accept),)
    for address in (cluster.master_address, cluster.agents[0].address):
        answer = ask(address, post("/api/v1", {"type": "GET_HEALTH"}, *headers))
        assert answer.head.get("Content-Type") == "application/json"
        assert answer.json() == {"type": "GET_HEALTH", "get_health": {"healthy": True}}
    with Framework(cluster.master_address, *headers) as framework:
        assert framework.head.get("Content-Type") == "application/json"


@real
@pytest.mark.parametrize("path", [SCHEDULER, OPERATOR, EXECUTOR])
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 415),
        ("application/json;charset=UTF-8", 415),
        ("Application/JSON", 415),
        ("text/plain", 415),
        (None, 400),
    ],
)
def test_content_type_is_compared_exactly(
    cluster: Cluster, path: str, content_type: str | None, status: int
) -> None:
    headers = () if content_type is None else (("Content-Type", content_type),)
    body = json.dumps({"type": "GET_HEALTH"}).encode()
    master, agent = cluster.master_address, cluster.agents[0].address
    served = {SCHEDULER: (master,), OPERATOR: (master, agent), EXECUTOR: (agent,)}
    for address in served[path]:
        assert ask(address, raw_request("POST", path, body, headers)).status == status


# Routes


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the routes that a daemon adds in this test, also of those to come."""
    paths: list[str] = []
    add = Routes.add

    def remember(routes: Routes, path: str, *others: Any, **named: Any) -> None:
        paths.append(path)
        add(routes, path, *others, **named)

    monkeypatch.setattr(Routes, "add", remember)
    return paths


Outline = tuple[int, str | None, object]


def outline(answer: Whole) -> Outline:
    """What does not change from one request to the next."""
    kind = answer.head.get("Content-Type")
    if kind == "application/json":
        value = answer.json()
        return answer.status, kind, sorted(value) if isinstance(value, dict) else type(value)
    if answer.status == 200:  # metrics as text, which change
        return answer.status, kind, None
    return answer.status, kind, answer.head.get("Location") or answer.body


def spellings(path: str, prefix: str) -> list[str]:
    """Other ways to ask for a route."""
    found = [path, prefix + path]
    if not path.endswith(".json"):  # /system/stats.json has no other name
        found += [f"{path}.json", f"{prefix}{path}.json"]
    found += [f"{one}/" for one in found]
    return [*found, path.replace("/", "//"), f"/{prefix}//{path}//", quote(prefix) + path]


def check_spellings(address: str, paths: list[str], prefix: str) -> None:
    """Each route answers the same however it is asked for."""
    assert len(paths) > 10
    with Conversation(address) as talk:

        def outline_of(path: str) -> Outline:
            talk.send(raw_request("GET", path))
            return outline(talk.whole())

        for path in filter(None, paths):
            wanted = outline_of(path)
            assert wanted[0] != 404, path
            assert wanted[0] < 500, path
            for spelling in spellings(path, prefix):
                assert outline_of(spelling) == wanted, spelling


@real
def test_every_route_of_the_master_has_its_old_name_and_may_follow_master(
    cluster: Cluster,
) -> None:
    async def play() -> list[str]:
        daemon = MasterDaemon(MasterOptions(port=0))
        await daemon.start()
        paths = list(daemon.leader.routes.paths)
        await daemon.stop()
        return paths

    check_spellings(cluster.master_address, asyncio.run(play()), "/master")


@real
def test_every_route_of_the_agent_has_its_old_name_and_may_follow_slave(
    cluster: Cluster, added: list[str]
) -> None:
    async def play() -> None:
        async with running_agent():
            pass

    asyncio.run(play())
    check_spellings(cluster.agents[0].address, added, "/slave(1)")


@real
def test_slashes_alone_ask_for_the_root(cluster: Cluster) -> None:
    for address, prefix in (
        (cluster.master_address, "/master"),
        (cluster.agents[0].address, "/slave(1)"),
    ):
        wanted = outline(get(address, "/"))
        assert wanted[0] != 400
        for path in ("//", "///", f"{prefix}/", f"/{prefix}//"):
            assert outline(get(address, path)) == wanted, path


@real
@pytest.mark.parametrize("prefix", ["", "/master"])
@pytest.mark.parametrize("path", ["/api/v1/operator", "/api/v1/operator/", "/api/v1/", "/api/v1"])
def test_the_operator_api_is_served_below_its_path(
    cluster: Cluster, prefix: str, path: str
) -> None:
    answer = ask(cluster.master_address, post(prefix + path, {"type": "GET_VERSION"}))
    assert answer.json()["type"] == "GET_VERSION"


@real
@pytest.mark.parametrize(
    "path", ["/api/v1/scheduler", "/api/v1/scheduler/", "/master/api/v1/scheduler"]
)
def test_the_longer_of_two_routes_serves(cluster: Cluster, path: str) -> None:
    answer = ask(cluster.master_address, post(path, {"type": "REVIVE"}))
    assert answer.status == 400
    assert b"framework_id" in answer.body  # of a scheduler's call; an operator's is not REVIVE


@real
@pytest.mark.parametrize("form", ["/slaves/{}", "/master/slaves/{}", "/slaves/{}/", "/slaves//{}"])
def test_an_agent_is_shown_below_slaves(cluster: Cluster, form: str) -> None:
    agent_id = get(cluster.master_address, "/slaves").json()["slaves"][0]["id"]
    found = get(cluster.master_address, form.format(agent_id)).json()["slaves"]
    assert [one["id"] for one in found] == [agent_id]
    assert get(cluster.master_address, form.format("nobody")).json()["slaves"] == []


@real
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/tasks/?task_id={}", "/tasks?task_id={}", "/master/tasks/?task_id={}"])  # fmt: skip
def test_tasks_are_found_by_their_id_with_either_method(
    cluster: Cluster, method: str, path: str
) -> None:
    with Framework(cluster.master_address) as framework:
        offer = framework.offer()
        tasks = [executor_task(name, framework.id, "ex") for name in ("a", "b")]
        framework.launch(offer, *tasks)
        body = b"" if method == "POST" else None
        for name in ("a", "b"):
            asked = raw_request(method, path.format(name), body)
            found = ask(cluster.master_address, asked).json()["tasks"]
            mine = [one for one in found if one["framework_id"] == framework.id]
            assert [one["id"] for one in mine] == [name]


@real
@pytest.mark.parametrize("path", ["/master/state.json", "/state.json", "/files/read.json"])
def test_old_names_of_the_master_answer_what_the_new_ones_answer(
    cluster: Cluster, path: str
) -> None:
    new = get(cluster.master_address, path.removesuffix(".json"))
    old = get(cluster.master_address, path)
    assert outline(old) == outline(new)


@real
@pytest.mark.parametrize(
    "path",
    [
        "/slave(1)/state.json",
        "/files/browse.json",
        "/files/read.json",
        "/files/download.json",
        "/monitor/statistics.json",
        "/slave(1)/monitor/statistics.json",
    ],
)
def test_old_names_of_the_agent_answer_what_the_new_ones_answer(
    cluster: Cluster, path: str
) -> None:
    query = "?path=/nowhere" if "files" in path else ""
    new = get(cluster.agents[0].address, path.removesuffix(".json") + query)
    old = get(cluster.agents[0].address, path + query)
    assert outline(old) == outline(new)
    assert old.status == (404 if query else 200)


# Requests


@real
@pytest.mark.parametrize(
    "value", ["Basic dXNlcjpwYXNz", "Bearer x", "Basic ???", "token=7", "\xe9", ""]
)
def test_an_authorization_header_is_ignored(cluster: Cluster, value: str) -> None:
    header = ("Authorization", value)
    for address in (cluster.master_address, cluster.agents[0].address):
        assert get(address, "/state", header).status == 200
        assert ask(address, post("/api/v1", {"type": "GET_HEALTH"}, header)).status == 200
    with Framework(cluster.master_address, header, principal="user") as framework:
        assert framework.call("SUPPRESS").status == 202
    executor = post(EXECUTOR, {"type": "SUBSCRIBE"}, header)
    assert ask(cluster.agents[0].address, executor).status == 400  # its form is looked at


@real
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_request_bodies_may_be_chunked(cluster: Cluster, size: int) -> None:
    headers = (JSON_TYPE, ("Transfer-Encoding", "chunked"))
    body = json.dumps({"type": "GET_HEALTH"}).encode()
    for address in (cluster.master_address, cluster.agents[0].address):
        answer = ask(address, raw_request("POST", OPERATOR, chunked(body, size), headers))
        assert answer.json()["get_health"] == {"healthy": True}
    with Conversation(cluster.master_address) as talk:
        body = json.dumps(SUBSCRIBE).encode()
        talk.send(raw_request("POST", SCHEDULER, chunked(body, size), headers))
        assert talk.head().status == 200
        assert talk.event()["type"] == "SUBSCRIBED"


def chunked(body: bytes, size: int) -> bytes:
    """The body in chunks of that size."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])
