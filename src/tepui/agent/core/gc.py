"""Sandboxes are removed a week after their executor is over, or earlier when there are too many.

Source: Mesos slave/gc.cpp, slave/constants.hpp (gc_delay).
"""

from __future__ import annotations

from tepui.agent.core.actions import RemoveSandbox
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import SandboxExpired
from tepui.agent.core.state import State

SANDBOXES_MAX = 20_000  # waiting to be removed; above, the oldest go at once


def schedule(state: State, directory: str, now_ms: int, step: Effects) -> None:
    """The sandbox will be removed when it is old."""
    state.sandboxes.append((directory, now_ms))
    state.timers.set(now_ms + state.settings.gc_delay_ms, SandboxExpired(directory))
    while len(state.sandboxes) > SANDBOXES_MAX:
        _remove_oldest(state, step)


def remove_older(state: State, than_ms: int, step: Effects) -> None:
    """Sandboxes whose executor was over by then go at once."""
    while state.sandboxes and state.sandboxes[0][1] <= than_ms:
        _remove_oldest(state, step)


def sandbox_expired(state: State, event: SandboxExpired, now_ms: int, step: Effects) -> None:
    # The delay is one for all, so sandboxes expire in the order in which they were scheduled.
    if state.sandboxes and state.sandboxes[0][0] == event.directory:
        _remove_oldest(state, step)


def _remove_oldest(state: State, step: Effects) -> None:
    directory, _ = state.sandboxes.popleft()
    state.counters.sandboxes_removed += 1
    step.then.append(RemoveSandbox(directory))
