"""Decides what an executor's client does: subscribe, send updates until acknowledged, end.

    Connecting --SUBSCRIBED--> Subscribed --Broken--> Connecting (with checkpointing)
    Broken without checkpointing, the agent away too long, SHUTDOWN, ERROR --> Ended

Updates are sent in the order they were given, again and again until the agent says it has them;
after a reconnection SUBSCRIBE carries those, and the tasks of which the agent knows no update.

Sources: Mesos docs/executor-http-api.md, src/executor/executor.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from itertools import chain
from typing import NoReturn

from msgspec import Struct, field, structs

from tepui.base.effects import Step
from tepui.base.timers import Timers
from tepui.sdk.core.backoff import Backoff
from tepui.wire import executor, mesos

RESEND_MS = 10_000  # the agent acknowledges at once what it has stored; more means it was lost
UNACKNOWLEDGED_MAX = 100_000  # updates
RETRIED = frozenset((307, 404, 408, 429, 500, 502, 503, 504))  # an agent that is recovering


class Identity(Struct, frozen=True):
    """Who the executor is and how long it waits, from its environment (`tepui.sdk.environment`)."""

    framework_id: str
    executor_id: str
    checkpoint: bool
    recovery_timeout_ms: int


class Begun(Struct, frozen=True):
    """The client was started."""


class Answered(Struct, frozen=True):
    """SUBSCRIBE was answered with another status than 200."""

    status: int
    text: str


class Broken(Struct, frozen=True):
    """There is no connection: it could not be made, or was cut."""

    cause: str


class Received(Struct, frozen=True):
    """The agent sent an event on the stream."""

    event: executor.Event


class UpdateGiven(Struct, frozen=True):
    """The user's code says that a task has changed; the status has its uuid."""

    status: mesos.TaskStatus


class RetryDue(Struct, frozen=True):
    """It is time to subscribe again."""


class ResendDue(Struct, frozen=True):
    """Updates were sent a while ago and are not acknowledged."""


class RecoveryOver(Struct, frozen=True):
    """The agent was away for the whole recovery timeout."""


Event = Begun | Answered | Broken | Received | UpdateGiven | RetryDue | ResendDue | RecoveryOver


class Subscribe(Struct, frozen=True):
    """Open a stream with this call."""

    call: executor.Call


class Send(Struct, frozen=True):
    """Send the call, after those before it; should it fail, nothing needs to be done about it."""

    call: executor.Call


class Deliver(Struct, frozen=True):
    """Give the event to the user's code, after those that wait."""

    event: executor.Event


class Settled(Struct, frozen=True):
    """Every update has been acknowledged."""


class End(Struct, frozen=True):
    """End the executor. With `is_error` the agent refuses it; else it is what agents want."""

    text: str
    is_error: bool = False


Action = Subscribe | Send | Deliver | Settled | End
Effects = Step[NoReturn, Action]


class Phase(Enum):
    """Where the executor stands."""

    CONNECTING = auto()
    SUBSCRIBED = auto()
    ENDED = auto()


class State(Struct):
    """All an executor's client knows. `tasks` are those without an acknowledged update."""

    identity: Identity
    backoff: Backoff
    phase: Phase = Phase.CONNECTING
    tasks: dict[str, mesos.TaskInfo] = field(default_factory=dict)
    updates: dict[bytes, mesos.TaskStatus] = field(default_factory=dict)
    timers: Timers[Event] = field(default_factory=Timers)
    recovery_timer: int | None = None
    resend_timer: int | None = None


def step(state: State, events: Sequence[Event], now_ms: int) -> Effects:
    """Apply what is due and `events` to `state`; return what the shell must now do."""
    out = Effects()
    for event in chain(state.timers.take_due(now_ms), events):
        HANDLERS[type(event)](state, event, now_ms, out)
    return out


def begun(state: State, event: Begun, now_ms: int, out: Effects) -> None:
    _await_agent(state, now_ms)
    _connect(state, out)


def answered(state: State, event: Answered, now_ms: int, out: Effects) -> None:
    if state.phase is Phase.ENDED:
        return
    if event.status in RETRIED:
        state.timers.set(now_ms + state.backoff.next_ms(), RetryDue())
    else:
        _end(state, End(f"the agent refused: {event.status} {event.text}", is_error=True), out)


def broken(state: State, event: Broken, now_ms: int, out: Effects) -> None:
    if state.phase is Phase.ENDED:
        return
    if state.phase is Phase.SUBSCRIBED:
        if not state.identity.checkpoint:
            # A restarted agent knows nothing of an executor that was not checkpointed.
            _end(
                state, End(f"the agent went away, and nothing is checkpointed: {event.cause}"), out
            )
            return
        state.phase = Phase.CONNECTING
        _await_agent(state, now_ms)
    state.timers.set(now_ms + state.backoff.next_ms(), RetryDue())


