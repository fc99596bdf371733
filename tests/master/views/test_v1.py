"""The reading calls of the v1 operator API answer what Mesos answers."""

from __future__ import annotations

import json

import pytest

from tepui.master.core.views.v1 import ANSWERERS, LARGE
from tepui.wire import master, protobuf
from tepui.wire.json import encode
from tests.master.views.recorded import RACK, differences, ops_cluster, recorded
from tests.master.world import TaskState, World

Type = master.Call.Type


@pytest.mark.parametrize("name", sorted(recorded()["v1"]))
def test_cluster_with_tasks_is_answered_as_recorded(name: str) -> None:
    world, _, _ = ops_cluster()
    found = json.loads(world.get_json(Type.__members__[name]))
    if name == "GET_MASTER":
        found["get_master"]["master_info"]["capabilities"] = []  # set by the daemon
    assert differences(recorded()["v1"][name], found) == []


@pytest.mark.parametrize("name", sorted(recorded()["v1_idle"]))
def test_idle_cluster_is_answered_as_recorded(name: str) -> None:
    world = World()
    world.add_agent(attributes=(RACK,), port=15_051)
    found = json.loads(world.get_json(Type.__members__[name]))
    if name == "GET_MASTER":
        found["get_master"]["master_info"]["capabilities"] = []
    assert differences(recorded()["v1_idle"][name], found) == []


def test_every_reading_call_has_an_answer_in_protobuf_too() -> None:
    world, _, _ = ops_cluster()
    for kind in (*ANSWERERS, *LARGE):
        if kind is not Type.GET_METRICS:
            answer = world.get(kind)
            back = protobuf.decode(master.Response, protobuf.encode(answer))
            assert encode(back).startswith(b'{"type":"%s"' % kind.encode())


def test_task_of_an_unreachable_agent_is_listed_as_unreachable() -> None:
    world, _, agent = ops_cluster()
    agent.disconnect()
    world.advance(100_000)
    get_tasks = world.get(Type.GET_TASKS).get_tasks
    assert get_tasks is not None
    assert [t.task_id.value for t in get_tasks.unreachable_tasks] == ["g1", "c1"]
    assert {t.state for t in get_tasks.unreachable_tasks} == {TaskState.TASK_LOST}
    # The newest update that somebody could acknowledge, as Mesos has it.
    assert {t.status_update_state for t in get_tasks.unreachable_tasks} == {TaskState.TASK_RUNNING}
    assert world.get(Type.GET_AGENTS).get_agents is not None


def test_removed_framework_is_listed_as_completed_with_its_end() -> None:
    world, ops, _ = ops_cluster()
    world.teardown(ops.framework_id)
    found = world.get(Type.GET_FRAMEWORKS).get_frameworks
    assert found is not None
    assert found.frameworks == ()
    (completed,) = found.completed_frameworks
    assert completed.unregistered_time is not None
    assert not completed.active
    assert completed.allocated_resources == ()


def test_reserved_resources_are_written_in_both_formats_where_the_old_one_can() -> None:
    world = World()
    world.add_agent(resources="cpus:4;mem:4096;cpus(web):1")
    found = world.get(Type.GET_AGENTS).get_agents
    assert found is not None
    (reserved,) = [r for r in found.agents[0].total_resources if r.reservations]
    assert reserved.role == "web"
    assert reserved.reservation is None
