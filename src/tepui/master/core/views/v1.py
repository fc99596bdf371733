"""The answers of the v1 operator API that only read.

Lists that Mesos writes although they are empty are fields without a default here: clients index
into them. What it leaves out when empty is left out.
Source: Mesos include/mesos/v1/master/master.proto; recorded answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from tepui.master.core import messages, metrics
from tepui.master.core.settings import HEARTBEAT_INTERVAL_MS
from tepui.master.core.state import Framework, State
from tepui.master.core.views import roles
from tepui.resources.scalars import from_milli
from tepui.wire import maintenance, master, mesos, quota
from tepui.wire.media import Media
from tepui.wire.message import ProtoMessage
from tepui.wire.pieces import Tree, encode_pieces

Call = master.Call
Event = master.Event
Response = master.Response
Type = Response.Type
Answerer: TypeAlias = Callable[[State, int], Response]
_HEARTBEAT_INTERVAL_S = HEARTBEAT_INTERVAL_MS / 1000
Lists: TypeAlias = Mapping[str, Iterable[ProtoMessage]]  # made while they are written


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
    """Everything."""
    return Response.GetState(
        get_tasks=WholeTasks(**_in_full(_tasks(state))),
        get_executors=WholeExecutors(**_in_full(_executors(state))),
        get_frameworks=WholeFrameworks(**_in_full(_frameworks(state))),
        get_agents=WholeAgents(**_in_full(_agents(state))),
    )


def subscribed(state: State) -> Event:
    """The event that an operator's stream begins with."""
    return Event(
        type=Event.Type.SUBSCRIBED,
        subscribed=Event.Subscribed(
            get_state=state_of(state), heartbeat_interval_seconds=_HEARTBEAT_INTERVAL_S
        ),
    )


def subscribed_pieces(state: State, accepted: Media) -> Iterator[bytes]:
    """The same, encoded."""
    interval = Event.Subscribed(heartbeat_interval_seconds=_HEARTBEAT_INTERVAL_S)
    tree: Tree = {
        "subscribed": {"get_state": _state(state), "heartbeat_interval_seconds": interval}
    }
    return encode_pieces(Event(type=Event.Type.SUBSCRIBED), tree, accepted)


def _in_full(lists: Lists) -> dict[str, Any]:  # the lists of the message with these names
    return {name: tuple(messages) for name, messages in lists.items()}


def _all_frameworks(state: State) -> Iterator[Framework]:
    """The frameworks that are, then those that were."""
    yield from state.frameworks.values()
    yield from state.completed_frameworks.values()


def _tasks(state: State) -> Lists:
    frameworks = list(_all_frameworks(state))
    return {
        "tasks": (messages.task(t) for f in frameworks for t in f.tasks.values()),
        "unreachable_tasks": (
            messages.task(t) for f in frameworks for t in f.unreachable_tasks.values()
        ),
        "completed_tasks": (messages.task(t) for f in frameworks for t in f.completed_tasks),
    }


def _executors(state: State) -> Lists:
    frameworks = state.frameworks.values()
    return {"executors": (messages.executor(e) for f in frameworks for e in f.executors.values())}


def _frameworks(state: State) -> Lists:
    def each(known: Iterable[Framework]) -> Iterator[ProtoMessage]:
        return (messages.framework_with_holdings(state, framework) for framework in known)

    return {
        "frameworks": each(state.frameworks.values()),
        "completed_frameworks": each(state.completed_frameworks.values()),
    }


def _agents(state: State) -> Lists:
    agents = (messages.agent(state, agent) for agent in state.agents.values())
    recovered = (absent.info for absent in state.recovered_agents.values())
    return {"agents": agents, "recovered_agents": recovered}


def _state(state: State) -> Tree:
    return {
        "get_tasks": _tasks(state),
        "get_executors": _executors(state),
        "get_frameworks": _frameworks(state),
        "get_agents": _agents(state),
    }


LARGE: dict[master.Call.Type, Callable[[State], Tree]] = {
    Call.Type.GET_STATE: lambda state: {"get_state": _state(state)},
    Call.Type.GET_TASKS: lambda state: {"get_tasks": _tasks(state)},
    Call.Type.GET_EXECUTORS: lambda state: {"get_executors": _executors(state)},
    Call.Type.GET_FRAMEWORKS: lambda state: {"get_frameworks": _frameworks(state)},
    Call.Type.GET_AGENTS: lambda state: {"get_agents": _agents(state)},
}


def large_pieces(state: State, kind: master.Call.Type, accepted: Media) -> Iterator[bytes]:
    """The answer of a call that lists what may be many, encoded."""
    return encode_pieces(Response(type=Type.__members__[kind.name]), LARGE[kind](state), accepted)


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


def _get_operations(state: State, now_ms: int) -> Response:
    return Response(type=Type.GET_OPERATIONS, get_operations=Response.GetOperations())


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
    Call.Type.GET_OPERATIONS: _get_operations,
    Call.Type.GET_ROLES: _get_roles,
    Call.Type.GET_WEIGHTS: _get_weights,
    Call.Type.GET_MASTER: _get_master,
    Call.Type.GET_MAINTENANCE_STATUS: _get_maintenance_status,
    Call.Type.GET_MAINTENANCE_SCHEDULE: _get_maintenance_schedule,
    Call.Type.GET_QUOTA: _get_quota,
}
