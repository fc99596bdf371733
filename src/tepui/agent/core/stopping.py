"""The end of the agent: all containers first."""

from __future__ import annotations

from tepui.agent.core import lives, operator_lives, pods, saved
from tepui.agent.core.actions import AbandonSandbox, DestroyContainer, EndAgent
from tepui.agent.core.effects import Effects, send
from tepui.agent.core.events import StopAsked, StopExpired
from tepui.agent.core.state import Executor, Framework, Phase, Place, State
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
        _destroy_tasks(state, state.frameworks[executor.framework_id], executor, now_ms, step)
        if executor.phase is Phase.PREPARING:
            step.then.append(AbandonSandbox(executor.container_id))
            lives.executor_ended(state, executor, lives.STATUS_UNKNOWN, now_ms, step)
        else:
            step.then.append(DestroyContainer(executor.container_id))
    operator_lives.stop(state, step)
    state.timers.set(now_ms + STOP_MS, StopExpired())


def _destroy_tasks(
    state: State, framework: Framework, executor: Executor, now_ms: int, step: Effects
) -> None:
    """The containers within that of a pod are being destroyed."""
    for task_id in tuple(executor.tasks):
        task = framework.tasks[task_id]
        container = task.container
        if container is None or container.phase is Phase.TERMINATED:
            continue
        place = Place(framework, executor, task, container)
        if pods.is_unknown(state, place):
            pods.give_up(state, place, lives.TERMINATED, now_ms, step)
        else:
            container.ending = container.ending or lives.TERMINATED
            saved.task_changed(state, framework, task)
            step.then.append(DestroyContainer(container.id))


def stop_asked(state: State, event: StopAsked, now_ms: int, step: Effects) -> None:
    """The master is told first, and nothing afterwards: the tasks are gone with the agent."""
    if state.registered:
        send(step, link.Unregister())
        state.linked = state.registered = False
    stop(state, "asked to stop", now_ms, step)


def end_if_done(state: State, step: Effects) -> None:
    """Called after every batch."""
    is_empty = not state.containers and not operator_lives.any_lives(state)
    if state.stopping is not None and is_empty and not state.ended:
        state.ended = True
        step.then.append(EndAgent(state.stopping))


def stop_expired(state: State, event: StopExpired, now_ms: int, step: Effects) -> None:
    if not state.ended:
        state.ended = True
        step.then.append(EndAgent(f"{state.stopping}; {len(state.containers)} containers are left"))
