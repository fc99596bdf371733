"""The master's core: everything it decides, it decides in `step`.

Timers that are due come first, then the events in their order; each is handled whole before the
next. Handlers change the state and append to the Step that is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tepui.base.effects import Step
from tepui.master.core import agents, calls, frameworks, offers, operator, reconciliation, recovery
from tepui.master.core.actions import Action, Record
from tepui.master.core.events import (
    AllocationDue,
    Asked,
    CallReceived,
    CallsTurnCame,
    Event,
    FailoverTimeoutPassed,
    HeartbeatDue,
    KillAsked,
    LinkClosed,
    LinkOpened,
    LinkReceived,
    OfferTimedOut,
    OperatorCallReceived,
    OperatorLeft,
    OperatorSubscribed,
    PingDue,
    RecoveryDue,
    RegistrationDue,
    RegistryCollectionDue,
    SnapshotDue,
    StreamClosed,
    SubscribeReceived,
    TeardownAsked,
)
from tepui.master.core.state import State

Handler = Callable[[State, Any, int, Step[Record, Action]], None]  # Any: the event of its key

HANDLERS: dict[type[Event], Handler] = {
    SubscribeReceived: frameworks.subscribe_received,
    CallReceived: calls.call_received,
    StreamClosed: frameworks.stream_closed,
    OperatorCallReceived: operator.operator_call_received,
    OperatorSubscribed: operator.operator_subscribed,
    OperatorLeft: operator.operator_left,
    TeardownAsked: operator.teardown_asked,
    KillAsked: reconciliation.kill_asked,
    Asked: operator.asked,
    SnapshotDue: operator.snapshot_due,
    LinkOpened: agents.link_opened,
    LinkReceived: agents.link_received,
    LinkClosed: agents.link_closed,
    HeartbeatDue: frameworks.heartbeat_due,
    FailoverTimeoutPassed: frameworks.failover_timeout_passed,
    OfferTimedOut: offers.offer_timed_out,
    RegistrationDue: agents.registration_due,
    PingDue: agents.ping_due,
    RecoveryDue: recovery.recovery_due,
    RegistryCollectionDue: recovery.registry_collection_due,
    CallsTurnCame: calls.calls_turn_came,
    AllocationDue: offers.allocation_due,
}


def step(state: State, events: Sequence[Event], now_ms: int) -> Step[Record, Action]:
    """Apply what is due and `events` to `state`; return what the shell must save and do."""
    effects: Step[Record, Action] = Step()
    for event in state.timers.take_due(now_ms):
        HANDLERS[type(event)](state, event, now_ms, effects)
    for event in events:
        HANDLERS[type(event)](state, event, now_ms, effects)
    offers.wake_allocation(state, now_ms)
    operator.take_snapshot(state, now_ms, effects)  # of what all this has come to
    return effects
