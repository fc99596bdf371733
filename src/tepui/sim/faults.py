"""How much goes wrong in a simulation."""

from __future__ import annotations

from msgspec import Struct


class Faults(Struct, frozen=True, kw_only=True):
    """Mean times between faults of each kind, over the whole cluster; 0: never."""

    delay_ms_max: int = 50  # of one message
    link_break_mean_ms: int = 4_000
    agent_restart_mean_ms: int = 20_000
    stream_break_mean_ms: int = 5_000
    batch_chance: float = 0.3  # the share of events that wait for others to be stepped with
    call_lost: float = 0.01  # the share of calls that never reach the master
    launch_failed: float = 0.02
    kill: float = 0.05  # the share of tasks that their scheduler kills


NONE = Faults(
    link_break_mean_ms=0,
    agent_restart_mean_ms=0,
    stream_break_mean_ms=0,
    batch_chance=0,
    call_lost=0,
    launch_failed=0,
    kill=0,
)
