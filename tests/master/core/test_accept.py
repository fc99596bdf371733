"""ACCEPT: what becomes of tasks, executors and what is left of the offers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tepui.base.names import AgentId, ExecutorId, TaskId
from tepui.master.core.accept import _budget, _launch_group
from tepui.master.core.actions import Effects, SendEvent
from tepui.resources import parse_resources
from tepui.wire import link, mesos, scheduler
from tests.master.world import FakeAgent, Scheduler, TaskState, World, task_info, wire_resources

Call = scheduler.Call
Operation = mesos.Offer.Operation
Reason = mesos.TaskStatus.Reason
SMALL = "cpus:0.1;mem:32"


def launch(*infos: mesos.TaskInfo, operation_id: str | None = None) -> mesos.Offer.Operation:
    return Operation(
        type=Operation.Type.LAUNCH,
        id=None if operation_id is None else mesos.OperationID(operation_id),
        launch=Operation.Launch(task_infos=infos),
    )


def accept(
    owner: Scheduler,
    offer_ids: Sequence[str],
    *operations: mesos.Offer.Operation,
    refuse_s: float = 0.0,
) -> list[scheduler.Event]:
    """What the scheduler hears at once."""
    owner.events()
    owner.call(
        Call.Type.ACCEPT,
        accept=Call.Accept(
            offer_ids=tuple(mesos.OfferID(offer_id) for offer_id in offer_ids),
            operations=operations,
            filters=mesos.Filters(refuse_seconds=refuse_s),
        ),
    )
    return owner.events()


def statuses(events: Sequence[scheduler.Event]) -> list[mesos.TaskStatus]:
    return [event.update.status for event in events if event.update is not None]


def task(task_id: str, agent: FakeAgent, resources: str = SMALL) -> mesos.TaskInfo:
    return task_info(task_id, agent.id, resources, None)


def custom(task_id: str, agent: FakeAgent, owner: Scheduler) -> mesos.TaskInfo:
    """A task of the executor `e`, which needs as much as the task."""
    executor = mesos.ExecutorInfo(
        type=mesos.ExecutorInfo.Type.CUSTOM,
        executor_id=mesos.ExecutorID("e"),
        framework_id=mesos.FrameworkID(owner.framework_id),
        command=mesos.CommandInfo(value="run"),
        resources=wire_resources(SMALL),
    )
    return replace(task(task_id, agent), command=None, executor=executor)


# Offers that are not valid together


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [
        (("MULTI_ROLE",), TaskState.TASK_LOST),
        (("MULTI_ROLE", "PARTITION_AWARE"), TaskState.TASK_DROPPED),
    ],
)
def test_tasks_on_an_offer_that_is_gone_are_lost_or_dropped(
    capabilities: tuple[str, ...], state: TaskState
) -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe(capabilities=capabilities)
    (status,) = statuses(accept(owner, ["gone"], launch(task("t1", agent))))
    assert status == mesos.TaskStatus(
        task_id=mesos.TaskID("t1"),
        state=state,
        message="Task launched with invalid offers: Offer gone is no longer valid",
        source=mesos.TaskStatus.Source.SOURCE_MASTER,
        reason=Reason.REASON_INVALID_OFFERS,
        agent_id=mesos.AgentID(agent.id),
        timestamp=world.now_ms / 1000,
    )


def invalid(owner: Scheduler, offer_ids: Sequence[str], agent: FakeAgent) -> str:
    """Why the offers are refused; the framework's own are free again."""
    (status,) = statuses(accept(owner, offer_ids, launch(task("t1", agent))))
    assert status.message is not None
    prefix = "Task launched with invalid offers: "
    assert status.message.startswith(prefix)
    assert not set(offer_ids) & set(owner.framework.offers)
    return status.message.removeprefix(prefix)


def test_no_offers_are_refused() -> None:
    world = World()
    assert invalid(world.subscribe(), [], world.add_agent()) == "No offers specified"


def test_an_offer_named_twice_is_refused() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    offer_id = owner.offer_of(agent, None)
    text = f"Duplicate offer {offer_id} in offer list"
    assert invalid(owner, [offer_id, offer_id], agent) == text


def test_another_frameworks_offer_is_refused_and_stays_with_its_owner() -> None:
    world = World()
    agent, owner, thief = world.add_agent(), world.subscribe(), world.subscribe()
    offer_id = owner.offer_of(agent, None)
    assert invalid(thief, [offer_id], agent) == (
        f"Offer {offer_id} has invalid framework {owner.framework_id}"
        f" while framework {thief.framework_id} is expected"
    )
    assert owner.offer_of(agent, None) == offer_id


