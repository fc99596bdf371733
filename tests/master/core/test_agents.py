"""Agents register, are pinged, fall silent, come back, leave, and are not believed everything."""

from __future__ import annotations

from math import nan

import pytest
from msgspec.structs import replace

from tepui.base.names import AgentId
from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    CloseLink,
    Note,
    SendToAgent,
)
from tepui.master.core.events import LinkClosed, LinkId, LinkReceived
from tepui.master.core.settings import Settings
from tepui.wire import link, master, mesos, scheduler
from tests.master.world import START_MS, FakeAgent, Scheduler, TaskState, World, wire_resources

Reason = mesos.TaskStatus.Reason
NEW = LinkId(900)
ADDRESS = "127.0.0.1:5051"
INFO = mesos.AgentInfo(hostname="h", resources=wire_resources("cpus:1;mem:64"))


def failures(owner: Scheduler) -> list[scheduler.Event.Failure]:
    return [event.failure for event in owner.events() if event.failure is not None]


def with_task(
    settings: Settings | None = None, capabilities: tuple[str, ...] = ("MULTI_ROLE",)
) -> tuple[World, FakeAgent, Scheduler]:
    """A task `t1` that runs."""
    world = World(settings=settings)
    agent, owner = world.add_agent(), world.subscribe(capabilities=capabilities, failover_s=1e6)
    owner.launch("t1", agent)
    agent.update(owner, "t1", TaskState.TASK_RUNNING)
    owner.events()
    agent.told()
    return world, agent, owner


# Registration


def test_an_agent_that_registers_is_saved_and_told_its_id() -> None:
    world = World()
    effects = world.put(LinkReceived(NEW, link.Register(INFO, "1.0.0", ADDRESS)))
    agent_id = f"{world.state.info.id}-S0"
    assert effects.save == [AgentAdmitted(replace(INFO, id=mesos.AgentID(agent_id)))]
    assert effects.then == [SendToAgent(NEW, link.Registered(agent_id, 75_000))]


def test_an_agent_that_registers_twice_on_a_link_is_told_the_same() -> None:
    world = World()
    register = LinkReceived(NEW, link.Register(INFO, "1.0.0", ADDRESS))
    world.put(register)
    effects = world.put(register)
    assert effects.then == [SendToAgent(NEW, link.Registered(f"{world.state.info.id}-S0", 75_000))]
    assert effects.save == []


