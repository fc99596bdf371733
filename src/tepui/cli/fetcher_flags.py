"""The flags of `tepui agent` that are about the URIs of tasks.

Source: Mesos docs/configuration/agent.md.
"""

from __future__ import annotations

from tepui.agent.fetcher.options import FetcherOptions
from tepui.base.errors import Refused
from tepui.base.sizes import parse_bytes
from tepui.cli.flags import Flag, Group, Kind, Values

FETCHER = Group(
    "URIs of tasks",
    (
        Flag(
            "fetcher_cache_dir",
            Kind.PATH,
            None,
            "Where files of cached URIs are kept while the agent runs; else in the work_dir.",
        ),
        Flag(
            "fetcher_cache_size",
            Kind.TEXT,
            "2GB",
            "They never take more than this; the least recently used go. 0B: none is cached.",
        ),
        Flag(
            "fetcher_stall_timeout",
            Kind.DURATION,
            "1mins",
            "A download without a byte for this time has failed.",
        ),
        Flag("frameworks_home", Kind.PATH, None, "Where relative paths of URIs begin."),
        Flag(
            "hadoop_home",
            Kind.PATH,
            None,
            "Where Hadoop is, which fetches hdfs, s3 and others; else $HADOOP_HOME, or the PATH.",
        ),
    ),
)


def fetcher_options(values: Values) -> FetcherOptions:
    """The options; raises Refused for a flag whose value cannot be."""
    return FetcherOptions(
        cache_directory=_absolute(values, "fetcher_cache_dir"),
        cache_bytes_max=_bytes(values, "fetcher_cache_size"),
        stall_timeout_ms=_stall_ms(values),
        frameworks_home=_absolute(values, "frameworks_home"),
        hadoop_home=_absolute(values, "hadoop_home"),
    )


def _absolute(values: Values, name: str) -> str | None:
    path = values.text(name)
    if not path:
        return None  # Mesos's default of --frameworks_home is ''
    if not path.startswith("/"):
        raise Refused(f"flag --{name}: '{path}': an absolute path")
    return path


def _bytes(values: Values, name: str) -> int:
    try:
        return parse_bytes(values.required(name))
    except Refused as refused:
        raise Refused(f"flag --{name}: {refused.text}") from None


def _stall_ms(values: Values) -> int:
    name = "fetcher_stall_timeout"
    stall_ms = values.set_duration_ms(name)
    if stall_ms <= 0:
        raise Refused(f"flag --{name}: '{values.text(name)}': more than nothing")
    return stall_ms
