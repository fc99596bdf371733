"""Frameworks: subscribe, come back, change, leave, and are removed."""

from __future__ import annotations

from msgspec.structs import replace

from tepui.allocator import FrameworkTerms
from tepui.base.names import FrameworkId, Role, StreamId
from tepui.master.core import caps, offers, statuses, tasks, unreachable
from tepui.master.core.actions import Effects, EndStream, Note, SendEvent, SendToAgent
from tepui.master.core.events import (
    FailoverTimeoutPassed,
    HeartbeatDue,
    StreamClosed,
    SubscribeReceived,
)
from tepui.master.core.publish import (
    publish_framework_added,
    publish_framework_removed,
    publish_framework_updated,
)
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.master.core.state import Framework, State, Subscription, Task
from tepui.master.core.validation.framework import (
    capabilities,
    effective_roles,
    resubscribe_error,
    subscribe_error,
)
from tepui.resources.scalars import milli
from tepui.wire import link, master, mesos, scheduler

Event = scheduler.Event
HEARTBEAT = Event(type=Event.Type.HEARTBEAT)
OPERATOR_HEARTBEAT = master.Event(type=master.Event.Type.HEARTBEAT)


def subscribe_received(state: State, event: SubscribeReceived, now_ms: int, step: Effects) -> None:
    """Admit a scheduler: of a new framework, or instead of the one before."""
    call = event.call.subscribe
    assert call is not None  # checked before the event was put
    info = call.framework_info
    framework_id = FrameworkId(info.id.value) if info.id is not None else FrameworkId("")
    known = state.frameworks.get(framework_id)
    error = caps.framework_error(state, known, info, call.offer_constraints)
    if error is not None:
        state.counters.add("refused_by_limits")
    else:
        error = subscribe_error(info, call.suppressed_roles, call.offer_constraints)
    if error is None and framework_id in state.completed_frameworks:
        error = "Framework has been removed"
    if error is None and known is not None:
        error = resubscribe_error(known.info, info)
    if error is None and known is None:
        error = _make_room(state, now_ms, step)
    if error is not None:
        step.then.append(SendEvent(event.stream, _error(error)))
        step.then.append(EndStream(event.stream))
        return
    if known is None:
        framework = _add(state, framework_id, info, call, now_ms)
    else:
        framework = known
        _displace(state, framework, now_ms, step)
        if framework.recovered:
            framework.recovered = False
            framework.registered_ms = now_ms  # for the first time with this master
        else:
            framework.reregistered_ms = now_ms
        change_info(state, framework, info, call, now_ms, step)
    _connect(state, framework, event.stream, now_ms, step)
    if known is None:
        publish_framework_added(state, framework, step)
    else:
        publish_framework_updated(state, framework, step)
        _repeat_updates(framework, step)


def stream_closed(state: State, event: StreamClosed, now_ms: int, step: Effects) -> None:
    """The scheduler left; it may come back for a while."""
    framework_id = state.framework_by_stream.get(event.stream)
    if framework_id is not None:
        framework = state.frameworks[framework_id]
        disconnect(state, framework, now_ms, step)
        publish_framework_updated(state, framework, step)


def heartbeat_due(state: State, event: HeartbeatDue, now_ms: int, step: Effects) -> None:
    """Tell a reader that its stream is alive."""
    timer = state.timers.set(now_ms + HEARTBEAT_INTERVAL_MS, event)
    if event.stream in state.operators:
        state.operators[event.stream] = timer
        step.then.append(SendEvent(event.stream, OPERATOR_HEARTBEAT))
    else:
        framework = state.frameworks[state.framework_by_stream[event.stream]]
        framework.subscription = Subscription(event.stream, timer)
        step.then.append(SendEvent(event.stream, HEARTBEAT))


def failover_timeout_passed(
    state: State, event: FailoverTimeoutPassed, now_ms: int, step: Effects
) -> None:
    """Nobody subscribed in time: the framework is removed (Mesos: FrameworkInfo.failover_timeout)."""
    remove_framework(state, state.frameworks[event.framework_id], now_ms, step)


def disconnect(state: State, framework: Framework, now_ms: int, step: Effects) -> None:
    """The framework has no scheduler: its offers return, its tasks go on."""
    assert framework.subscription is not None
    state.timers.cancel(framework.subscription.heartbeat)
    del state.framework_by_stream[framework.subscription.stream]
    framework.subscription = None
    framework.disconnected_ms = now_ms
    state.allocator.deactivate_framework(framework.id)
    for offer in list(framework.offers.values()):
        offers.take_back(state, offer, None, now_ms)
    await_failover(state, framework, now_ms)


