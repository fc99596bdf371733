"""Decides what a scheduler's client does: subscribe again, deliver, acknowledge, reconcile.

One session lasts as long as the framework: it outlives streams and masters. A master that is frozen
takes connections all the same: an attempt ends when ZooKeeper says that another leads or nobody
does, or, among some addresses, when the answer does not begin soon.

    Connecting --SUBSCRIBED--> Subscribed --Broken--> Connecting ...
    either --> Ended: refused, removed, or no master within the time allowed

Updates: one that needs an acknowledgement is in hand from its delivery until it was handled.
While it is in hand, the same one again is dropped; once it was handled, the same one again is
acknowledged again and not delivered. So none is lost, and none counts twice in one process.

Sources: Mesos docs/scheduler-http-api.md, docs/reconciliation.md, src/scheduler/scheduler.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import chain
from typing import NoReturn

from msgspec import Struct, field, structs

from tepui.base.effects import Step
from tepui.base.timers import Timers
from tepui.sdk.core import events as ev
from tepui.sdk.core.backoff import Backoff, Jitter
from tepui.sdk.core.masters import Masters
from tepui.wire import mesos, scheduler
from tepui.wire.mesos import TaskState
from tepui.wire.states import TERMINAL_STATES

Effects = Step[NoReturn, ev.Action]  # nothing to save: what must last is at the master

HANDLED_MAX = 10_000  # uuids of handled updates that are remembered, to know repetitions
RECONCILED_PER_CALL_MAX = 1_000  # tasks
RECONCILE_MS = 5_000  # the master may wait for agents that have not come back yet
RECONCILE_MS_MAX = 120_000
MISSED_HEARTBEATS_MAX = 5  # Mesos: scheduler/constants
HEARTBEAT_INTERVAL_S = 15.0  # Mesos' default, for a master that does not say

RETRIED = frozenset((404, 408, 429, 500, 502, 503, 504))  # a master (or proxy) that is starting

# Nothing is known of the task; should it come back, its update makes it known again.
FORGOTTEN = TERMINAL_STATES | {TaskState.TASK_UNKNOWN}


class Phase(Enum):
    """Where the session stands."""

    CONNECTING = auto()
    SUBSCRIBED = auto()
    ENDED = auto()


class State(Struct):
    """All a session knows. `tasks` are those that may still run, with their agent if known."""

    subscribe: scheduler.Call.Subscribe
    masters: Masters
    reconcile_backoff: Backoff
    connect_timeout_ms: int | None = None
    phase: Phase = Phase.CONNECTING
    tasks: dict[str, str | None] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    in_hand: set[bytes] = field(default_factory=set)
    handled: dict[bytes, None] = field(default_factory=dict)
    asked: str | None = None  # the master whose stream is open, or was asked for
    is_vacant: bool = False  # ZooKeeper says that nobody leads: who led last need not be asked
    is_first: bool = True  # no subscription has succeeded yet
    last_cause: str = ""
    timers: Timers[ev.Event] = field(default_factory=Timers)
    answer_timer: int | None = None
    retry_timer: int | None = None
    end_timer: int | None = None
    reconcile_timer: int | None = None


def new_state(
    subscribe: scheduler.Call.Subscribe,
    masters: Masters,
    jitter: Jitter,
    *,
    tasks: dict[str, str | None] | None = None,
    connect_timeout_ms: int | None = None,
) -> State:
    """A session before its first subscription; `tasks` is what the user knows from before."""
    return State(
        subscribe=subscribe,
        masters=masters,
        reconcile_backoff=Backoff(RECONCILE_MS, RECONCILE_MS_MAX, jitter),
        connect_timeout_ms=connect_timeout_ms,
        tasks=dict(tasks or {}),
    )


def step(state: State, events: Sequence[ev.Event], now_ms: int) -> Effects:
    """Apply what is due and `events` to `state`; return what the shell must now do."""
    out = Effects()
    for event in chain(state.timers.take_due(now_ms), events):
        if state.phase is not Phase.ENDED:
            HANDLERS[type(event)](state, event, now_ms, out)
    return out


def silence_ms_max(subscribed: scheduler.Event.Subscribed) -> int:
    """How long the stream may be silent before it counts as dead."""
    interval_s = subscribed.heartbeat_interval_seconds or HEARTBEAT_INTERVAL_S
    return round(interval_s * MISSED_HEARTBEATS_MAX * 1000)


def update_of(event: scheduler.Event) -> tuple[bytes, scheduler.Call] | None:
    """The uuid and the acknowledgement of an update that needs one; None for other events."""
    kind = scheduler.Call.Type
    if event.update is not None:
        status = event.update.status
        if not status.uuid or status.agent_id is None:
            return None
        ack = scheduler.Call.Acknowledge(
            agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
        )
        return status.uuid, scheduler.Call(type=kind.ACKNOWLEDGE, acknowledge=ack)
    if event.update_operation_status is not None:
        outcome = event.update_operation_status.status
        if outcome.uuid is None or not outcome.uuid.value or outcome.operation_id is None:
            return None
        op_ack = scheduler.Call.AcknowledgeOperationStatus(
            agent_id=outcome.agent_id,
            resource_provider_id=outcome.resource_provider_id,
            uuid=outcome.uuid.value,
            operation_id=outcome.operation_id,
        )
        call = scheduler.Call(
            type=kind.ACKNOWLEDGE_OPERATION_STATUS, acknowledge_operation_status=op_ack
        )
        return outcome.uuid.value, call
    return None


def begun(state: State, event: ev.Begun, now_ms: int, out: Effects) -> None:
    if state.connect_timeout_ms is not None:
        state.end_timer = state.timers.set(now_ms + state.connect_timeout_ms, ev.TimeOver())
    if state.masters.is_known:
        _connect(state, now_ms, out)


def elected(state: State, event: ev.Elected, now_ms: int, out: Effects) -> None:
    state.masters.elected(event.leader)
    state.is_vacant = False
    if state.asked == event.leader:
        return
    if state.asked is not None:  # it leads no more, though it may not know it yet
        state.last_cause = f"{event.leader} leads"
        out.then.append(ev.Leave())
        if state.phase is Phase.SUBSCRIBED and not _disconnected(state, now_ms, out):
            return
    state.timers.cancel(state.retry_timer)
    state.retry_timer = None
    _connect(state, now_ms, out)


def nobody_leads(state: State, event: ev.NobodyLeads, now_ms: int, out: Effects) -> None:
    state.is_vacant = True
    if state.phase is Phase.SUBSCRIBED:  # its heartbeats tell whether the master still is
        out.then.append(ev.DropCalls())
        return
    state.last_cause = event.cause
    if state.asked is not None:
        _attempt_over(state)
        out.then.append(ev.Leave())
    state.timers.cancel(state.retry_timer)
    state.retry_timer = None


def leader_unknown(state: State, event: ev.LeaderUnknown, now_ms: int, out: Effects) -> None:
    state.is_vacant = False
    if state.asked is not None:
        return
    state.last_cause = event.cause
    if state.masters.is_known and state.retry_timer is None:
        _connect(state, now_ms, out)


def opened(state: State, event: ev.Opened, now_ms: int, out: Effects) -> None:
    state.timers.cancel(state.answer_timer)
    state.answer_timer = None


def answer_overdue(state: State, event: ev.AnswerOverdue, now_ms: int, out: Effects) -> None:
    state.last_cause = f"{state.asked} does not answer"
    _attempt_over(state)
    out.then.append(ev.Leave())
    _retry(state, now_ms, state.masters.silent(), out)


def answered(state: State, event: ev.Answered, now_ms: int, out: Effects) -> None:
    _attempt_over(state)
    masters = state.masters
    state.last_cause = f"{masters.current} answered {event.status} {event.text}".rstrip()
    if event.status == 307 and event.location:
        # One that ZooKeeper named will know it soon; until then it names who led before.
        wait_ms = masters.failed() if masters.is_told else masters.redirected(event.location)
        _retry(state, now_ms, wait_ms, out)
    elif event.status in RETRIED:
        _retry(state, now_ms, state.masters.failed(), out)
    else:
        _end(state, ev.EndRefused(event.status, event.text), out)


def broken(state: State, event: ev.Broken, now_ms: int, out: Effects) -> None:
    state.last_cause = event.cause
    _attempt_over(state)
    if state.phase is Phase.CONNECTING:
        _retry(state, now_ms, state.masters.failed(), out)
    elif _disconnected(state, now_ms, out):
        _retry(state, now_ms, state.masters.lost(), out)


def _disconnected(state: State, now_ms: int, out: Effects) -> bool:
    """The subscription is no more; whether the framework still is."""
    state.phase = Phase.CONNECTING
    state.timers.cancel(state.reconcile_timer)
    out.then.append(ev.ForgetOffers())
    failover_ms = failover_timeout_ms(state.subscribe.framework_info)
    if failover_ms == 0:
        _end(state, ev.EndFramework(_gone_text(state)), out)
        return False
    # From here on the master counts, too. It may have noticed later than we did, never earlier.
    state.end_timer = state.timers.set(now_ms + failover_ms, ev.TimeOver())
    return True


def received(state: State, event: ev.Received, now_ms: int, out: Effects) -> None:
    got = event.event
    if got.type is scheduler.Event.Type.HEARTBEAT:
        return
    if got.subscribed is not None:
        _subscribed(state, got.subscribed, now_ms, out)
    elif got.error is not None:
        out.then.append(ev.Deliver(got))
        _end(state, ev.EndFramework(got.error.message), out)
        return
    elif got.update is not None:
        _hear_of_task(state, got.update.status)
    if _is_new(state, got, out):
        out.then.append(ev.Deliver(got))


def handled(state: State, event: ev.Handled, now_ms: int, out: Effects) -> None:
    _forget_ended_task(state, event.event)
    update = update_of(event.event)
    if update is None or not event.acknowledge:
        return
    uuid, call = update
    _remember_handled(state, uuid)
    out.then.append(ev.Send(_signed(state, call)))


def unhandled(state: State, event: ev.Unhandled, now_ms: int, out: Effects) -> None:
    if update := update_of(event.event):
        state.in_hand.discard(update[0])


def acknowledged(state: State, event: ev.Acknowledged, now_ms: int, out: Effects) -> None:
    _forget_ended_task(state, event.event)
    if update := update_of(event.event):
        _remember_handled(state, update[0])


def launching(state: State, event: ev.Launching, now_ms: int, out: Effects) -> None:
    for task in event.tasks:
        state.tasks[task.task_id.value] = task.agent_id.value


def launch_refused(state: State, event: ev.LaunchRefused, now_ms: int, out: Effects) -> None:
    for task in event.tasks:
        state.tasks.pop(task.task_id.value, None)
        state.unanswered.discard(task.task_id.value)


def info_changed(state: State, event: ev.InfoChanged, now_ms: int, out: Effects) -> None:
    framework_id = state.subscribe.framework_info.id
    info = structs.replace(event.subscribe.framework_info, id=framework_id)
    state.subscribe = structs.replace(event.subscribe, framework_info=info)


def retry_due(state: State, event: ev.RetryDue, now_ms: int, out: Effects) -> None:
    state.retry_timer = None
    _connect(state, now_ms, out)


def time_over(state: State, event: ev.TimeOver, now_ms: int, out: Effects) -> None:
    if state.is_first:
        seconds = (state.connect_timeout_ms or 0) / 1000
        text = f"no master took the subscription within {seconds:g} s: {state.last_cause}"
        _end(state, ev.EndUnreachable(text), out)
    else:
        _end(state, ev.EndFramework(_gone_text(state)), out)


def reconcile_due(state: State, event: ev.ReconcileDue, now_ms: int, out: Effects) -> None:
    state.reconcile_timer = None
    _reconcile(state, now_ms, out)


def failover_timeout_ms(info: mesos.FrameworkInfo) -> int:
    """How long the master keeps the framework without its scheduler."""
    return round(min(max(info.failover_timeout, 0.0), 1e12) * 1000)


def _connect(state: State, now_ms: int, out: Effects) -> None:
    info = state.subscribe.framework_info
    call = scheduler.Call(
        framework_id=info.id, type=scheduler.Call.Type.SUBSCRIBE, subscribe=state.subscribe
    )
    _attempt_over(state)
    state.asked = state.masters.current
    answer_ms = state.masters.answer_ms
    if answer_ms is not None:
        state.answer_timer = state.timers.set(now_ms + answer_ms, ev.AnswerOverdue())
    out.then.append(ev.Subscribe(state.asked, call))


def _attempt_over(state: State) -> None:
    """Nobody is asked, and no answer is waited for."""
    state.asked = None
    state.timers.cancel(state.answer_timer)
    state.answer_timer = None


def _retry(state: State, now_ms: int, wait_ms: int, out: Effects) -> None:
    if state.is_vacant:
        return  # until ZooKeeper has news
    if wait_ms == 0:
        _connect(state, now_ms, out)
    else:
        state.retry_timer = state.timers.set(now_ms + wait_ms, ev.RetryDue())


def _end(state: State, action: ev.Action, out: Effects) -> None:
    state.phase = Phase.ENDED
    state.timers = Timers()
    out.then.append(action)


def _gone_text(state: State) -> str:
    info = state.subscribe.framework_info
    name = info.id.value if info.id else info.name
    return (
        f"framework {name} was disconnected for longer than its failover_timeout of "
        f"{info.failover_timeout:g} s, so the master removes it: {state.last_cause}"
    )


def _subscribed(
    state: State, subscribed: scheduler.Event.Subscribed, now_ms: int, out: Effects
) -> None:
    had_id = state.subscribe.framework_info.id is not None
    info = structs.replace(state.subscribe.framework_info, id=subscribed.framework_id)
    state.subscribe = structs.replace(state.subscribe, framework_info=info)
    state.phase = Phase.SUBSCRIBED
    state.masters.led()
    state.timers.cancel(state.answer_timer)
    state.timers.cancel(state.end_timer)
    state.timers.cancel(state.retry_timer)
    state.answer_timer = state.end_timer = state.retry_timer = None
    state.unanswered = set(state.tasks)
    state.reconcile_backoff.reset()
    if state.unanswered:
        _reconcile(state, now_ms, out)
    elif had_id and state.is_first:
        # A framework that comes back without knowing its tasks asks for all there are.
        out.then.append(ev.Send(_signed(state, _reconcile_call(()))))
    state.is_first = False


def _reconcile(state: State, now_ms: int, out: Effects) -> None:
    """Ask for every task that nothing was heard of since SUBSCRIBED, and again later."""
    state.unanswered &= state.tasks.keys()
    asked = sorted(state.unanswered)
    for at in range(0, len(asked), RECONCILED_PER_CALL_MAX):
        part = asked[at : at + RECONCILED_PER_CALL_MAX]
        tasks = tuple(_reconciled(task_id, state.tasks[task_id]) for task_id in part)
        out.then.append(ev.Send(_signed(state, _reconcile_call(tasks))))
    if asked:
        due_ms = now_ms + state.reconcile_backoff.next_ms()
        state.reconcile_timer = state.timers.set(due_ms, ev.ReconcileDue())


def _reconcile_call(tasks: tuple[scheduler.Call.Reconcile.Task, ...]) -> scheduler.Call:
    return scheduler.Call(
        type=scheduler.Call.Type.RECONCILE, reconcile=scheduler.Call.Reconcile(tasks=tasks)
    )


def _reconciled(task_id: str, agent_id: str | None) -> scheduler.Call.Reconcile.Task:
    return scheduler.Call.Reconcile.Task(
        task_id=mesos.TaskID(task_id), agent_id=mesos.AgentID(agent_id) if agent_id else None
    )


def _signed(state: State, call: scheduler.Call) -> scheduler.Call:
    return structs.replace(call, framework_id=state.subscribe.framework_info.id)


def _hear_of_task(state: State, status: mesos.TaskStatus) -> None:
    task_id = status.task_id.value
    state.unanswered.discard(task_id)
    if status.state not in FORGOTTEN:
        agent_id = status.agent_id.value if status.agent_id else state.tasks.get(task_id)
        state.tasks[task_id] = agent_id


def _forget_ended_task(state: State, event: scheduler.Event) -> None:
    if event.update is not None and event.update.status.state in FORGOTTEN:
        state.tasks.pop(event.update.status.task_id.value, None)


def _is_new(state: State, event: scheduler.Event, out: Effects) -> bool:
    """Whether to deliver the event; a repetition of a handled update is acknowledged again."""
    update = update_of(event)
    if update is None:
        return True
    uuid, call = update
    if uuid in state.handled:
        out.then.append(ev.Send(_signed(state, call)))
        return False
    if uuid in state.in_hand:
        return False
    state.in_hand.add(uuid)
    return True


def _remember_handled(state: State, uuid: bytes) -> None:
    state.in_hand.discard(uuid)
    state.handled[uuid] = None
    if len(state.handled) > HANDLED_MAX:
        del state.handled[next(iter(state.handled))]


# Each handler takes the event it is listed under.
HANDLERS: dict[type[ev.Event], Callable[..., None]] = {
    ev.Begun: begun,
    ev.Elected: elected,
    ev.NobodyLeads: nobody_leads,
    ev.LeaderUnknown: leader_unknown,
    ev.Opened: opened,
    ev.Answered: answered,
    ev.Broken: broken,
    ev.Received: received,
    ev.Handled: handled,
    ev.Unhandled: unhandled,
    ev.Acknowledged: acknowledged,
    ev.Launching: launching,
    ev.LaunchRefused: launch_refused,
    ev.InfoChanged: info_changed,
    ev.AnswerOverdue: answer_overdue,
    ev.RetryDue: retry_due,
    ev.TimeOver: time_over,
    ev.ReconcileDue: reconcile_due,
}
