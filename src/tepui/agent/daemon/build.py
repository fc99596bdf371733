"""Which software this is."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import tepui
from tepui import MESOS_VERSION
from tepui.wire import mesos


@cache
def version_info() -> mesos.VersionInfo:
    """The version of the API we speak; and when this software was installed."""
    installed_s = Path(tepui.__file__).stat().st_mtime
    return mesos.VersionInfo(
        version=MESOS_VERSION,
        build_date=datetime.fromtimestamp(installed_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        build_time=installed_s,
        build_user="",
        git_tag=f"tepui-{tepui.__version__}",
    )
