"""Agents: register, come back, fall silent, leave, and are marked gone.

Source: Mesos master.cpp (_registerSlave, _reregisterSlave, markUnreachable, markGone); texts as
a real master sends.
"""

from __future__ import annotations

from msgspec.structs import replace

from tepui.allocator import AgentTerms
from tepui.base.names import AgentId
from tepui.master.core import offers, statuses, tasks
from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    CloseLink,
    Effects,
    Note,
    SendEvent,
    SendToAgent,
)
from tepui.master.core.adoption import adopt, used_by
from tepui.master.core.events import LinkClosed, LinkId, LinkOpened, LinkReceived, PingDue
from tepui.master.core.publish import publish_agent_added, publish_agent_removed
from tepui.master.core.state import AbsentAgent, Agent, Framework, State, Task
from tepui.master.core.updates import executor_exited, executor_message, status_updated
from tepui.resources import Resources
from tepui.wire import link, mesos, scheduler

Reason = mesos.TaskStatus.Reason
TaskState = mesos.TaskState

UNREGISTERED = "slave_removals/reason_unregistered"
REGISTERED = "slave_removals/reason_registered"


def link_opened(state: State, event: LinkOpened, now_ms: int, step: Effects) -> None:
    """A connection; who it is comes as its first message."""


def link_received(state: State, event: LinkReceived, now_ms: int, step: Effects) -> None:
    """An agent sent something; what comes before it has registered closes the link."""
    match event.message:
        case link.Hello(protocol=link.PROTOCOL):
            return
        case link.Hello(protocol=protocol):
            text = f"this master speaks link protocol {link.PROTOCOL}, not {protocol}"
            _send_away(event.link, text, step)
            return
        case link.Register():
            _register(state, event.link, event.message, now_ms, step)
            return
        case link.Reregister():
            _reregister(state, event.link, event.message, now_ms, step)
            return
        case _:
            agent_id = state.agent_by_link.get(event.link)
    if agent_id is None:
        step.then.append(CloseLink(event.link))
        return
    agent = state.agents[agent_id]
    match event.message:
        case link.StatusUpdated() as message:
            status_updated(state, agent, message, now_ms, step)
        case link.ExecutorMessage() as message:
            executor_message(state, agent, message, now_ms, step)
        case link.ExecutorExited() as message:
            executor_exited(state, agent, message, now_ms, step)
        case link.Pong() as message:
            _ponged(agent, message)
        case link.Unregister():
            remove_agent(state, agent, "Agent unregistered", UNREGISTERED, now_ms, step)


def link_closed(state: State, event: LinkClosed, now_ms: int, step: Effects) -> None:
    """The agent may come back: its tasks stay as they are, its offers are taken back.

    Differs from Mesos: tasks of frameworks without checkpointing are lost only when the agent
    comes back without them or stays away, for a broken connection has not ended them.
    """
    agent_id = state.agent_by_link.pop(event.link, None)
    if agent_id is None:
        return
    agent = state.agents[agent_id]
    agent.link = None
    state.allocator.deactivate_agent(agent.id)
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)


def ping_due(state: State, event: PingDue, now_ms: int, step: Effects) -> None:
    """Ping the agent; one that has missed too many is marked unreachable."""
    agent = state.agents[event.agent_id]
    if agent.pings_missed >= state.settings.max_agent_ping_timeouts:
        mark_unreachable(state, agent, now_ms, step)
        return
    agent.pings_missed += 1
    agent.ping_sequence += 1
    agent.acknowledged_before |= agent.acknowledged
    agent.acknowledged.clear()
    if agent.link is not None:
        step.then.append(SendToAgent(agent.link, link.Ping(agent.ping_sequence)))
    _set_ping(state, agent, now_ms)


