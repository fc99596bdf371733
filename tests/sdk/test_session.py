"""The scheduler's session, without sockets."""

from __future__ import annotations

from msgspec import structs

from tepui.sdk.core import events as ev
from tepui.sdk.core import session
from tepui.sdk.core.backoff import Backoff
from tepui.sdk.core.masters import ANSWER_MS, ANSWER_MS_MAX, QUICK_ROUNDS, Masters
from tepui.wire import mesos, scheduler
from tepui.wire.mesos import TaskState
from tests.sdk.fake_master import HEARTBEAT, offer, offers, update

INFO = mesos.FrameworkInfo(user="me", name="test", failover_timeout=60.0)
SUBSCRIBED = scheduler.Event(
    type=scheduler.Event.Type.SUBSCRIBED,
    subscribed=scheduler.Event.Subscribed(framework_id=mesos.FrameworkID("fw-1")),
)


def no_jitter() -> float:
    return 0.0


def a_session(
    *addresses: str,
    info: mesos.FrameworkInfo = INFO,
    tasks: dict[str, str | None] | None = None,
    connect_timeout_ms: int | None = None,
) -> session.State:
    masters = Masters(addresses or ("http://m1:1",), Backoff(100, 1000, no_jitter))
    return session.new_state(
        scheduler.Call.Subscribe(framework_info=info),
        masters,
        no_jitter,
        tasks=tasks,
        connect_timeout_ms=connect_timeout_ms,
    )


def do(state: session.State, event: ev.Event, now_ms: int = 0) -> list[ev.Action]:
    return session.step(state, [event], now_ms).then


def subscribed(**options: dict[str, str | None]) -> session.State:
    state = a_session(**options)  # type: ignore[arg-type]  # only tasks are given here
    do(state, ev.Begun())
    do(state, ev.Received(SUBSCRIBED))
    return state


def sent(actions: list[ev.Action]) -> list[scheduler.Call]:
    return [action.call for action in actions if isinstance(action, ev.Send)]


def asked(actions: list[ev.Action]) -> list[str]:
    return [action.master for action in actions if isinstance(action, ev.Subscribe)]


def delivered(actions: list[ev.Action]) -> list[scheduler.Event]:
    return [action.event for action in actions if isinstance(action, ev.Deliver)]


def test_every_event_has_a_handler() -> None:
    assert set(session.HANDLERS) == set(ev.Event.__args__)


def test_masters_are_asked_in_turn_and_then_again_after_a_wait() -> None:
    state = a_session("http://m1:1", "http://m2:1")
    assert asked(do(state, ev.Begun())) == ["http://m1:1"]
    assert asked(do(state, ev.Broken("down"))) == ["http://m2:1"]
    assert asked(do(state, ev.Broken("down"))) == []
    assert asked(session.step(state, [], 99).then) == []
    assert asked(session.step(state, [], 100).then) == ["http://m1:1"]


def test_a_standby_s_leader_is_asked_at_once() -> None:
    state = a_session()
    do(state, ev.Begun())
    answer = ev.Answered(307, "", "//m9:5050/master/api/v1/scheduler")
    assert asked(do(state, answer)) == ["http://m9:5050"]


def test_two_standbys_that_name_each_other_are_asked_again_after_a_wait() -> None:
    state = a_session()
    do(state, ev.Begun())
    for _ in range(5):
        assert asked(do(state, ev.Answered(307, "", "//m9:5050/"))) == ["http://m9:5050"]
    assert asked(do(state, ev.Answered(307, "", "//m9:5050/"))) == []
    assert state.timers.next_ms() == 100


def test_a_starting_master_is_asked_again_and_a_refusal_ends() -> None:
    state = a_session()
    do(state, ev.Begun())
    assert do(state, ev.Answered(503, "no leader")) == []
    assert do(state, ev.Answered(401, "who are you")) == [ev.EndRefused(401, "who are you")]


def test_no_master_within_the_connect_timeout_ends_with_the_last_cause() -> None:
    state = a_session(connect_timeout_ms=50)
    do(state, ev.Begun())
    do(state, ev.Broken("m1: refused"))
    (end,) = session.step(state, [], 50).then
    assert end == ev.EndUnreachable("no master took the subscription within 0.05 s: m1: refused")


