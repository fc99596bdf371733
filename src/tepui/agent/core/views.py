"""What the agent shows of itself: the classic endpoints and the operator API.

The shapes are those of Mesos (slave/http.cpp); recorded answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tepui.agent.core import metrics, updates
from tepui.agent.core.actions import AnswerClassic, AnswerOperator, Json
from tepui.agent.core.allocated import allocated, allocated_executor
from tepui.agent.core.container_limits import with_limits
from tepui.agent.core.effects import Effects
from tepui.agent.core.events import Classic, ClassicAsked, OperatorCalled
from tepui.agent.core.fitting import asked_in_pod
from tepui.agent.core.state import Container, Executor, Framework, Phase, State, Task
from tepui.resources import Ranges, Resources
from tepui.wire import agent, mesos
from tepui.wire.states import TERMINAL_STATES

Usage = Mapping[str, mesos.ResourceStatistics]
Object = dict[str, Json]
Response = agent.Response
Type = agent.Call.Type

CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "TASK_RESOURCE_LIMITS",
)


def classic_asked(state: State, event: ClassicAsked, now_ms: int, step: Effects) -> None:
    """The endpoint is answered from the state of this moment."""
    body: Json
    match event.view:
        case Classic.STATE:
            body = state_view(state)
        case Classic.CONTAINERS:
            usage = _with_shares(state, event.usage)
            body = list(containers_view(state, usage, *_others(state, event)))
        case Classic.STATISTICS:
            body = list(statistics_view(state, event.usage))
        case Classic.METRICS:
            values = metrics.metrics_of(state, now_ms) | dict(event.system)
            body = {name: values[name] for name in sorted(values)}
    step.then.append(AnswerClassic(event.request, body))


def operator_called(state: State, event: OperatorCalled, now_ms: int, step: Effects) -> None:
    """The call is answered from the state of this moment."""
    step.then.append(AnswerOperator(event.request, _response(state, event, now_ms)))


def _response(state: State, event: OperatorCalled, now_ms: int) -> Response:
    kind = Response.Type[event.call.name]
    match event.call:
        case Type.GET_STATE:
            get_state = Response.GetState(
                get_tasks=_get_tasks(state),
                get_executors=_get_executors(state),
                get_frameworks=_get_frameworks(state),
            )
            return Response(type=kind, get_state=get_state)
        case Type.GET_CONTAINERS:
            usage = _with_shares(state, event.usage)
            containers = tuple(_containers(state, usage, *_others(state, event)))
            get_containers = Response.GetContainers(containers=containers)
            return Response(type=kind, get_containers=get_containers)
        case Type.GET_FRAMEWORKS:
            return Response(type=kind, get_frameworks=_get_frameworks(state))
        case Type.GET_EXECUTORS:
            return Response(type=kind, get_executors=_get_executors(state))
        case Type.GET_TASKS:
            return Response(type=kind, get_tasks=_get_tasks(state))
        case Type.GET_AGENT:
            return Response(type=kind, get_agent=Response.GetAgent(agent_info=state.info))
        case Type.GET_METRICS:
            values = metrics.metrics_of(state, now_ms) | dict(event.system)
            wire = tuple(mesos.Metric(name=name, value=values[name]) for name in sorted(values))
            return Response(type=kind, get_metrics=Response.GetMetrics(metrics=wire))
        case _:
            raise AssertionError(f"not a view: {event.call}")


# Classic endpoints


def state_view(state: State) -> Object:
    """`/state`, without what only the shell knows: build, flags and the master's name."""
    total = Resources.of(state.info.resources)
    used = Resources.total(
        _used(framework, executor)
        for framework in state.frameworks.values()
        for executor in framework.executors.values()
    )
    unreserved = total.unreserved()
    reserved = total.reservations()
    domain = {} if state.info.domain is None else {"domain": _json(state.info.domain)}
    return {
        "version": state.settings.version,
        "start_time": state.started_ms / 1000,
        "id": "" if state.info.id is None else state.info.id.value,
        "pid": state.settings.pid,
        "hostname": state.info.hostname,
        "capabilities": list(CAPABILITIES),
        "resources": resources_json(total),
        "reserved_resources": {role: resources_json(part) for role, part in reserved.items()},
        "unreserved_resources": resources_json(unreserved),
        "reserved_resources_full": {role: _full(part) for role, part in reserved.items()},
        "unreserved_resources_full": _full(unreserved),
        "reserved_resources_allocated": {
            role: resources_json(part) for role, part in used.reservations().items()
        },
        "unreserved_resources_allocated": resources_json(used.unreserved()),
        "resource_providers": [],
        "attributes": {one.name: _attribute(one) for one in state.info.attributes},
        **domain,
        "frameworks": [_framework(one) for one in state.frameworks.values()],
        "completed_frameworks": [_framework(one) for one in state.completed_frameworks],
    }


