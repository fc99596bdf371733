"""Agents: what comes on their links, how they register and come back, and their pings.

Source: Mesos master.cpp (_registerSlave, _reregisterSlave); texts as a real master sends.
"""

from __future__ import annotations

from msgspec.structs import replace

from tepui.allocator import AgentTerms
from tepui.base.names import AgentId
from tepui.master.core import adoption, caps, offers, unreachable
from tepui.master.core.actions import AgentAdmitted, Effects, Note, SendToAgent
from tepui.master.core.adoption import adopt, used_by
from tepui.master.core.departures import (
    REGISTERED,
    UNREGISTERED,
    close_link,
    cut_off,
    keeps_answering,
    mark_unreachable,
    must_wait,
    remove_agent,
    send_away,
)
from tepui.master.core.events import (
    LinkClosed,
    LinkId,
    LinkOpened,
    LinkReceived,
    PingDue,
    RegistrationDue,
)
from tepui.master.core.publish import publish_agent_added
from tepui.master.core.sharing import shared_allocation
from tepui.master.core.state import AbsentAgent, Agent, State
from tepui.master.core.updates import executor_exited, executor_message, status_updated
from tepui.master.core.validation.agent import register_error, reregister_error
from tepui.wire import link, mesos


def link_opened(state: State, event: LinkOpened, now_ms: int, step: Effects) -> None:
    """A connection; who it is it says soon, or it is closed."""
    while len(state.unregistered_links) >= caps.LINKS_MAX:
        oldest = next(iter(state.unregistered_links))
        state.counters.add("refused_by_limits")
        cut_off(state, oldest, f"links: more than {caps.LINKS_MAX} are not registered", step)
    state.unregistered_links[event.link] = state.timers.set(
        now_ms + caps.REGISTRATION_MS, RegistrationDue(event.link)
    )


def registration_due(state: State, event: RegistrationDue, now_ms: int, step: Effects) -> None:
    """Whoever it is, it has said nothing that counts."""
    cut_off(state, event.link, f"not registered within {caps.REGISTRATION_MS} ms", step)


def link_received(state: State, event: LinkReceived, now_ms: int, step: Effects) -> None:
    """An agent sent something; what comes before it has registered closes the link."""
    if event.link in state.closing_links:
        return  # what was under way when it was told to close
    match event.message:
        case link.Hello() as hello:
            _greeted(state, event.link, hello, step)
            return
        case link.Register():
            _register(state, event.link, event.message, now_ms, step)
            return
        case link.Return():
            _reregister(state, event.link, event.message, now_ms, step)
            return
        case link.Reregister():
            _reregister(state, event.link, link.in_short(event.message), now_ms, step)
            return
        case _:
            agent_id = state.agent_by_link.get(event.link)
    if agent_id is None:
        close_link(state, event.link, step)
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
            _ponged(state, agent, message)
        case link.Unregister():
            remove_agent(state, agent, "the agent unregistered", UNREGISTERED, now_ms, step)
        case link.Condition() as message:
            _condition_told(state, agent, message, now_ms, step)


def link_closed(state: State, event: LinkClosed, now_ms: int, step: Effects) -> None:
    """The agent may come back: its tasks stay as they are, its offers are taken back.

    Differs from Mesos: tasks of frameworks without checkpointing are lost only when the agent
    comes back without them or stays away, for a broken connection has not ended them.
    """
    state.closing_links.discard(event.link)
    state.old_links.discard(event.link)
    state.timers.cancel(state.unregistered_links.pop(event.link, None))
    agent_id = state.agent_by_link.pop(event.link, None)
    if agent_id is None:
        return
    agent = state.agents[agent_id]
    agent.link = None
    state.allocator.deactivate_agent(agent.id)
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)
    step.then.append(_note("agent_disconnected", agent))


def ping_due(state: State, event: PingDue, now_ms: int, step: Effects) -> None:
    """Ping the agent; one that has missed too many is marked unreachable.

    While that must wait for the rate limit, pings go on, and an answer calls it off.
    """
    agent = state.agents[event.agent_id]
    if agent.pings_missed >= state.settings.max_agent_ping_timeouts:
        if not agent.is_overdue:
            agent.is_overdue = True
            state.counters.add("slave_unreachable_scheduled")
        if not must_wait(state, now_ms):
            mark_unreachable(state, agent, now_ms, step)
            return
    if now_ms >= agent.next_ping_ms:
        _ping(state, agent, now_ms, step)
    _await_ping(state, agent)


