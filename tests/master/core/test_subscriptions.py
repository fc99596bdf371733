"""Schedulers subscribe, come back, are displaced, leave and are removed."""

from __future__ import annotations

from msgspec.structs import replace

from tepui.base.names import FrameworkId, Role, StreamId
from tepui.master.core.actions import Answer, EndStream, Note, SendEvent
from tepui.master.core.events import StreamClosed, SubscribeReceived
from tepui.master.core.frameworks import HEARTBEAT
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.wire import mesos, scheduler
from tests.master.world import Scheduler, TaskState, World, master_info

Event = scheduler.Event
Call = scheduler.Call
STREAM = StreamId("scheduler-new")


def subscribe(info: mesos.FrameworkInfo, suppressed: tuple[str, ...] = ()) -> SubscribeReceived:
    subscription = Call.Subscribe(framework_info=info, suppressed_roles=suppressed)
    return SubscribeReceived(STREAM, Call(type=Call.Type.SUBSCRIBE, subscribe=subscription))


def info(framework_id: str | None = None, **changes: object) -> mesos.FrameworkInfo:
    found = mesos.FrameworkInfo(user="root", name="fw", failover_timeout=60.0)
    if framework_id is not None:
        found = replace(found, id=mesos.FrameworkID(framework_id))
    return replace(found, **changes)


def subscribed(framework_id: str) -> Event:
    return Event(
        type=Event.Type.SUBSCRIBED,
        subscribed=Event.Subscribed(
            framework_id=mesos.FrameworkID(framework_id),
            heartbeat_interval_seconds=15.0,
            master_info=master_info(),
        ),
    )


def noted(framework_id: str) -> Note:
    fields = (("framework", framework_id), ("name", "'fw'"), ("stream", STREAM))
    return Note("scheduler_subscribed", fields)


def error(text: str) -> Event:
    return Event(type=Event.Type.ERROR, error=Event.Error(message=text))


def test_a_new_framework_gets_an_id_and_a_heartbeat_at_once() -> None:
    world = World()
    effects = world.put(subscribe(info()))
    framework_id = f"{master_info().id}-0000"
    assert effects.save == []
    assert effects.then == [
        SendEvent(STREAM, subscribed(framework_id)),
        SendEvent(STREAM, HEARTBEAT),
        noted(framework_id),
    ]
    assert list(world.state.frameworks) == [framework_id]


def test_a_framework_may_bring_an_id_that_is_not_known() -> None:
    world = World()
    effects = world.put(subscribe(info("mine")))
    assert effects.then == [
        SendEvent(STREAM, subscribed("mine")),
        SendEvent(STREAM, HEARTBEAT),
        noted("mine"),
    ]


def test_an_id_that_somebody_chose_is_not_given_to_another() -> None:
    world = World()
    world.subscribe(framework_id=FrameworkId(f"{master_info().id}-0000"))
    assert world.subscribe().framework_id == f"{master_info().id}-0001"


def test_an_id_of_a_framework_that_was_removed_is_not_given_again() -> None:
    world = World()
    gone = world.subscribe(framework_id=FrameworkId(f"{master_info().id}-0000"))
    world.teardown(gone.framework_id)
    assert world.subscribe().framework_id == f"{master_info().id}-0001"


def test_a_second_scheduler_displaces_the_first() -> None:
    world = World()
    first = world.subscribe()
    first.events()
    effects = world.put(subscribe(replace(first.framework.info)))
    assert effects.then == [
        SendEvent(first.stream, error("Framework failed over")),
        EndStream(first.stream),
        SendEvent(STREAM, subscribed(first.framework_id)),
        SendEvent(STREAM, HEARTBEAT),
        noted(first.framework_id),
    ]
    assert world.put(StreamClosed(first.stream)).then == []  # its end changes nothing any more
    assert first.framework.subscription is not None


def test_the_displaced_scheduler_can_not_call_any_more() -> None:
    world = World()
    first = world.subscribe()
    second = world.subscribe(framework_id=first.framework_id)
    answer = first.call(Call.Type.REVIVE)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.text) == (
        400,
        f"The stream ID '{first.stream}' included in this request didn't match the stream ID"
        f" currently associated with framework ID {first.framework_id}",
    )
    answer = second.call(Call.Type.REVIVE)
    assert isinstance(answer, Answer)
    assert answer.status == 202


def refusal(world: World, event: SubscribeReceived) -> str:
    """The text of the ERROR that is all that happens."""
    before = len(world.state.frameworks), len(world.state.timers)
    sent, ended = world.put(event).then
    assert ended == EndStream(STREAM)
    assert isinstance(sent, SendEvent)
    assert isinstance(sent.event, Event)
    assert sent.event.error is not None
    assert (len(world.state.frameworks), len(world.state.timers)) == before
    return sent.event.error.message


def test_a_framework_that_was_removed_is_refused() -> None:
    world = World()
    first = world.subscribe()
    world.teardown(first.framework_id)
    assert refusal(world, subscribe(info(first.framework_id))) == "Framework has been removed"


def test_another_principal_is_refused_and_the_first_scheduler_stays() -> None:
    world = World()
    first = world.subscribe(info=info(principal="a"))
    text = refusal(world, subscribe(info(first.framework_id, principal="b")))
    assert text == "Changing framework's principal is not allowed."
    assert first.framework.subscription is not None
    assert first.framework.subscription.stream == first.stream


