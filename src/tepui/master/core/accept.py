"""ACCEPT: what a framework does with what it was offered.

One function for the call, one for each operation. All of the offers' resources are spent in one
step: on tasks and executors, and what is left goes back to the allocator.
Source: Mesos master.cpp Master::_accept; texts as a real master answers.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.base.names import ExecutorId, OfferId, Role, TaskId
from tepui.master.core import caps, messages, offers, statuses, tasks
from tepui.master.core.actions import Effects, Note, SendEvent, SendToAgent
from tepui.master.core.sharing import shared_resources
from tepui.master.core.state import Agent, Executor, Framework, Offer, State, Task
from tepui.master.core.validation import (
    LaunchContext,
    completed_group,
    completed_task,
    operation_error,
    task_error,
    task_group_error,
)
from tepui.resources import Resources
from tepui.wire import link, mesos, scheduler

Operation = mesos.Offer.Operation
Reason = mesos.TaskStatus.Reason
TaskState = mesos.TaskState


class _Budget(Struct):
    """What is left of the accepted offers while their operations are carried out."""

    framework: Framework
    agent: Agent
    role: Role
    context: LaunchContext  # which holds it

    def spend(self, resources: Resources) -> None:
        """Of what is left."""
        self.context.offered -= resources


def accept(
    state: State, framework: Framework, call: scheduler.Call.Accept, now_ms: int, step: Effects
) -> None:
    """Spend the offers on the operations; what is left may be offered again."""
    state.counters.add("messages_launch_tasks" if call.operations else "messages_decline_offers")
    accepted = _accepted_offers(state, framework, call)
    error = _offers_error(state, framework, call.offer_ids)
    if error is not None:
        for offer in accepted:
            offers.take_back(state, offer, None, now_ms)
        _refuse_all(state, framework, call.operations, error, now_ms, step)
        return
    for offer in accepted:
        offers.remove(state, offer)
    budget = _budget(state, framework, accepted)
    for operation in call.operations:
        _carry_out(state, budget, operation, now_ms, step)
    if left := budget.context.offered:
        refuse = offers.refusal_ms if call.operations else offers.pause_ms
        state.allocator.recover(
            framework.id,
            budget.role,
            budget.agent.id,
            left,
            refuse_ms=refuse(call.filters),
            now_ms=now_ms,
        )


def decline(
    state: State, framework: Framework, call: scheduler.Call.Decline, now_ms: int, step: Effects
) -> None:
    """Give offers back; offers that are not (any more) the framework's are passed over."""
    state.counters.add("messages_decline_offers")
    for offer_id in call.offer_ids:
        offer = framework.offers.get(OfferId(offer_id.value))
        if offer is not None:
            offers.take_back(state, offer, offers.pause_ms(call.filters), now_ms)


def _accepted_offers(
    state: State, framework: Framework, call: scheduler.Call.Accept
) -> list[Offer]:
    """The framework's own offers among those named, once each.

    Differs from Mesos: there another framework's offer is taken from its owner without a word.
    """
    named = dict.fromkeys(OfferId(offer_id.value) for offer_id in call.offer_ids)
    return [framework.offers[offer_id] for offer_id in named if offer_id in framework.offers]


def _offers_error(
    state: State, framework: Framework, offer_ids: tuple[mesos.OfferID, ...]
) -> str | None:
    """Why these offers can't be accepted together (Mesos: validation::offer::validate)."""
    if not offer_ids:
        return "No offers specified"
    seen: set[str] = set()
    first: Offer | None = None
    for offer_id in offer_ids:
        if offer_id.value in seen:
            return f"Duplicate offer {offer_id.value} in offer list"
        seen.add(offer_id.value)
    for offer_id in offer_ids:
        offer = state.offers.get(OfferId(offer_id.value))
        if offer is None:
            return f"Offer {offer_id.value} is no longer valid"
        if offer.framework_id != framework.id:
            return (
                f"Offer {offer.id} has invalid framework {offer.framework_id}"
                f" while framework {framework.id} is expected"
            )
        first = first or offer
        if offer.role != first.role:  # the missing quotes are Mesos's
            return (
                "Aggregated offers must be allocated to the same role."
                f" Offer {offer.id} uses role '{offer.role} but another is using role '{first.role}"
            )
        if offer.agent_id != first.agent_id:
            return (
                "Aggregated offers must belong to one single agent."
                f" Offer {offer.id} uses agent {offer.agent_id} and agent {first.agent_id}"
            )
    return None