def received(state: State, event: Received, now_ms: int, out: Effects) -> None:
    got = event.event
    if got.type is executor.Event.Type.HEARTBEAT:
        return
    if got.acknowledged is not None:
        _acknowledged(state, got.acknowledged, out)
        return
    if state.phase is Phase.ENDED:
        return
    if got.error is not None:
        _end(state, End(got.error.message, is_error=True), out)
        return
    if got.type is executor.Event.Type.SHUTDOWN:
        _end(state, End("the agent asked to shut down"), out)
        return
    if got.subscribed is not None:
        _subscribed(state, now_ms)
    elif got.launch is not None:
        state.tasks[got.launch.task.task_id.value] = got.launch.task
    elif got.launch_group is not None:
        state.tasks |= {task.task_id.value: task for task in got.launch_group.task_group.tasks}
    out.then.append(Deliver(got))


def update_given(state: State, event: UpdateGiven, now_ms: int, out: Effects) -> None:
    assert event.status.uuid is not None
    state.updates[event.status.uuid] = event.status
    if state.phase is not Phase.CONNECTING:
        out.then.append(Send(_update_call(state, event.status)))
    if state.resend_timer is None:
        state.resend_timer = state.timers.set(now_ms + RESEND_MS, ResendDue())


def retry_due(state: State, event: RetryDue, now_ms: int, out: Effects) -> None:
    if state.phase is Phase.CONNECTING:
        _connect(state, out)


def resend_due(state: State, event: ResendDue, now_ms: int, out: Effects) -> None:
    state.resend_timer = None
    if not state.updates:
        return
    if state.phase is not Phase.CONNECTING:  # else SUBSCRIBE will carry them
        out.then += [Send(_update_call(state, status)) for status in state.updates.values()]
    state.resend_timer = state.timers.set(now_ms + RESEND_MS, ResendDue())


def recovery_over(state: State, event: RecoveryOver, now_ms: int, out: Effects) -> None:
    if state.phase is Phase.CONNECTING:
        seconds = state.identity.recovery_timeout_ms / 1000
        _end(state, End(f"the agent was away for {seconds:g} s, the recovery timeout"), out)


def _await_agent(state: State, now_ms: int) -> None:
    due_ms = now_ms + state.identity.recovery_timeout_ms
    state.recovery_timer = state.timers.set(due_ms, RecoveryOver())


def _connect(state: State, out: Effects) -> None:
    updates = tuple(executor.Call.Update(status=status) for status in state.updates.values())
    subscribe = executor.Call.Subscribe(
        unacknowledged_tasks=tuple(state.tasks.values()), unacknowledged_updates=updates
    )
    call = _call(state, executor.Call.Type.SUBSCRIBE)
    out.then.append(Subscribe(structs.replace(call, subscribe=subscribe)))


def _subscribed(state: State, now_ms: int) -> None:
    state.phase = Phase.SUBSCRIBED
    state.backoff.reset()
    state.timers.cancel(state.recovery_timer)
    state.recovery_timer = None


def _acknowledged(state: State, event: executor.Event.Acknowledged, out: Effects) -> None:
    state.updates.pop(event.uuid, None)
    state.tasks.pop(event.task_id.value, None)
    if not state.updates:
        out.then.append(Settled())


def _end(state: State, end: End, out: Effects) -> None:
    """From here on only updates are still sent and acknowledged, while the stream lasts."""
    state.phase = Phase.ENDED
    state.timers.cancel(state.recovery_timer)
    out.then.append(end)


def _update_call(state: State, status: mesos.TaskStatus) -> executor.Call:
    call = _call(state, executor.Call.Type.UPDATE)
    return structs.replace(call, update=executor.Call.Update(status=status))


def _call(state: State, kind: executor.Call.Type) -> executor.Call:
    return executor.Call(
        executor_id=mesos.ExecutorID(state.identity.executor_id),
        framework_id=mesos.FrameworkID(state.identity.framework_id),
        type=kind,
    )


def message_call(state: State, data: bytes) -> executor.Call:
    """The call that sends `data` to the scheduler."""
    call = _call(state, executor.Call.Type.MESSAGE)
    return structs.replace(call, message=executor.Call.Message(data=data))


# Each handler takes the event it is listed under.
HANDLERS: dict[type[Event], Callable[..., None]] = {
    Begun: begun,
    Answered: answered,
    Broken: broken,
    Received: received,
    UpdateGiven: update_given,
    RetryDue: retry_due,
    ResendDue: resend_due,
    RecoveryOver: recovery_over,
}