def test_offers_of_two_agents_are_refused_together() -> None:
    world = World()
    first, second, owner = world.add_agent(), world.add_agent(), world.subscribe()
    ids = [owner.offer_of(first, None), owner.offer_of(second, None)]
    assert invalid(owner, ids, first) == (
        "Aggregated offers must belong to one single agent."
        f" Offer {ids[1]} uses agent {second.id} and agent {first.id}"
    )


def test_offers_of_two_roles_are_refused_together() -> None:
    world = World()
    agent = world.add_agent(resources="cpus(a):1;mem(a):64;cpus(b):1;mem(b):64")
    owner = world.subscribe(roles=("a", "b"), capabilities=("MULTI_ROLE", "RESERVATION_REFINEMENT"))
    ids = [owner.offer_of(agent, "a"), owner.offer_of(agent, "b")]
    assert invalid(owner, ids, agent) == (
        "Aggregated offers must be allocated to the same role."
        f" Offer {ids[1]} uses role 'b but another is using role 'a"
    )


def test_an_operation_with_an_id_hears_of_invalid_offers_too() -> None:
    world = World()
    owner = world.subscribe()
    (event,) = accept(owner, [], Operation(type=Operation.Type.RESERVE, id=mesos.OperationID("o1")))
    assert event.update_operation_status is not None
    assert event.update_operation_status.status == mesos.OperationStatus(
        operation_id=mesos.OperationID("o1"),
        state=mesos.OperationState.OPERATION_ERROR,
        message="Operation attempted with invalid offers: No offers specified",
    )


# Launches


def test_a_task_is_staging_and_its_agent_is_told_to_run_it() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    info = task("t1", agent)
    agent.told()
    events = accept(owner, [owner.offer_of(agent, None)], launch(info))
    assert statuses(events) == []
    assert agent.told() == [
        link.RunTasks(
            framework=owner.framework.info,
            executor=None,
            tasks=(info,),
            group=False,
            role="*",
            launches_executor=False,
        )
    ]
    assert [t.state for t in owner.framework.tasks.values()] == [TaskState.TASK_STAGING]
    left = parse_resources("cpus:3.9;mem:4064;disk:10240;ports:[31000-32000]")
    assert [offer.resources for offer in owner.framework.offers.values()] == [left]


def test_an_agent_is_told_whether_its_master_counts_the_executor_from_then_on() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    for group in ("a", "b"):
        owner.launch_group([group], agent, "pod")
        world.advance(6_000)
    told = [one for one in agent.told() if isinstance(one, link.RunTasks)]
    assert [one.launches_executor for one in told] == [True, False]


def test_what_is_left_is_not_offered_again_before_the_filter_ends() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    accept(owner, [owner.offer_of(agent, None)], launch(task("t1", agent)), refuse_s=2.0)
    world.advance(1_999)
    assert not owner.framework.offers
    world.advance(1)
    assert owner.framework.offers


def test_several_tasks_share_an_offer_until_it_is_spent() -> None:
    world = World()
    agent, owner = world.add_agent(resources="cpus:1;mem:96"), world.subscribe()
    tasks = [task(f"t{number}", agent) for number in range(4)]
    (status,) = statuses(accept(owner, [owner.offer_of(agent, None)], launch(*tasks)))
    assert (status.task_id.value, status.state) == ("t3", TaskState.TASK_ERROR)
    assert status.reason is Reason.REASON_TASK_INVALID
    assert list(owner.framework.tasks) == ["t0", "t1", "t2"]


def test_a_task_id_is_taken_once_in_a_call() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    twice = launch(task("t1", agent), task("t1", agent))
    (status,) = statuses(accept(owner, [owner.offer_of(agent, None)], twice))
    assert (status.state, status.message) == (
        TaskState.TASK_ERROR,
        "Task has duplicate ID: t1",
    )
    assert list(owner.framework.tasks) == ["t1"]


def test_two_offers_of_one_agent_are_one_budget() -> None:
    world = World()
    agent, owner = world.add_agent(resources="cpus:2;mem:64"), world.subscribe()
    accept(owner, [owner.offer_of(agent, None)], launch(task("t1", agent, "cpus:1;mem:32")))
    (rest,) = owner.framework.offers
    agent.update(owner, "t1", TaskState.TASK_FINISHED)
    assert len(owner.framework.offers) == 2
    ids = [rest, *(one for one in owner.framework.offers if one != rest)]
    assert statuses(accept(owner, ids, launch(task("t2", agent, "cpus:2;mem:64")))) == []
    assert list(owner.framework.tasks) == ["t2"]
    assert not owner.framework.offers


