"""The classic endpoints answer what Mesos answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from tepui.master.core.actions import Answer
from tepui.master.core.events import Asked, RequestId
from tepui.master.core.views.classic import VIEWS
from tepui.master.core.views.questions import (
    PARSERS,
    CallAsked,
    HealthAsked,
    MetricsAsked,
    Question,
    SubscribedAsked,
    question_of,
)
from tests.master.views.recorded import (
    RACK,
    agent_capabilities,
    differences,
    ops_cluster,
    recorded,
)
from tests.master.world import World

IDLE = recorded()["classic_idle"]
WITH_TASKS = recorded()["classic"]


def ask(world: World, path: str, **query: str) -> Any:
    """The JSON that a GET of the path is answered."""
    question = question_of(path, query)
    assert question is not None
    return json.loads(world.ask(question))


@pytest.mark.parametrize("path", sorted(IDLE))
def test_idle_cluster_is_answered_as_recorded(path: str) -> None:
    world = World()
    world.add_agent(attributes=(RACK,), port=15_051)
    assert differences(IDLE[path], ask(world, path)) == []


@pytest.mark.parametrize("path", ["frameworks", "tasks"])
def test_tasks_and_frameworks_are_answered_as_recorded(path: str) -> None:
    world, _, _ = ops_cluster()
    assert differences(_plain(WITH_TASKS[path]), _plain(ask(world, path))) == []


@pytest.mark.parametrize("path", ["state", "state-summary"])
def test_state_with_tasks_is_answered_as_recorded(path: str) -> None:
    world, _, _ = ops_cluster()
    wanted, found = WITH_TASKS[path], ask(world, path)
    # The recorded agent had reservations, which change these amounts.
    for name in ("slaves", "frameworks"):
        assert differences(_plain(wanted[name]), _plain(found[name])) == []
    assert list(found) == list(wanted)


@pytest.mark.parametrize("path", ["frameworks", "tasks"])
def test_removed_framework_is_answered_as_recorded(path: str) -> None:
    world, ops, _ = ops_cluster()
    world.subscribe(
        info=ops.framework.info
    )  # as there: it had subscribed twice, so it has reregistered
    world.teardown(ops.framework_id)
    assert differences(WITH_TASKS["after-teardown"][path], ask(world, path)) == []


def test_the_summary_counts_the_tasks_of_frameworks_that_are_there() -> None:
    world, ops, _ = ops_cluster()
    (agent,) = ask(world, "state-summary")["slaves"]
    assert (agent["framework_ids"], agent["TASK_FINISHED"]) == ([ops.framework_id], 1)
    world.teardown(ops.framework_id)
    (agent,) = ask(world, "state-summary")["slaves"]
    assert (agent["framework_ids"], agent["TASK_FINISHED"]) == ([], 0)


@pytest.mark.parametrize("query", sorted(recorded()["classic_queries"]))
def test_tasks_are_selected_as_recorded(query: str) -> None:
    world, _, _ = ops_cluster()
    fields = dict(parse_qsl(query.partition("?")[2]))
    found = [task["id"] for task in ask(world, "tasks", **fields)["tasks"]]
    assert found == recorded()["classic_queries"][query]


def test_unknown_ids_select_nothing() -> None:
    world, _, _ = ops_cluster()
    assert ask(world, "tasks", framework_id="nope") == {"tasks": []}
    assert ask(world, "slaves", slave_id="nope") == {"slaves": [], "recovered_slaves": []}
    found = ask(world, "frameworks", framework_id="nope")
    assert found == {"frameworks": [], "completed_frameworks": [], "unregistered_frameworks": []}


def test_known_ids_select_one() -> None:
    world, ops, agent = ops_cluster()
    world.subscribe(name="other")
    world.add_agent()
    found = ask(world, "frameworks", framework_id=ops.framework_id)["frameworks"]
    assert [framework["id"] for framework in found] == [ops.framework_id]
    found = ask(world, "slaves", slave_id=agent.id)["slaves"]
    assert [slave["id"] for slave in found] == [agent.id]


def test_a_hundred_tasks_are_listed_unless_the_query_says_how_many() -> None:
    world = World()
    agent = world.add_agent(resources="cpus:100;mem:100000")
    scheduler = world.subscribe()
    for number in range(101):
        scheduler.launch(f"t{number}", agent)
    assert len(ask(world, "tasks")["tasks"]) == 100
    assert len(ask(world, "tasks", limit="101")["tasks"]) == 101
    assert len(ask(world, "tasks", limit="-1")["tasks"]) == 101


def test_role_holds_what_the_roles_below_it_hold() -> None:
    world = World()
    agent = world.add_agent(resources="cpus:4;mem:4096;cpus(web):1")
    scheduler = world.subscribe(roles=("web/dev",), capabilities=("MULTI_ROLE",))
    scheduler.launch("t1", agent)
    web, dev = ask(world, "roles")["roles"]
    assert [web["name"], dev["name"]] == ["web", "web/dev"]
    assert web["allocated"] == dev["allocated"] == {"cpus": 0.1, "mem": 32.0}
    assert (web["reserved"], dev["reserved"]) == ({"cpus": 1.0}, {})
    assert web["quota"]["consumed"]["cpus"] == 1.1
    assert (web["frameworks"], dev["frameworks"]) == ([], [scheduler.framework_id])


def test_disconnected_and_deactivated_agents_are_counted_apart() -> None:
    world = World()
    world.add_agent()
    world.add_agent().disconnect()
    found = ask(world, "state")
    counts = [found[f"{kind}_slaves"] for kind in ("activated", "deactivated", "unreachable")]
    assert counts == [1.0, 1.0, 0.0]


def test_flags_are_sorted() -> None:
    world = World(flags={"port": "5050", "ip": "127.0.0.1"})
    assert list(ask(world, "flags")["flags"]) == ["ip", "port"]
    assert ask(world, "state")["flags"] == {"ip": "127.0.0.1", "port": "5050"}


def test_health_has_no_body() -> None:
    world = World()
    request = RequestId(1)
    world.put(Asked(request, HealthAsked()))
    assert world.answers[request] == Answer(request, 200)


def test_every_question_has_a_view() -> None:
    kinds = set(Question.__args__)
    assert kinds == {*VIEWS, HealthAsked, MetricsAsked, CallAsked, SubscribedAsked}
    assert {type(question_of(path, {"framework_id": "f"})) for path in PARSERS} <= kinds


def test_agents_say_only_what_they_can_do() -> None:
    world = World()
    world.add_agent()
    assert ask(world, "slaves")["slaves"][0]["capabilities"] == agent_capabilities()


def _plain(value: Any) -> Any:
    """The value without the amounts that follow from the recorded agent's reservations."""
    if isinstance(value, dict):
        drop = ("offered_resources", "unreserved_resources", "reserved_resources")
        return {
            key: None
            if key in drop or (key == "resources" and ("offers" in value or "slave_id" in value))
            else _plain(part)
            for key, part in value.items()
            if key != "reregistered_time"  # that framework had subscribed twice
        }
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