def test_a_new_agent_at_an_address_replaces_the_one_that_was_there() -> None:
    world, agent, owner = with_task(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    address = world.state.agents[agent.id].address
    effects = world.put(LinkReceived(NEW, link.Register(INFO, "1.0.0", address)))
    assert effects.save[0] == AgentRemoved(agent.id)
    assert CloseLink(agent.link) in effects.then
    events = owner.events()
    (status,) = [event.update.status for event in events if event.update is not None]
    assert (status.state, status.reason, status.message) == (
        TaskState.TASK_LOST,
        Reason.REASON_AGENT_REMOVED,
        "Agent 127.0.0.1 removed: a new agent registered at the same address",
    )
    assert any(event.failure is not None for event in events)
    assert list(world.state.agents) == [f"{world.state.info.id}-S1"]


def test_an_id_that_an_agent_brought_is_not_given_to_another() -> None:
    world = World()
    brought = replace(INFO, id=mesos.AgentID(f"{world.state.info.id}-S0"))
    message = link.Reregister(brought, "1.0.0", ADDRESS, frameworks=(), executors=(), tasks=())
    world.put(LinkReceived(NEW, message))
    assert world.add_agent().id == f"{world.state.info.id}-S1"


@pytest.mark.parametrize(
    ("info", "address", "reason"),
    [
        (INFO, "", "address '' is not host:port"),
        (INFO, "host", "address 'host' is not host:port"),
        (INFO, ":5051", "address ':5051' is not host:port"),
        (INFO, "host:", "address 'host:' is not host:port"),
        (INFO, "host:0", "address 'host:0' is not host:port"),
        (INFO, "host:65536", "address 'host:65536' is not host:port"),
        (INFO, "host:²", "address 'host:²' is not host:port"),
        (
            replace(INFO, resources=(replace(INFO.resources[0], scalar=mesos.Value.Scalar(nan)),)),
            ADDRESS,
            "Resource 'cpus:-9.22337203685478e+15' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            replace(INFO, attributes=(mesos.Attribute(name="rack", type=mesos.Value.Type.SCALAR),)),
            ADDRESS,
            "attribute 'rack': expected one value, of type SCALAR",
        ),
        (
            replace(
                INFO,
                attributes=(
                    mesos.Attribute(
                        name="load",
                        type=mesos.Value.Type.SCALAR,
                        scalar=mesos.Value.Scalar(nan),
                    ),
                ),
            ),
            ADDRESS,
            "attribute 'load': nan is not a number",
        ),
    ],
)
def test_an_agent_that_can_not_be_true_is_cut_off(
    info: mesos.AgentInfo, address: str, reason: str
) -> None:
    world = World()
    effects = world.put(LinkReceived(NEW, link.Register(info, "1.0.0", address)))
    assert effects.save == []
    assert effects.then == [
        Note("agent_cut_off", (("link", str(NEW)), ("reason", reason))),
        CloseLink(NEW),
    ]
    assert not world.state.agents


def test_an_agent_of_a_newer_protocol_only_is_cut_off_and_not_heard_any_more() -> None:
    world = World()
    effects = world.put(
        LinkReceived(NEW, link.Hello(98, "9.9", 99)),
        LinkReceived(NEW, link.Register(INFO, "9.9", ADDRESS)),
    )
    reason = link.no_common_protocol(link.Hello(98, "9.9", 99), "agent", "master")
    assert effects.then == [
        Note("agent_cut_off", (("link", str(NEW)), ("reason", reason))),
        CloseLink(NEW),
    ]
    assert not world.state.agents
    world.put(LinkClosed(NEW))
    assert not world.state.closing_links


def test_an_agent_of_the_protocol_before_is_heard_and_noted() -> None:
    world = World()
    assert world.put(LinkReceived(NEW, link.Hello(1, "0.1.0"))).then == [
        Note(
            "agent_of_an_older_protocol",
            (("link", str(NEW)), ("protocol", "1"), ("version", "0.1.0")),
        )
    ]
    assert world.put(LinkReceived(NEW, link.Hello(1, "0.1.0"))).then == []  # a log is not for that
    world.put(LinkReceived(NEW, link.Register(INFO, "0.1.0", ADDRESS)))
    assert len(world.state.agents) == 1
    world.put(LinkClosed(NEW))
    assert not world.state.old_links


@pytest.mark.parametrize(
    "message",
    [
        link.Pong(1),
        link.Unregister(),
        link.ExecutorExited("f", "e", 0, False),
        link.ExecutorMessage("f", "e", b""),
    ],
)
def test_what_an_agent_says_before_it_registers_closes_its_link(message: link.FromAgent) -> None:
    world = World()
    assert world.put(LinkReceived(NEW, message)).then == [CloseLink(NEW)]
    assert world.put(LinkReceived(NEW, message)).then == []  # it is closing already


# Silence


def test_an_agent_is_pinged_in_intervals_and_stays_while_it_answers() -> None:
    world, agent, _ = with_task()
    for sequence in range(1, 9):
        world.advance(15_000)
        assert agent.told() == [link.Ping(sequence)]
        agent.say(link.Pong(sequence))
    assert world.state.agents[agent.id].pings_missed == 0


def test_an_old_pong_does_not_count() -> None:
    world, agent, _ = with_task()
    world.advance(30_000)
    agent.say(link.Pong(1))
    assert world.state.agents[agent.id].pings_missed == 2


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [
        (("MULTI_ROLE",), TaskState.TASK_LOST),
        (("MULTI_ROLE", "PARTITION_AWARE"), TaskState.TASK_UNREACHABLE),
    ],
)
def test_a_silent_agent_is_marked_unreachable_once(
    capabilities: tuple[str, ...], state: TaskState
) -> None:
    world, agent, owner = with_task(capabilities=capabilities)
    info = world.state.agents[agent.id].info
    effects = world.advance(89_999)
    assert effects.save == []
    effects = world.advance(1)
    now_ms = START_MS + 90_000
    assert effects.save == [AgentUnreachable(info, now_ms)]
    assert CloseLink(agent.link) in effects.then
    events = owner.events()
    assert [event.update.status for event in events if event.update is not None] == [
        mesos.TaskStatus(
            task_id=mesos.TaskID("t1"),
            state=state,
            message="health check timed out",
            source=mesos.TaskStatus.Source.SOURCE_MASTER,
            reason=Reason.REASON_AGENT_REMOVED,
            agent_id=mesos.AgentID(agent.id),
            timestamp=now_ms / 1000,
            unreachable_time=mesos.TimeInfo(nanoseconds=now_ms * 1_000_000),
        )
    ]
    assert [event.failure for event in events if event.failure is not None] == [
        scheduler.Event.Failure(agent_id=mesos.AgentID(agent.id))
    ]
    assert world.advance(600_000).save == []
    assert not world.state.agents


