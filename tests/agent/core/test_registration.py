"""The agent waits for the master's answer to its registration, but not for ever."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from tepui.agent.core import events
from tepui.agent.core.actions import AdoptId, CloseLink, OpenLink, SendToMaster
from tepui.agent.core.registration import REGISTRATION_MS
from tepui.agent.core.saved import Save, SavedAgent
from tepui.agent.core.step import step
from tepui.wire import link, mesos
from tests.agent.core.cluster import (
    FRAMEWORK,
    PING_TIMEOUT_MS,
    Agent,
    executor_info,
    only,
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


def test_a_link_is_opened_again_when_what_was_to_be_sent_on_the_lost_one_is_done() -> None:
    agent = Agent()
    done = agent.put(events.LinkLost(), events.LinkOpened(), events.LinkLost())
    assert [type(action) for action in done] == [OpenLink, SendToMaster, OpenLink]


def test_the_shell_is_told_of_every_registration() -> None:
    agent = Agent()
    agent.put(events.LinkLost())
    agent.put(events.LinkOpened())
    assert agent.hear(link.Registered("A", PING_TIMEOUT_MS)) == [AdoptId("A")]


def test_a_leader_of_a_lesser_epoch_is_refused_and_nothing_has_changed() -> None:
    agent = Agent()
    agent.put(events.LinkLost(), events.LinkOpened())
    assert agent.hear(link.Registered("A", PING_TIMEOUT_MS, 4)) == [AdoptId("A")]
    agent.put(events.LinkLost(), events.LinkOpened())
    before = dict(agent.disk)
    closed = only(agent.hear(link.Registered("A", 1, 3)), CloseLink)
    assert closed.reason.startswith("an old leader: its epoch is 3, epoch 4 has begun (")
    assert "'/work_dir/meta'" in closed.reason
    assert agent.disk == before
    assert not agent.state.registered
    assert agent.state.ping_timeout_ms == PING_TIMEOUT_MS
    assert agent.advance(REGISTRATION_MS) == [OVERDUE]


@pytest.mark.parametrize("epoch", [0, 4, 5])
def test_a_leader_of_no_lesser_epoch_or_of_none_is_taken(epoch: int) -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    agent.hear(link.Registered("A", PING_TIMEOUT_MS, 4))
    agent.put(events.LinkLost(), events.LinkOpened())
    assert agent.hear(link.Registered("A", PING_TIMEOUT_MS, epoch)) == [AdoptId("A")]
    assert agent.state.master_epoch == max(4, epoch)


def test_the_epoch_is_durable_before_anything_leaves_and_outlives_the_agent() -> None:
    agent = Agent(registered=False)
    agent.put(events.LinkOpened())
    effects = step(
        agent.state,
        [events.MasterSpoke(link.Registered("A", PING_TIMEOUT_MS, 4))],
        agent.now_ms,
    )
    (record,) = effects.save
    assert isinstance(record, Save)
    assert isinstance(record.saved, SavedAgent)
    assert record.saved.master_epoch == 4
    agent.disk[record.key] = record.saved
    agent.restart()
    agent.put(events.LinkOpened())
    agent.hear(link.Registered("A", PING_TIMEOUT_MS, 3))
    assert not agent.state.registered


def test_a_checkpoint_from_before_there_were_epochs_is_read() -> None:
    agent = Agent()
    written = msgspec.msgpack.decode(msgspec.msgpack.encode(agent.disk["agent"]))
    del written["master_epoch"]
    agent.disk["agent"] = msgspec.convert(written, SavedAgent)
    agent.restart()
    agent.put(events.LinkOpened())
    assert AdoptId("A") in agent.hear(link.Registered("A", PING_TIMEOUT_MS, 1))


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
