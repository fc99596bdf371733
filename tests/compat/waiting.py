"""Scenarios, or steps of them, that cannot be played before a feature is there."""

from __future__ import annotations

from tests.compat.listing import (
    AUTHENTICATION,
    DRAINING,
    ELECTION,
    GROUPS,
    MAINTENANCE,
    NESTED,
    QUOTA,
    RECOVERY,
    REGISTRY,
    RESERVATIONS,
    Waiting,
)

REDIRECTED = (*range(2, 11), 14, 15, 16, 17, 20, 21, *range(24, 54))  # 307
FORBIDDEN = (  # 403
    *(10, 12, 13, 25, 27, 29, 33, 35, 47, *range(53, 58), 59, 60, 63, 64, 66, *range(70, 74)),
)

WAITING = (
    *(
        Waiting("A2", name, GROUPS)
        for name in (
            "task-group-both-succeed",
            "task-group-one-fails",
            "task-group-kill-one",
            "task-group-shutdown-executor",
            "task-group-custom-type",
            "task-group-health-check",
        )
    ),
    Waiting(
        "A4",
        "operations-reserve-create-destroy-unreserve-with-reservation-refinement",
        RESERVATIONS,
    ),
    Waiting(
        "A4", "operations-reserve-create-destroy-unreserve-pre-refinement-format", RESERVATIONS
    ),
    Waiting("A4", "offers-under-quota-limit", QUOTA),
    Waiting("A4", "inverse-offers", MAINTENANCE),
    Waiting("E", "executor-agent-restart-scheduler-side", RECOVERY),
    Waiting("E", "executor-agent-restart-executor-side", RECOVERY),
    Waiting("B", "operator-reservations-and-volumes", RESERVATIONS),
    Waiting("B", "operator-agent-nested-containers", NESTED),
    Waiting("B", "operator-agent-standalone-containers", NESTED),
    Waiting("B", "operator-agent-attach-and-session", NESTED),
    Waiting("D", "work-dir-layout", RECOVERY),
    Waiting("D", "master-work-dir", REGISTRY),
    Waiting("F", "zookeeper-nodes", ELECTION),
    Waiting("F", "standby-answers", ELECTION, steps=REDIRECTED),
    Waiting("F", "leader-killed", ELECTION, after=9),
    Waiting("G", "setup", AUTHENTICATION),
    Waiting("G", "scheduler-unauthenticated-principal-in-info", AUTHENTICATION),
    Waiting("G", "subscribe-principals-and-roles", AUTHENTICATION, steps=(*range(4, 13), 16)),
    Waiting(
        "G",
        "run-task-and-reserve-not-authorized",
        AUTHENTICATION,
        steps=(*range(4, 14), 17, 18, 19),
    ),
    Waiting("G", "views-with-and-without-permission", AUTHENTICATION, steps=FORBIDDEN),
    *(
        Waiting("H", f"agent-killed-and-restarted-at-once-checkpoint-{rest}", RECOVERY, after=10)
        for rest in (
            "true-unaware",
            "true-partition-aware",
            "false-unaware",
            "false-partition-aware",
        )
    ),
    *(
        Waiting(
            "H", f"agent-away-past-ping-timeout-and-back-checkpoint-true-{rest}", RECOVERY, after=25
        )
        for rest in ("unaware", "partition-aware")
    ),
    Waiting("H", "drain-agent", DRAINING, after=10),
    Waiting("H", "drain-agent-mark-gone", DRAINING, after=10),
    Waiting("H", "agent-restarted-with-other-resources", RECOVERY),
    Waiting("H", "master-restart", REGISTRY, after=9),
)
