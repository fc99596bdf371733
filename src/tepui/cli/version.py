"""`tepui version`: which Tepui this is, and which API it speaks."""

from __future__ import annotations

import json
import platform

import click

from tepui import __version__
from tepui.cli.options import json_option

MESOS_API = "1.12.0"  # the version of the Mesos API that is spoken


@click.command("version")
@json_option
def command(*, as_json: bool) -> None:
    """Say which version this is."""
    python = platform.python_version()
    if as_json:
        click.echo(json.dumps({"version": __version__, "mesos_api": MESOS_API, "python": python}))
    else:
        click.echo(f"tepui {__version__} (Mesos API {MESOS_API}, Python {python})")
