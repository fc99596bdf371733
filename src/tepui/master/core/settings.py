"""What an operator can choose of the master's decisions; the flags of the daemon fill it.

Names and defaults: Mesos docs/configuration/master.md.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tepui.allocator.terms import MIN_ALLOCATABLE, Minimums

HEARTBEAT_INTERVAL_MS: Final = 15_000  # Mesos: master/constants.hpp DEFAULT_HEARTBEAT_INTERVAL
REFUSE_MS_DEFAULT: Final = 5_000  # Mesos: mesos.proto Filters.refuse_seconds
DECLINE_PAUSE_MS: Final = 100  # Mesos has its --allocation_interval, 1 s, between the two
ACKNOWLEDGED_MAX: Final = 10_000  # acknowledgements on their way to one agent that we remember
ALLOCATE_AGENTS_MAX: Final = 150  # agents of one slice of an allocation cycle, about 2 ms


class RateLimit(Struct, frozen=True, kw_only=True):
    """Calls a second of one principal; without `qps` it is not limited."""

    principal: str | None
    qps: float | None = None
    capacity: int | None = None  # calls that may wait; None: any number


class RateLimits(Struct, frozen=True, kw_only=True):
    """The flag --rate_limits, as in Mesos."""

    limits: tuple[RateLimit, ...] = ()
    aggregate_default_qps: float | None = None
    aggregate_default_capacity: int | None = None


class Settings(Struct, frozen=True):
    """Times in milliseconds; counts of what is remembered after its end."""

    agent_ping_timeout_ms: int = 15_000
    max_agent_ping_timeouts: int = 5
    agent_reregister_timeout_ms: int = 600_000
    offer_timeout_ms: int | None = None
    max_completed_frameworks: int = 50
    max_completed_tasks_per_framework: int = 1_000
    max_unreachable_tasks_per_framework: int = 1_000
    max_removed_agents: int = 1_000
    agent_removal_interval_ms: int = 0  # between two that are marked unreachable
    registry_gc_interval_ms: int = 900_000
    registry_max_agent_age_ms: int = 1_209_600_000
    registry_max_agent_count: int = 102_400  # unreachable agents, and as many that are gone
    filter_gpu_resources: bool = True
    min_allocatable: Minimums = MIN_ALLOCATABLE
    rate_limits: RateLimits | None = None