def test_an_invalid_framework_is_refused() -> None:
    text = refusal(World(), subscribe(info(role="a//b")))
    assert "cannot contain two adjacent slashes" in text


def test_a_suppressed_role_gets_no_offers_until_it_is_revived() -> None:
    world = World()
    agent = world.add_agent()
    multi_role = mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE)
    framework = info(roles=("a",), capabilities=(multi_role,))
    world.put(subscribe(framework, suppressed=("a",)))
    scheduler = Scheduler(world, STREAM)
    assert scheduler.framework.suppressed == {Role("a")}
    assert not scheduler.framework.offers
    scheduler.call(Call.Type.REVIVE)
    assert scheduler.offer_of(agent, "a")


def test_heartbeats_come_every_interval_and_no_sooner() -> None:
    world = World()
    scheduler = world.subscribe()
    scheduler.events()
    world.advance(HEARTBEAT_INTERVAL_MS - 1)
    assert scheduler.events() == []
    world.advance(1)
    assert scheduler.events() == [HEARTBEAT]
    world.advance(3 * HEARTBEAT_INTERVAL_MS)
    assert scheduler.events() == [HEARTBEAT] * 3


def test_a_stream_that_ended_has_no_heartbeat() -> None:
    world = World()
    scheduler = world.subscribe()
    scheduler.leave()
    scheduler.events()
    world.advance(2 * HEARTBEAT_INTERVAL_MS)
    assert scheduler.events() == []


def test_updates_that_wait_are_repeated_to_the_next_scheduler() -> None:
    world = World()
    agent, first = world.add_agent(), world.subscribe()
    first.launch("t1", agent)
    first.launch("t2", agent)
    waits = agent.update(first, "t1", TaskState.TASK_RUNNING, acknowledged=False)
    agent.update(first, "t2", TaskState.TASK_RUNNING)
    first.leave()
    second = world.subscribe(framework_id=first.framework_id)
    assert second.updates() == [waits]


# failover_timeout


def test_without_a_failover_timeout_a_framework_ends_with_its_connection() -> None:
    world = World()
    agent, scheduler = world.add_agent(), world.subscribe(failover_s=0.0)
    scheduler.launch("t1", agent)
    agent.told()
    scheduler.leave()
    assert scheduler.framework_id in world.state.completed_frameworks
    assert [type(message).__name__ for message in agent.told()] == ["ShutdownFramework"]
    assert [task.state for task in scheduler.framework.completed_tasks] == [TaskState.TASK_KILLED]


def test_a_framework_that_stays_away_is_removed_when_its_time_has_passed() -> None:
    world = World()
    scheduler = world.subscribe(failover_s=60.0)
    scheduler.leave()
    world.advance(59_999)
    assert scheduler.framework_id in world.state.frameworks
    world.advance(1)
    assert scheduler.framework_id in world.state.completed_frameworks


def test_a_framework_that_comes_back_in_time_stays() -> None:
    world = World()
    scheduler = world.subscribe(failover_s=60.0)
    scheduler.leave()
    world.advance(59_999)
    world.subscribe(framework_id=scheduler.framework_id)
    world.advance(600_000)
    assert scheduler.framework_id in world.state.frameworks


def test_a_negative_failover_timeout_is_none() -> None:
    world = World()
    scheduler = world.subscribe(failover_s=-5.0)
    scheduler.leave()
    assert scheduler.framework_id in world.state.completed_frameworks


def test_few_removed_frameworks_are_remembered() -> None:
    world = World()
    most = world.state.settings.max_completed_frameworks
    gone = [world.subscribe() for _ in range(most + 1)]
    for one in gone:
        world.teardown(one.framework_id)
    assert list(world.state.completed_frameworks) == [one.framework_id for one in gone[1:]]


# UPDATE_FRAMEWORK


def update(scheduler: Scheduler, **changes: object) -> Answer:
    answer = scheduler.call(
        Call.Type.UPDATE_FRAMEWORK,
        update_framework=Call.UpdateFramework(
            framework_info=replace(scheduler.framework.info, **changes)
        ),
    )
    assert isinstance(answer, Answer)
    return answer


def test_a_role_can_be_dropped_while_a_task_runs_in_it() -> None:
    world = World()
    agent, scheduler = world.add_agent(), world.subscribe(roles=("a", "b"))
    role = next(iter(scheduler.framework.offers.values())).role
    scheduler.launch("t1", agent, role=role)
    other = "b" if role == "a" else "a"
    agent.told()
    assert update(scheduler, roles=(other,)).status == 200
    assert {offer.role for offer in scheduler.framework.offers.values()} == {other}
    assert [type(message).__name__ for message in agent.told()] == ["UpdateFramework"]
    agent.update(scheduler, "t1", TaskState.TASK_FINISHED)
    assert not scheduler.framework.tasks


def test_a_framework_can_give_up_all_roles_and_get_one_again() -> None:
    world = World()
    agent, scheduler = world.add_agent(), world.subscribe(roles=("a",))
    assert update(scheduler, roles=()).status == 200
    assert not scheduler.framework.offers
    assert update(scheduler, roles=("b",)).status == 200
    assert scheduler.offer_of(agent, "b")


def test_the_user_can_not_be_changed() -> None:
    world = World()
    answer = update(world.subscribe(), user="other")
    assert (answer.status, answer.text) == (
        400,
        "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported;"
        " attempted to update from 'root' to 'other'",
    )
