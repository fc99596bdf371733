"""The fetcher of one agent."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tepui.agent.daemon.options import AgentOptions
from tepui.agent.fetcher.cache import Cache
from tepui.agent.fetcher.fetch import Fetcher


def fetcher_of(options: AgentOptions) -> Fetcher:
    """As its agent was told to make it; its cache takes nothing before it is opened."""
    asked = options.fetcher
    directory = Path(options.work_dir) / "fetch"
    if asked.cache_directory is not None:
        # The agent removes what is there. So it is a directory of its own: there may be other files
        # of the operator's, and other agents.
        work_dir = os.fsencode(os.path.realpath(options.work_dir))
        name = f"tepui-{hashlib.sha1(work_dir).hexdigest()[:12]}"
        directory = Path(asked.cache_directory) / name
    return Fetcher(
        timeout_ms=options.fetch_timeout_ms,
        bytes_max=options.fetch_bytes_max,
        stall_ms=asked.stall_timeout_ms,
        base=asked.frameworks_home,
        hadoop_home=asked.hadoop_home,
        cache=Cache(directory, asked.cache_bytes_max),
    )
