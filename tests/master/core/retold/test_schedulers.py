"""Schedulers that fail over, as Mesos's own tests tell it; and cut off after any call."""

from __future__ import annotations

from random import Random

import pytest

from tepui.base.names import StreamId
from tepui.master.core.actions import Answer, EndStream, SendEvent
from tepui.master.core.events import CallReceived, RequestId, StreamClosed, SubscribeReceived
from tepui.wire import link, mesos, scheduler
from tests.master.core.retold.kit import Call, Cluster, Node, names, told, updates_of
from tests.master.world import TASK_RESOURCES, Scheduler, TaskState, task_info

Event = scheduler.Event
MINUTE_MS = 60_000
FAILED_OVER = Event(type=Event.Type.ERROR, error=Event.Error(message="Framework failed over"))
REMOVED = Event(type=Event.Type.ERROR, error=Event.Error(message="Framework has been removed"))


def subscribe(cluster: Cluster, info: mesos.FrameworkInfo) -> list[object]:
    """What the master does about another scheduler."""
    stream = StreamId("another")
    call = Call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe(framework_info=info))
    return list(cluster.world.put(SubscribeReceived(stream, call)).then)


def with_task(failover_s: float = 60.0) -> tuple[Cluster, Node, Scheduler]:
    cluster = Cluster()
    agent, owner = cluster.agent(), cluster.framework(failover_s=failover_s)
    agent.run(owner, "t1")
    return cluster, agent, owner


def test_the_newest_scheduler_wins_and_the_one_before_is_told() -> None:
    """Mesos: FaultToleranceTest.SchedulerFailover"""
    cluster, _, owner = with_task()
    done = subscribe(cluster, owner.framework.info)
    assert done[:2] == [SendEvent(owner.stream, FAILED_OVER), EndStream(owner.stream)]
    events = cluster.world.events(StreamId("another"), Event)
    assert events[0].type is Event.Type.SUBSCRIBED
    assert names(owner) == (["t1"], [], [])


def test_of_many_schedulers_one_is_left_and_each_other_was_told_once() -> None:
    """Mesos: FaultToleranceTest.SchedulerFailoverRetriedReregistration"""
    cluster, _, owner = with_task()
    schedulers = [owner]
    for _ in range(5):
        schedulers.append(cluster.subscribe_again(owner))
    told_so = [one for one in schedulers if FAILED_OVER in one.events()]
    assert told_so == schedulers[:-1]
    assert cluster.world.ended == {one.stream for one in schedulers[:-1]}
    assert list(cluster.world.state.framework_by_stream) == [schedulers[-1].stream]


def test_the_end_of_an_older_stream_changes_nothing() -> None:
    """Mesos: FaultToleranceTest.SchedulerFailover"""
    cluster, _, owner = with_task()
    again = cluster.subscribe_again(owner)
    assert cluster.world.put(StreamClosed(owner.stream)).then == []
    assert again.framework.subscription is not None


def test_a_call_of_the_scheduler_before_is_refused() -> None:
    """Mesos: FaultToleranceTest.IgnoreKillTaskFromUnregisteredFramework"""
    cluster, agent, owner = with_task()
    cluster.subscribe_again(owner)
    agent.listen()
    killed = owner.call(Call.Type.KILL, kill=Call.Kill(task_id=mesos.TaskID("t1")))
    assert isinstance(killed, Answer)
    assert killed.status == 400
    assert agent.listen() == []


def test_a_framework_that_is_not_back_in_time_is_removed_with_its_tasks() -> None:
    """Mesos: HttpFaultToleranceTest.SchedulerExit"""
    cluster, agent, owner = with_task(failover_s=60.0)
    owner.leave()
    cluster.wait(MINUTE_MS - 1)
    assert names(owner) == (["t1"], [], [])
    cluster.wait(1)
    assert list(cluster.world.state.completed_frameworks) == [owner.framework_id]
    assert agent.heard[-1] == link.ShutdownFramework(owner.framework_id)
    assert [task.state for task in owner.framework.completed_tasks] == [TaskState.TASK_KILLED]