def _refuse_all(
    state: State,
    framework: Framework,
    operations: tuple[mesos.Offer.Operation, ...],
    error: str,
    now_ms: int,
    step: Effects,
) -> None:
    """Nothing of the ACCEPT happens: its tasks are lost, or dropped for who knows the word."""
    lost = statuses.lost_or(framework, TaskState.TASK_DROPPED)
    for operation in operations:
        for info in _tasks_of(operation):
            state.counters.add(lost.lower())
            status = statuses.made_by_master(
                info.task_id.value,
                info.agent_id.value,
                lost,
                Reason.REASON_INVALID_OFFERS,
                f"Task launched with invalid offers: {error}",
                now_ms,
            )
            statuses.tell(framework, status, step)
        if operation.id is not None:
            text = f"Operation attempted with invalid offers: {error}"
            _operation_failed(framework, operation.id, None, text, step)


def _tasks_of(operation: mesos.Offer.Operation) -> tuple[mesos.TaskInfo, ...]:
    if operation.type is Operation.Type.LAUNCH and operation.launch is not None:
        return operation.launch.task_infos
    if operation.type is Operation.Type.LAUNCH_GROUP and operation.launch_group is not None:
        return operation.launch_group.task_group.tasks
    return ()


def _carry_out(
    state: State, budget: _Budget, operation: mesos.Offer.Operation, now_ms: int, step: Effects
) -> None:
    match operation.type:
        case Operation.Type.LAUNCH:
            error = operation_error(operation)
            for info in _tasks_of(operation):
                _launch(state, budget, info, error, now_ms, step)
        case Operation.Type.LAUNCH_GROUP if operation.launch_group is not None:
            error = operation_error(operation)
            _launch_group(state, budget, operation.launch_group, error, now_ms, step)
        case None | Operation.Type.UNKNOWN | Operation.Type.LAUNCH_GROUP:
            step.then.append(Note("operation_ignored", (("framework", budget.framework.id),)))
        case _:
            _refuse_operation(budget, operation, step)


def _launch(
    state: State,
    budget: _Budget,
    asked: mesos.TaskInfo,
    error: str | None,
    now_ms: int,
    step: Effects,
) -> None:
    """Launch one task, with its executor if that does not run yet."""
    framework = budget.framework
    info = completed_task(asked, framework.id)
    error = error or _cap_error(state, budget, (info,))
    error = error or task_error(info, budget.context)
    if error is not None:
        _refuse_task(state, framework, info, error, Reason.REASON_TASK_INVALID, now_ms, step)
        return
    is_new = _use_executor(budget, info.executor)
    _add_task(state, budget, info, info.executor, step)
    _run(budget, (info,), info.executor, step, group=False, is_new=is_new)


def _launch_group(
    state: State,
    budget: _Budget,
    launch: mesos.Offer.Operation.LaunchGroup,
    error: str | None,
    now_ms: int,
    step: Effects,
) -> None:
    """Launch all tasks of the group on its executor, or none."""
    framework = budget.framework
    executor = launch.executor
    group = completed_group(launch.task_group, executor)
    error = error or _cap_error(state, budget, group.tasks)
    error = error or task_group_error(group, executor, budget.context)
    if error is not None:
        for info in launch.task_group.tasks:
            _refuse_task(
                state, framework, info, error, Reason.REASON_TASK_GROUP_INVALID, now_ms, step
            )
        return
    if not group.tasks:
        return
    is_new = _use_executor(budget, executor)
    for info in group.tasks:
        _add_task(state, budget, info, executor, step)
    _run(budget, group.tasks, executor, step, group=True, is_new=is_new)


def _cap_error(state: State, budget: _Budget, infos: tuple[mesos.TaskInfo, ...]) -> str | None:
    error = caps.tasks_error(budget.framework, budget.agent, infos)
    if error is not None:
        state.counters.add("refused_by_limits")
    return error


