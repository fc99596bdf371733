"""The probes of checks: what to run, ask or connect to; and no longer."""

from __future__ import annotations

from tepui.agent.core.actions import (
    AbandonCheck,
    CommandProbe,
    HttpProbe,
    Limits,
    Probe,
    TcpProbe,
)
from tepui.agent.core.effects import Effects
from tepui.agent.core.environment import environment_of, own_variables, user_of
from tepui.agent.core.state import Command, Executor, Framework, State, Task
from tepui.wire import mesos

NO_LIMITS = Limits(0, None, 0, None, 0)  # a probe lives within the limits of its task


def end(state: State, command: Command, step: Effects) -> None:
    """No further probe."""
    for watch in (command.health, command.check):
        if watch is None:
            continue
        state.timers.cancel(watch.timer)
        if watch.check_id is not None:
            step.then.append(AbandonCheck(watch.check_id))
            del state.checks[watch.check_id]
    command.health = command.check = None


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
        return HttpProbe(f"{scheme}://{host}:{check.http.port}{check.http.path or ''}")
    if check.tcp is not None and check.type is mesos.HealthCheck.Type.TCP:
        return TcpProbe(_local(check.tcp.protocol).strip("[]"), check.tcp.port)
    assert check.command is not None
    return _command_probe(state, framework, executor, task, check.command)


def of_check(
    state: State, framework: Framework, executor: Executor, task: Task, check: mesos.CheckInfo
) -> Probe:
    if check.http is not None and check.type is mesos.CheckInfo.Type.HTTP:
        return HttpProbe(f"http://127.0.0.1:{check.http.port}{check.http.path or ''}")
    if check.tcp is not None and check.type is mesos.CheckInfo.Type.TCP:
        return TcpProbe("127.0.0.1", check.tcp.port)
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
    own = task.info.command
    assert own is not None
    environment = environment_of(state, framework, executor, own) | own_variables(command)
    return CommandProbe(
        container_id=state.uuids.next_text(),
        beside=executor.container_id,
        directory=executor.directory,
        command=command,
        container=task.info.container,
        environment=environment,
        user=user_of(state, framework, command if command.user else own),
        limits=NO_LIMITS,
    )


def _local(protocol: mesos.NetworkInfo.Protocol) -> str:
    return "[::1]" if protocol is mesos.NetworkInfo.Protocol.IPv6 else "127.0.0.1"
