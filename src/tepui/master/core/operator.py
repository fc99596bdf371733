"""What operators ask of the master and have it do: the v1 operator API and the classic one.

Reads are events like any other, answered after what was decided before them is durable.
Source: Mesos master/http.cpp; statuses and texts as a real master answers.
"""

from __future__ import annotations

from tepui.master.core import frameworks
from tepui.master.core.actions import (
    Action,
    Answer,
    AnswerFromSnapshot,
    Effects,
    EndStream,
    SendEvent,
    TakeSnapshot,
)
from tepui.master.core.events import (
    Asked,
    HeartbeatDue,
    OperatorCallReceived,
    OperatorLeft,
    OperatorSubscribed,
    RequestId,
    SnapshotDue,
    TeardownAsked,
)
from tepui.master.core.operator_calls import DOERS, UNKNOWN_FRAMEWORK
from tepui.master.core.operator_validation import call_error
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.master.core.state import State
from tepui.master.core.views import questions, reading, v1
from tepui.wire import master

__all__ = [
    "SHELL_CALLS",
    "asked",
    "call_error",
    "operator_call_received",
    "operator_left",
    "operator_subscribed",
    "snapshot_due",
    "teardown_asked",
]

Call = master.Call
Event = master.Event

OPERATORS_MAX = 1_000  # Mesos: --max_operator_event_stream_subscribers; the oldest makes room
# Answers that look at more tasks, agents and so on are made from a snapshot: a thousand take 5 ms,
# which is what a fork costs anyway.
SNAPSHOT_ITEMS_MIN = 1_000
# Of files and of the log the core knows nothing: the shell answers these itself, once
# `call_error` finds nothing wrong with them.
SHELL_CALLS = frozenset(
    {
        Call.Type.GET_LOGGING_LEVEL,
        Call.Type.SET_LOGGING_LEVEL,
        Call.Type.LIST_FILES,
        Call.Type.READ_FILE,
    }
)


def operator_call_received(
    state: State, event: OperatorCallReceived, now_ms: int, step: Effects
) -> None:
    """Answer the call, and do what it says. Its form is checked here."""
    error = call_error(event.call)
    if error is not None:
        step.then.append(Answer(event.request, 400, error))
        return
    kind = event.call.type
    assert kind is not None  # call_error
    if kind in v1.LARGE or kind in v1.ANSWERERS:
        question = questions.CallAsked(kind, event.accepted)
        step.then.append(_read(state, event.request, question, now_ms))
    elif (doer := DOERS.get(kind)) is not None:
        doer(state, event, now_ms, step)
    else:
        assert kind not in SHELL_CALLS
        text = f"{kind} is not supported by this master"
        step.then.append(Answer(event.request, 501, text))


def operator_subscribed(
    state: State, event: OperatorSubscribed, now_ms: int, step: Effects
) -> None:
    """The operator knows everything as it is now, and is sent what changes from now on."""
    while len(state.operators) >= OPERATORS_MAX:
        oldest = next(iter(state.operators))
        state.timers.cancel(state.operators.pop(oldest))
        step.then.append(EndStream(oldest))
    subscribed = Event.Subscribed(
        get_state=v1.state_of(state), heartbeat_interval_seconds=HEARTBEAT_INTERVAL_MS / 1000
    )
    message = Event(type=Event.Type.SUBSCRIBED, subscribed=subscribed)
    step.then.append(SendEvent(event.stream, message))
    step.then.append(SendEvent(event.stream, frameworks.OPERATOR_HEARTBEAT))
    state.operators[event.stream] = state.timers.set(
        now_ms + HEARTBEAT_INTERVAL_MS, HeartbeatDue(event.stream)
    )


def operator_left(state: State, event: OperatorLeft, now_ms: int, step: Effects) -> None:
    """Nobody reads the stream any more."""
    state.timers.cancel(state.operators.pop(event.stream, None))


def teardown_asked(state: State, event: TeardownAsked, now_ms: int, step: Effects) -> None:
    """The framework is removed (classic POST /teardown)."""
    framework = state.frameworks.get(event.framework_id)
    if framework is None:
        step.then.append(Answer(event.request, 400, UNKNOWN_FRAMEWORK))
        return
    frameworks.remove_framework(state, framework, now_ms, step)
    step.then.append(Answer(event.request, 200))


def asked(state: State, event: Asked, now_ms: int, step: Effects) -> None:
    """A reader has its answer."""
    question = questions.question_in(event.question)
    step.then.append(_read(state, event.request, question, now_ms))


def snapshot_due(state: State, event: SnapshotDue, now_ms: int, step: Effects) -> None:
    """Those who wait are answered from how things are now."""
    step.then.append(TakeSnapshot())


def _read(state: State, request: RequestId, question: questions.Question, now_ms: int) -> Action:
    if reading.objects_count(state, question) > SNAPSHOT_ITEMS_MIN:
        return AnswerFromSnapshot(request, question, reading.content_type(question))
    return reading.answer(state, request, question, now_ms)
