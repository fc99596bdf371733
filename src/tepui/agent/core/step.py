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
    operator_containers,
    operator_lives,
    registration,
    saved,
    stopping,
    updates,
    views,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.state import State

Handler = Callable[[State, Any, int, Effects], None]  # Any: as below


def of_either(tasks: Handler, operators: Handler) -> Handler:
    """What has happened to a container of a task or executor, or to one of an operator."""

    def handle(state: State, event: Any, now_ms: int, step: Effects) -> None:
        name: str = event.container_id
        if isinstance(event, events.ContainerExited):
            operator_lives.any_exited(state, event, step)
        theirs = name in state.operator_containers
        (operators if theirs else tasks)(state, event, now_ms, step)
        operator_lives.any_gone(state, name, step)

    return handle


# Any: each handler takes the event that it stands beside; the table cannot say that in a type.
HANDLERS: dict[type[events.Event], Callable[[State, Any, int, Effects], None]] = {
    events.LinkOpened: registration.link_opened,
    events.LinkLost: registration.link_lost,
    events.MasterSpoke: registration.master_spoke,
    events.DiskMeasured: disk.disk_measured,
    events.SandboxPrepared: of_either(launches.sandbox_prepared, operator_lives.sandbox_prepared),
    events.SandboxFailed: of_either(launches.sandbox_failed, operator_lives.sandbox_failed),
    events.ContainerProvisioned: of_either(
        launches.container_provisioned, operator_lives.container_provisioned
    ),
    events.ContainerProgressed: of_either(
        launches.container_progressed, operator_lives.container_progressed
    ),
    events.ContainerStarted: of_either(
        launches.container_started, operator_lives.container_started
    ),
    events.LaunchFailed: of_either(launches.launch_failed, operator_lives.launch_failed),
    events.ContainerExited: of_either(launches.container_exited, operator_lives.container_exited),
    events.DiskExceeded: disk.disk_exceeded,
    events.CheckFinished: checks.check_finished,
    events.ExecutorSubscribed: executors.executor_subscribed,
    events.ExecutorCalled: executors.executor_called,
    events.ExecutorLeft: executors.executor_left,
    events.ClassicAsked: views.classic_asked,
    events.OperatorCalled: views.operator_called,
    events.ContainerCalled: operator_containers.container_called,
    events.ContainerAsked: operator_containers.container_asked,
    events.SessionLeft: operator_lives.session_left,
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