def test_operators_hear_that_a_task_is_out_of_sight() -> None:
    world, _, _ = with_task()
    stream = world.watch()
    world.advance(90_000)
    events = world.events(stream, master.Event)
    states = [event.task_updated.state for event in events if event.task_updated is not None]
    assert states == [TaskState.TASK_LOST]


def test_what_is_said_on_the_link_of_an_unreachable_agent_is_not_heard() -> None:
    world, agent, _ = with_task()
    world.advance(90_000)
    assert agent.say(link.Unregister()).then == []
    assert agent.id in world.state.unreachable_agents


def test_unreachable_and_gone_agents_are_remembered_up_to_a_limit() -> None:
    world = World(settings=Settings(registry_max_agent_count=2))
    agents = [world.add_agent() for _ in range(4)]
    effects = world.advance(90_000)
    assert list(world.state.unreachable_agents) == [agents[2].id, agents[3].id]
    forgotten = [record for record in effects.save if isinstance(record, AgentRemoved)]
    assert forgotten == [AgentRemoved(agents[0].id), AgentRemoved(agents[1].id)]


def test_tasks_out_of_sight_are_remembered_up_to_a_limit() -> None:
    world = World(settings=Settings(max_unreachable_tasks_per_framework=1))
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch("t1", agent)
    owner.launch("t2", agent)
    world.advance(90_000)
    assert list(owner.framework.unreachable_tasks) == ["t2"]


# Departure


