"""Every metric of a master: name, kind, unit, meaning. A test holds `metrics.snapshot` to it.

Names are those of Mesos (docs/monitoring.md), so that its dashboards and exporters find them.
What Mesos measures and this master does not do (operations, the replicated log) has no metric.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """Whether a value only grows."""

    COUNTER = "counter"  # since this master was elected
    GAUGE = "gauge"


class Metric(Struct, frozen=True):
    """One metric, or with `*` in its name one for each framework, role or resource."""

    name: str
    kind: Kind
    unit: str
    meaning: str


SCALARS = ("cpus", "disk", "gpus", "mem")
_UNIT_OF = {"cpus": "cpus", "disk": "MB", "gpus": "gpus", "mem": "MB"}


def _gauge(name: str, unit: str, meaning: str) -> Metric:
    return Metric(name, Kind.GAUGE, unit, meaning)


def _counter(name: str, unit: str, meaning: str) -> Metric:
    return Metric(name, Kind.COUNTER, unit, meaning)


def _of_scalar(name: str) -> tuple[Metric, ...]:
    unit = _UNIT_OF[name]
    return tuple(
        metric
        for infix, which in (("", ""), ("_revocable", "revocable "))
        for metric in (
            _gauge(f"master/{name}{infix}_total", unit, f"{which}{name} of all agents"),
            _gauge(f"master/{name}{infix}_used", unit, f"{which}{name} used by tasks"),
            _gauge(f"master/{name}{infix}_percent", "fraction", f"used of all {which}{name}"),
        )
    )


# Counted as they happen; the core counts each under the name after `master/`.
COUNTED: tuple[Metric, ...] = (
    _counter("master/invalid_executor_to_framework_messages", "messages", "for nobody connected"),
    _counter("master/invalid_framework_to_executor_messages", "messages", "for no known agent"),
    _counter(
        "master/invalid_operation_status_update_acknowledgements", "calls", "of no known operation"
    ),
    _counter("master/invalid_status_update_acknowledgements", "calls", "of no update that waits"),
    _counter("master/invalid_status_updates", "updates", "of no known task, or to no scheduler"),
    _counter("master/messages_decline_offers", "calls", "DECLINE, and ACCEPT of nothing"),
    _counter("master/messages_kill_task", "calls", "KILL"),
    _counter("master/messages_launch_tasks", "calls", "ACCEPT with operations"),
    _counter("master/messages_reconcile_operations", "calls", "RECONCILE_OPERATIONS"),
    _counter("master/messages_reconcile_tasks", "calls", "RECONCILE"),
    _counter("master/messages_resource_request", "calls", "REQUEST"),
    _counter("master/messages_revive_offers", "calls", "REVIVE"),
    _counter("master/messages_suppress_offers", "calls", "SUPPRESS"),
    _counter(
        "master/refused_by_limits", "occurrences", "of a limit of docs/limits.md being passed"
    ),
    _counter(
        "master/recovery_slave_removals", "agents", "did not come back after a master's failover"
    ),
    _counter("master/slave_registrations", "agents", "registered for the first time"),
    _counter("master/slave_removals", "agents", "removed, for whatever reason"),
    _counter("master/slave_removals/reason_registered", "agents", "another took their address"),
    _counter("master/slave_removals/reason_unhealthy", "agents", "silent for too long"),
    _counter("master/slave_removals/reason_unregistered", "agents", "ended by themselves"),
    _counter("master/slave_reregistrations", "agents", "came back"),
    _counter("master/slave_unreachable_canceled", "agents", "were heard before they were marked"),
    _counter("master/slave_unreachable_completed", "agents", "were marked unreachable"),
    _counter("master/slave_unreachable_scheduled", "agents", "were to be marked unreachable"),
    _counter("master/valid_executor_to_framework_messages", "messages", "passed on"),
    _counter("master/valid_framework_to_executor_messages", "messages", "passed on"),
    _counter("master/valid_status_update_acknowledgements", "calls", "passed on"),
    _counter("master/valid_status_updates", "updates", "passed on"),
)

# Counted by the state that a task ended in: `task_lost` is the counter of `master/tasks_lost`.
ENDED: tuple[Metric, ...] = (
    _counter("master/tasks_dropped", "tasks", "never reached their agent"),
    _counter("master/tasks_error", "tasks", "were refused"),
    _counter("master/tasks_failed", "tasks", "failed"),
    _counter("master/tasks_finished", "tasks", "finished"),
    _counter("master/tasks_gone", "tasks", "gone with their agent"),
    _counter("master/tasks_gone_by_operator", "tasks", "gone with an agent marked gone"),
    _counter("master/tasks_killed", "tasks", "killed"),
    _counter("master/tasks_lost", "tasks", "lost, for frameworks that do not know partitions"),
)

SUMMED: tuple[Metric, ...] = (
    _counter("master/messages_executor_to_framework", "messages", "valid and invalid"),
    _counter("master/messages_framework_to_executor", "messages", "valid and invalid"),
    _counter("master/messages_register_framework", "calls", "SUBSCRIBE without an id"),
    _counter("master/messages_register_slave", "messages", "agents that registered"),
    _counter("master/messages_reregister_slave", "messages", "agents that came back"),
    _counter("master/messages_status_update", "updates", "valid and invalid"),
    _counter("master/messages_status_update_acknowledgement", "calls", "valid and invalid"),
    _counter("master/messages_unregister_slave", "messages", "agents that ended by themselves"),
)

GAUGES: tuple[Metric, ...] = (
    _gauge("master/elected", "bool", "whether this is the leading master"),
    _gauge("master/epoch", "number", "greater than of all masters that led before"),
    _gauge("master/uptime_secs", "seconds", "since this master was elected"),
    _gauge("master/frameworks_active", "frameworks", "connected, so they get offers"),
    _gauge("master/frameworks_connected", "frameworks", "whose scheduler is connected"),
    _gauge("master/frameworks_disconnected", "frameworks", "whose scheduler may come back"),
    _gauge("master/frameworks_inactive", "frameworks", "that get no offers"),
    _gauge("master/operator_event_stream_subscribers", "streams", "operators that read events"),
    _gauge("master/outstanding_offers", "offers", "not answered yet"),
    _gauge("master/slaves_active", "agents", "whose resources are offered"),
    _gauge("master/slaves_connected", "agents", "connected"),
    _gauge("master/slaves_disconnected", "agents", "whose connection is gone"),
    _gauge("master/slaves_inactive", "agents", "disconnected, deactivated, or takes no tasks"),
    _gauge("master/slaves_unreachable", "agents", "silent for too long; they may come back"),
    _gauge("master/tasks_killing", "tasks", "being killed"),
    _gauge("master/tasks_running", "tasks", "running"),
    _gauge("master/tasks_staging", "tasks", "launched, not started yet"),
    _gauge("master/tasks_starting", "tasks", "starting"),
    _gauge("master/tasks_unreachable", "tasks", "on agents that are unreachable"),
)

# One for each framework, role or resource.
FAMILIES: tuple[Metric, ...] = (
    _gauge("allocator/mesos/offer_filters/roles/*/active", "filters", "declines that still hold"),
    _gauge("allocator/mesos/resources/*/offered_or_allocated", "unit", "not free"),
    _gauge("allocator/mesos/resources/*/total", "unit", "of all agents"),
    _gauge("allocator/mesos/roles/*/shares/dominant", "fraction", "largest share of a resource"),
    _gauge("master/frameworks/*/roles/*/suppressed", "bool", "it wants no offers in the role"),
    _gauge("master/frameworks/*/subscribed", "bool", "its scheduler is connected"),
    _gauge("master/frameworks/*/tasks/active/*", "tasks", "of the framework in that state"),
)

# What only the shell knows.
OF_THE_SHELL: tuple[Metric, ...] = (
    _gauge("master/event_queue_dispatches", "events", "waiting for the core"),
    _gauge("master/event_queue_http_requests", "requests", "waiting for their answer"),
    _gauge("system/cpus_total", "cpus", "of the master's machine"),
    _gauge("system/load_15min", "processes", "load average of 15 minutes"),
    _gauge("system/load_1min", "processes", "load average of 1 minute"),
    _gauge("system/load_5min", "processes", "load average of 5 minutes"),
    _gauge("system/mem_free_bytes", "bytes", "free on the master's machine"),
    _gauge("system/mem_total_bytes", "bytes", "of the master's machine"),
)

OF_SCALARS: tuple[Metric, ...] = tuple(metric for name in SCALARS for metric in _of_scalar(name))
OF_THE_CORE: tuple[Metric, ...] = (*COUNTED, *ENDED, *SUMMED, *GAUGES, *OF_SCALARS)
TABLE: tuple[Metric, ...] = (*OF_THE_CORE, *FAMILIES, *OF_THE_SHELL)
