"""What the master's core takes in, at the edge of each limit: the last that works, the first refused."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.base.names import AgentId, StreamId
from tepui.master.core import caps, offers, throttle
from tepui.master.core.actions import Action, Answer, CloseLink, SendEvent
from tepui.master.core.events import (
    CallReceived,
    LinkClosed,
    LinkId,
    LinkOpened,
    LinkReceived,
    RequestId,
    SubscribeReceived,
)
from tepui.master.core.metrics import snapshot
from tepui.master.core.settings import RateLimit, RateLimits, Settings
from tepui.master.core.step import step
from tepui.wire import link, mesos, scheduler
from tests.master.world import FakeAgent, Scheduler, World, task_info

Call = scheduler.Call
Operation = mesos.Offer.Operation
TaskState = mesos.TaskState

MULTI_ROLE = mesos.FrameworkInfo.Capability(
    type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE,
)


def framework(*roles: str, name: str = "fw") -> mesos.FrameworkInfo:
    return mesos.FrameworkInfo(
        user="root", name=name, roles=roles, capabilities=(MULTI_ROLE,), failover_timeout=60.0
    )


def refusal(
    world: World,
    info: mesos.FrameworkInfo,
    constraints: scheduler.OfferConstraints | None = None,
) -> str | None:
    """The text of the ERROR that the framework gets; None: it is subscribed."""
    stream = StreamId(f"stream-{world.number()}")
    subscribe = Call.Subscribe(framework_info=info, offer_constraints=constraints)
    world.put(SubscribeReceived(stream, Call(type=Call.Type.SUBSCRIBE, subscribe=subscribe)))
    errors = [event.error for event in world.events(stream, scheduler.Event) if event.error]
    assert bool(errors) == (stream in world.ended)
    return errors[0].message if errors else None


def refused_by_limits(world: World) -> float:
    return snapshot(world.state, world.now_ms)["master/refused_by_limits"]


def notes(world: World) -> list[str]:
    """Why links were cut off since the last time."""
    found = [dict(note.fields).get("reason") for note in world.notes]
    world.notes.clear()
    return [reason for reason in found if reason is not None]


# Frameworks


def test_one_framework_too_many_is_refused_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caps, "FRAMEWORKS_MAX", 2)
    world = World()
    assert refusal(world, framework("a")) is None
    assert refusal(world, framework("a")) is None
    text = "frameworks of this master: 3 are more than 2"
    assert refusal(world, framework("a")) == text
    assert len(world.state.frameworks) == 2
    assert len(world.state.framework_by_stream) == 2
    assert refused_by_limits(world) == 1


def test_a_framework_that_has_left_and_has_no_tasks_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caps, "FRAMEWORKS_MAX", 3)
    world = World()
    agent = world.add_agent()
    busy, first, second = (world.subscribe(name=name) for name in ("busy", "first", "second"))
    busy.launch("t1", agent)
    for one in (busy, first, second):
        one.leave()
        world.advance(1)
    assert refusal(world, framework("a")) is None
    assert busy.framework_id in world.state.frameworks
    assert first.framework_id in world.state.completed_frameworks
    assert second.framework_id in world.state.frameworks


def test_a_framework_that_comes_back_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    before = world.subscribe()
    monkeypatch.setattr(caps, "FRAMEWORKS_MAX", 1)
    world.subscribe(framework_id=before.framework_id)
    assert len(world.state.frameworks) == 1


def test_roles_of_a_framework_are_counted_before_anything_else() -> None:
    world = World()
    roles = [f"r{number}" for number in range(caps.ROLES_MAX)]
    assert refusal(world, framework(*roles)) is None
    assert (
        refusal(world, framework(*roles, "one")) == "FrameworkInfo.roles: 1001 are more than 1000"
    )
    assert refusal(world, framework(*["same"] * 1_000_000)) is not None  # and soon


def test_a_role_has_a_length() -> None:
    world = World()
    assert refusal(world, framework("r" * caps.ROLE_BYTES_MAX)) is None
    text = refusal(world, framework("r" * (caps.ROLE_BYTES_MAX + 1)))
    assert text == f"role '{'r' * 64}…': 256 bytes are more than 255"


def test_a_framework_describes_itself_in_so_many_bytes() -> None:
    world = World()
    name_bytes = caps.FRAMEWORK_BYTES_MAX - len(caps._encode(framework("a", name="")))
    fits = framework("a", name="x" * (name_bytes - 4))  # the length of a long text takes 4 more
    assert len(caps._encode(fits)) == caps.FRAMEWORK_BYTES_MAX
    assert refusal(world, fits) is None
    text = refusal(world, structs.replace(fits, name=fits.name + "x"))
    assert text == "FrameworkInfo: 262145 bytes are more than 262144"


def test_frameworks_in_roles_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "CLIENTS_MAX", 3)
    world = World()
    assert refusal(world, framework("a", "b")) is None
    assert refusal(world, framework("a")) is None
    assert refusal(world, framework("a")) == "frameworks in roles of this master: 4 are more than 3"


def constraints(count: int) -> scheduler.OfferConstraints:
    one = scheduler.AttributeConstraint(
        selector=scheduler.AttributeConstraint.Selector(attribute_name="rack"),
        predicate=scheduler.AttributeConstraint.Predicate(
            exists=scheduler.AttributeConstraint.Predicate.Exists()
        ),
    )
    of_role = scheduler.OfferConstraints.RoleConstraints
    group = of_role.Group(attribute_constraints=(one,) * count)
    return scheduler.OfferConstraints(role_constraints={"a": of_role(groups=(group,))})


def test_offer_constraints_are_counted() -> None:
    world = World()
    assert refusal(world, framework("a"), constraints(caps.CONSTRAINTS_MAX)) is None
    text = refusal(world, framework("a"), constraints(caps.CONSTRAINTS_MAX + 1))
    assert text == "OfferConstraints: 1001 are more than 1000"


def test_a_framework_grows_no_further_by_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "ROLES_MAX", 2)
    world = World()
    known = world.subscribe(roles=("a",))

    def update(*roles: str) -> Action:
        info = structs.replace(framework(*roles), id=mesos.FrameworkID(known.framework_id))
        return known.call(
            Call.Type.UPDATE_FRAMEWORK, update_framework=Call.UpdateFramework(framework_info=info)
        )

    answer = update("a", "b")
    assert isinstance(answer, Answer)
    assert answer.status == 200
    answer = update("a", "b", "c")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.text) == (400, "FrameworkInfo.roles: 3 are more than 2")
    assert known.framework.roles == ("a", "b")


# Calls


def answer_of(caller: Scheduler, call: Call) -> tuple[int, str]:
    assert call.type is not None
    part = call.type.lower()
    answer = caller.call(call.type, **{part: getattr(call, part)})
    assert isinstance(answer, Answer)
    return answer.status, answer.text


def many_offers(count: int) -> tuple[mesos.OfferID, ...]:
    return tuple(mesos.OfferID(f"o{number}") for number in range(count))


def launch(*infos: mesos.TaskInfo) -> Operation:
    return Operation(type=Operation.Type.LAUNCH, launch=Operation.Launch(task_infos=infos))


def tasks_of(count: int) -> tuple[mesos.TaskInfo, ...]:
    return (task_info("t", AgentId("a"), "cpus:0.1", None),) * count


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ("OFFERS_PER_CALL_MAX", "Accept.offer_ids"),
        ("OPERATIONS_PER_CALL_MAX", "Accept.operations"),
        ("TASKS_PER_CALL_MAX", "tasks of an Accept"),
        ("OFFERS_PER_CALL_MAX", "Decline.offer_ids"),
        ("RECONCILED_PER_CALL_MAX", "Reconcile.tasks"),
        ("RECONCILED_PER_CALL_MAX", "ReconcileOperations.operations"),
    ],
)
def test_a_call_names_so_much_and_no_more(
    monkeypatch: pytest.MonkeyPatch, limit: str, what: str
) -> None:
    monkeypatch.setattr(caps, limit, 3)
    world = World()
    caller = world.subscribe()

    def naming(count: int) -> Call:
        match what:
            case "Accept.offer_ids":
                accept = Call.Accept(offer_ids=many_offers(count))
            case "Accept.operations":
                accept = Call.Accept(offer_ids=many_offers(1), operations=(launch(),) * count)
            case "tasks of an Accept":
                halves = launch(*tasks_of(count - 1)), launch(*tasks_of(1))
                accept = Call.Accept(offer_ids=many_offers(1), operations=halves)
            case "Decline.offer_ids":
                decline = Call.Decline(offer_ids=many_offers(count))
                return Call(type=Call.Type.DECLINE, decline=decline)
            case "Reconcile.tasks":
                one = Call.Reconcile.Task(task_id=mesos.TaskID("t"))
                return Call(
                    type=Call.Type.RECONCILE, reconcile=Call.Reconcile(tasks=(one,) * count)
                )
            case _:
                operation = Call.ReconcileOperations.Operation(operation_id=mesos.OperationID("o"))
                operations = Call.ReconcileOperations(operations=(operation,) * count)
                return Call(type=Call.Type.RECONCILE_OPERATIONS, reconcile_operations=operations)
        return Call(type=Call.Type.ACCEPT, accept=accept)

    assert answer_of(caller, naming(3))[0] == 202
    caller.events()
    assert answer_of(caller, naming(4)) == (400, f"{what}: 4 are more than 3")
    assert caller.events() == []  # nothing of it was done
    assert refused_by_limits(world) == 1


# Tasks


def launched(caller: Scheduler, agent: FakeAgent, info: mesos.TaskInfo) -> str | None:
    """Why the task was refused; None: it was not."""
    caller.events()
    caller.accept(caller.offer_of(agent, None), launch(info))
    errors = [one.message for one in caller.updates() if one.state is TaskState.TASK_ERROR]
    return errors[0] if errors else None


@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ("TASKS_PER_FRAMEWORK_MAX", "tasks of the framework"),
        ("TASKS_PER_AGENT_MAX", "tasks on the agent"),
    ],
)
def test_one_task_too_many_is_an_error(
    monkeypatch: pytest.MonkeyPatch, limit: str, what: str
) -> None:
    monkeypatch.setattr(caps, limit, 2)
    world = World()
    agent = world.add_agent()
    caller = world.subscribe()
    for name in ("t1", "t2"):
        assert launched(caller, agent, task_info(name, agent.id, "cpus:0.1;mem:32", None)) is None
    third = task_info("t3", agent.id, "cpus:0.1;mem:32", None)
    assert launched(caller, agent, third) == f"{what}: 3 are more than 2"
    agent.update(caller, "t1", TaskState.TASK_FINISHED)
    assert launched(caller, agent, third) is None
    assert refused_by_limits(world) == 1


def test_a_task_describes_itself_in_so_many_bytes() -> None:
    world = World()
    agent = world.add_agent()
    caller = world.subscribe()
    small = task_info("t1", agent.id, "cpus:0.1;mem:32", None)
    data_bytes = caps.TASK_BYTES_MAX - len(caps._encode(structs.replace(small, data=b"")))
    fits = structs.replace(small, data=bytes(data_bytes - 3))
    assert len(caps._encode(fits)) == caps.TASK_BYTES_MAX
    assert launched(caller, agent, fits) is None
    large = structs.replace(fits, task_id=mesos.TaskID("t22"))
    assert launched(caller, agent, large) == "TaskInfo: 4194305 bytes are more than 4194304"


def test_a_task_has_so_many_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "RESOURCES_PER_TASK_MAX", 2)
    world = World()
    agent = world.add_agent()
    caller = world.subscribe()
    two = task_info("t1", agent.id, "cpus:0.1;mem:32", None)
    assert launched(caller, agent, two) is None
    three = task_info("t2", agent.id, "cpus:0.1;mem:32;disk:1", None)
    assert launched(caller, agent, three) == "TaskInfo.resources: 3 are more than 2"


# Turns


def limited(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> tuple[World, Scheduler]:
    """A framework of which one call a second is made at once."""
    monkeypatch.setattr(throttle, limit, value)
    rates = RateLimits(limits=(RateLimit(principal="p", qps=1),))
    world = World(settings=Settings(rate_limits=rates))
    info = structs.replace(framework("a"), principal="p")
    return world, world.subscribe(info=info)


def call_later(world: World, caller: Scheduler, data: bytes = b"") -> int | None:
    """The status that a call is answered at once; None: it waits."""
    request = RequestId(world.number())
    message = Call.Message(
        agent_id=mesos.AgentID("a"), executor_id=mesos.ExecutorID("e"), data=data
    )
    call = Call(
        type=Call.Type.MESSAGE,
        framework_id=mesos.FrameworkID(caller.framework_id),
        message=message,
    )
    world.put(CallReceived(request, call, caller.stream, "p"))
    answer = world.answers.get(request)
    return answer.status if isinstance(answer, Answer) else None


def test_calls_that_wait_for_their_rate_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world, caller = limited(monkeypatch, "WAITING_MAX", 2)
    assert [call_later(world, caller) for _ in range(4)] == [202, None, None, 429]
    world.advance(1_000)
    assert [call_later(world, caller) for _ in range(2)] == [None, 429]


def test_calls_that_wait_for_their_rate_have_so_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, caller = limited(monkeypatch, "WAITING_BYTES_MAX", 2_500)
    data = bytes(1_000)
    assert [call_later(world, caller, data) for _ in range(4)] == [202, None, None, 429]
    world.advance(1_000)
    assert call_later(world, caller, data) is None
    world.advance(10_000)
    assert world.state.throttled["p"].waiting_bytes == 0
    assert call_later(world, caller) == 202
    assert call_later(world, caller, bytes(5_000)) is None  # one alone may be larger


def test_so_many_agents_are_offered_in_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offers, "ALLOCATE_AGENTS_MAX", 2)
    world = World()
    for _ in range(3):
        world.add_agent()
    info = Call.Subscribe(framework_info=framework("a"))
    event = SubscribeReceived(StreamId("s"), Call(type=Call.Type.SUBSCRIBE, subscribe=info))
    made: list[int] = []
    effects = step(world.state, [event], world.now_ms)
    while len(made) < 3:
        made.append(
            sum(
                len(one.event.offers.offers)
                for one in effects.then
                if isinstance(one, SendEvent)
                and isinstance(one.event, scheduler.Event)
                and one.event.offers is not None
            )
        )
        effects = step(world.state, [], world.now_ms)
    assert sorted(made) == [0, 1, 2]


# Agents


def test_one_agent_too_many_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "AGENTS_MAX", 2)
    world = World()
    first = world.add_agent()
    world.add_agent()
    third = LinkId(world.number())
    info = structs.replace(world.state.agents[first.id].info, id=None)
    world.put(LinkReceived(third, link.Register(info, "1.0.0", "127.0.0.1:1")))
    assert notes(world) == ["agents of this master: 3 are more than 2"]
    first.disconnect()
    first.reregister()  # one that is known is no more than before
    assert first.link in world.state.agent_by_link
    assert refused_by_limits(world) == 1


def test_an_agent_describes_itself_in_so_many_bytes() -> None:
    world = World()
    agent = world.add_agent()
    info = structs.replace(world.state.agents[agent.id].info, hostname="")
    hostname_bytes = caps.AGENT_BYTES_MAX - len(caps._encode(info)) - 4
    fits = structs.replace(info, hostname="h" * hostname_bytes)
    assert len(caps._encode(fits)) == caps.AGENT_BYTES_MAX
    agent.disconnect()
    agent.reregister(info=fits)
    assert notes(world) == []
    agent.disconnect()
    agent.reregister(info=structs.replace(fits, hostname=fits.hostname + "h"))
    assert notes(world) == ["AgentInfo: 1048577 bytes are more than 1048576"]


def reported(agent: FakeAgent, owner: str, *task_ids: str) -> tuple[mesos.Task, ...]:
    return tuple(
        mesos.Task(
            name=task_id,
            task_id=mesos.TaskID(task_id),
            framework_id=mesos.FrameworkID(owner),
            agent_id=mesos.AgentID(agent.id),
            state=TaskState.TASK_RUNNING,
        )
        for task_id in task_ids
    )


def test_an_agent_brings_so_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "TASKS_PER_AGENT_MAX", 2)
    world = World()
    agent = world.add_agent()
    info = structs.replace(framework("a"), id=mesos.FrameworkID("F"))
    agent.disconnect()
    agent.reregister(*reported(agent, "F", "t1", "t2"), frameworks=[info])
    assert notes(world) == []
    agent.disconnect()
    agent.reregister(*reported(agent, "F", "t1", "t2", "t3"), frameworks=[info])
    assert notes(world) == ["tasks on the agent: 3 are more than 2"]


def test_an_agent_brings_so_many_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "FRAMEWORKS_MAX", 2)
    world = World()
    agent = world.add_agent()
    infos = [
        structs.replace(framework("a"), id=mesos.FrameworkID(f"F{number}")) for number in range(3)
    ]
    agent.disconnect()
    agent.reregister(frameworks=infos[:2])
    assert notes(world) == []
    agent.disconnect()
    agent.reregister(frameworks=infos)
    assert notes(world) == ["frameworks of this master: 3 are more than 2"]


# Links


def test_a_link_that_does_not_register_is_closed_in_time() -> None:
    world = World()
    silent, polite = LinkId(1_001), LinkId(1_002)
    world.put(LinkOpened(silent, "10.0.0.1"), LinkOpened(polite, "10.0.0.2"))
    world.put(LinkReceived(polite, link.Hello(link.PROTOCOL, "1")))
    assert world.advance(caps.REGISTRATION_MS - 1).then == []
    done = world.advance(1).then
    closed = [action.link for action in done if isinstance(action, CloseLink)]
    assert closed == [silent, polite]
    assert notes(world) == [f"not registered within {caps.REGISTRATION_MS} ms"] * 2
    world.put(LinkClosed(silent), LinkClosed(polite))
    assert not world.state.unregistered_links


def test_a_link_that_has_registered_or_closed_has_no_deadline() -> None:
    world = World()
    world.put(LinkOpened(LinkId(1), "10.0.0.1"))
    world.add_agent()  # over link 1
    world.put(LinkOpened(LinkId(7), "10.0.0.1"), LinkClosed(LinkId(7)))
    world.advance(caps.REGISTRATION_MS)
    assert notes(world) == []


def test_of_too_many_unregistered_links_the_oldest_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caps, "LINKS_MAX", 2)
    world = World()
    agent = world.add_agent()
    links = [LinkId(number) for number in (101, 102, 103)]
    world.put(*(LinkOpened(one, "10.0.0.1") for one in links[:2]))
    assert notes(world) == []
    world.put(LinkOpened(links[2], "10.0.0.1"))
    assert notes(world) == ["links: more than 2 are not registered"]
    assert list(world.state.unregistered_links) == links[1:]
    assert world.state.closing_links == {links[0]}
    assert agent.link in world.state.agent_by_link


# What is remembered


def test_completed_frameworks_and_removed_agents_are_remembered_up_to_a_count() -> None:
    world = World(settings=Settings(max_completed_frameworks=2, max_removed_agents=2))
    gone = [world.subscribe(name=name) for name in "abc"]
    agents = [world.add_agent() for _ in range(3)]
    for one in gone:
        one.call(Call.Type.TEARDOWN)
    for agent in agents:
        agent.say(link.Unregister())
    assert list(world.state.completed_frameworks) == [one.framework_id for one in gone[1:]]
    assert list(world.state.removed_agents) == [agent.id for agent in agents[1:]]


def test_unreachable_and_gone_agents_are_remembered_up_to_a_count() -> None:
    world = World(settings=Settings(registry_max_agent_count=2, max_agent_ping_timeouts=1))
    agents = [world.add_agent() for _ in range(3)]
    for agent in agents:
        agent.disconnect()
    world.advance(60_000)
    assert list(world.state.unreachable_agents) == [agent.id for agent in agents[1:]]


def test_tasks_that_ended_or_got_out_of_sight_are_remembered_up_to_a_count() -> None:
    settings = Settings(
        max_completed_tasks_per_framework=2,
        max_unreachable_tasks_per_framework=2,
        max_agent_ping_timeouts=1,
    )
    world = World(settings=settings)
    agent = world.add_agent()
    owner = world.subscribe(failover_s=1_000)
    for number in range(6):
        owner.launch(f"t{number}", agent)
    for number in range(3):
        agent.update(owner, f"t{number}", TaskState.TASK_FINISHED)
    assert [task.id for task in owner.framework.completed_tasks] == ["t1", "t2"]
    agent.disconnect()
    world.advance(60_000)
    assert list(owner.framework.unreachable_tasks) == ["t4", "t5"]
