"""What an operator may choose of the fetcher."""

from __future__ import annotations

from msgspec import Struct

from tepui.agent.fetcher.web import STALL_MS


class FetcherOptions(Struct, frozen=True, kw_only=True):
    """Names and defaults are those of Mesos's flags."""

    cache_directory: str | None = None  # None: in the work_dir
    cache_bytes_max: int = 2 << 30
    stall_timeout_ms: int = STALL_MS
    frameworks_home: str | None = None  # where relative paths begin
    hadoop_home: str | None = None