def elected_session(**options: int) -> session.State:
    masters = Masters((), Backoff(100, 1000, no_jitter))
    return session.new_state(
        scheduler.Call.Subscribe(framework_info=INFO),
        masters,
        no_jitter,
        connect_timeout_ms=options.get("connect_timeout_ms"),
    )


def test_nobody_is_asked_before_one_was_elected() -> None:
    state = elected_session()
    assert do(state, ev.Begun()) == []
    assert do(state, ev.NobodyLeads("nobody")) == []
    assert asked(do(state, ev.Elected("http://m1:1"))) == ["http://m1:1"]
    assert do(state, ev.Elected("http://m1:1")) == []


def test_an_election_without_a_leader_is_told_when_the_time_is_over() -> None:
    state = elected_session(connect_timeout_ms=50)
    do(state, ev.Begun())
    do(state, ev.NobodyLeads("nobody leads"))
    (end,) = session.step(state, [], 50).then
    assert end == ev.EndUnreachable("no master took the subscription within 0.05 s: nobody leads")


def test_an_attempt_at_who_leads_no_more_is_left_for_who_does() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    actions = do(state, ev.Elected("http://m2:1"))
    assert actions[0] == ev.Leave()
    assert asked(actions) == ["http://m2:1"]


def test_an_attempt_ends_when_nobody_leads_and_the_same_one_may_be_elected_again() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    assert do(state, ev.NobodyLeads("nobody leads")) == [ev.Leave()]
    assert session.step(state, [], 10_000).then == []
    assert asked(do(state, ev.Elected("http://m1:1"))) == ["http://m1:1"]


def test_a_wait_for_the_next_attempt_ends_when_nobody_leads() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    do(state, ev.Broken("down"))
    do(state, ev.Broken("down"))
    assert do(state, ev.NobodyLeads("nobody leads")) == []
    assert session.step(state, [], 10_000).then == []


def test_a_stream_that_breaks_while_nobody_leads_is_not_asked_for_before_the_next_election() -> (
    None
):
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    do(state, ev.Received(SUBSCRIBED))
    do(state, ev.NobodyLeads("nobody leads"))
    assert do(state, ev.Broken("cut")) == [ev.ForgetOffers()]
    assert session.step(state, [], 10_000).then == []
    assert asked(do(state, ev.Elected("http://m2:1"), 10_000)) == ["http://m2:1"]


def test_without_zookeeper_the_last_leader_is_still_asked() -> None:
    state = elected_session()
    assert do(state, ev.LeaderUnknown("away")) == []
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    assert do(state, ev.LeaderUnknown("away")) == []
    assert asked(do(state, ev.Broken("down"))) == ["http://m1:1"]
    do(state, ev.NobodyLeads("nobody leads"))
    assert asked(do(state, ev.LeaderUnknown("away"))) == ["http://m1:1"]


def test_a_redirect_is_not_followed_when_zookeeper_tells_who_leads() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m2:1"))
    redirect = ev.Answered(307, "", "//m1:1/master/api/v1/scheduler")
    assert asked(do(state, redirect)) == ["http://m2:1"]
    assert asked(do(state, redirect)) == []
    assert asked(session.step(state, [], 100).then) == ["http://m2:1"]


def test_the_one_that_zookeeper_names_may_take_its_time_to_answer() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    assert state.timers.next_ms() is None


def test_the_only_address_may_take_its_time_to_answer() -> None:
    state = a_session()
    do(state, ev.Begun())
    assert state.timers.next_ms() is None


def test_a_master_that_does_not_answer_is_left_for_the_next_address() -> None:
    state = a_session("http://m1:1", "http://m2:1")
    do(state, ev.Begun())
    assert session.step(state, [], ANSWER_MS - 1).then == []
    leave, again = session.step(state, [], ANSWER_MS).then
    assert leave == ev.Leave()
    assert asked([again]) == ["http://m2:1"]
    assert state.last_cause == "http://m1:1 does not answer"


def test_who_has_begun_to_answer_in_time_is_not_left() -> None:
    state = a_session("http://m1:1", "http://m2:1")
    do(state, ev.Begun())
    session.step(state, [ev.Opened()], ANSWER_MS - 1)
    assert session.step(state, [], 10 * ANSWER_MS).then == []