def test_an_executor_is_paid_for_once() -> None:
    world = World()
    agent, owner = world.add_agent(resources="cpus:1;mem:128"), world.subscribe()
    accept(owner, [owner.offer_of(agent, None)], launch(custom("t1", agent, owner)))
    (offer,) = owner.framework.offers.values()
    assert offer.resources == parse_resources("cpus:0.8;mem:64")
    accept(owner, [offer.id], launch(custom("t2", agent, owner)))
    (offer,) = owner.framework.offers.values()
    assert offer.resources == parse_resources("cpus:0.7;mem:32")
    for task_id in ("t1", "t2"):
        agent.update(owner, task_id, TaskState.TASK_FINISHED, executor_id="e")
    agent.say(link.ExecutorExited(owner.framework_id, "e", 0, built_in=False))
    agent.say(link.ExecutorExited(owner.framework_id, "e", 0, built_in=False))  # counted once
    assert world.state.allocator.allocation(owner.framework_id) == {
        "*": parse_resources("cpus:1;mem:128")
    }


def test_a_group_runs_whole_or_not_at_all() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch_group(("t1", "t2"), agent, "e")
    assert list(owner.framework.tasks) == ["t1", "t2"]
    (run,) = [message for message in agent.told() if isinstance(message, link.RunTasks)]
    assert (run.group, len(run.tasks)) == (True, 2)
    owner.events()
    owner.launch_group(("t3", "t1"), agent, "e")
    assert [(one.task_id.value, one.state, one.reason) for one in owner.updates()] == [
        ("t3", TaskState.TASK_ERROR, Reason.REASON_TASK_GROUP_INVALID),
        ("t1", TaskState.TASK_ERROR, Reason.REASON_TASK_GROUP_INVALID),
    ]
    assert list(owner.framework.tasks) == ["t1", "t2"]


def test_a_group_agrees_on_cgroups_with_tasks_of_its_executor_that_are_out_of_sight_too() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    owner.launch_group(("t1", "t2"), agent, "e")
    owner.framework.unreachable_tasks[TaskId("t0")] = replace(owner.framework.tasks[TaskId("t1")])
    del owner.framework.tasks[TaskId("t1")], owner.framework.tasks[TaskId("t2")]
    linux = mesos.LinuxInfo(share_cgroups=False)
    own = mesos.ContainerInfo(type=mesos.ContainerInfo.Type.MESOS, linux_info=linux)
    executor = owner.framework.executors[AgentId(agent.id), ExecutorId("e")].info
    group = Operation.LaunchGroup(
        executor=executor,
        task_group=mesos.TaskGroupInfo(tasks=(replace(task("t3", agent), container=own),)),
    )
    offer = next(iter(owner.framework.offers.values()))
    budget = _budget(world.state, owner.framework, [offer])
    _launch_group(world.state, budget, group, None, 0, (effects := Effects()))
    (sent,) = [one for one in effects.then if isinstance(one, SendEvent)]
    assert isinstance(sent.event, scheduler.Event)
    assert sent.event.update is not None
    assert sent.event.update.status.message == (
        "If set, the value of 'share_cgroups' must be the same for all tasks"
        " in each task group and under a single executor"
    )


def test_a_launch_with_an_operation_id_fails_all_of_its_tasks() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    both = launch(task("t1", agent), task("t2", agent), operation_id="o1")
    found = statuses(accept(owner, [owner.offer_of(agent, None)], both))
    assert [status.message for status in found] == [
        "The `id` field cannot be set on LAUNCH operations"
    ] * 2
    assert not owner.framework.tasks


# Other operations


def test_an_operation_that_is_not_supported_fails_when_it_has_an_id() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    kind = Operation.Type.RESERVE
    events = accept(
        owner,
        [owner.offer_of(agent, None)],
        Operation(type=kind),
        Operation(type=kind, id=mesos.OperationID("o1")),
    )
    failed = [event.update_operation_status for event in events if event.update_operation_status]
    assert [one.status for one in failed] == [
        mesos.OperationStatus(
            operation_id=mesos.OperationID("o1"),
            state=mesos.OperationState.OPERATION_ERROR,
            message="operation RESERVE is not supported by this master",
            agent_id=mesos.AgentID(agent.id),
        )
    ]
    assert owner.offer_of(agent, None)  # nothing was spent


def test_an_operation_without_a_type_is_noted_and_passed_over() -> None:
    world = World()
    agent, owner = world.add_agent(), world.subscribe()
    world.notes.clear()
    accept(owner, [owner.offer_of(agent, None)], Operation())
    assert [note.text for note in world.notes] == ["operation_ignored"]
    assert owner.offer_of(agent, None)
