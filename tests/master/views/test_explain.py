"""Why nothing runs is said in data and in words."""

from __future__ import annotations

import json
from typing import Any

from tepui.base.names import Role
from tepui.master.core.views.questions import question_of
from tepui.wire import mesos, scheduler
from tests.master.views.recorded import ops_cluster
from tests.master.world import TaskState, World

Call = scheduler.Call


def explain(world: World, **query: str) -> Any:
    """What /explain answers."""
    question = question_of("explain", query)
    assert question is not None
    return json.loads(world.ask(question))


def test_wanting_more_than_any_agent_has_is_said_with_the_largest() -> None:
    world = World()
    world.add_agent(resources="cpus:8;mem:1024")
    world.add_agent(resources="cpus:4;mem:1024")
    one = world.subscribe(name="one")
    found = explain(world, framework_id=one.framework_id, cpus="1000")
    assert found["summary"] == (
        "framework 'one' gets no offers with cpus:1000: needs cpus 1000, the largest agent has 8"
    )
    assert found["agents"] == 2
    (dropped,) = found["dropped"]
    assert (dropped["reason"], dropped["count"]) == ("too_small", 2)
    assert len(dropped["examples"]) == 2


def test_disconnected_framework_is_said_to_be_away() -> None:
    world = World()
    world.add_agent()
    one = world.subscribe(name="one")
    one.leave()
    world.advance(7_000)
    found = explain(world, framework_id=one.framework_id)
    assert found["summary"] == "framework 'one' gets no offers: its scheduler is not connected"
    assert found["lines"][0] == "its scheduler has been away for 7 s"


def test_suppressing_framework_is_told_so() -> None:
    world = World()
    world.add_agent()
    one = world.subscribe(name="one")
    one.call(Call.Type.SUPPRESS)
    assert one.framework.suppressed == {Role("*")}
    found = explain(world, framework_id=one.framework_id)
    assert found["summary"].endswith("it has suppressed them in all its roles")


def test_declined_agents_are_counted_with_the_end_of_the_filter() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe(name="one")
    decline = Call.Decline(
        offer_ids=(mesos.OfferID(one.offer_of(agent, None)),),
        filters=mesos.Filters(refuse_seconds=60.0),
    )
    one.call(Call.Type.DECLINE, decline=decline)
    found = explain(world, framework_id=one.framework_id)
    assert [dropped["reason"] for dropped in found["dropped"]] == ["declined"]
    assert found["lines"][-1] == "- 1: declined by the framework (the first filter ends in 60 s)"


def test_framework_that_holds_all_offers_is_told_so() -> None:
    world = World()
    world.add_agent()
    one = world.subscribe(name="one")
    found = explain(world, framework_id=one.framework_id)
    assert found["summary"] == "framework 'one' holds 1 offer that it has not answered"


def test_without_agents_nothing_else_matters() -> None:
    world = World()
    one = world.subscribe(name="one")
    found = explain(world, framework_id=one.framework_id)
    assert found["summary"] == "framework 'one' gets no offers: there are no agents"


def test_unknown_and_removed_frameworks_are_told_apart() -> None:
    world = World()
    one = world.subscribe(name="one")
    world.teardown(one.framework_id)
    world.advance(3_000)
    found = explain(world, framework_id=one.framework_id)
    assert found["summary"] == "framework 'one' was removed 3 s ago"
    found = explain(world, framework_id="nope")
    assert found["summary"] == "framework 'nope' is not known to this master"


def test_task_is_followed_through_its_life() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe(name="one")

    def summary() -> str:
        found = explain(world, framework_id=one.framework_id, task_id="t1")
        text: str = found["summary"]
        return text

    assert summary().startswith("task 't1' was never launched, or is forgotten")
    one.launch("t1", agent)
    assert summary() == f"task 't1' was sent to agent {agent.id}, which has said nothing of it yet"
    agent.update(one, "t1", TaskState.TASK_RUNNING)
    assert summary() == f"task 't1' is TASK_RUNNING on agent {agent.id}"
    agent.disconnect()
    assert summary() == f"task 't1' is TASK_RUNNING, but its agent {agent.id} is disconnected"
    world.advance(100_000)
    assert f"may run, but its agent {agent.id} was lost sight of" in summary()


def test_ended_task_says_its_last_word() -> None:
    world, ops, _ = ops_cluster()
    found = explain(world, framework_id=ops.framework_id, task_id="t1")
    assert found["summary"] == "task 't1' has ended as TASK_FINISHED: Command exited with status 0"
    assert len(found["lines"]) == 3


def test_unacknowledged_update_is_named() -> None:
    world = World()
    agent = world.add_agent()
    one = world.subscribe(name="one")
    one.launch("t1", agent)
    agent.update(one, "t1", TaskState.TASK_RUNNING, acknowledged=False)
    found = explain(world, framework_id=one.framework_id, task_id="t1")
    assert found["lines"][-1] == "the scheduler has not acknowledged TASK_RUNNING yet"
