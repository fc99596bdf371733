"""The end of the agent: all containers first."""

from __future__ import annotations

from tepui.agent.core import lives, saved
from tepui.agent.core.actions import AbandonSandbox, DestroyContainer, EndAgent
from tepui.agent.core.effects import Effects, send
from tepui.agent.core.events import StopAsked, StopExpired
from tepui.agent.core.state import Phase, State
from tepui.wire import link

STOP_MS = 10_000  # for killed containers to be gone


def stop(state: State, reason: str, now_ms: int, step: Effects) -> None:
    """Every container is being destroyed, and the agent ends when all are gone.

    The agent that starts here next is a new one to the master.
    """
    if state.stopping is not None:
        return
    state.stopping = reason
    saved.agent_removed(state)
    for executor in tuple(state.containers.values()):
        if executor.phase is Phase.PREPARING:
            step.then.append(AbandonSandbox(executor.container_id))
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        else:
            step.then.append(DestroyContainer(executor.container_id))
    state.timers.set(now_ms + STOP_MS, StopExpired())


def stop_asked(state: State, event: StopAsked, now_ms: int, step: Effects) -> None:
    """The master is told first, and nothing afterwards: the tasks are gone with the agent."""
    if state.registered:
        send(step, link.Unregister())
        state.linked = state.registered = False
    stop(state, "asked to stop", now_ms, step)


def end_if_done(state: State, step: Effects) -> None:
    """Called after every batch."""
    if state.stopping is not None and not state.containers and not state.ended:
        state.ended = True
        step.then.append(EndAgent(state.stopping))


def stop_expired(state: State, event: StopExpired, now_ms: int, step: Effects) -> None:
    if not state.ended:
        state.ended = True
        step.then.append(EndAgent(f"{state.stopping}; {len(state.containers)} containers are left"))
