"""Options that many commands have."""

from __future__ import annotations

import click

MASTER_DEFAULT = "127.0.0.1:5050"
LOOPBACK = ("127.", "::1", "localhost")

master_option = click.option(
    "--master",
    metavar="ADDRESS",
    envvar="TEPUI_MASTER",
    default=MASTER_DEFAULT,
    show_default=True,
    show_envvar=True,
    help="HOST:PORT of the master, or of several with commas; or zk://HOST:PORT,.../PATH.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def warn_of_open_port(name: str, ip: str) -> None:
    """Say that a port which others can reach is open to them."""
    if not ip.startswith(LOOPBACK):
        click.echo(
            f"tepui {name}: warning: listening on {ip} without authentication: "
            "whoever reaches the port may run commands",
            err=True,
        )
