"""What clients of Mesos rely on: the JSON that goes out, and the JSON that is taken."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from google.protobuf import json_format
from msgspec import to_builtins

from tepui.agent.core import events
from tepui.agent.core.saved import agent_changed
from tepui.agent.core.views import state_view
from tepui.master.core.views.questions import question_of
from tepui.resources import parse_resources
from tepui.wire import agent, executor, json, master, mesos, scheduler
from tepui.wire.fields import Field, Label, fields, full_name
from tepui.wire.message import ProtoMessage
from tests.agent.core.cluster import Agent, executor_events, executor_info, run_tasks, task_info
from tests.clients.framework import SCHEDULER, Framework, command_task
from tests.clients.raw import Conversation, ask, post
from tests.master.world import TaskState, World
from tests.real.cluster import Cluster
from tests.wire.oracle import runtime, with_defaults

Json = dict[str, Any]  # any JSON object
Decode = Callable[[type[Any], bytes], Any]

PORTS = "cpus:4;mem:4096;ports:[31000-32000,33000-33001]"
PORTS_TEXT = "[31000-32000, 33000-33001]"


# What goes out


@cache
def sent() -> list[ProtoMessage]:
    """Events of every kind, as a day in a cluster sends them."""
    world = World()
    operator = world.watch()
    one = world.add_agent(resources=PORTS, attributes=(_rack(),))
    owner = world.subscribe(name="sch\u00f6n", roles=("web",))
    labels = mesos.Labels(labels=(mesos.Label(key="k"),))
    owner.launch("a", one, labels=labels)
    owner.launch("b", one)
    owner.launch_group(("g",), one, "ex")
    one.update(owner, "a", TaskState.TASK_RUNNING)
    one.update(owner, "b", TaskState.TASK_FINISHED)
    old = world.subscribe(info=_old_framework())
    world.add_agent(resources=PORTS)
    one.disconnect()
    found: list[ProtoMessage] = []
    found += owner.events() + old.events() + world.events(operator, master.Event)
    return [*found, *sent_by_agent()]


def sent_by_agent() -> list[ProtoMessage]:
    """Events of an executor."""
    one = Agent()
    done = one.hear(run_tasks(task_info("t", executor_info=executor_info())))
    container = one.container("ex")
    done += one.put(events.SandboxPrepared(container), events.ContainerStarted(container, 99))
    done += one.put(events.ExecutorSubscribed(5, _executor_subscribe()))
    done += one.advance(30_000)
    found: list[ProtoMessage] = [*executor_events(done)]
    assert len(found) >= 3
    return found


def _executor_subscribe() -> executor.Call:
    return executor.Call(
        type=executor.Call.Type.SUBSCRIBE,
        executor_id=mesos.ExecutorID("ex"),
        framework_id=mesos.FrameworkID("F"),
        subscribe=executor.Call.Subscribe(),
    )


def _old_framework() -> mesos.FrameworkInfo:
    return mesos.FrameworkInfo(user="root", name="old", role="web")


def _rack() -> mesos.Attribute:
    text = mesos.Value.Text(value="r1")
    return mesos.Attribute(name="rack", type=mesos.Value.Type.TEXT, text=text)


def lines() -> Iterator[tuple[ProtoMessage, bytes]]:
    """Each of them, as it is written."""
    for message in sent():
        yield message, json.encode(message)


def test_what_goes_out_is_one_line_of_ascii() -> None:
    for _, line in lines():
        assert line.isascii()
        assert b"\n" not in line


def test_nothing_goes_out_that_the_schema_lacks() -> None:
    for message, line in lines():
        _parse_strictly(type(message), line)


@pytest.mark.real
def test_nothing_is_answered_that_the_schema_lacks(cluster: Cluster) -> None:
    with Framework(cluster.master_address, name="sch\u00f6n") as framework:
        unlimited = {"limits": {"mem": {"value": "Infinity"}}}
        tasks = [
            {**command_task("done", "true"), "name": "erledigt \u2713"},
            {**command_task("on", "sleep 1000"), **unlimited},
        ]
        framework.launch(framework.offer(), *tasks)
        framework.update("done", "TASK_FINISHED")
        for address, cls, kinds in (
            (cluster.master_address, master.Response, master.Call.Type),
            (cluster.agents[0].address, agent.Response, agent.Call.Type),
        ):
            answered = 0
            for kind in kinds:
                if not kind.name.startswith("GET_"):
                    continue
                answer = ask(address, post("/api/v1", {"type": kind, kind.lower(): {}}))
                assert answer.status in (200, 400, 501), (
                    answer
                )  # some ask for more, some are not here
                if answer.status == 200:
                    answered += 1
                    assert answer.body.isascii(), kind
                    assert b"\n" not in answer.body, kind
                    _parse_strictly(cls, answer.body)
            assert answered >= 10, address


def _parse_strictly(cls: type[ProtoMessage], line: bytes) -> None:
    """The line holds what the real schema has, and no more."""
    name = full_name(cls)
    quoted = re.sub(rb":(-?Infinity)([,}])", rb':"\1"\2', line)  # as Google's runtime reads it
    strict = json_format.Parse(quoted, runtime(name)(), ignore_unknown_fields=False)
    assert strict.IsInitialized(), name


def test_fields_that_have_defaults_go_out() -> None:
    for message, line in lines():
        seen: Any = json_format.Parse(line, runtime(full_name(type(message)))())
        assert with_defaults(deepcopy(seen)) == seen
    filters = plain_json.loads(json.encode(mesos.Filters()))
    assert filters == {"refuse_seconds": 5.0}


def test_integers_of_64_bits_go_out_as_numbers() -> None:
    line = json.encode(mesos.Value.Range(begin=2**64 - 1, end=31_000))
    assert line == b'{"begin":18446744073709551615,"end":31000}'
    line = json.encode(mesos.TimeInfo(nanoseconds=-(2**63)))
    assert line == b'{"nanoseconds":-9223372036854775808}'
    for _, line in lines():
        assert not re.search(rb'"(begin|end|nanoseconds|bytes|value)":"[0-9]+"[,}]', line)


def test_enums_go_out_as_names_and_bytes_as_base64() -> None:
    status = mesos.TaskStatus(
        task_id=mesos.TaskID("t"), state=TaskState.TASK_RUNNING, uuid=b"\xff" * 16, data=b"\x00"
    )
    found = plain_json.loads(json.encode(status))
    assert found["state"] == "TASK_RUNNING"
    assert (found["uuid"], found["data"]) == ("/////////////////////w==", "AA==")


def test_lists_that_are_empty_and_fields_that_are_absent_do_not_go_out() -> None:
    for message, line in lines():
        written = plain_json.loads(line)
        for part in objects(written):
            assert None not in part.values()
            if not isinstance(message, master.Event):  # SUBSCRIBED has those that Mesos writes
                assert [] not in part.values()
    assert json.encode(mesos.Offer.Operation.Launch()) == b"{}"


# What is taken

TASK: Json = {
    "name": "t",
    "task_id": {"value": "t"},
    "agent_id": {"value": "a"},
    "resources": [
        {
            "name": "ports",
            "type": "RANGES",
            "ranges": {"range": [{"begin": 31000, "end": 31005}]},
            "allocation_info": {"role": "web"},
            "reservations": [
                {
                    "type": "DYNAMIC",
                    "role": "web",
                    "principal": "p",
                    "labels": {"labels": [{"key": "k", "value": "v"}]},
                }
            ],
        }
    ],
    "executor": {
        "executor_id": {"value": "e"},
        "command": {
            "shell": False,
            "value": "run",
            "arguments": ["one"],
            "uris": [{"value": "http://x/y", "extract": False, "executable": True}],
            "environment": {"variables": [{"name": "A", "value": "1"}]},
        },
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}}],
        "shutdown_grace_period": {"nanoseconds": 3600000},
        "data": "aGVsbG8=",
    },
    "container": {
        "type": "DOCKER",
        "volumes": [{"mode": "RW", "container_path": "/c", "host_path": "/h"}],
        "docker": {
            "image": "i",
            "port_mappings": [{"host_port": 31000, "container_port": 80, "protocol": "tcp"}],
            "parameters": [{"key": "k", "value": "v"}],
            "force_pull_image": True,
        },
        "network_infos": [{"name": "n", "ip_addresses": [{"ip_address": "10.0.0.1"}]}],
    },
    "health_check": {
        "type": "HTTP",
        "http": {"port": 80, "path": "/", "statuses": [200]},
        "grace_period_seconds": 10.5,
        "consecutive_failures": 3,
    },
    "discovery": {
        "visibility": "CLUSTER",
        "ports": {"ports": [{"number": 80, "name": "http"}]},
        "labels": {"labels": [{"key": "k"}]},
    },
    "labels": {"labels": [{"key": "k", "value": "v"}]},
    "limits": {"mem": {"value": 64.0}},
}
ACCEPT: Json = {
    "type": "ACCEPT",
    "framework_id": {"value": "f"},
    "accept": {
        "offer_ids": [{"value": "o"}],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [TASK]}}],
        "filters": {"refuse_seconds": 5.5},
    },
}
SUBSCRIBE: Json = {
    "type": "SUBSCRIBE",
    "subscribe": {
        "framework_info": {
            "user": "root",
            "name": "n",
            "roles": ["web"],
            "capabilities": [{"type": "MULTI_ROLE"}],
            "failover_timeout": 60.0,
            "checkpoint": True,
        },
        "suppressed_roles": ["web"],
    },
}
UPDATE: Json = {
    "type": "UPDATE",
    "executor_id": {"value": "e"},
    "framework_id": {"value": "f"},
    "update": {
        "status": {
            "task_id": {"value": "t"},
            "state": "TASK_RUNNING",
            "uuid": "AAAA",
            "timestamp": 1.5,
            "healthy": True,
            "container_status": {
                "network_infos": [{"ip_addresses": [{"ip_address": "10.0.0.1"}]}],
                "executor_pid": 7,
            },
        }
    },
}
CALLS: list[tuple[type[ProtoMessage], Json]] = [
    (scheduler.Call, ACCEPT),
    (scheduler.Call, SUBSCRIBE),
    (executor.Call, UPDATE),
]
both_ways = pytest.mark.parametrize("decode", [json.decode, json.decode_tolerantly])
all_calls = pytest.mark.parametrize(("cls", "call"), CALLS)


def objects(value: object) -> Iterator[Json]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from objects(part)


def changed(call: Json, change: Callable[[Any], Any]) -> Json:
    """The call with every value replaced; those within first."""

    def walked(value: Any) -> Any:
        if isinstance(value, dict):
            return change({name: walked(part) for name, part in value.items()})
        if isinstance(value, list):
            return change([walked(part) for part in value])
        return change(value)

    found: Json = walked(call)
    return found


def each_changed(call: Json, change: Callable[[Any], Any]) -> Iterator[Json]:
    """The call with one of its values replaced, for each that the change concerns."""
    count = 0

    def counting(value: Any) -> Any:
        nonlocal count
        count += change(value) != value or type(change(value)) is not type(value)
        return value

    changed(call, counting)
    for wanted in range(count):
        seen = 0

        def only(value: Any, wanted: int = wanted) -> Any:
            nonlocal seen
            new = change(value)
            if new == value and type(new) is type(value):
                return value
            seen += 1
            return new if seen == wanted + 1 else value

        yield changed(call, only)


def check_read_alike(
    decode: Decode, cls: type[ProtoMessage], call: Json, change: Callable[[Any], Any]
) -> int:
    """However many values are changed, one or all, the same is read; how many there were."""
    wanted = json.decode(cls, plain_json.dumps(call).encode())
    variants = [changed(call, change), *each_changed(call, change)]
    for variant in variants:
        assert variant != call
        assert decode(cls, plain_json.dumps(variant).encode()) == wanted, variant
    return len(variants) - 1


def test_the_calls_of_these_tests_hold_nothing_that_is_ignored() -> None:
    for cls, call in CALLS:
        read = to_builtins(json.decode(cls, plain_json.dumps(call).encode()))
        for name, part in _flat(call):
            assert (name, part) in list(_flat(read)), name


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part, f"{path}[]")
    else:
        yield path, value


@both_ways
@all_calls
def test_a_lone_value_at_any_depth_is_a_list_of_one(
    decode: Decode, cls: type[ProtoMessage], call: Json
) -> None:
    count = check_read_alike(decode, cls, call, lambda v: v[0] if isinstance(v, list) else v)
    assert count == plain_json.dumps(call).count("[")


@both_ways
@all_calls
def test_numbers_may_be_strings(decode: Decode, cls: type[ProtoMessage], call: Json) -> None:
    def change(value: Any) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return str(value) if is_number else value

    assert check_read_alike(decode, cls, call, change) >= 1


@both_ways
@all_calls
def test_booleans_may_be_strings(decode: Decode, cls: type[ProtoMessage], call: Json) -> None:
    def change(value: Any) -> Any:
        return str(value).lower() if isinstance(value, bool) else value

    assert check_read_alike(decode, cls, call, change) >= 1


@both_ways
@all_calls
def test_all_of_it_may_come_together(decode: Decode, cls: type[ProtoMessage], call: Json) -> None:
    def change(value: Any) -> Any:
        match value:
            case [one]:
                return one
            case bool():
                return str(value).lower()
            case int() | float():
                return str(value)
            case dict() if "mem" not in value:  # limits: a map has no unknown names
                return {**value, "slave_id": {"value": "s"}, "ignored": None}
        return value

    wanted = json.decode(cls, plain_json.dumps(call).encode())
    written = plain_json.dumps(changed(call, change), indent=2).encode()
    assert decode(cls, written) == wanted


@both_ways
def test_integers_may_be_written_with_an_exponent(decode: Decode) -> None:
    for written in ("3.6e+06", '"3.6e+06"', "3600000.0", "3.6E6"):
        body = plain_json.dumps(ACCEPT).replace("3600000", written).encode()
        assert decode(scheduler.Call, body) == json.decode(
            scheduler.Call, plain_json.dumps(ACCEPT).encode()
        )


@both_ways
@all_calls
def test_null_is_absent(decode: Decode, cls: type[ProtoMessage], call: Json) -> None:
    wanted = json.decode(cls, plain_json.dumps(call).encode())
    nulls = with_nulls(cls, call)
    assert plain_json.dumps(nulls).count("null") > 5
    assert decode(cls, plain_json.dumps(nulls).encode()) == wanted


def with_nulls(cls: type[ProtoMessage], value: Json) -> Json:
    """The object with null for every field that it does not have."""
    found: Json = {}
    for field in fields(cls):
        if field.name not in value:
            found[field.name] = None
            continue
        found[field.name] = _with_nulls(field, value[field.name])
    return found


def _with_nulls(field: Field, value: Any) -> Any:
    if field.message is None:
        return value
    if field.label is Label.MAP:
        return {key: with_nulls(field.message, part) for key, part in value.items()}
    if isinstance(value, list):
        return [None, *(with_nulls(field.message, part) for part in value)]
    return with_nulls(field.message, value)


@both_ways
@all_calls
def test_unknown_fields_are_ignored(decode: Decode, cls: type[ProtoMessage], call: Json) -> None:
    def change(value: Any) -> Any:
        if not isinstance(value, dict) or "mem" in value:  # limits: a map has no unknown names
            return value
        more = {"slave_id": {"value": "s"}, "agentId": 7, "x-y": [[{}], None, 1e3], "": "\\"}
        return {**value, **more}

    check_read_alike(decode, cls, call, change)


@both_ways
def test_only_snake_case_names_are_fields(decode: Decode) -> None:
    body = b'{"type":"DECLINE","frameworkId":{"value":"f"},"decline":{"offerIds":{"value":"o"}}}'
    assert decode(scheduler.Call, body) == scheduler.Call(
        type=scheduler.Call.Type.DECLINE, decline=scheduler.Call.Decline()
    )


@both_ways
def test_unknown_values_of_optional_enums_are_dropped(decode: Decode) -> None:
    capabilities = [{"type": "MULTI_ROLE"}, {"type": "OF_TOMORROW"}]
    info = {"user": "root", "name": "n", "capabilities": capabilities}
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
    read = decode(scheduler.Call, plain_json.dumps(call).encode())
    kinds = [one.type for one in read.subscribe.framework_info.capabilities]
    assert kinds == [mesos.FrameworkInfo.Capability.Type.MULTI_ROLE, None]
    assert decode(scheduler.Call, b'{"type":"OF_TOMORROW"}').type is None


@pytest.mark.real
def test_a_scheduler_may_subscribe_with_lone_values(cluster: Cluster) -> None:
    info = {
        "user": "root",
        "name": "lone",
        "roles": "web",
        "capabilities": {"type": "MULTI_ROLE"},
        "failover_timeout": "0",
        "checkpoint": "false",
        "slave_id": None,
    }
    with Conversation(cluster.master_address) as talk:
        talk.send(post(SCHEDULER, {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}))
        assert talk.head().status == 200
        offer = talk.event_of("OFFERS")["offers"]["offers"][0]
        assert offer["allocation_info"] == {"role": "web"}


# /state


def test_in_the_masters_state_ports_are_text_and_scalars_are_numbers() -> None:
    world = World()
    one = world.add_agent(resources=PORTS)
    owner = world.subscribe()
    owner.launch("t", one, resources="cpus:0.1;mem:32;ports:[31000-31001,31005-31005]")
    question = question_of("state", {})
    assert question is not None
    state = plain_json.loads(world.ask(question))
    (slave,) = state["slaves"]
    assert slave["resources"]["ports"] == PORTS_TEXT
    assert (slave["resources"]["cpus"], slave["resources"]["mem"]) == (4.0, 4096.0)
    (framework,) = state["frameworks"]
    (task,) = framework["tasks"]
    assert task["resources"]["ports"] == "[31000-31001, 31005-31005]"
    assert task["resources"]["cpus"] == 0.1
    for part in (slave, framework, task):
        for name in ("resources", "used_resources", "offered_resources"):
            for key, amount in part.get(name, {}).items():
                assert isinstance(amount, str if key == "ports" else int | float), (name, key)


def test_in_the_agents_state_ports_are_text_and_scalars_are_numbers() -> None:
    one = Agent()
    more = parse_resources(PORTS).to_wire(role=None, refinement=True)
    one.state.info = mesos.AgentInfo(hostname="h", id=one.state.info.id, resources=more)
    agent_changed(one.state)
    one.run(task_info())
    state = state_view(one.state)
    resources = state["resources"]
    assert isinstance(resources, dict)
    assert resources["ports"] == PORTS_TEXT
    assert (resources["cpus"], resources["mem"]) == (4.0, 4096.0)
