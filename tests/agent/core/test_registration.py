"""The agent waits for the master's answer to its registration, but not for ever."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import AdoptId, CloseLink
from tepui.agent.core.registration import REGISTRATION_MS
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    Agent,
    executor_info,
    run_tasks,
    task_info,
)

INVALID = mesos.Resource(name="", type=mesos.Value.Type.SCALAR, scalar=mesos.Value.Scalar(1.0))
OVERDUE = CloseLink(f"not registered within {REGISTRATION_MS} ms")


def test_a_master_that_does_not_answer_the_registration_is_left_once() -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    assert agent.advance(REGISTRATION_MS - 1) == []
    assert agent.advance(1) == [OVERDUE]
    assert agent.advance(10 * REGISTRATION_MS) == []
    agent.put(events.LinkLost())
    agent.put(events.LinkOpened())
    assert agent.advance(REGISTRATION_MS) == [OVERDUE]


def test_the_answer_and_the_loss_of_the_link_end_the_waiting() -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    agent.put(events.LinkLost())
    assert agent.advance(REGISTRATION_MS) == []
    agent.put(events.LinkOpened())
    agent.advance(REGISTRATION_MS - 1)
    agent.hear(link.Registered("A", PING_TIMEOUT_MS))
    assert agent.advance(PING_TIMEOUT_MS - 1) == []


def test_the_shell_is_told_of_every_registration() -> None:
    agent = Agent()
    agent.put(events.LinkLost())
    agent.put(events.LinkOpened())
    assert agent.hear(link.Registered("A", PING_TIMEOUT_MS)) == [AdoptId("A")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (link.RunTasks(FRAMEWORK, None, (), False, "*"), "0 tasks with 0 ids"),
        (run_tasks(task_info(), task_info()), "2 tasks with 1 ids"),
        (
            run_tasks(task_info(), framework=structs.replace(FRAMEWORK, id=None)),
            "tasks of a framework without an id",
        ),
        (
            run_tasks(structs.replace(task_info(), command=None)),
            "task 't' without a command and without an executor",
        ),
        (
            run_tasks(structs.replace(task_info(), resources=(INVALID,))),
            "Resource ':1' is invalid: Empty resource name",
        ),
        (
            run_tasks(
                task_info(executor_info=structs.replace(executor_info(), resources=(INVALID,)))
            ),
            "Resource ':1' is invalid: Empty resource name",
        ),
        (
            run_tasks(task_info(check_info=mesos.CheckInfo(type=mesos.CheckInfo.Type.TCP))),
            "task 't' with a check of nothing",
        ),
        (
            run_tasks(task_info(health_check=mesos.HealthCheck())),
            "task 't' with a check of nothing",
        ),
        (
            link.UpdateFramework(structs.replace(FRAMEWORK, id=None)),
            "a framework without an id",
        ),
    ],
)
def test_a_master_that_says_what_cannot_be_is_left(message: link.FromMaster, reason: str) -> None:
    agent = Agent()
    assert agent.hear(message) == [CloseLink(f"the master sent {reason}")]
    assert agent.state.frameworks == {}


def test_tasks_that_come_while_the_agent_ends_leave_nothing_behind() -> None:
    agent = Agent()
    agent.run(task_info())
    agent.put(events.StopAsked())
    other = structs.replace(FRAMEWORK, id=mesos.FrameworkID("G"))
    agent.hear(run_tasks(task_info("u"), framework=other))
    assert list(agent.state.frameworks) == ["F"]
