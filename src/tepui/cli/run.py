"""`tepui run`: commands on the cluster, with their output and exit code, as if they ran here."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path, PurePath

import click

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.cli.options import master_option

INSTANCES_MAX = 100_000
COMMANDS_MAX = 100_000  # lines of a --file


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--cpus", type=float, default=0.1, show_default=True, help="Of each task.")
@click.option("--mem", type=float, default=32, show_default=True, help="Of each task, in MiB.")
@click.option("--disk", type=float, default=0, help="Of each task, in MiB.")
@click.option("--gpus", type=float, default=0, hidden=True)
@click.option(
    "--instances",
    type=click.IntRange(1, INSTANCES_MAX),
    default=1,
    show_default=True,
    help="Run the command so many times.",
)
@click.option("--env", metavar="K=V", multiple=True, help="Set a variable of its environment.")
@click.option("--uri", metavar="U", multiple=True, help="Fetch this into the sandbox before.")
@click.option("--image", metavar="NAME", help="Run in a container of this image.")
@click.option("--entrypoint", is_flag=True, help="The words go to the image's own program.")
@click.option("--pull", is_flag=True, help="Ask the registry for the image again.")
@click.option("--docker", is_flag=True, help="Leave the container to Docker Engine.")
@click.option("--volume", metavar="HOST:PATH[:ro]", multiple=True, help="Mount it there.")
@click.option("--network", metavar="NAME", multiple=True, help="Join this network.")
@click.option("--publish", metavar="HOST:PORT", multiple=True, help="Map a port of the machine.")
@click.option("--name", help="Of the framework, and in the tasks' ids.  [default: the program's]")
@click.option("--user", help="Run as this user.  [default: you]")
@click.option("--role", default="*", show_default=True, help="Use the resources of this role.")
@click.option(
    "--constraint",
    metavar="ATTR=VALUE",
    multiple=True,
    help="Only on machines with this attribute (or hostname).",
)
@click.option("--timeout", metavar="TIME", help="Kill what is not done by then: '90', '5mins'.")
@click.option(
    "--file",
    "commands_file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Run each line of this file as a command; '-' reads stdin.",
)
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
@master_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    *,
    cpus: float,
    mem: float,
    disk: float,
    gpus: float,
    instances: int,
    env: tuple[str, ...],
    uri: tuple[str, ...],
    image: str | None,
    entrypoint: bool,
    pull: bool,
    docker: bool,
    volume: tuple[str, ...],
    network: tuple[str, ...],
    publish: tuple[str, ...],
    name: str | None,
    user: str | None,
    role: str,
    constraint: tuple[str, ...],
    timeout: str | None,
    commands_file: Path | None,
    quiet: bool,
    master: str,
    command: tuple[str, ...],
) -> int:
    """Run a command on the cluster and show its output.

    One word is a line for the shell ('date | wc'); several are a program and its arguments. The
    output of one task is shown as it comes, that of several as each task ends. The exit code is
    the command's, 128+N for signal N, 124 after the timeout, 125 when it could not be run; of
    several tasks the largest. With --image and no command the image's own is run. Each task finds its number, from 1, in $TEPUI_INSTANCE.
    """
    from tepui.cli.connect import no_master
    from tepui.cli.job import EXIT_NOT_RUN, Job, Line, Shape
    from tepui.cli.runner import RunOptions, run_job
    from tepui.cli.show import show_for
    from tepui.sdk import SdkError, Unreachable
    from tepui.sdk.containers import container

    lines: list[Line]
    if commands_file is not None:
        if command or instances > 1:
            raise click.UsageError("--file goes without a command and without --instances")
        lines = list(read_commands(commands_file))
        title = name or commands_file.stem or "commands"
    else:
        if not command and image is None:
            raise click.UsageError("give a command, after '--', or --file, or an --image")
        if image is None and (entrypoint or pull):
            flag = "--entrypoint" if entrypoint else "--pull"
            raise click.UsageError(f"{flag} goes with an --image")
        is_line = len(command) == 1 and not entrypoint
        lines = [command[0] if is_line else command] * instances
        title = name or default_name(command[0] if command else f"{image}".rpartition("/")[2])
    shape = Shape(
        cpus=cpus,
        mem_mib=mem,
        disk_mib=disk,
        gpus=gpus,
        env=dict(_pair("--env", text) for text in env),
        uris=uri,
        user=user,
        constraints=tuple(_pair("--constraint", text) for text in constraint),
        container=container(
            image, volumes=volume, networks=network, publish=publish, docker=docker, pull=pull
        ),
        entrypoint=entrypoint,
        ports=tuple(int(text.partition(":")[0]) for text in publish),
    )
    job = Job(f"{title}-{secrets.token_hex(3)}", shape, lines)
    options = RunOptions(
        master=master,
        name=f"run {title}",
        role=role,
        user=user,
        timeout_s=None if timeout is None else parse_timeout_s(timeout),
    )
    try:
        return run_job(options, job, show_for(job, quiet=quiet))
    except Unreachable as error:
        raise no_master(master, str(error)) from None
    except SdkError as error:
        click.echo(f"tepui run: {error}", err=True)
        return EXIT_NOT_RUN


def read_commands(path: Path) -> list[str]:
    """The lines of the file that are commands: not empty and no comments."""
    with click.open_file(str(path), encoding="utf-8") as file:
        found = [line.strip() for line in file]
    commands = [line for line in found if line and not line.startswith("#")]
    if not commands:
        raise Refused(f"--file '{path}': no commands in it")
    if len(commands) > COMMANDS_MAX:
        raise Refused(f"--file '{path}': {len(commands)} commands, the most is {COMMANDS_MAX}")
    return commands


def default_name(program: str) -> str:
    """What the tasks' ids begin with: the program's name, in characters that ids may have."""
    words = program.split()
    base = PurePath(words[0]).name if words else ""
    kept = "".join(c for c in base if (c.isalnum() and c.isascii()) or c in "._-").strip(".-")
    return kept[:30] or "task"


def parse_timeout_s(text: str) -> float:
    """Seconds of '90', '1.5', or of a duration as in '5mins'."""
    with contextlib.suppress(ValueError):
        seconds = float(text)
        if not 0 < seconds < float("inf"):
            raise Refused(f"--timeout '{text}': expected more than 0")
        return seconds
    try:
        return parse_duration_ms(text) / 1000
    except Refused as refused:
        raise Refused(f"--timeout: {refused.text}") from None


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Refused(f"{option} '{text}': expected name=value")
    return name, value
