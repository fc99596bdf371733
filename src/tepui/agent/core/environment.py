"""The environment, directory and user of tasks and executors.

Source: Mesos slave/containerizer/containerizer.cpp (executorEnvironment), slave/paths.hpp.
"""

from __future__ import annotations

from tepui.agent.core.durations import to_ms
from tepui.agent.core.state import Container, Executor, Framework, Kind, State
from tepui.base.durations import format_duration_ms
from tepui.wire import mesos

PATH = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Mesos: os::host_default_path
)
SUBSCRIPTION_BACKOFF_MAX_MS = 2_000  # Mesos: EXECUTOR_REREGISTRATION_TIMEOUT


def environment_of(
    state: State, framework: Framework, executor: Executor, command: mesos.CommandInfo
) -> dict[str, str]:
    """What the process finds in its environment; the command's own variables win."""
    settings = state.settings
    variables = {
        "PATH": PATH,
        "LIBPROCESS_IP": settings.ip,
        "LIBPROCESS_PORT": "0",
        "MESOS_AGENT_ENDPOINT": settings.address,
        "MESOS_CHECKPOINT": "1" if framework.info.checkpoint else "0",
        "MESOS_DIRECTORY": executor.directory,
        "MESOS_EXECUTOR_ID": executor.id,
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": format_duration_ms(
            shutdown_grace_ms(state, executor)
        ),
        "MESOS_FRAMEWORK_ID": framework.id,
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_SANDBOX": executor.directory,
        "MESOS_SLAVE_ID": state.agent_id.value,
        "MESOS_SLAVE_PID": settings.pid,
    }
    if executor.kind is Kind.COMMAND:
        variables["MESOS_ALLOCATION_ROLE"] = executor.role
    if framework.info.checkpoint:
        variables["MESOS_RECOVERY_TIMEOUT"] = format_duration_ms(settings.recovery_timeout_ms)
        variables["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = format_duration_ms(
            SUBSCRIPTION_BACKOFF_MAX_MS
        )
    return variables | own_variables(command)


def environment_in_pod(
    state: State, executor: Executor, container: Container, command: mesos.CommandInfo
) -> dict[str, str]:
    """What a task of a pod finds; where it runs, it is told whatever its own variables say.

    Source: Mesos launcher/default_executor.cpp.
    """
    own = {"PATH": PATH, "MESOS_SANDBOX": container.directory} | own_variables(command)
    return own | {
        "MESOS_CONTAINER_IP": _address_of(state, executor, container),
        "MESOS_ALLOCATION_ROLE": executor.role,
    }


def _address_of(state: State, executor: Executor, container: Container) -> str:
    for info in container.network_infos or executor.container.network_infos:
        for address in info.ip_addresses:
            if address.ip_address is not None:
                return address.ip_address
    return state.settings.ip


def own_variables(command: mesos.CommandInfo) -> dict[str, str]:
    """The variables that the command itself sets, secrets given by value included."""
    variables: dict[str, str] = {}
    for one in () if command.environment is None else command.environment.variables:
        if not one.name:
            continue  # Mesos takes it; no process can have such a variable
        if one.type is mesos.Environment.Variable.Type.SECRET:
            if one.secret is not None and one.secret.value is not None:
                variables[one.name] = one.secret.value.data.decode("utf-8", "replace")
        elif one.value is not None:
            variables[one.name] = one.value
    return variables


def shutdown_grace_ms(state: State, executor: Executor) -> int:
    """How long the executor may take to shut down."""
    own = executor.info.shutdown_grace_period
    return state.settings.executor_shutdown_grace_period_ms if own is None else to_ms(own)


def directory_of(state: State, framework_id: str, executor_id: str, container_id: str) -> str:
    """The sandbox of one run."""
    root = f"{state.settings.work_dir}/slaves/{state.agent_id.value}"
    return f"{root}/frameworks/{framework_id}/executors/{executor_id}/runs/{container_id}"


def directory_in_pod(executor: Executor, name: str) -> str:
    """The sandbox of a task of a pod, whose container has this name within the pod's."""
    return f"{executor.directory}/containers/{name}"


def task_link(executor: Executor, task_id: str) -> str:
    """The symbolic link by which people find that sandbox."""
    return f"{executor.directory}/tasks/{task_id}"


def virtual_path_of(framework_id: str, executor_id: str) -> str:
    """The path by which /files knows the sandbox of the last run."""
    return f"/frameworks/{framework_id}/executors/{executor_id}/runs/latest"


def user_of(state: State, framework: Framework, *commands: mesos.CommandInfo | None) -> str | None:
    """The user to run as: of the first command that names one, else the framework's.

    None: the agent's own.
    """
    if not state.settings.switch_user:
        return None
    named = (command.user for command in commands if command is not None and command.user)
    return next(named, framework.info.user or None)
