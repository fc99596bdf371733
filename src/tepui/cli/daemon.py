"""What the commands of both daemons share: reading flags, logs, and the loop they run on."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import resource
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path

import click

from tepui import __version__
from tepui.base.errors import Refused
from tepui.cli.flags import Flag, Group, Kind, Values, read_flags
from tepui.cli.flags_help import flags_help

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s"

RAW_ARGUMENTS = {
    "ignore_unknown_options": True,
    "allow_extra_args": True,
    "help_option_names": [],  # the help is written from the table of flags
}

# A launch makes hundreds of objects and no cycles: collecting each 700 costs a tenth of the time.
# Messages and tasks are not looked at (`gc=False`), so a whole collection of 400,000 tasks takes
# 0.3 s instead of 4.3 s; and it comes only after 500 million objects more than were freed.
GC_THRESHOLDS = (100_000, 50, 100)
SWITCH_INTERVAL_S = 0.001  # for which a thread that decodes a large body may keep the loop waiting
M_MMAP_THRESHOLD = -3  # malloc.h
MMAP_THRESHOLD_BYTES = 1024 * 1024

AUTHENTICATION_NOTE = (
    "there is no authentication yet, so this is ignored: whoever reaches the port may use it"
)

LOG_FLAGS = Group(
    "Logs",
    (
        Flag("log_dir", Kind.PATH, None, "Write the log into this directory, too."),
        Flag("logging_level", Kind.TEXT, "INFO", f"The least level: {', '.join(LEVELS)}."),
        Flag("quiet", Kind.SWITCH, "false", "Write no log to stderr."),
    ),
)


def read_daemon_flags(
    name: str, opening: str, groups: Sequence[Group], arguments: Sequence[str]
) -> Values | None:
    """The flags; None when help or the version was asked for, and was printed."""
    variable = f"TEPUI_{name.upper()}_"
    try:
        values = read_flags(groups, arguments, os.environ, (variable, "MESOS_"))
    except Refused as refused:
        raise click.UsageError(refused.text, click.get_current_context()) from None
    if values.wants_help:
        click.echo(flags_help(f"tepui {name} [--name=value]...", opening, groups, variable))
        return None
    if values.wants_version:
        click.echo(f"tepui {__version__}")
        return None
    for note in values.notes:
        click.echo(f"tepui {name}: warning: {note}", err=True)
    return values


def set_up_logs(name: str, values: Values) -> str | None:
    """Log to stderr, and to a file if asked to; returns the path of the file."""
    level = (values.text("logging_level") or "INFO").upper()
    if level not in LEVELS:
        raise Refused(f"flag --logging_level: '{level}': expected one of {', '.join(LEVELS)}")
    handlers: list[logging.Handler] = []
    path: Path | None = None
    if directory := values.text("log_dir"):
        path = Path(directory) / f"tepui-{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path))
    if values.switch("quiet"):
        handlers = handlers or [logging.NullHandler()]
    else:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(
        level=level, format=LOG_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S", handlers=handlers
    )
    return None if path is None else str(path)


def raise_file_limit() -> None:
    """Open as many files as the system lets this process: each agent and client is one.

    Only for a process that starts no others, for they would inherit the limit.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def give_memory_back() -> None:
    """Have large blocks returned to the system when they are freed.

    glibc keeps ever larger ones once it has seen them freed (mallopt(3), M_MMAP_THRESHOLD): a few
    large requests would leave a daemon hundreds of megabytes large for ever.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def run_daemon(main: Coroutine[None, None, None]) -> None:
    """Run the daemon until it ends, on uvloop."""
    import uvloop

    give_memory_back()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()  # what was imported is never garbage: collections need not look at it
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)