def test_a_redirect_to_one_that_did_not_answer_is_followed_in_the_next_round_only() -> None:
    state = a_session("http://m1:1", "http://m2:1")
    redirect = ev.Answered(307, "", "//m1:1/")
    do(state, ev.Begun())
    assert asked(session.step(state, [], ANSWER_MS).then) == ["http://m2:1"]
    assert asked(do(state, redirect, ANSWER_MS)) == []
    assert asked(session.step(state, [], ANSWER_MS + 100).then) == ["http://m1:1"]
    assert asked(do(state, ev.Broken("down"), ANSWER_MS + 100)) == ["http://m2:1"]
    assert asked(do(state, redirect, ANSWER_MS + 100)) == ["http://m1:1"]


def test_a_lost_leader_that_does_not_answer_is_asked_once_in_a_round() -> None:
    state = a_session("http://m1:1", "http://m2:1")
    do(state, ev.Begun())
    do(state, ev.Received(SUBSCRIBED))
    do(state, ev.Broken("cut"))
    assert asked(session.step(state, [], 100).then) == ["http://m1:1"]
    assert asked(session.step(state, [], 100 + ANSWER_MS).then) == ["http://m2:1"]


def test_a_master_that_is_always_late_gets_more_time_in_the_end() -> None:
    masters = Masters(("http://m1:1", "http://m2:1"), Backoff(100, 1000, no_jitter))
    given = []
    for _ in range(QUICK_ROUNDS + 5):
        given.append(masters.answer_ms)
        masters.silent()
        masters.failed()
    assert given[: QUICK_ROUNDS + 1] == [ANSWER_MS] * QUICK_ROUNDS + [2 * ANSWER_MS]
    assert given[-1] == ANSWER_MS_MAX
    masters.led()
    assert masters.answer_ms == ANSWER_MS


def test_a_wait_for_the_next_attempt_ends_with_an_election() -> None:
    state = elected_session()
    do(state, ev.Begun())
    assert asked(do(state, ev.Elected("http://m1:1"))) == ["http://m1:1"]
    assert asked(do(state, ev.Broken("down"))) == ["http://m1:1"]
    assert asked(do(state, ev.Broken("down"))) == []
    assert asked(do(state, ev.Elected("http://m2:1"))) == ["http://m2:1"]
    assert session.step(state, [], 10_000).then == []


def test_a_subscription_is_left_for_the_next_leader_and_its_offers_are_void() -> None:
    state = elected_session()
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    do(state, ev.Received(SUBSCRIBED))
    assert do(state, ev.NobodyLeads("gone")) == [ev.DropCalls()]
    left, forget, again = do(state, ev.Elected("http://m2:1"), 1000)
    assert (left, forget) == (ev.Leave(), ev.ForgetOffers())
    assert isinstance(again, ev.Subscribe)
    assert (again.master, again.call.framework_id) == ("http://m2:1", mesos.FrameworkID("fw-1"))


def test_a_framework_without_failover_ends_with_its_master() -> None:
    state = elected_session()
    state.subscribe = structs.replace(
        state.subscribe, framework_info=structs.replace(INFO, failover_timeout=0.0)
    )
    do(state, ev.Begun())
    do(state, ev.Elected("http://m1:1"))
    do(state, ev.Received(SUBSCRIBED))
    actions = do(state, ev.Elected("http://m2:1"))
    assert asked(actions) == []
    assert isinstance(actions[-1], ev.EndFramework)


def test_a_lost_stream_voids_offers_and_subscribes_again_with_the_id() -> None:
    state = subscribed()
    assert do(state, ev.Broken("cut"), 1000) == [ev.ForgetOffers()]
    (again,) = session.step(state, [], 1100).then
    assert isinstance(again, ev.Subscribe)
    assert again.call.framework_id == mesos.FrameworkID("fw-1")
    assert again.call.subscribe is not None
    assert again.call.subscribe.framework_info.id == mesos.FrameworkID("fw-1")


def test_a_framework_ends_when_its_failover_timeout_has_passed() -> None:
    state = subscribed()
    do(state, ev.Broken("cut"), 1000)
    session.step(state, [], 1100)
    do(state, ev.Broken("refused"), 60_999)
    (end,) = session.step(state, [], 61_000).then
    assert isinstance(end, ev.EndFramework)
    assert "failover_timeout of 60 s" in end.text


