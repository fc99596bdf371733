"""What operators ask of the master and have it do: the v1 operator API and the classic one.

Reads are events like any other, answered after what was decided before them is durable.
Source: Mesos master/http.cpp; statuses and texts as a real master answers.
"""

from __future__ import annotations

from tepui.base.names import StreamId
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
    "take_snapshot",
    "teardown_asked",
]

Call = master.Call

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
    """The operator knows everything as it is now, and is sent what changes from now on.

    When that is much, it waits for the next snapshot, and begins with that (`take_snapshot`).
    """
    while len(state.operators) + len(state.operators_waiting) >= OPERATORS_MAX:
        _end_oldest(state, step)
    question = questions.SubscribedAsked(event.accepted)
    if reading.objects_count(state, question) > SNAPSHOT_ITEMS_MIN:
        state.operators_waiting[event.stream] = None
        kind = reading.content_type(question)
        step.then.append(AnswerFromSnapshot(event.request, question, kind))
        return
    step.then.append(SendEvent(event.stream, v1.subscribed(state)))
    _tell_from_now_on(state, event.stream, now_ms, step)
    step.then.append(Answer(event.request, 200))


def operator_left(state: State, event: OperatorLeft, now_ms: int, step: Effects) -> None:
    """Nobody reads the stream any more, or ever will."""
    state.operators_waiting.pop(event.stream, None)
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
    """Those who wait will be answered from how things are when this step has ended."""
    state.takes_snapshot = True


def take_snapshot(state: State, now_ms: int, step: Effects) -> None:
    """If a snapshot is due it is taken, and who waits for it is told what changes from now on.

    Nothing of this step may come behind: its changes are in the snapshot, for the state is what
    the whole step has made of it when the shell acts. And all who wait here are served by this
    snapshot, for the shell has acted on their AnswerFromSnapshot before.
    """
    if not state.takes_snapshot:
        return
    state.takes_snapshot = False
    step.then.append(TakeSnapshot())
    for stream in state.operators_waiting:
        _tell_from_now_on(state, stream, now_ms, step)
    state.operators_waiting.clear()


def _tell_from_now_on(state: State, stream: StreamId, now_ms: int, step: Effects) -> None:
    step.then.append(SendEvent(stream, frameworks.OPERATOR_HEARTBEAT))
    state.operators[stream] = state.timers.set(now_ms + HEARTBEAT_INTERVAL_MS, HeartbeatDue(stream))


def _end_oldest(state: State, step: Effects) -> None:
    """Those that are told already came first."""
    oldest = next(iter(state.operators or state.operators_waiting))
    state.operators_waiting.pop(oldest, None)
    state.timers.cancel(state.operators.pop(oldest, None))
    step.then.append(EndStream(oldest))


def _read(state: State, request: RequestId, question: questions.Question, now_ms: int) -> Action:
    if reading.objects_count(state, question) > SNAPSHOT_ITEMS_MIN:
        return AnswerFromSnapshot(request, question, reading.content_type(question))
    return reading.answer(state, request, question, now_ms)