def containers_view(state: State, usage: Usage, *others: Container) -> Iterator[Object]:
    """`/containers`: those that exist, and finished commands for a moment longer.

    Of one within another only its status says whose it is.
    """
    for executor in _shown_executors(state):
        status = _container_status(executor.container)
        entry = _statistics_entry(executor, usage)
        yield {"container_id": executor.container_id, **entry, "status": _json(status)}
    for container in others:
        status = _container_status(container)
        assert status.container_id is not None
        one: Object = {"container_id": status.container_id.value, "status": _json(status)}
        if container.id in usage:
            one["statistics"] = _json(usage[container.id])
        yield one


def statistics_view(state: State, usage: Usage) -> Iterator[Object]:
    """`/monitor/statistics`."""
    for executor in _shown_executors(state):
        yield _statistics_entry(executor, usage)


def resources_json(resources: Resources) -> Object:
    """Scalars as numbers, ranges and sets as text; disk, mem, gpus and cpus always."""
    out: Object = {"disk": 0.0, "mem": 0.0, "gpus": 0.0, "cpus": 0.0}
    ranges: dict[str, Ranges] = {}
    for kind, quantity in resources.items():
        if isinstance(quantity, int):
            out[kind.name] = resources.scalar(kind.name) / 1000
        elif isinstance(quantity, Ranges):
            ranges[kind.name] = ranges.get(kind.name, Ranges()) | quantity
        else:
            out[kind.name] = "{" + ", ".join(sorted(quantity)) + "}"
    return out | {name: str(one) for name, one in ranges.items()}


def _statistics_entry(executor: Executor, usage: Usage) -> Object:
    info = executor.info
    statistics = usage.get(executor.container_id)
    entry: Object = {
        "executor_id": executor.id,
        "executor_name": info.name or "",
        "framework_id": executor.framework_id,
        "source": info.source or "",
    }
    if statistics is not None:
        entry["statistics"] = _json(statistics)
    return entry


def _shown_executors(state: State) -> Iterator[Executor]:
    for framework in state.frameworks.values():
        yield from framework.executors.values()


def _others(state: State, event: ClassicAsked | OperatorCalled) -> list[Container]:
    """The containers that are shown when they are asked for."""
    found = list(_nested(state)) if event.show_nested else []
    for one in state.operator_containers.values():
        is_asked = event.show_standalone if one.parent is None else event.show_nested
        if is_asked and one.exited is None:
            found.append(one.container)
    return found


def _nested(state: State) -> Iterator[Container]:
    """The containers of tasks in pods."""
    for framework_id, task_id in state.task_containers.values():
        container = state.frameworks[framework_id].tasks[task_id].container
        if container is not None:
            yield container


