"""`tepui master`: one master in the foreground, with the flags of Mesos."""

from __future__ import annotations

import click

from tepui.cli.daemon import (
    RAW_ARGUMENTS,
    raise_file_limit,
    read_daemon_flags,
    run_daemon,
    set_up_logs,
)
from tepui.cli.options import warn_of_open_port


@click.command("master", context_settings=RAW_ARGUMENTS, add_help_option=False)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def command(flags: tuple[str, ...]) -> None:
    """Run a master in the foreground."""
    from tepui.cli.master_flags import GROUPS, OPENING, master_options, notes_on

    values = read_daemon_flags("master", OPENING, GROUPS, flags)
    if values is None:
        return
    for note in notes_on(values):
        click.echo(f"tepui master: warning: {note}", err=True)
    options = master_options(values, set_up_logs("master", values))
    warn_of_open_port("master", options.ip)

    from tepui.master.daemon.main import run

    raise_file_limit()
    run_daemon(run(options))