def test_a_subscription_in_time_stops_the_failover_timeout() -> None:
    state = subscribed()
    do(state, ev.Broken("cut"), 1000)
    session.step(state, [], 1100)
    do(state, ev.Received(SUBSCRIBED), 60_999)
    assert session.step(state, [], 200_000).then == []


def test_without_failover_timeout_a_lost_stream_ends_the_framework() -> None:
    state = a_session(info=structs.replace(INFO, failover_timeout=0.0))
    do(state, ev.Begun())
    do(state, ev.Received(SUBSCRIBED))
    actions = do(state, ev.Broken("cut"))
    assert isinstance(actions[-1], ev.EndFramework)


def test_an_error_of_the_master_ends_the_framework() -> None:
    state = subscribed()
    error = scheduler.Event(
        type=scheduler.Event.Type.ERROR,
        error=scheduler.Event.Error(message="Framework failed over"),
    )
    assert do(state, ev.Received(error))[-1] == ev.EndFramework("Framework failed over")
    assert do(state, ev.Broken("the stream ended")) == []


def test_a_handled_update_is_acknowledged_once() -> None:
    state = subscribed()
    running = update("t1", TaskState.TASK_RUNNING)
    assert delivered(do(state, ev.Received(running))) == [running]
    (call,) = sent(do(state, ev.Handled(running, acknowledge=True)))
    assert call.acknowledge == scheduler.Call.Acknowledge(
        agent_id=mesos.AgentID("a1"), task_id=mesos.TaskID("t1"), uuid=b"u" * 16
    )
    assert call.framework_id == mesos.FrameworkID("fw-1")


def test_a_repeated_update_is_not_delivered_but_acknowledged_again_once_handled() -> None:
    state = subscribed()
    running = ev.Received(update("t1", TaskState.TASK_RUNNING))
    do(state, running)
    assert do(state, running) == []
    do(state, ev.Handled(running.event, acknowledge=True))
    actions = do(state, running)
    assert delivered(actions) == []
    assert len(sent(actions)) == 1


def test_an_unhandled_update_is_delivered_when_it_comes_again() -> None:
    state = subscribed()
    running = update("t1", TaskState.TASK_RUNNING)
    do(state, ev.Received(running))
    assert do(state, ev.Unhandled(running)) == []
    assert delivered(do(state, ev.Received(running))) == [running]


def test_an_update_without_uuid_is_not_acknowledged() -> None:
    state = subscribed()
    answer = update("t1", TaskState.TASK_RUNNING, uuid=None)
    assert delivered(do(state, ev.Received(answer))) == [answer]
    assert do(state, ev.Handled(answer, acknowledge=True)) == []


def test_explicit_acknowledgements_are_left_to_the_user() -> None:
    state = subscribed()
    running = update("t1", TaskState.TASK_RUNNING)
    do(state, ev.Received(running))
    assert do(state, ev.Handled(running, acknowledge=False)) == []
    assert do(state, ev.Received(running)) == []
    do(state, ev.Acknowledged(running))
    assert len(sent(do(state, ev.Received(running)))) == 1


def test_an_operation_s_update_is_acknowledged() -> None:
    state = subscribed()
    status = mesos.OperationStatus(
        operation_id=mesos.OperationID("op"),
        state=mesos.OperationState.OPERATION_FINISHED,
        uuid=mesos.UUID(b"o" * 16),
        agent_id=mesos.AgentID("a1"),
    )
    finished = scheduler.Event(
        type=scheduler.Event.Type.UPDATE_OPERATION_STATUS,
        update_operation_status=scheduler.Event.UpdateOperationStatus(status=status),
    )
    assert delivered(do(state, ev.Received(finished))) == [finished]
    (call,) = sent(do(state, ev.Handled(finished, acknowledge=True)))
    assert call.acknowledge_operation_status is not None
    assert call.acknowledge_operation_status.uuid == b"o" * 16


def test_only_so_many_handled_updates_are_remembered() -> None:
    state = subscribed()
    for number in range(session.HANDLED_MAX + 1):
        event = update("t1", TaskState.TASK_RUNNING, uuid=number.to_bytes(16, "big"))
        do(state, ev.Received(event))
        do(state, ev.Handled(event, acknowledge=True))
    assert len(state.handled) == session.HANDLED_MAX
    assert (0).to_bytes(16, "big") not in state.handled