def await_failover(state: State, framework: Framework, now_ms: int, *, least_ms: int = 0) -> None:
    """Remove the framework unless it subscribes within its failover_timeout, or `least_ms`."""
    timeout_ms = max(least_ms, milli(framework.info.failover_timeout))
    framework.failover_timer = state.timers.set(
        now_ms + timeout_ms, FailoverTimeoutPassed(framework.id)
    )


def change_info(
    state: State,
    framework: Framework,
    info: mesos.FrameworkInfo,
    call: scheduler.Call.Subscribe | scheduler.Call.UpdateFramework,
    now_ms: int,
    step: Effects,
) -> None:
    """The framework describes itself anew. Its id, user and checkpointing stay as they were."""
    framework.info = replace(
        info,
        id=mesos.FrameworkID(framework.id),
        user=framework.info.user,
        checkpoint=framework.info.checkpoint,
    )
    framework.roles = tuple(Role(role) for role in effective_roles(info))
    framework.capabilities = capabilities(info)
    framework.suppressed = frozenset(Role(role) for role in call.suppressed_roles)
    framework.constraints = call.offer_constraints
    for offer in list(framework.offers.values()):
        if offer.role not in framework.roles:
            offers.rescind(state, offer, now_ms, step)
    state.allocator.update_framework(framework.id, terms(framework))
    _tell_agents(state, framework, link.UpdateFramework(framework.info), step)


def remove_framework(state: State, framework: Framework, now_ms: int, step: Effects) -> None:
    """The framework is history: its tasks and executors are killed, its stream ends."""
    subscription = framework.subscription
    if subscription is not None:
        disconnect(state, framework, now_ms, step)
        step.then.append(EndStream(subscription.stream))
    state.timers.cancel(framework.failover_timer)
    _tell_agents(state, framework, link.ShutdownFramework(framework.id), step)
    for task in [*framework.tasks.values()]:
        if task.terminal:
            tasks.forget_task(state, framework, task)  # only its acknowledgement was missing
            continue
        tasks.end_by_master(state, framework, task, _killed(task, now_ms), now_ms, step)
    for task in [*framework.unreachable_tasks.values()]:
        unreachable.end(state, task, _killed(task, now_ms), step)
    for executor in [*framework.executors.values()]:
        tasks.remove_executor(state, executor, now_ms)
    state.allocator.remove_framework(framework.id)
    framework.unregistered_ms = now_ms
    del state.frameworks[framework.id]
    state.completed_frameworks[framework.id] = framework
    while len(state.completed_frameworks) > state.settings.max_completed_frameworks:
        del state.completed_frameworks[next(iter(state.completed_frameworks))]
    publish_framework_removed(state, framework, step)


def _killed(task: Task, now_ms: int) -> mesos.TaskStatus:
    """The end of the task with its framework."""
    return statuses.made_by_master(
        task.id,
        task.agent_id,
        mesos.TaskState.TASK_KILLED,
        mesos.TaskStatus.Reason.REASON_FRAMEWORK_REMOVED,
        f"Framework {task.framework_id} removed",
        now_ms,
        executor_id=task.executor_id,
    )


def recover_framework(
    state: State, info: mesos.FrameworkInfo, now_ms: int, step: Effects
) -> Framework:
    """A framework that an agent knows and this master does not; it may subscribe for a while.

    However short its failover_timeout, it gets the time that agents get: its connection is gone
    because this master is new. (Mesos waits for it without end.)
    """
    assert info.id is not None
    framework = _framework(state, FrameworkId(info.id.value), info, registered_ms=0)
    framework.disconnected_ms = now_ms
    framework.recovered = True
    state.frameworks[framework.id] = framework
    state.allocator.add_framework(framework.id, terms(framework))
    state.allocator.deactivate_framework(framework.id)
    await_failover(state, framework, now_ms, least_ms=state.settings.agent_reregister_timeout_ms)
    publish_framework_added(state, framework, step)
    return framework


def terms(framework: Framework) -> FrameworkTerms:
    """What the allocator is told."""
    return FrameworkTerms(
        roles=framework.roles,
        capabilities=framework.capabilities,
        suppressed=framework.suppressed,
        min_allocatable={
            Role(role): tuple(
                {name: milli(scalar.value) for name, scalar in one.quantities.items()}
                for one in filters.min_allocatable_resources.quantities
            )
            for role, filters in framework.info.offer_filters.items()
            if filters.min_allocatable_resources is not None
        },
        constraints=framework.constraints,
    )


