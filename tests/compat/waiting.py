"""Scenarios, or steps of them, that cannot be played before a feature is there."""

from __future__ import annotations

from tests.compat.listing import (
    AUTHENTICATION,
    DRAINING,
    MAINTENANCE,
    QUOTA,
    RESERVATIONS,
    Waiting,
)

FORBIDDEN = (  # 403
    *(10, 12, 13, 25, 27, 29, 33, 35, 47, *range(53, 58), 59, 60, 63, 64, 66, *range(70, 74)),
)

WAITING = (
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
    Waiting("B", "operator-reservations-and-volumes", RESERVATIONS),
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
    Waiting("H", "drain-agent", DRAINING, after=10),
    Waiting("H", "drain-agent-mark-gone", DRAINING, after=10),
)
