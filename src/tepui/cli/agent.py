"""`tepui agent`: one agent in the foreground, with the flags of Mesos."""

from __future__ import annotations

import click

from tepui.cli.daemon import (
    RAW_ARGUMENTS,
    read_daemon_flags,
    run_daemon,
    set_up_logs,
)
from tepui.cli.options import warn_of_open_port


@click.command("agent", context_settings=RAW_ARGUMENTS, add_help_option=False)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def command(flags: tuple[str, ...]) -> None:
    """Run an agent in the foreground."""
    from tepui.cli.agent_flags import GROUPS, OPENING, agent_options

    values = read_daemon_flags("agent", OPENING, GROUPS, flags)
    if values is None:
        return
    options = agent_options(values, set_up_logs("agent", values))
    warn_of_open_port("agent", options.ip)

    from tepui.agent.daemon.main import run

    run_daemon(run(options))