def mark_unreachable(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """The agent has been silent for too long: its tasks may run on, but nobody can tell."""
    state.counters.add("slave_removals")
    state.counters.add("slave_removals/reason_unhealthy")
    step.save.append(AgentUnreachable(agent.id, now_ms))
    state.unreachable_agents[agent.id] = AbsentAgent(
        agent.id,
        agent.info,
        now_ms,
        acknowledged=agent.acknowledged | agent.acknowledged_before,
        deactivated=agent.deactivated,
    )
    for task in list(agent.tasks.values()):
        framework = state.frameworks[task.framework_id]
        if task.terminal:
            tasks.forget_task(state, framework, task)  # only its acknowledgement was missing
            continue
        _lose_sight(state, framework, task, now_ms, step)
    _drop(state, agent, now_ms, step)


def remove_agent(
    state: State, agent: Agent, text: str, metric: str, now_ms: int, step: Effects
) -> None:
    """The agent has ended and its tasks with it."""
    state.counters.add("slave_removals")
    state.counters.add(metric)
    step.save.append(AgentRemoved(agent.id))
    state.removed_agents[agent.id] = AbsentAgent(agent.id, agent.info, now_ms)
    _bound(state)
    _end_tasks(state, agent, TaskState.TASK_GONE, Reason.REASON_AGENT_REMOVED, text, now_ms, step)
    _drop(state, agent, now_ms, step)


def mark_gone(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """The operator says that the agent never comes back (MARK_AGENT_GONE)."""
    step.save.append(AgentGone(agent.id, now_ms))
    state.gone_agents[agent.id] = AbsentAgent(agent.id, agent.info, now_ms)
    _end_tasks(
        state,
        agent,
        TaskState.TASK_GONE_BY_OPERATOR,
        Reason.REASON_AGENT_REMOVED_BY_OPERATOR,
        "Agent has been marked gone",
        now_ms,
        step,
    )
    link_id = agent.link
    _drop(state, agent, now_ms, step)
    if link_id is not None:
        _send_away(link_id, "Agent has been marked gone", step)


def mark_absent_gone(state: State, agent_id: AgentId, now_ms: int, step: Effects) -> None:
    """The same for an agent that is unreachable: its tasks are gone for good."""
    absent = state.unreachable_agents.pop(agent_id)
    step.save.append(AgentGone(agent_id, now_ms))
    state.gone_agents[agent_id] = AbsentAgent(agent_id, absent.info, now_ms)
    for framework in state.frameworks.values():
        for task in [t for t in framework.unreachable_tasks.values() if t.agent_id == agent_id]:
            del framework.unreachable_tasks[task.id]
            status = statuses.made_by_master(
                task.id,
                agent_id,
                statuses.lost_or(framework, TaskState.TASK_GONE_BY_OPERATOR),
                Reason.REASON_AGENT_REMOVED_BY_OPERATOR,
                "Agent has been marked gone",
                now_ms,
            )
            task.state = status.state
            statuses.remember(task, status)
            framework.completed_tasks.append(task)
            statuses.tell(framework, status, step)


def _register(
    state: State, link_id: LinkId, message: link.Register, now_ms: int, step: Effects
) -> None:
    if link_id in state.agent_by_link:
        agent_id = state.agent_by_link[link_id]
    else:
        for other in [a for a in state.agents.values() if a.address == message.address]:
            text = "A new agent registered at the same address"
            if other.link is not None:
                state.agent_by_link.pop(other.link, None)
                step.then.append(CloseLink(other.link))
                other.link = None
            remove_agent(state, other, text, REGISTERED, now_ms, step)
        agent_id = AgentId(f"{state.info.id}-S{state.agents_registered}")
        state.agents_registered += 1
        info = replace(message.info, id=mesos.AgentID(agent_id))
        agent = _add(state, link_id, info, message.version, message.address, now_ms)
        step.save.append(AgentAdmitted(info))
        state.counters.add("slave_registrations")
        _offer_from_now(state, agent)
        publish_agent_added(state, agent, step)
    _welcome(state, link_id, agent_id, step)


def _reregister(
    state: State, link_id: LinkId, message: link.Reregister, now_ms: int, step: Effects
) -> None:
    assert message.info.id is not None
    agent_id = AgentId(message.info.id.value)
    if agent_id in state.gone_agents:
        _send_away(link_id, "Agent has been marked gone", step)
        return
    if agent_id in state.removed_agents:
        _send_away(link_id, "Agent has been removed", step)
        return
    state.counters.add("slave_reregistrations")
    agent = state.agents.get(agent_id)
    if agent is None:
        agent = _add(state, link_id, message.info, message.version, message.address, now_ms)
        step.save.append(AgentAdmitted(message.info))
        absent = state.unreachable_agents.pop(agent_id, None)
        if absent is not None:
            agent.acknowledged = absent.acknowledged
            agent.deactivated = absent.deactivated
        is_new = True
    else:
        _relink(state, agent, link_id, now_ms, step)
        agent.version, agent.address = message.version, message.address
        is_new = False
    agent.reregistered_ms = now_ms
    _welcome(state, link_id, agent_id, step)
    adopt(state, agent, message, now_ms, step)
    if not is_new:
        state.allocator.remove_agent(agent_id)
    _offer_from_now(state, agent)
    _repeat_kills(agent, link_id, step)
    if is_new:
        publish_agent_added(state, agent, step)


def _relink(state: State, agent: Agent, link_id: LinkId, now_ms: int, step: Effects) -> None:
    """The agent speaks on this connection from now on."""
    if agent.link is not None and agent.link != link_id:
        del state.agent_by_link[agent.link]
        step.then.append(CloseLink(agent.link))
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)
    agent.link = link_id
    agent.pings_missed = 0
    state.agent_by_link[link_id] = agent.id


def _add(
    state: State,
    link_id: LinkId,
    info: mesos.AgentInfo,
    version: str,
    address: str,
    now_ms: int,
) -> Agent:
    assert info.id is not None
    host, _, port = address.rpartition(":")
    agent = Agent(
        id=AgentId(info.id.value),
        info=info,
        total=Resources.of(info.resources),
        version=version,
        address=address,
        url=mesos.URL(
            scheme="http",
            address=mesos.Address(hostname=info.hostname, ip=host, port=int(port)),
            path="/slave(1)",
        ),
        registered_ms=now_ms,
        link=link_id,
    )
    state.agents[agent.id] = agent
    state.agent_by_link[link_id] = agent.id
    _set_ping(state, agent, now_ms)
    return agent


def _offer_from_now(state: State, agent: Agent) -> None:
    """The allocator knows the agent and what is used of it."""
    terms = AgentTerms(
        hostname=agent.info.hostname, attributes=agent.info.attributes, domain=agent.info.domain
    )
    state.allocator.add_agent(agent.id, terms, agent.total, used_by(agent))
    if not agent.active:
        state.allocator.deactivate_agent(agent.id)


def _welcome(state: State, link_id: LinkId, agent_id: AgentId, step: Effects) -> None:
    settings = state.settings
    silence_ms = settings.agent_ping_timeout_ms * settings.max_agent_ping_timeouts
    step.then.append(SendToAgent(link_id, link.Registered(agent_id, silence_ms)))


def _repeat_kills(agent: Agent, link_id: LinkId, step: Effects) -> None:
    """A KILL may have been lost with the connection before (in Mesos the scheduler repeats it)."""
    for task in agent.tasks.values():
        if task.kill_wanted and not task.terminal:
            kill = link.KillTask(task.framework_id, task.id, task.kill_policy)
            step.then.append(SendToAgent(link_id, kill))


def _ponged(agent: Agent, message: link.Pong) -> None:
    if message.sequence == agent.ping_sequence:
        agent.pings_missed = 0
        agent.acknowledged_before.clear()  # they were sent before the ping: the agent has them


def _set_ping(state: State, agent: Agent, now_ms: int) -> None:
    due_ms = now_ms + state.settings.agent_ping_timeout_ms
    agent.ping_timer = state.timers.set(due_ms, PingDue(agent.id))


def _lose_sight(state: State, framework: Framework, task: Task, now_ms: int, step: Effects) -> None:
    """The task's resources are free here; should its agent come back, so does the task."""
    status = statuses.made_by_master(
        task.id,
        task.agent_id,
        statuses.lost_or(framework, TaskState.TASK_UNREACHABLE),
        Reason.REASON_AGENT_REMOVED,
        "health check timed out",
        now_ms,
        unreachable_ms=now_ms,
    )
    state.counters.add(status.state.lower())
    del framework.tasks[task.id]
    state.allocator.recover(
        framework.id, task.role, task.agent_id, task.resources, refuse_ms=None, now_ms=now_ms
    )
    task.state = status.state
    task.update = None
    task.unreachable_ms = now_ms
    statuses.remember(task, status)
    framework.unreachable_tasks[task.id] = task
    while len(framework.unreachable_tasks) > state.settings.max_unreachable_tasks_per_framework:
        del framework.unreachable_tasks[next(iter(framework.unreachable_tasks))]
    statuses.tell(framework, status, step)


def _end_tasks(
    state: State,
    agent: Agent,
    wanted: mesos.TaskState,
    reason: mesos.TaskStatus.Reason,
    text: str,
    now_ms: int,
    step: Effects,
) -> None:
    for task in list(agent.tasks.values()):
        framework = state.frameworks[task.framework_id]
        if task.terminal:
            tasks.forget_task(state, framework, task)
            continue
        status = statuses.made_by_master(
            task.id, agent.id, statuses.lost_or(framework, wanted), reason, text, now_ms
        )
        tasks.end_by_master(state, framework, task, status, now_ms, step)


def _drop(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    """Forget the agent's executors, offers and accounts; tell every scheduler that it failed."""
    for executor in agent.every_executor():
        tasks.remove_executor(state, executor, now_ms)
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)
    state.timers.cancel(agent.ping_timer)
    if agent.link is not None:
        state.agent_by_link.pop(agent.link, None)
        step.then.append(CloseLink(agent.link))
    del state.agents[agent.id]
    state.allocator.remove_agent(agent.id)
    publish_agent_removed(state, agent, step)
    failure = scheduler.Event.Failure(agent_id=mesos.AgentID(agent.id))
    event = scheduler.Event(type=scheduler.Event.Type.FAILURE, failure=failure)
    for framework in state.frameworks.values():
        if framework.subscription is not None:
            step.then.append(SendEvent(framework.subscription.stream, event))


def _send_away(link_id: LinkId, text: str, step: Effects) -> None:
    step.then.append(SendToAgent(link_id, link.Shutdown(text)))
    step.then.append(CloseLink(link_id))
    step.then.append(Note("agent_refused", (("link", str(link_id)), ("reason", text))))


def _bound(state: State) -> None:
    while len(state.removed_agents) > state.settings.max_removed_agents:
        del state.removed_agents[next(iter(state.removed_agents))]
