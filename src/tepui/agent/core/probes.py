"""The probes of checks: what to run, ask or connect to; and no longer."""

from __future__ import annotations

from tepui.agent.core import starts
from tepui.agent.core.actions import (
    NO_LIMITS,
    AbandonCheck,
    CommandProbe,
    HttpProbe,
    Probe,
    TcpProbe,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import (
    environment_in_pod,
    environment_of,
    own_variables,
    user_of,
)
from tepui.agent.core.state import (
    Executor,
    Framework,
    Place,
    State,
    Supervision,
    Task,
    container_of,
)
from tepui.wire import mesos


def end(state: State, supervision: Supervision, step: Effects) -> None:
    """No further probe."""
    for watch in (supervision.health, supervision.check):
        if watch is None:
            continue
        state.timers.cancel(watch.timer)
        if watch.check_id is not None:
            step.then.append(AbandonCheck(watch.check_id))
            del state.checks[watch.check_id]
    supervision.health = supervision.check = None


def of_health_check(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    check: mesos.HealthCheck,
) -> Probe:
    if check.http is not None and check.type is mesos.HealthCheck.Type.HTTP:
        host = _local(check.http.protocol)
        scheme = check.http.scheme or "http"
        url = f"{scheme}://{host}:{check.http.port}{check.http.path or ''}"
        return HttpProbe(url, _beside(executor, task))
    if check.tcp is not None and check.type is mesos.HealthCheck.Type.TCP:
        ip = _local(check.tcp.protocol).strip("[]")
        return TcpProbe(ip, check.tcp.port, _beside(executor, task))
    assert check.command is not None
    return _command_probe(state, framework, executor, task, check.command)


def of_check(
    state: State, framework: Framework, executor: Executor, task: Task, check: mesos.CheckInfo
) -> Probe:
    if check.http is not None and check.type is mesos.CheckInfo.Type.HTTP:
        url = f"http://127.0.0.1:{check.http.port}{check.http.path or ''}"
        return HttpProbe(url, _beside(executor, task))
    if check.tcp is not None and check.type is mesos.CheckInfo.Type.TCP:
        return TcpProbe("127.0.0.1", check.tcp.port, _beside(executor, task))
    assert check.command is not None
    return _command_probe(state, framework, executor, task, check.command.command)


def _command_probe(
    state: State,
    framework: Framework,
    executor: Executor,
    task: Task,
    command: mesos.CommandInfo,
) -> CommandProbe:
    """The check's command, with the task's environment and its own variables on top."""
    own = task.info.command or mesos.CommandInfo()
    container = container_of(executor, task)
    environment = (
        environment_of(state, framework, executor, own)
        if task.container is None
        else environment_in_pod(state, executor, container, own)
    )
    return CommandProbe(
        container_id=state.uuids.next_text(),
        beside=container.id,
        directory=container.directory,
        command=command,
        container=starts.info_of(state, Place(framework, executor, task, container)),
        environment=environment | own_variables(command),
        user=user_of(state, framework, command, own, executor.info.command),
        limits=NO_LIMITS,
    )


def _beside(executor: Executor, task: Task) -> str | None:
    """The container from whose network to ask; None: it has the machine's."""
    has_own = container_of(executor, task).network_infos or executor.container.network_infos
    return container_of(executor, task).id if has_own else None


def _local(protocol: mesos.NetworkInfo.Protocol) -> str:
    return "[::1]" if protocol is mesos.NetworkInfo.Protocol.IPv6 else "127.0.0.1"
