"""What clients of Mesos rely on: offers, and resources in the format that a framework speaks."""

from __future__ import annotations

import json as plain_json
import socket
from itertools import product
from typing import Any

import pytest

from tepui.master.core.views.questions import question_of
from tepui.wire import json, link, mesos, scheduler
from tests.clients.framework import Framework
from tests.clients.raw import get
from tests.master.world import FakeAgent, Scheduler, TaskState, World
from tests.real.cluster import Cluster

Call = scheduler.Call
Json = dict[str, Any]  # any JSON object

MULTI_ROLE = "MULTI_ROLE"
REFINEMENT = "RESERVATION_REFINEMENT"
CAPABILITIES = [(), (MULTI_ROLE,), (REFINEMENT,), (MULTI_ROLE, REFINEMENT)]
KINDS = {kind.value: kind for kind in mesos.FrameworkInfo.Capability.Type}
RESERVED = "cpus:4;mem:4096;ports(web):[31000-31010]"
STATIC = {"type": "STATIC", "role": "web"}

each_capability = pytest.mark.parametrize(
    "capabilities", CAPABILITIES, ids=lambda names: "+".join(names) or "none"
)


def subscribe(world: World, capabilities: tuple[str, ...]) -> Scheduler:
    """A framework of the role `web` with these capabilities."""
    is_multi_role = MULTI_ROLE in capabilities
    return world.subscribe(
        info=mesos.FrameworkInfo(
            user="root",
            name="f",
            role=None if is_multi_role else "web",
            roles=("web",) if is_multi_role else (),
            capabilities=tuple(
                mesos.FrameworkInfo.Capability(type=KINDS[name]) for name in capabilities
            ),
        )
    )


def shown(world: World, path: str) -> Any:
    """The JSON that a classic endpoint answers."""
    question = question_of(path, {})
    assert question is not None
    return plain_json.loads(world.ask(question))


def offered(owner: Scheduler) -> list[Json]:
    """The offers it was sent since the last time, as JSON."""
    found: list[Json] = []
    for event in owner.events():
        if event.offers is not None:
            found += plain_json.loads(json.encode(event))["offers"]["offers"]
    return found


def by_name(offer: Json) -> dict[str, Json]:
    """The offer's resources."""
    return {one["name"]: one for one in offer["resources"]}


@each_capability
def test_allocation_info_is_only_for_multi_role_frameworks(capabilities: tuple[str, ...]) -> None:
    world = World()
    world.add_agent(resources=RESERVED)
    (offer,) = offered(subscribe(world, capabilities))
    wanted = {"role": "web"} if MULTI_ROLE in capabilities else None
    assert len(offer["resources"]) == 3
    assert [one.get("allocation_info") for one in (offer, *offer["resources"])] == [wanted] * 4


@each_capability
def test_role_is_on_resources_unless_the_framework_refines(capabilities: tuple[str, ...]) -> None:
    world = World()
    world.add_agent(resources=RESERVED)
    (offer,) = offered(subscribe(world, capabilities))
    found = by_name(offer)
    if REFINEMENT in capabilities:
        assert [one.get("role") for one in offer["resources"]] == [None] * 3
        assert found["ports"]["reservations"] == [STATIC]
        assert "reservations" not in found["cpus"]
    else:
        assert {name: one["role"] for name, one in found.items()} == {
            "cpus": "*",
            "mem": "*",
            "ports": "web",
        }
        for one in offer["resources"]:
            assert "reservations" not in one
            assert "reservation" not in one


def old_format() -> list[Json]:
    """Resources of a task: the unreserved cpus, and reserved ports."""
    return [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}, "role": "*"},
        {"name": "ports", "type": "RANGES", "ranges": _two_ports(), "role": "web"},
    ]


def new_format() -> list[Json]:
    """The same with a stack of reservations."""
    return [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
        {"name": "ports", "type": "RANGES", "ranges": _two_ports(), "reservations": [STATIC]},
    ]


def _two_ports() -> Json:
    return {"range": [{"begin": 31000, "end": 31001}]}


FORMATS = {
    f"{form.__name__}{'+allocation_info' if allocated else ''}": [
        {**one, "allocation_info": {"role": "web"}} if allocated else one for one in form()
    ]
    for form, allocated in product((old_format, new_format), (False, True))
}


def launch(
    owner: Scheduler, agent: FakeAgent, offer: Json, resources: list[Json], how: str = "command"
) -> None:
    """A task `t` with resources as they stand; its executor, if it has one, gets the first."""
    command = {"value": "sleep 1000"}
    executor: Json = {"executor_id": {"value": "ex"}, "resources": resources[:1]}
    task: Json = {"name": "t", "task_id": {"value": "t"}, "agent_id": {"value": agent.id}}
    operation: Json = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
    match how:
        case "command":
            task.update(command=command, resources=resources)
        case "executor":
            executor = {**executor, "type": "CUSTOM", "command": command}
            task.update(executor=executor, resources=resources[1:])
        case _:
            executor = {
                **executor,
                "type": "DEFAULT",
                "framework_id": {"value": owner.framework_id},
                "resources": _half(resources[0]),
            }
            task.update(command=command, resources=[*resources[1:], *_half(resources[0])])
            group = {"executor": executor, "task_group": {"tasks": [task]}}
            operation = {"type": "LAUNCH_GROUP", "launch_group": group}
    accept = {"offer_ids": [offer["id"]], "operations": [operation]}
    decoded = json.decode(Call.Accept, plain_json.dumps(accept).encode())
    owner.call(Call.Type.ACCEPT, accept=decoded)


