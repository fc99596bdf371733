"""Agents leave: silent for too long, ended, replaced by another, or marked gone.

Source: Mesos master.cpp (markUnreachable, removeSlave, markGone); texts as a real master sends.
"""

from __future__ import annotations

from tepui.base.names import AgentId
from tepui.master.core import offers, statuses, tasks, unreachable
from tepui.master.core.actions import (
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    CloseLink,
    Effects,
    Note,
    SendEvent,
    SendToAgent,
)
from tepui.master.core.events import LinkId
from tepui.master.core.publish import publish_agent_removed, publish_task_updated
from tepui.master.core.state import AbsentAgent, Agent, Framework, State, Task
from tepui.wire import link, mesos, scheduler

Reason = mesos.TaskStatus.Reason
TaskState = mesos.TaskState

UNREGISTERED = "slave_removals/reason_unregistered"
REGISTERED = "slave_removals/reason_registered"
GONE = "Agent has been marked gone"


def mark_unreachable(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """The agent has been silent for too long: its tasks may run on, but nobody can tell."""
    for name in (
        "slave_removals",
        "slave_removals/reason_unhealthy",
        "slave_unreachable_completed",
    ):
        state.counters.add(name)
    agent.is_overdue = False
    step.save.append(AgentUnreachable(agent.info, now_ms, agent.deactivated))
    state.unreachable_agents[agent.id] = AbsentAgent(
        agent.id,
        agent.info,
        now_ms,
        acknowledged=agent.acknowledged | agent.acknowledged_before,
        deactivated=agent.deactivated,
    )
    for task in list(agent.tasks.values()):
        _lose_sight(state, state.frameworks[task.framework_id], task, now_ms, step)
    _forget_oldest(state, state.unreachable_agents, step)
    _drop(state, agent, now_ms, step)


def mark_recovered_unreachable(state: State, agent_id: AgentId, now_ms: int, step: Effects) -> None:
    """The agent was admitted by a master before and has not come back: nobody knows its tasks."""
    absent = state.recovered_agents.pop(agent_id)
    for name in (
        "slave_removals",
        "slave_removals/reason_unhealthy",
        "slave_unreachable_completed",
        "recovery_slave_removals",
    ):
        state.counters.add(name)
    step.save.append(AgentUnreachable(absent.info, now_ms, absent.deactivated))
    state.unreachable_agents[agent_id] = AbsentAgent(
        agent_id, absent.info, now_ms, deactivated=absent.deactivated
    )
    _forget_oldest(state, state.unreachable_agents, step)
    _tell_failure(state, agent_id, step)


def must_wait(state: State, now_ms: int) -> bool:
    """Whether no agent may be marked unreachable yet (--agent_removal_rate_limit); else one may."""
    if now_ms < state.next_removal_ms:
        return True
    state.next_removal_ms = now_ms + state.settings.agent_removal_interval_ms
    return False


def remove_agent(
    state: State, agent: Agent, text: str, metric: str, now_ms: int, step: Effects
) -> None:
    """The agent has ended and its tasks with it; `text` says why.

    They are lost, also for frameworks that know better words: should the agent be back with them,
    they are known again.
    """
    state.counters.add("slave_removals")
    state.counters.add(metric)
    step.save.append(AgentRemoved(agent.id))
    state.removed_agents[agent.id] = AbsentAgent(agent.id, agent.info, now_ms)
    while len(state.removed_agents) > state.settings.max_removed_agents:
        del state.removed_agents[next(iter(state.removed_agents))]
    said = f"Agent {agent.info.hostname} removed: {text}"
    _end_tasks(state, agent, TaskState.TASK_LOST, said, now_ms, step)
    _drop(state, agent, now_ms, step)


def mark_gone(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """The operator says that the agent never comes back (MARK_AGENT_GONE)."""
    _remember_gone(state, agent.id, agent.info, now_ms, step)
    _end_tasks(state, agent, TaskState.TASK_GONE_BY_OPERATOR, GONE, now_ms, step)
    if agent.link is not None:
        _shut_down(agent.link, GONE, step)
    _drop(state, agent, now_ms, step)


def mark_absent_gone(state: State, agent_id: AgentId, now_ms: int, step: Effects) -> None:
    """The same for an agent that is unreachable, or has not come back: its tasks are gone for good."""
    absent = state.unreachable_agents.pop(agent_id, None)
    if absent is None:
        absent = state.recovered_agents.pop(agent_id)
        if state.is_recovery_over:
            state.counters.add("slave_unreachable_canceled")
    _remember_gone(state, agent_id, absent.info, now_ms, step)
    for task in unreachable.tasks_of(state, absent):
        framework = state.frameworks[task.framework_id]
        status = _end_of(framework, task, TaskState.TASK_GONE_BY_OPERATOR, GONE, now_ms)
        unreachable.end(state, task, status, step)
        statuses.tell(framework, status, step)


def keeps_answering(state: State, agent: Agent) -> None:
    """The agent was heard, so it is not marked unreachable, even if that was only delayed."""
    agent.pings_missed = 0
    if agent.is_overdue:
        agent.is_overdue = False
        state.counters.add("slave_unreachable_canceled")


# Links


def send_away(state: State, link_id: LinkId, text: str, step: Effects) -> None:
    """The agent is to end its tasks and itself; its connection is closed."""
    _shut_down(link_id, text, step)
    close_link(state, link_id, step)


def cut_off(state: State, link_id: LinkId, reason: str, step: Effects) -> None:
    """The agent says what cannot be: its connection is closed, its tasks run on."""
    step.then.append(Note("agent_cut_off", (("link", str(link_id)), ("reason", reason))))
    close_link(state, link_id, step)


def close_link(state: State, link_id: LinkId, step: Effects) -> None:
    """The connection is closed after what was sent; nothing more is heard on it.

    An agent that spoke on it is disconnected as soon as LinkClosed says so.
    """
    if link_id not in state.closing_links:
        state.timers.cancel(state.unregistered_links.pop(link_id, None))
        state.closing_links.add(link_id)
        step.then.append(CloseLink(link_id))


def _shut_down(link_id: LinkId, text: str, step: Effects) -> None:
    step.then.append(SendToAgent(link_id, link.Shutdown(text)))
    step.then.append(Note("agent_refused", (("link", str(link_id)), ("reason", text))))


# Details


def _remember_gone(
    state: State, agent_id: AgentId, info: mesos.AgentInfo, now_ms: int, step: Effects
) -> None:
    step.save.append(AgentGone(info, now_ms))
    state.gone_agents[agent_id] = AbsentAgent(agent_id, info, now_ms)
    _forget_oldest(state, state.gone_agents, step)


def _forget_oldest(state: State, absent: dict[AgentId, AbsentAgent], step: Effects) -> None:
    """The registry has a limit; who is forgotten and comes back is admitted like any other."""
    while len(absent) > state.settings.registry_max_agent_count:
        forget(state, absent, next(iter(absent)), step)


def forget(
    state: State, absent: dict[AgentId, AbsentAgent], agent_id: AgentId, step: Effects
) -> None:
    """The registry does not know the agent any more, nor is any task of it shown."""
    unreachable.discard_all(state, absent.pop(agent_id))
    step.save.append(AgentRemoved(agent_id))


def _lose_sight(state: State, framework: Framework, task: Task, now_ms: int, step: Effects) -> None:
    """The task's resources are free here; should its agent come back, so does the task.

    One that has ended keeps its state, whatever is said: only its acknowledgement was missing.
    """
    status = statuses.made_by_master(
        task.id,
        task.agent_id,
        statuses.lost_or(framework, TaskState.TASK_UNREACHABLE),
        Reason.REASON_AGENT_REMOVED,
        "health check timed out",
        now_ms,
        executor_id=task.executor_id,
        unreachable_ms=now_ms,
    )
    del framework.tasks[task.id]
    if not task.terminal:
        state.counters.add(status.state.lower())
        state.allocator.recover(
            framework.id, task.role, task.agent_id, task.resources, refuse_ms=None, now_ms=now_ms
        )
        task.state = status.state
    task.update = None
    task.unreachable_ms = now_ms
    statuses.remember(task, status)
    publish_task_updated(state, task, status, step)
    unreachable.remember(state, task)
    statuses.tell(framework, status, step)


def _end_tasks(
    state: State, agent: Agent, wanted: mesos.TaskState, text: str, now_ms: int, step: Effects
) -> None:
    for task in list(agent.tasks.values()):
        framework = state.frameworks[task.framework_id]
        status = _end_of(framework, task, wanted, text, now_ms)
        tasks.end_by_master(state, framework, task, status, now_ms, step)


def _end_of(
    framework: Framework, task: Task, wanted: mesos.TaskState, text: str, now_ms: int
) -> mesos.TaskStatus:
    """In words that the framework knows: older ones have one state and one reason for all this."""
    known = statuses.lost_or(framework, wanted)
    by_operator = known is TaskState.TASK_GONE_BY_OPERATOR
    return statuses.made_by_master(
        task.id,
        task.agent_id,
        known,
        Reason.REASON_AGENT_REMOVED_BY_OPERATOR if by_operator else Reason.REASON_AGENT_REMOVED,
        text,
        now_ms,
        executor_id=task.executor_id,
    )


def _drop(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """Forget the agent's executors, offers and accounts; tell every scheduler that it failed."""
    if agent.is_overdue:
        state.counters.add("slave_unreachable_canceled")  # it is not only unreachable
    for executor in agent.every_executor():
        tasks.remove_executor(state, executor, now_ms)
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)
    state.timers.cancel(agent.ping_timer)
    if agent.link is not None:
        del state.agent_by_link[agent.link]
        close_link(state, agent.link, step)
    del state.agents[agent.id]
    state.allocator.remove_agent(agent.id)
    publish_agent_removed(state, agent, step)
    _tell_failure(state, agent.id, step)


def _tell_failure(state: State, agent_id: AgentId, step: Effects) -> None:
    failure = scheduler.Event.Failure(agent_id=mesos.AgentID(agent_id))
    event = scheduler.Event(type=scheduler.Event.Type.FAILURE, failure=failure)
    for framework in state.frameworks.values():
        if framework.subscription is not None:
            step.then.append(SendEvent(framework.subscription.stream, event))
