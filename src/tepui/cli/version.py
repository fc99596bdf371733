"""`tepui version`: which Tepui this is, and which API it speaks."""

from __future__ import annotations

import json
import platform

import click

from tepui import MESOS_VERSION, __version__
from tepui.cli.options import json_option


@click.command("version")
@json_option
def command(*, as_json: bool) -> None:
    """Say which version this is."""
    python = platform.python_version()
    if as_json:
        click.echo(
            json.dumps({"version": __version__, "mesos_api": MESOS_VERSION, "python": python})
        )
    else:
        click.echo(f"tepui {__version__} (Mesos API {MESOS_VERSION}, Python {python})")