def test_without_a_time_to_fail_over_a_framework_ends_with_its_stream() -> None:
    """Mesos: FaultToleranceTest.SchedulerExit"""
    cluster, _, owner = with_task(failover_s=0.0)
    owner.leave()
    assert list(cluster.world.state.completed_frameworks) == [owner.framework_id]


def test_a_framework_that_is_back_in_time_is_not_removed() -> None:
    """Mesos: FaultToleranceTest.FrameworkReregister"""
    cluster, _, owner = with_task(failover_s=60.0)
    owner.leave()
    assert owner.framework.offers == {}
    cluster.wait(MINUTE_MS - 1)
    again = cluster.subscribe_again(owner)
    assert len(again.framework.offers) == 1
    cluster.wait(10 * MINUTE_MS)
    assert list(cluster.world.state.frameworks) == [owner.framework_id]
    assert again.framework.reregistered_ms is not None


@pytest.mark.parametrize("torn_down", [False, True])
def test_a_framework_that_was_removed_can_not_come_back(torn_down: bool) -> None:
    """Mesos: FaultToleranceTest.SchedulerReregisterAfterFailoverTimeout and
    SchedulerReregisterAfterUnregistration; HttpFaultToleranceTest.SchedulerSubscribeAfterTeardown
    """
    cluster, _, owner = with_task()
    if torn_down:
        owner.call(Call.Type.TEARDOWN)
    else:
        owner.leave()
        cluster.wait(MINUTE_MS)
    stream = StreamId("another")
    assert subscribe(cluster, owner.framework.info) == [
        SendEvent(stream, REMOVED),
        EndStream(stream),
    ]


def test_a_framework_that_fails_over_may_describe_itself_anew() -> None:
    """Mesos: FaultToleranceTest.UpdateFrameworkInfoOnSchedulerFailover"""
    cluster, agent, owner = with_task()
    agent.listen()
    again = cluster.subscribe_again(owner, name="new", failover_timeout=5.0)
    assert (again.framework.info.name, again.framework.info.failover_timeout) == ("new", 5.0)
    assert agent.listen() == [link.UpdateFramework(again.framework.info)]


def test_what_a_scheduler_says_of_its_framework_counts_more_than_what_agents_say() -> None:
    """Mesos: FaultToleranceTest.UpdateFrameworkInfoOnMasterFailover"""
    cluster, agent, owner = with_task()
    cluster.master_fails_over()
    agent.comes_back()
    agent.listen()
    again = cluster.subscribe_again(owner, name="new")
    assert again.framework.info.name == "new"
    assert agent.listen() == [link.UpdateFramework(again.framework.info)]
    agent.comes_back()
    assert again.framework.info.name == "new"


def test_a_principal_can_not_be_changed() -> None:
    """Mesos: HttpFaultToleranceTest.FrameworkPrincipalChangeFails"""
    cluster, _, owner = with_task()
    kinds = mesos.FrameworkInfo.Capability
    info = mesos.FrameworkInfo(
        user="root",
        name="fw",
        id=mesos.FrameworkID(owner.framework_id),
        roles=("*",),
        capabilities=(kinds(type=kinds.Type.MULTI_ROLE),),
        principal="somebody",
    )
    (error, end) = subscribe(cluster, info)
    text = "Changing framework's principal is not allowed."
    expected = Event(type=Event.Type.ERROR, error=Event.Error(message=text))
    assert error == SendEvent(StreamId("another"), expected)
    assert end == EndStream(StreamId("another"))
    assert owner.framework.subscription is not None


def test_an_update_that_waits_goes_to_the_new_scheduler() -> None:
    """Mesos: HttpFaultToleranceTest.SchedulerFailoverStatusUpdate"""
    cluster, agent, owner = with_task()
    status = agent.reports(owner, "t1", TaskState.TASK_FINISHED, acknowledged=False)
    again = cluster.subscribe_again(owner)
    assert updates_of(again.events()) == [status]