def _budget(state: State, framework: Framework, accepted: list[Offer]) -> _Budget:
    role = accepted[0].role
    agent = state.agents[accepted[0].agent_id]
    context = LaunchContext(
        framework_id=framework.id,
        agent_id=agent.id,
        role=role,
        offered=Resources.total(offer.resources for offer in accepted),
        task_known=framework.tasks.__contains__,
        task_unreachable=framework.unreachable_tasks.__contains__,
        executors={
            executor_id: executor.info
            for executor_id, executor in agent.executors_of(framework.id).items()
        },
        containers=lambda executor_id: [
            task.info.container
            for task in (*framework.tasks.values(), *framework.unreachable_tasks.values())
            if task.agent_id == agent.id and task.executor_id == executor_id
        ],
    )
    return _Budget(framework, agent, role, context)


def _use_executor(budget: _Budget, info: mesos.ExecutorInfo | None) -> bool:
    """Whether the executor is new on the agent; it is paid for and added then."""
    if info is None:
        return False
    framework, agent = budget.framework, budget.agent
    executor_id = ExecutorId(info.executor_id.value)
    if executor_id in budget.context.executors:
        return False
    _, resources = shared_resources(info.resources)
    budget.spend(resources)
    budget.context.executors[executor_id] = info
    executor = Executor(
        info=info,
        framework_id=framework.id,
        agent_id=agent.id,
        role=budget.role,
        resources=resources,
    )
    tasks.add_executor(framework, agent, executor)
    return True


def _add_task(
    state: State,
    budget: _Budget,
    info: mesos.TaskInfo,
    executor: mesos.ExecutorInfo | None,
    step: Effects,
) -> None:
    framework, agent = budget.framework, budget.agent
    _, resources = shared_resources(info.resources)
    budget.spend(resources)
    task = Task(
        id=TaskId(info.task_id.value),
        framework_id=framework.id,
        agent_id=agent.id,
        executor_id=None if executor is None else ExecutorId(executor.executor_id.value),
        role=budget.role,
        resources=resources,
        info=info,
        state=TaskState.TASK_STAGING,
    )
    tasks.add_task(state, framework, agent, task, step)


def _run(
    budget: _Budget,
    infos: tuple[mesos.TaskInfo, ...],
    executor: mesos.ExecutorInfo | None,
    step: Effects,
    *,
    group: bool,
    is_new: bool,
) -> None:
    link_id = budget.agent.link
    assert link_id is not None  # offers of an agent are rescinded when its link breaks
    message = link.RunTasks(
        framework=budget.framework.info,
        executor=executor,
        tasks=infos,
        group=group,
        role=budget.role,
        launches_executor=is_new,
    )
    step.then.append(SendToAgent(link_id, message))


def _refuse_task(
    state: State,
    framework: Framework,
    info: mesos.TaskInfo,
    error: str,
    reason: mesos.TaskStatus.Reason,
    now_ms: int,
    step: Effects,
) -> None:
    state.counters.add("task_error")
    status = statuses.made_by_master(
        info.task_id.value, info.agent_id.value, TaskState.TASK_ERROR, reason, error, now_ms
    )
    statuses.tell(framework, status, step)


def _refuse_operation(budget: _Budget, operation: mesos.Offer.Operation, step: Effects) -> None:
    """Operations on resources themselves are not carried out by this version."""
    assert operation.type is not None
    text = f"operation {operation.type.value} is not supported by this master"
    step.then.append(
        Note("operation_refused", (("framework", budget.framework.id), ("type", operation.type)))
    )
    if operation.id is not None:
        _operation_failed(budget.framework, operation.id, budget.agent, text, step)


def _operation_failed(
    framework: Framework,
    operation_id: mesos.OperationID,
    agent: Agent | None,
    text: str,
    step: Effects,
) -> None:
    if framework.subscription is None:
        return
    status = mesos.OperationStatus(
        operation_id=operation_id,
        state=mesos.OperationState.OPERATION_ERROR,
        message=text,
        agent_id=None if agent is None else mesos.AgentID(agent.id),
    )
    event = messages.operation_status(status)
    step.then.append(SendEvent(framework.subscription.stream, event))
