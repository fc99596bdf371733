"""The state's frameworks, agents and tasks as messages of the API.

Source: Mesos common/protobuf_utils (createTask, createAgentResponse), master/http.cpp (model).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from tepui.base.names import AgentId, FrameworkId, Role
from tepui.master.core import offers
from tepui.master.core.state import Agent, Executor, Framework, Offer, State, Task
from tepui.resources import Resources
from tepui.wire import master, mesos, scheduler

Frameworks = master.Response.GetFrameworks
Agents = master.Response.GetAgents
Executors = master.Response.GetExecutors
Capability = mesos.AgentInfo.Capability
ReservationType = mesos.Resource.ReservationInfo.Type

NANOSECONDS_OF_MS = 1_000_000
NO_CONSTRAINTS = scheduler.OfferConstraints()
# What every agent of this version can do; a name that is missing here is not done by it.
AGENT_CAPABILITIES = tuple(
    Capability(type=name)
    for name in (
        Capability.Type.MULTI_ROLE,
        Capability.Type.HIERARCHICAL_ROLE,
        Capability.Type.RESERVATION_REFINEMENT,
        Capability.Type.TASK_RESOURCE_LIMITS,
    )
)


def operation_status(status: mesos.OperationStatus) -> scheduler.Event:
    """The event that tells a scheduler what became of an operation."""
    return scheduler.Event(
        type=scheduler.Event.Type.UPDATE_OPERATION_STATUS,
        update_operation_status=scheduler.Event.UpdateOperationStatus(status=status),
    )


def time_info(at_ms: int) -> mesos.TimeInfo:
    """Milliseconds since the epoch, as the API has them."""
    return mesos.TimeInfo(nanoseconds=at_ms * NANOSECONDS_OF_MS)


def task(task: Task) -> mesos.Task:
    """The task as operators and agents see it.

    The update is the newest that came with a uuid, acknowledged or not, as in Mesos.
    """
    info = task.info
    update = task.update or next((s for s in reversed(task.statuses) if s.uuid is not None), None)
    return mesos.Task(
        name=info.name,
        task_id=info.task_id,
        framework_id=mesos.FrameworkID(task.framework_id),
        executor_id=None if task.executor_id is None else mesos.ExecutorID(task.executor_id),
        agent_id=mesos.AgentID(task.agent_id),
        state=task.state,
        resources=task.resources.to_wire(role=task.role, refinement=True),
        limits=info.limits,
        statuses=task.statuses,
        status_update_state=update.state if update else None,
        status_update_uuid=update.uuid if update else None,
        labels=info.labels,
        discovery=info.discovery,
        container=info.container,
        health_check=info.health_check,
        kill_policy=info.kill_policy,
        user=user_of(info),
    )


def user_of(info: mesos.TaskInfo) -> str | None:
    """Who the task runs as, when its command or its executor says so."""
    if info.command is not None:
        return info.command.user
    if info.executor is not None and info.executor.command is not None:
        return info.executor.command.user
    return None


def framework(framework: Framework) -> master.Response.GetFrameworks.Framework:
    """The framework as events have it: who it is, not what it has."""
    return Frameworks.Framework(
        framework_info=framework.info,
        active=framework.subscription is not None,
        connected=framework.subscription is not None,
        recovered=framework.recovered,
        registered_time=time_info(framework.registered_ms),
        reregistered_time=time_info(framework.reregistered_ms or framework.registered_ms),
        unregistered_time=time_info(framework.unregistered_ms or 0),
    )


def framework_with_holdings(
    state: State, framework: Framework
) -> master.Response.GetFrameworks.Framework:
    """The framework as answers have it, with its offers and what it uses."""
    is_completed = framework.unregistered_ms is not None
    return Frameworks.Framework(
        framework_info=framework.info,
        active=framework.subscription is not None,
        connected=framework.subscription is not None,
        recovered=framework.recovered,
        registered_time=_when(framework.registered_ms),
        reregistered_time=_when(framework.reregistered_ms or framework.registered_ms),
        unregistered_time=time_info(framework.unregistered_ms or 0) if is_completed else None,
        offers=tuple(_offer(state, framework, offer) for offer in framework.offers.values()),
        allocated_resources=by_role(used_of_framework(state, framework)),
        offered_resources=by_role(offered(framework)),
        offer_constraints=framework.constraints or NO_CONSTRAINTS,
    )


def _when(at_ms: int) -> mesos.TimeInfo | None:
    """None of a framework that has not subscribed to this master yet."""
    return time_info(at_ms) if at_ms else None


def _offer(state: State, framework: Framework, offer: Offer) -> mesos.Offer:
    """The offer in the newest form, whatever the framework's capabilities ask for."""
    agent = state.agents[offer.agent_id]
    return offers.message_of(agent, framework, offer.id, offer.role, offer.resources, newest=True)


