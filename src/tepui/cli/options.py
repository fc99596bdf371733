"""Options that many commands have."""

from __future__ import annotations

import click

MASTER_DEFAULT = "127.0.0.1:5050"

master_option = click.option(
    "--master",
    metavar="HOST:PORT",
    envvar="TEPUI_MASTER",
    default=MASTER_DEFAULT,
    show_default=True,
    show_envvar=True,
    help="The master, or several with commas.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
