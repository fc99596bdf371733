"""The executor's client, without sockets."""

from __future__ import annotations

import pytest

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.sdk.core import execution as core
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.environment import Environment
from tepui.wire import executor, mesos
from tepui.wire.mesos import TaskState
from tests.sdk.fake_master import acknowledged, executor_subscribed

TASK = mesos.TaskInfo(name="t", task_id=mesos.TaskID("t1"), agent_id=mesos.AgentID("a1"))
LAUNCH = executor.Event(type=executor.Event.Type.LAUNCH, launch=executor.Event.Launch(task=TASK))
RUNNING = mesos.TaskStatus(task_id=mesos.TaskID("t1"), state=TaskState.TASK_RUNNING, uuid=b"1" * 16)
SHUTDOWN = executor.Event(type=executor.Event.Type.SHUTDOWN)


def an_executor(*, checkpoint: bool = True, is_subscribed: bool = True) -> core.State:
    identity = core.Identity("fw", "ex", checkpoint=checkpoint, recovery_timeout_ms=60_000)
    state = core.State(identity, Backoff(100, 2000, lambda: 0.0))
    do(state, core.Begun())
    if is_subscribed:
        do(state, core.Received(executor_subscribed()))
    return state


def do(state: core.State, event: core.Event, now_ms: int = 0) -> list[core.Action]:
    return core.step(state, [event], now_ms).then


def test_every_event_has_a_handler() -> None:
    assert set(core.HANDLERS) == set(core.Event.__args__)


def test_a_reconnection_carries_tasks_and_updates_that_are_not_acknowledged() -> None:
    state = an_executor()
    assert do(state, core.Received(LAUNCH)) == [core.Deliver(LAUNCH)]
    (sent,) = do(state, core.UpdateGiven(RUNNING))
    assert isinstance(sent, core.Send)
    assert do(state, core.Broken("cut")) == []
    (again,) = core.step(state, [], 100).then
    assert isinstance(again, core.Subscribe)
    assert again.call.subscribe == executor.Call.Subscribe(
        unacknowledged_tasks=(TASK,), unacknowledged_updates=(executor.Call.Update(status=RUNNING),)
    )


def test_acknowledged_updates_and_their_tasks_are_forgotten() -> None:
    state = an_executor()
    do(state, core.Received(LAUNCH))
    do(state, core.UpdateGiven(RUNNING))
    assert do(state, core.Received(acknowledged(RUNNING))) == [core.Settled()]
    do(state, core.Broken("cut"))
    (again,) = core.step(state, [], 100).then
    assert isinstance(again, core.Subscribe)
    assert again.call.subscribe == executor.Call.Subscribe()


def test_an_update_is_sent_again_until_it_is_acknowledged() -> None:
    state = an_executor()
    (first,) = do(state, core.UpdateGiven(RUNNING))
    assert core.step(state, [], core.RESEND_MS).then == [first]
    assert core.step(state, [], 2 * core.RESEND_MS).then == [first]
    do(state, core.Received(acknowledged(RUNNING)))
    assert core.step(state, [], 9 * core.RESEND_MS).then == []


def test_an_update_given_while_the_agent_is_away_waits_for_the_subscription() -> None:
    state = an_executor()
    do(state, core.Broken("cut"))
    assert do(state, core.UpdateGiven(RUNNING)) == []
    (again,) = core.step(state, [], 100).then
    assert isinstance(again, core.Subscribe)
    assert again.call.subscribe is not None
    assert len(again.call.subscribe.unacknowledged_updates) == 1


def test_without_checkpointing_a_lost_agent_ends_the_executor() -> None:
    (end,) = do(an_executor(checkpoint=False), core.Broken("cut"))
    assert isinstance(end, core.End)
    assert not end.is_error


def test_with_checkpointing_the_agent_is_awaited_for_the_recovery_timeout() -> None:
    state = an_executor()
    do(state, core.Broken("cut"), 1000)
    core.step(state, [], 1100)
    do(state, core.Broken("refused"), 60_999)
    (end,) = core.step(state, [], 61_000).then
    assert end == core.End("the agent was away for 60 s, the recovery timeout")


def test_an_agent_that_recovers_is_asked_again_and_a_refusal_ends() -> None:
    state = an_executor(is_subscribed=False)
    assert do(state, core.Answered(503, "Agent has not finished recovery")) == []
    assert isinstance(core.step(state, [], 100).then[0], core.Subscribe)
    (end,) = do(state, core.Answered(400, "Framework cannot be found"))
    assert end == core.End("the agent refused: 400 Framework cannot be found", is_error=True)


def test_after_shutdown_updates_are_still_sent_but_no_task_is_taken() -> None:
    state = an_executor()
    assert do(state, core.Received(SHUTDOWN)) == [core.End("the agent asked to shut down")]
    assert do(state, core.Received(LAUNCH)) == []
    (sent,) = do(state, core.UpdateGiven(RUNNING))
    assert isinstance(sent, core.Send)
    assert do(state, core.Received(acknowledged(RUNNING))) == [core.Settled()]


def test_the_environment_of_an_agent_is_read() -> None:
    env = {
        "MESOS_AGENT_ENDPOINT": "10.0.0.1:5051",
        "MESOS_FRAMEWORK_ID": "fw",
        "MESOS_EXECUTOR_ID": "ex",
        "MESOS_CHECKPOINT": "1",
        "MESOS_RECOVERY_TIMEOUT": "15mins",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "3secs",
    }
    read = Environment.read(env)
    assert read.agent == "http://10.0.0.1:5051"
    assert read.identity == core.Identity("fw", "ex", True, 900_000)
    assert (read.grace_period_ms, read.backoff_ms_max) == (3000, 2000)
    assert not Environment.read(env | {"MESOS_CHECKPOINT": "0"}).identity.checkpoint


def test_a_wrong_environment_is_refused_by_the_variable_s_name() -> None:
    with pytest.raises(Refused, match="MESOS_AGENT_ENDPOINT is not set"):
        Environment.read({})
    env = {"MESOS_AGENT_ENDPOINT": "a:1", "MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e"}
    with pytest.raises(Refused, match="MESOS_RECOVERY_TIMEOUT: duration 'soon'"):
        Environment.read(env | {"MESOS_RECOVERY_TIMEOUT": "soon"})


@pytest.mark.parametrize(
    ("text", "ms"), [("5secs", 5000), ("1.5mins", 90_000), ("250ms", 250), ("1hrs", 3_600_000)]
)
def test_durations_are_milliseconds(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5", "secs", "-1secs", "5 years"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="duration"):
        parse_duration_ms(text)