def test_a_message_of_an_executor_goes_to_the_new_scheduler() -> None:
    """Mesos: HttpFaultToleranceTest.SchedulerFailoverExecutorToFrameworkMessage"""
    cluster, agent, owner = with_task()
    again = cluster.subscribe_again(owner)
    owner.events(), again.events()
    agent.say(link.ExecutorMessage(owner.framework_id, "e", b"hello"))
    assert owner.events() == []
    (event,) = again.events()
    assert event.message is not None
    assert event.message.data == b"hello"


def test_a_message_of_the_new_scheduler_goes_to_the_executor() -> None:
    """Mesos: HttpFaultToleranceTest.SchedulerFailoverFrameworkToExecutorMessage"""
    cluster, agent, owner = with_task()
    again = cluster.subscribe_again(owner)
    agent.listen()
    message = Call.Message(
        agent_id=mesos.AgentID(agent.id), executor_id=mesos.ExecutorID("e"), data=b"hello"
    )
    again.call(Call.Type.MESSAGE, message=message)
    assert agent.listen() == [link.SchedulerMessage(owner.framework_id, "e", b"hello")]


def test_a_scheduler_that_is_not_there_can_launch_nothing() -> None:
    """Mesos: FaultToleranceTest.DisconnectedSchedulerLaunchLost; OneWayPartitionTest.MasterToScheduler"""
    cluster, agent, owner = with_task()
    offer_id = owner.offer_of(agent, None)
    owner.leave()
    agent.listen()
    answer = owner.call(Call.Type.ACCEPT, accept=accept(offer_id, agent))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.text) == (403, "Framework is not subscribed")
    assert agent.listen() == []
    assert told(owner) == []
    assert cluster.world.state.frameworks[owner.framework_id].offers == {}


def test_what_is_launched_from_an_offer_of_the_scheduler_before_is_lost() -> None:
    """Mesos: FaultToleranceTest.SchedulerFailover, with an offer of the scheduler before"""
    cluster, agent, owner = with_task()
    offer_id = owner.offer_of(agent, None)
    again = cluster.subscribe_again(owner)
    again.events()
    again.call(Call.Type.ACCEPT, accept=accept(offer_id, agent))
    ((task_id, state, reason, _),) = told(again)
    assert (task_id, state) == ("t9", TaskState.TASK_LOST)
    assert reason is mesos.TaskStatus.Reason.REASON_INVALID_OFFERS


# Cut off after any call


def accept(offer_id: str, agent: Node) -> Call.Accept:
    """`t9` from the offer."""
    launch = mesos.Offer.Operation.Launch(
        task_infos=(task_info("t9", agent.id, TASK_RESOURCES, None),)
    )
    operation = mesos.Offer.Operation(type=mesos.Offer.Operation.Type.LAUNCH, launch=launch)
    return Call.Accept(offer_ids=(mesos.OfferID(offer_id),), operations=(operation,))


def calls(owner: Scheduler, agent: Node, update: mesos.TaskStatus) -> dict[str, Call]:
    """One of each kind that has an effect."""
    kind = Call.Type
    offer_id = mesos.OfferID(owner.offer_of(agent, None))
    t1, agent_id = mesos.TaskID("t1"), mesos.AgentID(agent.id)
    executor_id = mesos.ExecutorID("e")
    assert update.uuid is not None
    made = {
        kind.ACCEPT: Call(accept=accept(offer_id.value, agent)),
        kind.DECLINE: Call(decline=Call.Decline(offer_ids=(offer_id,))),
        kind.REVIVE: Call(revive=Call.Revive()),
        kind.SUPPRESS: Call(suppress=Call.Suppress()),
        kind.KILL: Call(kill=Call.Kill(task_id=t1)),
        kind.SHUTDOWN: Call(shutdown=Call.Shutdown(executor_id=executor_id, agent_id=agent_id)),
        kind.ACKNOWLEDGE: Call(
            acknowledge=Call.Acknowledge(agent_id=agent_id, task_id=t1, uuid=update.uuid)
        ),
        kind.RECONCILE: Call(reconcile=Call.Reconcile()),
        kind.MESSAGE: Call(
            message=Call.Message(agent_id=agent_id, executor_id=executor_id, data=b"m")
        ),
        kind.REQUEST: Call(request=Call.Request()),
        kind.UPDATE_FRAMEWORK: Call(
            update_framework=Call.UpdateFramework(framework_info=owner.framework.info)
        ),
        kind.TEARDOWN: Call(),
    }
    framework_id = mesos.FrameworkID(owner.framework_id)
    return {
        name.name: scheduler.Call(
            type=name,
            framework_id=framework_id,
            **{name.lower(): getattr(call, name.lower(), None)},
        )
        if name is not kind.TEARDOWN
        else scheduler.Call(type=name, framework_id=framework_id)
        for name, call in made.items()
    }