def test_an_agent_that_unregisters_takes_its_tasks_along() -> None:
    world, agent, owner = with_task(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    effects = agent.say(link.Unregister())
    assert effects.save == [AgentRemoved(agent.id)]
    events = owner.events()
    assert [
        (event.update.status.state, event.update.status.message)
        for event in events
        if event.update is not None
    ] == [(TaskState.TASK_LOST, "Agent 127.0.0.1 removed: the agent unregistered")]
    assert not world.state.agents
    assert not owner.framework.tasks


def test_an_agent_that_was_removed_is_taken_in_again_as_nobody_expected_it() -> None:
    world, agent, owner = with_task()
    info = world.state.agents[agent.id].info
    agent.say(link.Unregister())
    owner.events()
    message = link.Reregister(
        info, "1.0.0", ADDRESS, (owner.framework.info,), (), (_reported(owner, agent),)
    )
    effects = world.put(LinkReceived(NEW, message))
    assert effects.save == [AgentAdmitted(info)]
    (status,) = owner.updates()
    assert (status.state, status.reason, status.message) == (
        TaskState.TASK_RUNNING,
        Reason.REASON_AGENT_REREGISTERED,
        "Unknown agent reregistered",
    )


def mark_gone(world: World, agent_id: str) -> None:
    call = master.Call.MarkAgentGone(agent_id=mesos.AgentID(agent_id))
    world.call(master.Call(type=master.Call.Type.MARK_AGENT_GONE, mark_agent_gone=call))


def test_an_agent_that_is_marked_gone_is_told_before_its_link_is_closed() -> None:
    world, agent, owner = with_task(capabilities=("MULTI_ROLE", "PARTITION_AWARE"))
    info = world.state.agents[agent.id].info
    mark_gone(world, agent.id)
    assert agent.told() == [link.Shutdown("Agent has been marked gone")]
    assert agent.link in world.state.closing_links
    assert world.saved[-1] == AgentGone(info, START_MS)
    assert [one.state for one in owner.updates()] == [TaskState.TASK_GONE_BY_OPERATOR]
    message = link.Reregister(info, "1.0.0", ADDRESS, frameworks=(), executors=(), tasks=())
    effects = world.put(LinkReceived(NEW, message))
    assert SendToAgent(NEW, link.Shutdown("Agent has been marked gone")) in effects.then
    assert not world.state.agents


@pytest.mark.parametrize(
    ("capabilities", "state", "reason"),
    [
        (("MULTI_ROLE",), TaskState.TASK_LOST, Reason.REASON_AGENT_REMOVED),
        (
            ("MULTI_ROLE", "PARTITION_AWARE"),
            TaskState.TASK_GONE_BY_OPERATOR,
            Reason.REASON_AGENT_REMOVED_BY_OPERATOR,
        ),
    ],
)
def test_the_reason_of_a_task_on_a_gone_agent_is_one_that_its_framework_knows(
    capabilities: tuple[str, ...], state: TaskState, reason: Reason
) -> None:
    world, agent, owner = with_task(capabilities=capabilities)
    mark_gone(world, agent.id)
    assert [(one.state, one.reason) for one in owner.updates()] == [(state, reason)]


def test_the_tasks_of_an_unreachable_agent_that_is_marked_gone_are_bounded_history() -> None:
    world, agent, owner = with_task(Settings(max_completed_tasks_per_framework=1))
    owner.launch("t2", agent)
    world.advance(90_000)
    mark_gone(world, agent.id)
    assert not owner.framework.unreachable_tasks
    assert [task.id for task in owner.framework.completed_tasks] == ["t2"]


# Links


def test_a_broken_link_leaves_the_tasks_alone() -> None:
    world, agent, owner = with_task()
    agent.disconnect()
    assert list(owner.framework.tasks) == ["t1"]
    assert owner.updates() == []
    assert failures(owner) == []
    assert not world.state.agent_by_link


def test_a_second_link_replaces_the_first_whose_end_then_changes_nothing() -> None:
    world, agent, owner = with_task()
    first = agent.link
    effects = agent.reregister(_reported(owner, agent), frameworks=[owner.framework.info])
    assert CloseLink(first) in effects.then
    assert world.put(LinkClosed(first)).then == []
    assert world.state.agents[agent.id].link == agent.link
    assert list(owner.framework.tasks) == ["t1"]


def test_an_agent_can_not_speak_for_another_on_its_link() -> None:
    world, agent, _ = with_task()
    other = world.add_agent()
    effects = agent.reregister(on=other.link)
    assert effects.then[-1] == CloseLink(other.link)
    assert world.state.agent_by_link == {
        LinkId(1): agent.id,
        other.link: other.id,
    }
    world.put(LinkClosed(other.link))
    assert not world.state.agents[AgentId(other.id)].connected


def _reported(owner: Scheduler, agent: FakeAgent) -> mesos.Task:
    return mesos.Task(
        name="t1",
        task_id=mesos.TaskID("t1"),
        framework_id=mesos.FrameworkID(owner.framework_id),
        agent_id=mesos.AgentID(agent.id),
        state=TaskState.TASK_RUNNING,
    )