def _ping(state: State, agent: Agent, now_ms: int, step: Effects) -> None:
    agent.next_ping_ms = now_ms + state.settings.agent_ping_timeout_ms
    agent.pings_missed += 1
    agent.ping_sequence += 1
    agent.acknowledged_before |= agent.acknowledged
    agent.acknowledged.clear()
    if agent.link is not None:
        step.then.append(SendToAgent(agent.link, link.Ping(agent.ping_sequence)))


def _greeted(state: State, link_id: LinkId, hello: link.Hello, step: Effects) -> None:
    """Its tasks run on if it speaks no protocol of ours: it may find another master."""
    protocol = link.common_protocol(hello)
    if protocol is None:
        reason = link.no_common_protocol(hello, "agent", "master")
        cut_off(state, link_id, reason, step)
    elif protocol != link.PROTOCOL and link_id not in state.old_links:
        state.old_links.add(link_id)
        fields = (
            ("link", str(link_id)),
            ("protocol", str(protocol)),
            ("version", hello.version[: link.SAID_CHARS_MAX]),
        )
        step.then.append(Note("agent_of_an_older_protocol", fields))


def _condition_told(
    state: State, agent: Agent, message: link.Condition, now_ms: int, step: Effects
) -> None:
    """It is offered if it takes tasks and the operator has not deactivated it."""
    if message.accepts_tasks == agent.accepts_tasks:
        return
    agent.accepts_tasks = message.accepts_tasks
    text = "agent_accepts_tasks" if message.accepts_tasks else "agent_accepts_no_tasks"
    reason = message.reason[: link.SAID_CHARS_MAX]
    step.then.append(Note(text, (("agent", agent.id), ("reason", reason))))
    if agent.active:
        state.allocator.activate_agent(agent.id)
    else:
        state.allocator.deactivate_agent(agent.id)
        for offer in list(agent.offers.values()):
            offers.rescind(state, offer, now_ms, step)


def _register(
    state: State, link_id: LinkId, message: link.Register, now_ms: int, step: Effects
) -> None:
    known = state.agent_by_link.get(link_id)
    if known is not None:  # it asks again, for the answer was slow
        _welcome(state, link_id, known, step)
        return
    error = register_error(message)
    if error is not None:
        cut_off(state, link_id, error, step)
        return
    for other in [a for a in state.agents.values() if a.address == message.address]:
        text = "a new agent registered at the same address"
        remove_agent(state, other, text, REGISTERED, now_ms, step)
    if _exceeds_limits(state, link_id, message, step):
        return
    agent_id = _next_id(state)
    info = replace(message.info, id=mesos.AgentID(agent_id))
    agent = _add(state, link_id, replace(message, info=info), now_ms)
    step.save.append(AgentAdmitted(info))
    state.counters.add("slave_registrations")
    _offer_from_now(state, agent)
    publish_agent_added(state, agent, step)
    _welcome(state, link_id, agent_id, step)


def _reregister(
    state: State, link_id: LinkId, message: link.Return, now_ms: int, step: Effects
) -> None:
    error = reregister_error(state, message)
    if error is not None:
        cut_off(state, link_id, error, step)
        return
    assert message.info.id is not None  # reregister_error
    agent_id = AgentId(message.info.id.value)
    speaker = state.agent_by_link.get(link_id, agent_id)
    if speaker != agent_id:
        cut_off(state, link_id, f"agent '{speaker}' says that it is '{agent_id}'", step)
        return
    if agent_id in state.gone_agents:
        send_away(state, link_id, "Agent has been marked gone", step)
        return
    if _exceeds_limits(state, link_id, message, step):
        return
    state.counters.add("slave_reregistrations")
    known = state.agents.get(agent_id)
    recovered = state.recovered_agents.pop(agent_id, None)
    surprise = None
    if known is None:
        agent = _add(state, link_id, message, now_ms)
        surprise = _was_absent(state, agent, recovered)
    else:
        agent = known
        _relink(state, agent, link_id, now_ms, step)
    registered = known or recovered
    if registered is None or registered.info != message.info:
        step.save.append(AgentAdmitted(message.info, agent.deactivated))
    agent.reregistered_ms = now_ms
    _welcome(state, link_id, agent_id, step)
    adopt(state, agent, message, surprise, now_ms, step)
    if known is not None:
        state.allocator.remove_agent(agent_id)
        _describe(agent, message)
    _offer_from_now(state, agent)
    _repeat_kills(agent, link_id, step)
    if known is None:
        publish_agent_added(state, agent, step)
    step.then.append(_note("agent_reregistered", agent))
    if recovered is not None and not state.recovered_agents:
        step.then.append(Note("agents_all_back"))


def _note(text: str, agent: Agent) -> Note:
    about = (
        ("agent", agent.id),
        ("hostname", agent.info.hostname),
        ("tasks", str(len(agent.tasks))),
    )
    return Note(text, about)