def _with_shares(state: State, usage: Usage) -> Usage:
    """With what the tasks of pods have asked for, where only their pod is limited."""
    found = dict(usage)
    for name, (framework_id, task_id) in state.task_containers.items():
        statistics = found.get(name)
        if statistics is not None and statistics.cpus_soft_limit is None:
            asked = asked_in_pod(state, state.frameworks[framework_id].tasks[task_id].info)
            found[name] = with_limits(statistics, asked)
    return found


def _container_status(container: Container) -> mesos.ContainerStatus:
    return mesos.ContainerStatus(
        container_id=updates.wire_id(container.id),
        network_infos=container.network_infos,
        executor_pid=container.pid or None,
    )


def _used(framework: Framework, executor: Executor) -> Resources:
    """What the executor and its running tasks use."""
    if executor.phase is Phase.TERMINATED:
        return Resources.empty
    tasks = [framework.tasks[task_id] for task_id in executor.tasks]
    parts = [Resources.of(t.info.resources) for t in tasks if t.state not in TERMINAL_STATES]
    return Resources.total([Resources.of(executor.info.resources), *parts])


def _framework(framework: Framework) -> Object:
    info = framework.info
    return {
        "id": framework.id,
        "name": info.name,
        "user": info.user,
        "failover_timeout": info.failover_timeout,
        "checkpoint": info.checkpoint,
        "hostname": info.hostname or "",
        "roles": list(info.roles) or [info.role or "*"],
        "executors": [_executor(framework, one) for one in framework.executors.values()],
        "completed_executors": [_executor(framework, one) for one in framework.completed_executors],
    }


def _executor(framework: Framework, executor: Executor) -> Object:
    info = executor.info
    tasks = [framework.tasks[task_id] for task_id in executor.tasks]
    queued = [task for task in tasks if task.id in executor.queued]
    others = [task for task in tasks if task.id not in executor.queued]
    out: Object = {
        "id": executor.id,
        "name": info.name or "",
        "source": info.source or "",
        "container": executor.container_id,
        "directory": executor.directory,
        "resources": resources_json(_used(framework, executor)),
        "role": executor.role,
    }
    if info.labels is not None:
        out["labels"] = _labels(info.labels)
    if info.type is not None:
        out["type"] = info.type.name
    out["tasks"] = [
        _task(updates.to_wire(framework, executor, task), executor.role) for task in others
    ]
    out["queued_tasks"] = [_queued(task, executor.role) for task in queued]
    out["completed_tasks"] = [_task(task, executor.role) for task in executor.completed_tasks]
    return out


def _task(task: mesos.Task, role: str) -> Object:
    out: Object = {
        "id": task.task_id.value,
        "name": task.name,
        "framework_id": task.framework_id.value,
        "executor_id": "" if task.executor_id is None else task.executor_id.value,
        "slave_id": task.agent_id.value,
        "state": task.state.name,
        "resources": resources_json(Resources.of(task.resources)),
        "role": role,
        "statuses": [_status(status) for status in task.statuses],
    }
    if task.user is not None:
        out["user"] = task.user
    if task.labels is not None:
        out["labels"] = _labels(task.labels)
    for name in ("discovery", "container", "health_check"):
        part = getattr(task, name)
        if part is not None:
            out[name] = _json(part)
    return out


def _queued(task: Task, role: str) -> Object:
    info = task.info
    return {
        "id": task.id,
        "name": info.name,
        "slave_id": info.agent_id.value,
        "resources": resources_json(Resources.of(info.resources)),
        "role": role,
        "data": (info.data or b"").decode("utf-8", "replace"),
    }


def _status(status: mesos.TaskStatus) -> Object:
    out: Object = {"state": status.state.name, "timestamp": status.timestamp}
    if status.labels is not None:
        out["labels"] = _labels(status.labels)
    if status.container_status is not None:
        shown = msgspec.structs.replace(status.container_status, executor_pid=None)
        out["container_status"] = _json(shown)
    if status.healthy is not None:
        out["healthy"] = status.healthy
    return out


def _labels(labels: mesos.Labels) -> list[Json]:
    return [_json(label) for label in labels.labels]