def _add(
    state: State,
    framework_id: FrameworkId,
    info: mesos.FrameworkInfo,
    call: scheduler.Call.Subscribe,
    now_ms: int,
) -> Framework:
    framework_id = framework_id or _next_id(state)
    framework = _framework(state, framework_id, info, registered_ms=now_ms)
    framework.suppressed = frozenset(Role(role) for role in call.suppressed_roles)
    framework.constraints = call.offer_constraints
    state.frameworks[framework_id] = framework
    state.allocator.add_framework(framework_id, terms(framework))
    return framework


def _make_room(state: State, now_ms: int, step: Effects) -> str | None:
    """Why there is no room for one more framework; of too many one that has left is removed.

    It is the one without tasks that left first: a scheduler that keeps starting and crashing must
    not keep others out for its failover_timeout.
    """
    count_max = caps.FRAMEWORKS_MAX
    if len(state.frameworks) < count_max:
        return None
    state.counters.add("refused_by_limits")
    gone = [
        one
        for one in state.frameworks.values()
        if one.disconnected_ms is not None and not one.tasks and not one.executors
    ]
    if not gone:
        return f"frameworks of this master: {len(state.frameworks) + 1} are more than {count_max}"
    remove_framework(state, min(gone, key=lambda one: one.disconnected_ms or 0), now_ms, step)
    return None


def _next_id(state: State) -> FrameworkId:
    """An id that no framework has, not even one that chose its own."""
    while True:
        framework_id = FrameworkId(f"{state.info.id}-{state.frameworks_registered:04d}")
        state.frameworks_registered += 1
        if framework_id not in state.frameworks and framework_id not in state.completed_frameworks:
            return framework_id


def _framework(
    state: State, framework_id: FrameworkId, info: mesos.FrameworkInfo, *, registered_ms: int
) -> Framework:
    return Framework(
        id=framework_id,
        info=replace(info, id=mesos.FrameworkID(framework_id)),
        roles=tuple(Role(role) for role in effective_roles(info)),
        capabilities=capabilities(info),
        registered_ms=registered_ms,
    )


def _displace(state: State, framework: Framework, now_ms: int, step: Effects) -> None:
    """End the scheduler that was connected before, if there is one."""
    before = framework.subscription
    if before is not None:
        step.then.append(SendEvent(before.stream, _error("Framework failed over")))
        disconnect(state, framework, now_ms, step)
        step.then.append(EndStream(before.stream))
    state.timers.cancel(framework.failover_timer)
    framework.failover_timer = None
    framework.disconnected_ms = None


def _connect(
    state: State, framework: Framework, stream: StreamId, now_ms: int, step: Effects
) -> None:
    heartbeat = state.timers.set(now_ms + HEARTBEAT_INTERVAL_MS, HeartbeatDue(stream))
    framework.subscription = Subscription(stream, heartbeat)
    state.framework_by_stream[stream] = framework.id
    state.allocator.activate_framework(framework.id)
    subscribed = Event.Subscribed(
        framework_id=mesos.FrameworkID(framework.id),
        heartbeat_interval_seconds=HEARTBEAT_INTERVAL_MS / 1000,
        master_info=state.info,
    )
    step.then.append(SendEvent(stream, Event(type=Event.Type.SUBSCRIBED, subscribed=subscribed)))
    step.then.append(SendEvent(stream, HEARTBEAT))  # some clients see an event when the next comes
    # The name is the scheduler's own text: quoted, it stays one field of one line.
    fields = (("framework", framework.id), ("name", repr(framework.info.name)), ("stream", stream))
    step.then.append(Note("scheduler_subscribed", fields))


def _repeat_updates(framework: Framework, step: Effects) -> None:
    """Send again what the scheduler before may not have seen.

    Differs from Mesos: there the agents' retries bring them, after up to ten minutes.
    """
    for task in framework.tasks.values():
        if task.update is not None:
            statuses.tell(framework, task.update, step)


def _tell_agents(
    state: State, framework: Framework, message: link.FromMaster, step: Effects
) -> None:
    """Send the message to each connected agent that runs something of the framework."""
    agent_ids = {task.agent_id: None for task in framework.tasks.values()}  # in a fixed order
    agent_ids.update((agent_id, None) for agent_id, _ in framework.executors)
    for agent_id in agent_ids:
        agent = state.agents[agent_id]
        if agent.link is not None:
            step.then.append(SendToAgent(agent.link, message))


def _error(message: str) -> scheduler.Event:
    return Event(type=Event.Type.ERROR, error=Event.Error(message=message))
