"""Rate limits: calls above the rate wait in order, or are refused above the capacity."""

from __future__ import annotations

from tepui.master.core.actions import Answer
from tepui.master.core.events import CallReceived, RequestId
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS, RateLimit, RateLimits, Settings
from tepui.wire import mesos, scheduler
from tests.master.world import START_MS, Scheduler, World

Call = scheduler.Call


def limited(*limits: RateLimit, qps: float | None = None, capacity: int | None = None) -> World:
    rate_limits = RateLimits(
        limits=limits, aggregate_default_qps=qps, aggregate_default_capacity=capacity
    )
    return World(settings=Settings(rate_limits=rate_limits))


def scheduler_of(world: World, principal: str | None) -> Scheduler:
    info = mesos.FrameworkInfo(user="root", name="fw", principal=principal, failover_timeout=60.0)
    return world.subscribe(info=info)


def ask(owner: Scheduler, request: int, kind: scheduler.Call.Type = Call.Type.REVIVE) -> None:
    call = Call(type=kind, framework_id=mesos.FrameworkID(owner.framework_id))
    principal = owner.framework.info.principal
    owner.world.put(CallReceived(RequestId(request), call, owner.stream, principal))


def answered(world: World) -> dict[int, int]:
    """The statuses by request, in the order of the answers."""
    return {
        int(request): answer.status
        for request, answer in world.answers.items()
        if isinstance(answer, Answer)
    }


def test_calls_above_the_rate_wait_their_turn_in_order() -> None:
    world = limited(RateLimit(principal="p", qps=2))
    owner = scheduler_of(world, "p")
    for request in (1, 2, 3):
        ask(owner, request)
    assert answered(world) == {1: 202}
    world.advance(499)
    assert answered(world) == {1: 202}
    world.advance(1)
    assert list(answered(world)) == [1, 2]
    world.advance(500)
    assert list(answered(world)) == [1, 2, 3]
    world.advance(500)
    ask(owner, 4)
    assert list(answered(world)) == [1, 2, 3, 4]


def test_a_call_above_the_capacity_is_refused() -> None:
    world = limited(RateLimit(principal="p", qps=2, capacity=1))
    owner = scheduler_of(world, "p")
    for request in (1, 2, 3):
        ask(owner, request)
    assert answered(world) == {1: 202, 3: 429}
    refused = world.answers[RequestId(3)]
    assert isinstance(refused, Answer)
    assert refused.text == "principal 'p' may make 2 calls a second, and 1 wait already"
    world.advance(500)
    assert answered(world) == {1: 202, 3: 429, 2: 202}


def test_frameworks_of_a_principal_share_its_rate() -> None:
    world = limited(RateLimit(principal="p", qps=1))
    first, second = scheduler_of(world, "p"), scheduler_of(world, "p")
    ask(first, 1)
    ask(second, 2)
    assert answered(world) == {1: 202}


def test_principals_without_a_limit_share_the_default() -> None:
    world = limited(RateLimit(principal="p", qps=1), qps=1)
    ask(scheduler_of(world, "p"), 1)
    ask(scheduler_of(world, "q"), 2)
    ask(scheduler_of(world, None), 3)
    assert answered(world) == {1: 202, 2: 202}
    world.advance(1_000)
    assert answered(world) == {1: 202, 2: 202, 3: 202}


def test_a_principal_that_is_named_without_a_rate_is_not_limited() -> None:
    world = limited(RateLimit(principal="p"), qps=1)
    owner = scheduler_of(world, "p")
    for request in range(5):
        ask(owner, request)
    assert list(answered(world)) == [0, 1, 2, 3, 4]


def test_a_call_that_waited_is_refused_when_its_framework_has_left_meanwhile() -> None:
    world = limited(RateLimit(principal="p", qps=1))
    owner = scheduler_of(world, "p")
    ask(owner, 1)
    ask(owner, 2)
    owner.leave()
    world.advance(1_000)
    assert answered(world) == {1: 202, 2: 403}


def test_a_call_that_waited_may_end_a_framework_whose_heartbeat_is_due_as_well() -> None:
    world = limited(RateLimit(principal="p", qps=0.5))
    owner = scheduler_of(world, "p")
    ask(owner, 1)
    ask(owner, 2, Call.Type.TEARDOWN)
    world.now_ms = START_MS + HEARTBEAT_INTERVAL_MS  # the master was held up: both are due at once
    owner.events()
    world.put()
    assert answered(world) == {1: 202, 2: 202}
    assert owner.events() == []
    assert owner.stream in world.ended
    assert not world.state.frameworks
