"""A running cluster as a plan."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.sim.study.observed import joined, plan_value
from tepui.sim.study.plan import resources_of
from tepui.sim.study.plan_file import plan_of
from tepui.sim.study.study import study

STATE: dict[str, object] = {
    "slaves": [
        {
            "id": "S0",
            "hostname": "h0",
            "active": True,
            "attributes": {"rack": "r1", "level": 2.0},
            "resources": {"cpus": 4.0, "mem": 4096.0, "gpus": 0.0, "ports": "[31000-32000]"},
            "unreserved_resources": {"cpus": 3.0, "mem": 4096.0, "ports": "[31000-32000]"},
            "reserved_resources": {"ads": {"cpus": 1.0}},
            "version": "1.11.0",
        },
        {"id": "S1", "hostname": "h0", "resources": {"cpus": 2.0, "mem": 512.0}},
        {"id": "S2", "hostname": "h2", "active": False, "resources": {"cpus": 8.0}},
    ],
    "frameworks": [
        {
            "id": "F0",
            "name": "f",
            "roles": ["web", "*"],
            "capabilities": ["MULTI_ROLE", "FROM_THE_FUTURE"],
            "tasks": [
                {
                    "state": "TASK_RUNNING",
                    "slave_id": "S0",
                    "role": "web",
                    "resources": {"cpus": 1.0},
                },
                {
                    "state": "TASK_RUNNING",
                    "slave_id": "S1",
                    "role": "web",
                    "resources": {"cpus": 1.0},
                },
                {
                    "state": "TASK_STAGING",
                    "slave_id": "S1",
                    "resources": {"cpus": 0.5, "ports": "[1-2]"},
                },
                {"state": "TASK_FINISHED", "slave_id": "S1", "resources": {"cpus": 1.0}},
                {
                    "state": "TASK_RUNNING",
                    "slave_id": "S2",
                    "role": "*",
                    "resources": {"cpus": 1.0},
                },
            ],
        },
        {"id": "F1", "name": "f", "role": "*", "tasks": []},
        {
            "id": "F2",
            "name": "f",
            "role": "*",
            "tasks": [{"state": "TASK_RUNNING", "slave_id": "S0", "resources": {"cpus": 0.1}}],
        },
    ],
}
ROLES = {"roles": [{"name": "web", "weight": 2.0, "frameworks": []}, {"name": "*", "weight": 1.0}]}


def test_agents_that_take_part_are_groups_with_what_they_have() -> None:
    plan = plan_of(plan_value(STATE, ROLES))
    assert [(one.name, one.hostname, one.count) for one in plan.agents] == [
        ("h0", "h0", 1),
        ("h0:2", "h0", 1),
    ]
    assert plan.agents[0].resources == "cpus:3;mem:4096;ports:[31000-32000];cpus(ads):1"
    assert resources_of(plan.agents[0]).reserved_to("ads").scalar("cpus") == 1_000
    assert plan.agents[0].attributes == {"rack": "r1", "level": "2"}
    assert plan.roles == {"web": 2.0}


def test_live_tasks_are_services_where_they_are() -> None:
    plan = plan_of(plan_value(STATE))
    web = plan.frameworks[0]
    assert (web.name, web.role, web.capabilities) == ("f", "web", ("MULTI_ROLE",))
    assert [(one.count, one.cpus, one.hosts) for one in web.jobs] == [
        (2, 1, {"h0": 2}),
        (1, 0.5, {"h0": 1}),
    ]
    assert [one.role for one in plan.frameworks] == ["web", "*"]
    found = study(plan)
    assert [(one.running, one.waiting) for one in found.frameworks] == [(3, 0), (1, 0)]


def test_a_file_adds_to_the_cluster_and_comes_after_it() -> None:
    file: dict[str, object] = {
        "until": "1hrs",
        "agents": [{"name": "more", "count": 2, "resources": "cpus:1"}],
        "roles": {"batch": 3},
        "frameworks": [
            {
                "name": "new",
                "role": "batch",
                "jobs": [{"count": 20, "cpus": 1, "duration": "10mins"}],
            }
        ],
    }
    plan = plan_of(joined(plan_value(STATE, ROLES), file))
    assert plan.roles == {"web": 2.0, "batch": 3.0}
    assert [one.start for one in plan.frameworks] == ["0secs", "0secs", "1secs"]
    found = study(plan)
    assert [one.running for one in found.frameworks[:2]] == [3, 1]
    assert found.frameworks[2].finished == 20


@pytest.mark.parametrize("state", [[], {}, {"slaves": [{}]}, "x"])
def test_what_is_not_a_state_is_refused(state: object) -> None:
    with pytest.raises(Refused, match="not the /state of a master"):
        plan_value(state)


def test_lists_of_a_file_must_be_lists() -> None:
    with pytest.raises(Refused, match="agents 'x': expected a list"):
        joined(plan_value(STATE), {"agents": "x"})
