"""`tepui up`: a whole cluster on this machine, without configuration, for any user."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click

from tepui.base.errors import Refused
from tepui.cli.options import MASTER_DEFAULT, warn_of_open_port
from tepui.cli.ports import free_range, taken_ports

PORT_DEFAULT = 5050
AGENTS_MAX = 100


@click.command("up")
@click.option(
    "--agents", default=1, show_default=True, type=click.IntRange(1, AGENTS_MAX), help="How many."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Of the master; agents follow.  [default: {PORT_DEFAULT}, or the next that are free]",
)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where logs and sandboxes go; what is there is kept.  [default: up-<port> in "
    "/var/lib/tepui for root, in ~/.local/share/tepui for others; emptied at each start]",
)
@click.option(
    "--resources",
    metavar="TEXT",
    help="Of each agent, such as 'cpus:4;mem:2048'.  [default: the machine's, divided]",
)
@click.option("--ip", default="127.0.0.1", show_default=True, help="Address to listen on.")
def command(
    *, agents: int, port: int | None, work_dir: Path | None, resources: str | None, ip: str
) -> int:
    """Start a whole cluster on this machine.

    One master and some agents run until Ctrl-C, which ends them and their tasks.
    """
    from tepui.cli.cluster import Cluster, Failed, Plan

    started_s = time.monotonic()
    count = agents + 1
    first = _chosen_port(ip, port, count)
    plan = Plan(
        ip=ip,
        port=first,
        agents=agents,
        work_dir=(work_dir or default_work_dir(first)).absolute(),
        keeps_work_dir=work_dir is not None,
        resources=resources,
    )
    warn_of_open_port("up", ip)
    cluster = Cluster(plan)
    try:
        cluster.start()
        if cluster.wait_until_ready():
            click.echo(_welcome(plan.master, agents, plan.work_dir, time.monotonic() - started_s))
            cluster.watch()
        click.echo("ending the cluster", err=True)
    except Failed as failed:
        click.echo(f"tepui up: {failed}", err=True)
        return 1
    finally:
        cluster.end()
    return 0


def default_work_dir(port: int) -> Path:
    """A directory that tasks of other users can reach, if we are root."""
    name = f"up-{port}"
    if os.geteuid() == 0:
        return Path("/var/lib/tepui") / name
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    if os.access(os.path.expanduser("~"), os.W_OK):
        return Path(data) / "tepui" / name
    return Path(tempfile.gettempdir()) / f"tepui-{os.geteuid()}" / name


def _chosen_port(ip: str, port: int | None, count: int) -> int:
    if port is None:
        chosen = free_range(ip, PORT_DEFAULT, count)
        if chosen != PORT_DEFAULT:
            click.echo(f"port {PORT_DEFAULT} is taken: using {chosen}", err=True)
        return chosen
    if port + count - 1 > 65535:
        raise Refused(f"--port {port}: {count} ports are needed from there, 65535 is the last")
    if taken := taken_ports(ip, port, count):
        numbers = ", ".join(str(number) for number in taken)
        verb = "is" if len(taken) == 1 else "are"
        raise Refused(
            f"{numbers} of the ports {port}-{port + count - 1} {verb} taken: end what listens "
            "there, name others with --port, or leave --port out"
        )
    return port


def _welcome(master: str, agents: int, work_dir: Path, seconds: float) -> str:
    bold, plain = "\033[1m", "\033[0m"
    machines = "1 agent" if agents == 1 else f"{agents} agents"
    lines = [
        f"{bold}Tepui is up{plain} after {seconds:.1f} s: http://{master} with {machines}",
        f"Logs and sandboxes: {work_dir}",
        "",
        "Try in another terminal:",
    ]
    if master != MASTER_DEFAULT:
        lines.append(f"  export TEPUI_MASTER={master}")
    lines += [
        "  tepui run -- echo hello",
        "  tepui run --instances 20 -- 'sleep 1; hostname'",
        "  tepui node ls",
        "",
        "Ctrl-C ends the cluster and its tasks.",
    ]
    return "\n".join(lines)