def _was_absent(state: State, agent: Agent, recovered: AbsentAgent | None) -> str | None:
    """What is remembered of it holds again.

    Returns what its frameworks are told of its tasks; None of an agent that was expected, for of
    those nothing was said before (Mesos: master.cpp __reregisterSlave).
    """
    state.removed_agents.pop(agent.id, None)
    if recovered is not None and state.is_recovery_over:
        state.counters.add("slave_unreachable_canceled")
    was_unreachable = state.unreachable_agents.pop(agent.id, None)
    absent = recovered or was_unreachable
    if absent is not None:
        unreachable.discard_all(state, absent)
        agent.acknowledged = absent.acknowledged
        agent.deactivated = absent.deactivated
    if recovered is not None:
        return None
    return adoption.UNKNOWN if was_unreachable is None else adoption.UNREACHABLE


def _exceeds_limits(
    state: State, link_id: LinkId, message: link.Register | link.Return, step: Effects
) -> bool:
    """Whether the agent was cut off because it, or what it runs, is too much."""
    error = caps.register_error(state, message)
    if error is not None:
        state.counters.add("refused_by_limits")
        cut_off(state, link_id, error, step)
    return error is not None


def _next_id(state: State) -> AgentId:
    """An id that no agent has, not even one that brought its own from elsewhere."""
    while True:
        agent_id = AgentId(f"{state.info.id}-S{state.agents_registered}")
        state.agents_registered += 1
        absent = (
            state.recovered_agents,
            state.unreachable_agents,
            state.removed_agents,
            state.gone_agents,
        )
        if agent_id not in state.agents and not any(agent_id in each for each in absent):
            return agent_id


def _relink(state: State, agent: Agent, link_id: LinkId, now_ms: int, step: Effects) -> None:
    """The agent speaks on this connection from now on."""
    if agent.link is not None and agent.link != link_id:
        del state.agent_by_link[agent.link]
        close_link(state, agent.link, step)
    for offer in list(agent.offers.values()):
        offers.rescind(state, offer, now_ms, step)
    agent.link = link_id
    agent.accepts_tasks = True
    keeps_answering(state, agent)
    _expect_no_registration(state, link_id)
    state.agent_by_link[link_id] = agent.id


def _add(state: State, link_id: LinkId, message: link.Register | link.Return, now_ms: int) -> Agent:
    assert message.info.id is not None
    agent = Agent(
        id=AgentId(message.info.id.value),
        info=message.info,
        total=shared_allocation(message.info.resources)[1],
        version=message.version,
        address=message.address,
        url=_url(message),
        registered_ms=now_ms,
        link=link_id,
    )
    state.agents[agent.id] = agent
    _expect_no_registration(state, link_id)
    state.agent_by_link[link_id] = agent.id
    agent.next_ping_ms = now_ms + state.settings.agent_ping_timeout_ms
    _await_ping(state, agent)
    return agent


def _expect_no_registration(state: State, link_id: LinkId) -> None:
    state.timers.cancel(state.unregistered_links.pop(link_id, None))


def _describe(agent: Agent, message: link.Return) -> None:
    """It may have started anew meanwhile, with other flags."""
    agent.info, agent.total = message.info, shared_allocation(message.info.resources)[1]
    agent.version, agent.address, agent.url = message.version, message.address, _url(message)


def _url(message: link.Register | link.Return) -> mesos.URL:
    host, _, port = message.address.rpartition(":")
    return mesos.URL(
        scheme="http",
        address=mesos.Address(hostname=message.info.hostname, ip=host, port=int(port)),
        path="/slave(1)",
    )


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
    step.then.append(SendToAgent(link_id, link.Registered(agent_id, silence_ms, state.epoch)))


def _repeat_kills(agent: Agent, link_id: LinkId, step: Effects) -> None:
    """A KILL may have been lost with the connection before (in Mesos the scheduler repeats it)."""
    for task in agent.tasks.values():
        if task.kill_wanted and not task.terminal:
            kill = link.KillTask(task.framework_id, task.id, task.kill_policy)
            step.then.append(SendToAgent(link_id, kill))


def _ponged(state: State, agent: Agent, message: link.Pong) -> None:
    if message.sequence == agent.ping_sequence:
        keeps_answering(state, agent)
        agent.acknowledged_before.clear()  # they were sent before the ping: the agent has them


def _await_ping(state: State, agent: Agent) -> None:
    due_ms = agent.next_ping_ms
    if agent.is_overdue:
        due_ms = min(due_ms, state.next_removal_ms)
    agent.ping_timer = state.timers.set(due_ms, PingDue(agent.id))