def test_heartbeats_are_not_delivered() -> None:
    assert do(subscribed(), ev.Received(HEARTBEAT)) == []


def test_offers_are_delivered() -> None:
    event = offers(offer())
    assert do(subscribed(), ev.Received(event)) == [ev.Deliver(event)]


def test_known_tasks_are_reconciled_until_each_was_answered() -> None:
    state = a_session(tasks={"t1": "a1", "t2": None})
    do(state, ev.Begun())
    (call,) = sent(do(state, ev.Received(SUBSCRIBED)))
    assert call.reconcile is not None
    assert [(t.task_id.value, t.agent_id) for t in call.reconcile.tasks] == [
        ("t1", mesos.AgentID("a1")),
        ("t2", None),
    ]
    do(state, ev.Received(update("t1", TaskState.TASK_RUNNING, uuid=None)))
    (again,) = sent(session.step(state, [], session.RECONCILE_MS).then)
    assert again.reconcile is not None
    assert [t.task_id.value for t in again.reconcile.tasks] == ["t2"]
    do(state, ev.Received(update("t2", TaskState.TASK_LOST, uuid=None)))
    assert session.step(state, [], 10_000_000).then == []


def test_waits_between_reconciliations_grow() -> None:
    state = a_session(tasks={"t1": "a1"})
    do(state, ev.Begun())
    do(state, ev.Received(SUBSCRIBED))
    assert len(sent(session.step(state, [], 5_000).then)) == 1
    assert session.step(state, [], 14_999).then == []
    assert len(sent(session.step(state, [], 15_000).then)) == 1


def test_many_tasks_are_reconciled_in_several_calls() -> None:
    count = session.RECONCILED_PER_CALL_MAX + 1
    state = a_session(tasks={f"t{n}": None for n in range(count)})
    do(state, ev.Begun())
    calls = sent(do(state, ev.Received(SUBSCRIBED)))
    assert [len(c.reconcile.tasks) for c in calls if c.reconcile] == [count - 1, 1]


def test_launched_tasks_are_known_until_their_end_was_handled() -> None:
    state = subscribed()
    task = mesos.TaskInfo(name="t", task_id=mesos.TaskID("t1"), agent_id=mesos.AgentID("a1"))
    do(state, ev.Launching((task,)))
    assert state.tasks == {"t1": "a1"}
    finished = update("t1", TaskState.TASK_FINISHED)
    do(state, ev.Received(finished))
    assert state.tasks == {"t1": "a1"}
    do(state, ev.Handled(finished, acknowledge=True))
    assert state.tasks == {}


def test_tasks_of_a_refused_call_are_not_known() -> None:
    state = subscribed()
    task = mesos.TaskInfo(name="t", task_id=mesos.TaskID("t1"), agent_id=mesos.AgentID("a1"))
    do(state, ev.Launching((task,)))
    do(state, ev.LaunchRefused((task,)))
    assert state.tasks == {}


def test_a_framework_that_returns_without_tasks_asks_for_all() -> None:
    state = a_session(info=structs.replace(INFO, id=mesos.FrameworkID("fw-1")))
    do(state, ev.Begun())
    (call,) = sent(do(state, ev.Received(SUBSCRIBED)))
    assert call.reconcile == scheduler.Call.Reconcile(tasks=())


def test_changed_info_is_in_the_next_subscription() -> None:
    state = subscribed()
    changed = structs.replace(INFO, name="other")
    do(state, ev.InfoChanged(scheduler.Call.Subscribe(framework_info=changed)))
    do(state, ev.Broken("cut"))
    (again,) = session.step(state, [], 100).then
    assert isinstance(again, ev.Subscribe)
    assert again.call.subscribe is not None
    assert again.call.subscribe.framework_info.name == "other"
    assert again.call.subscribe.framework_info.id == mesos.FrameworkID("fw-1")


def test_a_stream_is_dead_after_five_silent_heartbeat_intervals() -> None:
    known = scheduler.Event.Subscribed(
        framework_id=mesos.FrameworkID("f"), heartbeat_interval_seconds=2.0
    )
    assert session.silence_ms_max(known) == 10_000
    assert session.silence_ms_max(structs.replace(known, heartbeat_interval_seconds=None)) == 75_000