def _attribute(attribute: mesos.Attribute) -> Json:
    if attribute.scalar is not None:
        return attribute.scalar.value
    if attribute.ranges is not None:
        parts = [f"{one.begin}-{one.end}" for one in attribute.ranges.range]
        return f"[{', '.join(parts)}]"
    return "" if attribute.text is None else attribute.text.value


def _full(resources: Resources) -> list[Json]:
    """The wire entries, with the role in the old place as well."""
    entries: list[Json] = []
    for resource in resources.to_wire(role=None, refinement=True):
        role = resource.reservations[-1].role if resource.reservations else "*"
        entries.append(_json(msgspec.structs.replace(resource, role=role)))
    return entries


def _json(message: msgspec.Struct) -> Json:
    built: Json = msgspec.to_builtins(message)
    return built


# The operator API


def _get_tasks(state: State) -> Response.GetTasks:
    queued: list[mesos.Task] = []
    launched: list[mesos.Task] = []
    terminated: list[mesos.Task] = []
    for framework in state.frameworks.values():
        for task in framework.tasks.values():
            executor = framework.executors.get(task.executor_id)
            wire = _allocated(updates.to_wire(framework, executor, task), executor)
            if task.state in TERMINAL_STATES:
                terminated.append(wire)
            elif executor is not None and task.id in executor.queued:
                queued.append(wire)
            else:
                launched.append(wire)
    completed = [
        _allocated(task, executor)
        for _, executor in _all_executors(state)
        for task in executor.completed_tasks
    ]
    return Response.GetTasks(
        queued_tasks=tuple(queued),
        launched_tasks=tuple(launched),
        terminated_tasks=tuple(terminated),
        completed_tasks=tuple(completed),
    )


def _allocated(task: mesos.Task, executor: Executor | None) -> mesos.Task:
    """The task with the role of its executor on all resources."""
    if executor is None:
        return task
    return msgspec.structs.replace(task, resources=allocated(task.resources, executor.role))


def _get_executors(state: State) -> Response.GetExecutors:
    one = Response.GetExecutors.Executor
    completed = (*state.frameworks.values(), *state.completed_frameworks)
    return Response.GetExecutors(
        executors=tuple(
            one(executor_info=allocated_executor(e.info, e.role)) for e in _shown_executors(state)
        ),
        completed_executors=tuple(
            one(executor_info=allocated_executor(executor.info, executor.role))
            for framework in completed
            for executor in framework.completed_executors
        ),
    )


def _get_frameworks(state: State) -> Response.GetFrameworks:
    def all_of(frameworks: Iterable[Framework]) -> tuple[Response.GetFrameworks.Framework, ...]:
        one = Response.GetFrameworks.Framework
        return tuple(one(framework_info=framework.info) for framework in frameworks)

    return Response.GetFrameworks(
        frameworks=all_of(state.frameworks.values()),
        completed_frameworks=all_of(state.completed_frameworks),
    )


def _containers(
    state: State, usage: Usage, *others: Container
) -> Iterator[Response.GetContainers.Container]:
    for executor in _shown_executors(state):
        yield Response.GetContainers.Container(
            framework_id=mesos.FrameworkID(executor.framework_id),
            executor_id=executor.info.executor_id,
            executor_name=executor.info.name or "",
            container_id=updates.wire_id(executor.container_id),
            container_status=_container_status(executor.container),
            resource_statistics=usage.get(executor.container_id),
        )
    for container in others:
        yield Response.GetContainers.Container(
            container_id=updates.wire_id(container.id),
            container_status=_container_status(container),
            resource_statistics=usage.get(container.id),
        )


def _all_executors(state: State) -> Iterator[tuple[Framework, Executor]]:
    for framework in (*state.frameworks.values(), *state.completed_frameworks):
        for executor in (*framework.executors.values(), *framework.completed_executors):
            yield framework, executor
