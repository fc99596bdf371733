"""The end of the agent when the master does not want it: all containers first."""

from __future__ import annotations

from tepui.agent.core import lives
from tepui.agent.core.actions import AbandonSandbox, DestroyContainer, EndAgent
from tepui.agent.core.effects import AgentStep
from tepui.agent.core.events import StopExpired
from tepui.agent.core.state import Phase, State

STOP_MS = 10_000  # for killed containers to be gone


def stop(state: State, reason: str, now_ms: int, step: AgentStep) -> None:
    """Every container is being destroyed, and the agent ends when all are gone."""
    if state.stopping is not None:
        return
    state.stopping = reason
    for executor in tuple(state.containers.values()):
        if executor.phase is Phase.PREPARING:
            step.then.append(AbandonSandbox(executor.container_id))
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        else:
            step.then.append(DestroyContainer(executor.container_id))
    state.timers.set(now_ms + STOP_MS, StopExpired())


def end_if_done(state: State, step: AgentStep) -> None:
    """Called after every batch."""
    if state.stopping is not None and not state.containers and not state.ended:
        state.ended = True
        step.then.append(EndAgent(state.stopping))


def stop_expired(state: State, event: StopExpired, now_ms: int, step: AgentStep) -> None:
    if not state.ended:
        state.ended = True
        step.then.append(EndAgent(f"{state.stopping}; {len(state.containers)} containers are left"))
