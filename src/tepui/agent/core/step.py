"""The core of the agent: events in, actions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tepui.agent.core import (
    checks,
    disk,
    events,
    executors,
    gc,
    kills,
    launches,
    lives,
    registration,
    saved,
    stopping,
    updates,
    views,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.state import State

# Any: each handler takes the event that it stands beside; the table cannot say that in a type.
HANDLERS: dict[type[events.Event], Callable[[State, Any, int, Effects], None]] = {
    events.LinkOpened: registration.link_opened,
    events.LinkLost: registration.link_lost,
    events.MasterSpoke: registration.master_spoke,
    events.DiskMeasured: disk.disk_measured,
    events.SandboxPrepared: launches.sandbox_prepared,
    events.SandboxFailed: launches.sandbox_failed,
    events.ContainerStarted: launches.container_started,
    events.LaunchFailed: launches.launch_failed,
    events.ContainerExited: launches.container_exited,
    events.CheckFinished: checks.check_finished,
    events.ExecutorSubscribed: executors.executor_subscribed,
    events.ExecutorCalled: executors.executor_called,
    events.ExecutorLeft: executors.executor_left,
    events.ClassicAsked: views.classic_asked,
    events.OperatorCalled: views.operator_called,
    events.StopAsked: stopping.stop_asked,
    events.ResendDue: updates.resend_due,
    events.PingsMissed: registration.pings_missed,
    events.RegistrationOverdue: registration.registration_overdue,
    events.KillGraceEnded: kills.kill_grace_ended,
    events.CompletionTimeReached: kills.completion_time_reached,
    events.CheckDue: checks.check_due,
    events.RegistrationExpired: executors.registration_expired,
    events.ShutdownGraceEnded: executors.shutdown_grace_ended,
    events.HeartbeatDue: executors.heartbeat_due,
    events.LingerEnded: lives.linger_ended,
    events.SandboxExpired: gc.sandbox_expired,
    events.StopExpired: stopping.stop_expired,
}


def step(state: State, batch: Sequence[events.Event], now_ms: int) -> Effects:
    """Apply what is due and then the events, in order; return what the shell must now do."""
    result = Effects()
    for event in state.timers.take_due(now_ms):
        HANDLERS[type(event)](state, event, now_ms, result)
    for event in batch:
        HANDLERS[type(event)](state, event, now_ms, result)
    stopping.end_if_done(state, result)
    saved.collect(state, result)
    return result