def agent(state: State, agent: Agent) -> master.Response.GetAgents.Agent:
    """The agent as operators see it."""
    return Agents.Agent(
        agent_info=agent.info,
        active=agent.active,
        deactivated=agent.deactivated,
        version=agent.version,
        pid=pid_of(agent),
        registered_time=time_info(agent.registered_ms),
        reregistered_time=(
            None if agent.reregistered_ms is None else time_info(agent.reregistered_ms)
        ),
        total_resources=endpoint_resources(agent.total, None),
        allocated_resources=by_role(used_of_agent(state, agent)),
        offered_resources=by_role(offered(agent)),
        capabilities=AGENT_CAPABILITIES,
    )


def executor(executor: Executor) -> master.Response.GetExecutors.Executor:
    """The executor as operators see it."""
    info = replace(
        executor.info,
        framework_id=mesos.FrameworkID(executor.framework_id),
        resources=executor.resources.to_wire(role=executor.role, refinement=True),
    )
    return Executors.Executor(executor_info=info, agent_id=mesos.AgentID(executor.agent_id))


def pid_of(agent: Agent) -> str:
    """The agent's address in the form that tools cut it from."""
    return f"slave(1)@{agent.address}"


def used_of_agent(state: State, agent: Agent) -> dict[Role, Resources]:
    """What tasks and executors hold of the agent: what the allocator knows, less the offers."""
    given: dict[tuple[FrameworkId, Role], list[Resources]] = {}
    for offer in agent.offers.values():
        given.setdefault((offer.framework_id, offer.role), []).append(offer.resources)
    used: dict[Role, list[Resources]] = {}
    for client, held in state.allocator.agents[agent.id].held.items():
        offers = given.get((client.framework_id, client.role)) if given else None
        rest = held - Resources.total(offers) if offers else held
        used.setdefault(client.role, []).append(rest)
    return _totals(used)


def used_of_framework(state: State, framework: Framework) -> dict[Role, Resources]:
    """What the framework's tasks and executors hold.

    Offers are taken away agent by agent: the same port of two agents is one number in a sum.
    """
    given: dict[tuple[AgentId, Role], list[Resources]] = {}
    for offer in framework.offers.values():
        given.setdefault((offer.agent_id, offer.role), []).append(offer.resources)
    used: dict[Role, list[Resources]] = {}
    for role, client in state.allocator.clients.get(framework.id, {}).items():
        for agent_id, held in client.held.items():
            offers = given.get((agent_id, role)) if given else None
            rest = held - Resources.total(offers) if offers else held
            used.setdefault(role, []).append(rest)
    return _totals(used)


def offered(owner: Framework | Agent) -> dict[Role, Resources]:
    """What is offered to a framework, or of an agent."""
    parts: dict[Role, list[Resources]] = {}
    for offer in owner.offers.values():
        parts.setdefault(offer.role, []).append(offer.resources)
    return _totals(parts)


def _totals(parts: Mapping[Role, Iterable[Resources]]) -> dict[Role, Resources]:
    totals = {role: Resources.total(resources) for role, resources in parts.items()}
    return {role: total for role, total in totals.items() if total}


def by_role(parts: Mapping[Role, Resources]) -> tuple[mesos.Resource, ...]:
    """The entries of each role, as answers write them."""
    return tuple(wire for role in sorted(parts) for wire in endpoint_resources(parts[role], role))


def endpoint_resources(resources: Resources, role: Role | None) -> tuple[mesos.Resource, ...]:
    """The entries with both formats of a reservation, where the old one can say it."""
    return tuple(_with_old_format(wire) for wire in resources.to_wire(role=role, refinement=True))


def _with_old_format(wire: mesos.Resource) -> mesos.Resource:
    match wire.reservations:
        case ():
            return replace(wire, role="*")
        case (only,) if only.type is ReservationType.STATIC:
            return replace(wire, role=only.role)
        case (only,):
            return replace(wire, role=only.role, reservation=replace(only, type=None, role=None))
        case _:
            return wire  # a refined reservation has only the new one
