"""Which program a container runs, and what is in its environment.

An image has an entrypoint and a command of its own, which count where the task names no program:

    task            program and arguments
    shell, value    /bin/sh -c value
    value           value, called as the first of the arguments, with the others
    arguments       the entrypoint with them; without entrypoint the first of the image's command
    nothing         the entrypoint with the image's command, or that command alone

Source: Mesos docker/runtime isolator; docs/mesos-containerizer.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tepui.agent.containers.images.image import ImageConfig
from tepui.agent.containers.spec import Rlimit
from tepui.agent.containers.specs.errors import Unsupported
from tepui.wire import mesos

SHELL = "/bin/sh"
PATH = "PATH"

Program = tuple[str, tuple[str, ...]]
"""What is executed, and the name it is called by with its arguments."""


def program_of(command: mesos.CommandInfo, image: ImageConfig | None = None) -> Program:
    """The program of a command, in a container of that image. Raises Unsupported when there is none."""
    if command.shell:
        if command.value is None:
            raise Unsupported("the command has no value")
        return SHELL, ("sh", "-c", command.value)
    if command.value:
        return command.value, command.arguments or (command.value,)
    if image is None:
        if not command.arguments:
            raise Unsupported("the command has neither value nor arguments")
        return command.arguments[0], command.arguments
    if image.entrypoint:
        argv = image.entrypoint + (command.arguments or image.cmd)
    elif image.cmd:
        argv = image.cmd[:1] + (command.arguments or image.cmd[1:])
    else:
        raise Unsupported("the command names no program, and neither does the image")
    return argv[0], argv


def docker_program_of(command: mesos.CommandInfo, image: ImageConfig) -> Program:
    """The same of a container of type DOCKER: without a shell, `value` and `arguments` follow the entrypoint.

    Source: Mesos docker/docker.cpp (Docker::RunOptions::create). Raises Unsupported.
    """
    if command.shell:
        return program_of(command, image)
    words = (() if command.value is None else (command.value,)) + command.arguments
    argv = image.entrypoint + (words or image.cmd)
    if not argv:
        raise Unsupported("the command names no program, and neither does the image")
    return argv[0], argv


def environment_in(
    image: ImageConfig,
    command: mesos.CommandInfo,
    environment: Mapping[str, str],
    *,
    sandbox: str,
    home: str,
) -> dict[str, str]:
    """The environment in a container of the image: the task's own before the image's before the agent's.

    The agent's PATH counts only where the image has none; `sandbox` is where the sandbox is mounted.
    """
    variables = () if command.environment is None else command.environment.variables
    own = {one.name for one in variables}
    found = {"HOME": home}
    if PATH in environment:
        found[PATH] = environment[PATH]
    for text in image.environment:
        name, is_variable, value = text.partition("=")
        if name and is_variable:
            found[name] = value
    found |= {name: value for name, value in environment.items() if name != PATH or name in own}
    if "MESOS_SANDBOX" in found and "MESOS_SANDBOX" not in own:
        found["MESOS_SANDBOX"] = sandbox
    return found


def refuse_secret_references(command: mesos.CommandInfo) -> None:
    """Raises Unsupported for a variable that the agent would have to look up."""
    for one in () if command.environment is None else command.environment.variables:
        is_secret = one.type is mesos.Environment.Variable.Type.SECRET
        if is_secret and (one.secret is None or one.secret.value is None):
            raise Unsupported(f"this agent cannot look up the secret of the variable '{one.name}'")


def rlimits_of(container: mesos.ContainerInfo | None) -> tuple[Rlimit, ...]:
    """The resource limits by name, soft before hard. Raises Unsupported for half a limit."""
    if container is None or container.rlimit_info is None:
        return ()
    limits: list[Rlimit] = []
    for one in container.rlimit_info.rlimits:
        if one.type is None or (one.soft is None) != (one.hard is None):
            raise Unsupported("a resource limit has a type, and both soft and hard or neither")
        limits.append((one.type.name, one.soft, one.hard))
    return tuple(limits)


def as_pairs(parameters: Iterable[mesos.Parameter]) -> tuple[tuple[str, str], ...]:
    """Parameters as names and values, in their order."""
    return tuple((one.key, one.value) for one in parameters)