KINDS = (
    "ACCEPT",
    "DECLINE",
    "REVIVE",
    "SUPPRESS",
    "KILL",
    "SHUTDOWN",
    "ACKNOWLEDGE",
    "RECONCILE",
    "MESSAGE",
    "REQUEST",
    "UPDATE_FRAMEWORK",
    "TEARDOWN",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_heard", [True, False])
def test_a_stream_that_ends_after_a_call_leaves_a_framework_that_can_come_back(
    kind: str, is_heard: bool
) -> None:
    """The call came before the end of the stream in the same batch, or just behind it."""
    cluster, agent, owner = with_task()
    update = agent.reports(owner, "t1", TaskState.TASK_KILLING, acknowledged=False)
    agent.listen()
    call = CallReceived(RequestId(9_000), calls(owner, agent, update)[kind], owner.stream)
    end = StreamClosed(owner.stream)
    cluster.world.put(call, end) if is_heard else cluster.world.put(end, call)
    answer = cluster.world.answers[RequestId(9_000)]
    assert isinstance(answer, Answer)
    if not is_heard:
        assert (answer.status, answer.text) == (403, "Framework is not subscribed")
    if is_heard and kind == "TEARDOWN":
        assert list(cluster.world.state.completed_frameworks) == [owner.framework_id]
        return
    framework = owner.framework
    assert framework.subscription is None
    assert framework.offers == {}
    assert set(framework.tasks) == ({"t1", "t9"} if is_heard and kind == "ACCEPT" else {"t1"})
    assert (framework.tasks[next(iter(framework.tasks))].update is None) == (
        is_heard and kind == "ACKNOWLEDGE"
    )
    again = cluster.subscribe_again(owner)
    repeated = [status for status in updates_of(again.events()) if status == update]
    assert len(repeated) == (0 if is_heard and kind == "ACKNOWLEDGE" else 1)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_schedulers_call_before_they_are_replaced_one_of_them_is_left(seed: int) -> None:
    """Calls, ends of streams and subscriptions in any order; the invariants hold after each."""
    random = Random(seed)
    cluster, agent, owner = with_task(failover_s=1e6)
    schedulers = [owner]
    for turn in range(60):
        newest = schedulers[-1]
        match random.choice(("call", "call", "call", "leave", "subscribe", "wait")):
            case "call" if newest.framework.offers:
                update = mesos.TaskStatus(
                    task_id=mesos.TaskID("t1"),
                    state=TaskState.TASK_RUNNING,
                    uuid=bytes([turn]) * 16,
                )
                kind = random.choice(KINDS[:-1])
                caller = random.choice(schedulers[-3:])
                call = calls(newest, agent, update)[kind]
                cluster.world.put(CallReceived(RequestId(10_000 + turn), call, caller.stream))
                answer = cluster.world.answers[RequestId(10_000 + turn)]
                assert isinstance(answer, Answer)
                is_newest = caller is newest and newest.framework.subscription is not None
                assert (answer.status in (200, 202)) == is_newest, (kind, answer)
            case "leave":
                cluster.world.put(StreamClosed(random.choice(schedulers).stream))
            case "subscribe":
                schedulers.append(cluster.subscribe_again(owner))
            case _:
                cluster.wait(random.choice((1, 1_000, 20_000)))
        assert list(cluster.world.state.frameworks) == [owner.framework_id]
    last = cluster.subscribe_again(owner)
    assert list(cluster.world.state.framework_by_stream) == [last.stream]
    assert "t1" in last.framework.tasks