def _half(like: Json) -> list[Json]:
    """What the executor of a group must have, and its task: half of the cpus, in their format."""
    amounts = {"cpus": 0.5, "mem": 32, "disk": 32}
    return [{**like, "name": name, "scalar": {"value": part}} for name, part in amounts.items()]


@each_capability
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("how", ["command", "executor", "group"])
def test_launches_are_accepted_in_either_format(
    capabilities: tuple[str, ...], form: str, how: str
) -> None:
    world = World()
    agent = world.add_agent(resources=f"{RESERVED};disk:1024")
    owner = subscribe(world, capabilities)
    (offer,) = offered(owner)
    launch(owner, agent, offer, FORMATS[form], how)
    assert owner.updates() == []
    (run,) = [told for told in agent.told() if isinstance(told, link.RunTasks)]
    assert [task.task_id.value for task in run.tasks] == ["t"]
    (slave,) = shown(world, "slaves")["slaves"]
    used = slave["used_resources"]
    assert (used["cpus"], used["ports"]) == (1.0, "[31000-31001]")


@each_capability
def test_what_was_offered_can_be_used_as_it_was_written(capabilities: tuple[str, ...]) -> None:
    world = World()
    agent = world.add_agent(resources=RESERVED)
    owner = subscribe(world, capabilities)
    (offer,) = offered(owner)
    launch(owner, agent, offer, offer["resources"])
    assert owner.updates() == []
    assert owner.framework.tasks
    agent.update(owner, "t", TaskState.TASK_FINISHED)
    (again,) = offered(owner)
    assert by_name(again) == by_name(offer)


@each_capability
def test_in_the_state_resources_are_the_same_for_all_frameworks(
    capabilities: tuple[str, ...],
) -> None:
    world = World()
    agent = world.add_agent(resources=RESERVED)
    owner = subscribe(world, capabilities)
    (offer,) = offered(owner)
    launch(owner, agent, offer, old_format())
    state = shown(world, "state")
    (slave,) = state["slaves"]
    assert slave["reserved_resources"]["web"]["ports"] == "[31000-31010]"
    assert slave["unreserved_resources"]["cpus"] == 4.0
    for found in (state, shown(world, "frameworks")):
        (framework,) = found["frameworks"]
        assert framework["capabilities"] == list(capabilities)
        is_multi_role = MULTI_ROLE in capabilities
        assert framework.get("roles") == (["web"] if is_multi_role else None)
        assert framework.get("role") == (None if is_multi_role else "web")
        (task,) = framework["tasks"]
        assert task["role"] == "web"
        assert (task["resources"]["cpus"], task["resources"]["ports"]) == (1.0, "[31000-31001]")


def test_full_resources_of_an_agent_have_both_formats() -> None:
    world = World()
    world.add_agent(resources=RESERVED)
    (slave,) = shown(world, "slaves")["slaves"]
    (ports,) = slave["reserved_resources_full"]["web"]
    assert (ports["role"], ports["reservations"]) == ("web", [STATIC])
    assert [one["role"] for one in slave["unreserved_resources_full"]] == ["*", "*"]


def test_an_offer_has_url_attributes_and_executor_ids() -> None:
    world = World()
    rack = mesos.Attribute(
        name="rack", type=mesos.Value.Type.TEXT, text=mesos.Value.Text(value="r1")
    )
    agent = world.add_agent(attributes=(rack,), hostname="localhost", port=5051)
    owner = world.subscribe()
    owner.events()
    owner.launch_group(("t",), agent, "ex")
    (offer,) = offered(owner)
    assert offer["hostname"] == "localhost"
    assert offer["url"] == {
        "scheme": "http",
        "address": {"hostname": "localhost", "ip": "127.0.0.1", "port": 5051},
        "path": "/slave(1)",
    }
    assert offer["attributes"] == [{"name": "rack", "type": "TEXT", "text": {"value": "r1"}}]
    assert offer["executor_ids"] == [{"value": "ex"}]


@pytest.mark.real
def test_the_hostname_of_an_offer_resolves_and_its_url_answers(cluster: Cluster) -> None:
    with Framework(cluster.master_address) as framework:
        offer = framework.offer()
    assert socket.getaddrinfo(offer["hostname"], None)
    url = offer["url"]
    assert url["scheme"] == "http"
    assert url["address"]["hostname"] == offer["hostname"]
    for host in (url["address"]["hostname"], url["address"]["ip"]):
        answer = get(f"{host}:{url['address']['port']}", f"{url['path']}/state")
        assert answer.json()["id"] == offer["agent_id"]["value"]


@pytest.mark.parametrize(
    ("filters", "refused_ms"),
    [
        (None, 5_000),
        (mesos.Filters(refuse_seconds=0.0), 0),
        (mesos.Filters(refuse_seconds=1.0), 1_000),
        (mesos.Filters(refuse_seconds=60.0), 60_000),
    ],
)
def test_a_declined_offer_comes_again_within_a_second_of_its_filters_end(
    filters: mesos.Filters | None, refused_ms: int
) -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    offer_id = mesos.OfferID(owner.offer_of(agent, None))
    owner.events()
    owner.call(Call.Type.DECLINE, decline=Call.Decline(offer_ids=(offer_id,), filters=filters))
    world.advance(max(0, refused_ms - 1))
    assert offered(owner) == []
    world.advance(1_001)
    assert len(offered(owner)) == 1
