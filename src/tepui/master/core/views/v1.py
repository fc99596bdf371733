"""The answers of the v1 operator API that only read.

Lists that Mesos writes although they are empty are fields without a default here: clients index
into them. What it leaves out when empty is left out.
Source: Mesos include/mesos/v1/master/master.proto; recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, TypeAlias

from tepui.master.core import messages, metrics
from tepui.master.core.state import Framework, State
from tepui.master.core.views import roles
from tepui.resources.scalars import from_milli
from tepui.wire import maintenance, master, mesos, quota

Call = master.Call
Response = master.Response
Type = Response.Type
Answerer: TypeAlias = Callable[[State, int], Response]


class WholeTasks(Response.GetTasks, frozen=True, kw_only=True):
    """GetTasks whose usual lists are always written."""

    tasks: Annotated[tuple[mesos.Task, ...], 2]
    unreachable_tasks: Annotated[tuple[mesos.Task, ...], 5]
    completed_tasks: Annotated[tuple[mesos.Task, ...], 3]


class WholeExecutors(Response.GetExecutors, frozen=True, kw_only=True):
    """GetExecutors whose usual list is always written."""

    executors: Annotated[tuple[Response.GetExecutors.Executor, ...], 1]


class WholeFrameworks(Response.GetFrameworks, frozen=True, kw_only=True):
    """GetFrameworks whose usual lists are always written."""

    frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 1]
    completed_frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 2]


class WholeAgents(Response.GetAgents, frozen=True, kw_only=True):
    """GetAgents whose lists are always written."""

    agents: Annotated[tuple[Response.GetAgents.Agent, ...], 1]
    recovered_agents: Annotated[tuple[mesos.AgentInfo, ...], 2]


def state_of(state: State) -> Response.GetState:
    """Everything: what GET_STATE answers and SUBSCRIBED begins with."""
    return Response.GetState(
        get_tasks=_tasks(state),
        get_executors=_executors(state),
        get_frameworks=_frameworks(state),
        get_agents=_agents(state),
    )


def all_frameworks(state: State) -> Iterable[Framework]:
    """The frameworks that are, then those that were."""
    yield from state.frameworks.values()
    yield from state.completed_frameworks.values()


def _tasks(state: State) -> WholeTasks:
    frameworks = list(all_frameworks(state))
    return WholeTasks(
        tasks=tuple(messages.task(t) for f in frameworks for t in f.tasks.values()),
        unreachable_tasks=tuple(
            messages.task(t) for f in frameworks for t in f.unreachable_tasks.values()
        ),
        completed_tasks=tuple(messages.task(t) for f in frameworks for t in f.completed_tasks),
    )


def _executors(state: State) -> WholeExecutors:
    return WholeExecutors(
        executors=tuple(
            messages.executor(e) for f in state.frameworks.values() for e in f.executors.values()
        )
    )


def _frameworks(state: State) -> WholeFrameworks:
    return WholeFrameworks(
        frameworks=tuple(
            messages.framework_with_holdings(state, f) for f in state.frameworks.values()
        ),
        completed_frameworks=tuple(
            messages.framework_with_holdings(state, f) for f in state.completed_frameworks.values()
        ),
    )


def _agents(state: State) -> WholeAgents:
    return WholeAgents(
        agents=tuple(messages.agent(state, agent) for agent in state.agents.values()),
        recovered_agents=(),
    )


def _health(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_HEALTH, get_health=Response.GetHealth(healthy=True))


def _flags(state: State, now_ms: int) -> Response:
    flags = tuple(mesos.Flag(name=name, value=state.flags[name]) for name in sorted(state.flags))
    return Response(type=Type.GET_FLAGS, get_flags=Response.GetFlags(flags=flags))


def _version(state: State, now_ms: int) -> Response:
    # A Python program is not built: the fields are there for those who expect them.
    info = mesos.VersionInfo(
        version=state.info.version or "", build_date="", build_time=0.0, build_user=""
    )
    return Response(type=Type.GET_VERSION, get_version=Response.GetVersion(version_info=info))


def _metrics(state: State, now_ms: int) -> Response:
    return metrics.message(metrics.snapshot(state, now_ms))


def _state(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_STATE, get_state=state_of(state))


def _get_agents(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_AGENTS, get_agents=_agents(state))


def _get_frameworks(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_FRAMEWORKS, get_frameworks=_frameworks(state))


def _get_executors(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_EXECUTORS, get_executors=_executors(state))


def _get_operations(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_OPERATIONS, get_operations=Response.GetOperations())


def _get_tasks(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_TASKS, get_tasks=_tasks(state))


def _get_roles(state: State, now_ms: int) -> Response:
    found = tuple(
        mesos.Role(
            name=role.name,
            weight=role.weight,
            frameworks=tuple(mesos.FrameworkID(f) for f in role.frameworks),
            resources=tuple(
                mesos.Resource(
                    name=name,
                    type=mesos.Value.Type.SCALAR,
                    scalar=mesos.Value.Scalar(from_milli(amount)),
                )
                for name, amount in role.held_scalars().items()
            ),
        )
        for role in roles.breakdown(state)
    )
    return Response(type=Type.GET_ROLES, get_roles=Response.GetRoles(roles=found))


def _get_weights(state: State, now_ms: int) -> Response:
    infos = tuple(mesos.WeightInfo(weight=w, role=role) for role, w in state.weights.items())
    if not infos:
        return Response(type=Type.GET_WEIGHTS)  # as Mesos: without its message
    return Response(type=Type.GET_WEIGHTS, get_weights=Response.GetWeights(weight_infos=infos))


def _get_master(state: State, now_ms: int) -> Response:
    found = Response.GetMaster(
        master_info=state.info,
        start_time=state.started_ms / 1000,
        elected_time=state.started_ms / 1000,  # a core is made when its master is elected
    )
    return Response(type=Type.GET_MASTER, get_master=found)


def _get_maintenance_status(state: State, now_ms: int) -> Response:
    found = Response.GetMaintenanceStatus(status=maintenance.ClusterStatus())
    return Response(type=Type.GET_MAINTENANCE_STATUS, get_maintenance_status=found)


def _get_maintenance_schedule(state: State, now_ms: int) -> Response:
    found = Response.GetMaintenanceSchedule(schedule=maintenance.Schedule())
    return Response(type=Type.GET_MAINTENANCE_SCHEDULE, get_maintenance_schedule=found)


def _get_quota(state: State, now_ms: int) -> Response:
    found = Response.GetQuota(status=quota.QuotaStatus())
    return Response(type=Type.GET_QUOTA, get_quota=found)


ANSWERERS: dict[master.Call.Type, Answerer] = {
    Call.Type.GET_HEALTH: _health,
    Call.Type.GET_FLAGS: _flags,
    Call.Type.GET_VERSION: _version,
    Call.Type.GET_METRICS: _metrics,
    Call.Type.GET_STATE: _state,
    Call.Type.GET_AGENTS: _get_agents,
    Call.Type.GET_FRAMEWORKS: _get_frameworks,
    Call.Type.GET_EXECUTORS: _get_executors,
    Call.Type.GET_OPERATIONS: _get_operations,
    Call.Type.GET_TASKS: _get_tasks,
    Call.Type.GET_ROLES: _get_roles,
    Call.Type.GET_WEIGHTS: _get_weights,
    Call.Type.GET_MASTER: _get_master,
    Call.Type.GET_MAINTENANCE_STATUS: _get_maintenance_status,
    Call.Type.GET_MAINTENANCE_SCHEDULE: _get_maintenance_schedule,
    Call.Type.GET_QUOTA: _get_quota,
}
