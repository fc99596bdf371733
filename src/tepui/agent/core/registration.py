"""The link: registering, the master's messages, and what is said again after a loss.

While the link is down tasks go on and their updates wait. An agent that has an id says all it has
when it registers again, and then sends every unacknowledged update once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from tepui.agent.core import frameworks, kills, launches, lives, updates
from tepui.agent.core.actions import AdoptId, CloseLink
from tepui.agent.core.effects import AgentStep, note, send
from tepui.agent.core.events import LinkLost, LinkOpened, MasterSpoke, PingsMissed
from tepui.agent.core.state import State
from tepui.agent.core.stopping import stop
from tepui.wire import link, mesos


def link_opened(state: State, event: LinkOpened, now_ms: int, step: AgentStep) -> None:
    state.linked = True
    send(step, _registration(state))


def link_lost(state: State, event: LinkLost, now_ms: int, step: AgentStep) -> None:
    state.linked = state.registered = False
    state.timers.cancel(state.ping_timer)
    state.ping_timer = None


def master_spoke(state: State, event: MasterSpoke, now_ms: int, step: AgentStep) -> None:
    handler = MESSAGES[type(event.message)]
    handler(state, event.message, now_ms, step)


def pings_missed(state: State, event: PingsMissed, now_ms: int, step: AgentStep) -> None:
    state.ping_timer = None
    step.then.append(CloseLink(f"no ping for {state.ping_timeout_ms} ms"))


def _registered(state: State, message: link.Registered, now_ms: int, step: AgentStep) -> None:
    if state.info.id is None:
        state.info = structs.replace(state.info, id=mesos.AgentID(message.agent_id))
        step.then.append(AdoptId(message.agent_id))
    elif state.info.id.value != message.agent_id:
        stop(state, f"the master calls this agent {message.agent_id}", now_ms, step)
        return
    state.registered = True
    state.ping_timeout_ms = message.ping_timeout_ms
    _expect_ping(state, now_ms)
    updates.forward_all(state, now_ms, step)


def _pinged(state: State, message: link.Ping, now_ms: int, step: AgentStep) -> None:
    send(step, link.Pong(message.sequence))
    if state.registered:
        _expect_ping(state, now_ms)


def _acknowledged(
    state: State, message: link.AcknowledgeUpdate, now_ms: int, step: AgentStep
) -> None:
    task = updates.acknowledged(state, message, now_ms, step)
    if task is not None:
        lives.task_over(state, state.frameworks[message.framework_id], task, now_ms, step)


def _shut_down(state: State, message: link.Shutdown, now_ms: int, step: AgentStep) -> None:
    stop(state, message.message, now_ms, step)


def _greeted(state: State, message: link.Hello, now_ms: int, step: AgentStep) -> None:
    note(step, "greeting_repeated", version=message.version)


def _expect_ping(state: State, now_ms: int) -> None:
    state.timers.cancel(state.ping_timer)
    state.ping_timer = state.timers.set(now_ms + state.ping_timeout_ms, PingsMissed())


def _registration(state: State) -> link.Register | link.Reregister:
    settings = state.settings
    if state.info.id is None:
        return link.Register(state.info, settings.version, settings.address)
    frameworks_here = tuple(state.frameworks.values())
    return link.Reregister(
        info=state.info,
        version=settings.version,
        address=settings.address,
        frameworks=tuple(one.info for one in frameworks_here),
        executors=tuple(
            link.RunningExecutor(framework.id, executor.info)
            for framework in frameworks_here
            for executor in framework.executors.values()
            if not executor.built_in and executor.container_id in state.containers
        ),
        tasks=tuple(
            updates.to_wire(framework, framework.executors.get(task.executor_id), task)
            for framework in frameworks_here
            for task in framework.tasks.values()
        ),
    )


MESSAGES: dict[type[link.FromMaster], Callable[[State, Any, int, AgentStep], None]] = {
    link.Hello: _greeted,
    link.Registered: _registered,
    link.RunTasks: launches.run_tasks,
    link.KillTask: kills.kill_task,
    link.ShutdownExecutor: frameworks.shut_down_executor,
    link.SchedulerMessage: frameworks.scheduler_said,
    link.AcknowledgeUpdate: _acknowledged,
    link.UpdateFramework: frameworks.update_framework,
    link.ShutdownFramework: frameworks.shut_down_framework,
    link.Ping: _pinged,
    link.Shutdown: _shut_down,
}
