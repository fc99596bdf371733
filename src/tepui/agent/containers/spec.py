"""What a container is asked to be, and what is told of it. All quantities are integers in the smallest unit."""

from __future__ import annotations

from msgspec import Struct

OUTPUT_BYTES_MAX = 100 << 20  # per file; one older file is kept beside each
UMASK = 0o022

Rlimit = tuple[str, int | None, int | None]
"""Name as in the API (`RLMT_NOFILE`), soft and hard limit; None is no limit."""


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """One container. Its program is executed directly: a shell is asked for with `/bin/sh -c`."""

    container_id: str
    program: str  # without a '/' it is looked for in the environment's PATH
    argv: tuple[str, ...]  # begins with the name that the program is called by
    environment: dict[str, str]  # all of it: nothing is inherited from the agent
    directory: str  # the sandbox: working directory, and place of the output files
    user: str | None = None  # None: the agent's own
    rlimits: tuple[Rlimit, ...] = ()
    cpus_milli: int = 0  # 0: no limit
    mem_bytes: int = 0  # 0: no limit
    stdout: str | None = "stdout"  # a file's name in `directory`; None: /dev/null
    stderr: str | None = "stderr"
    output_bytes_max: int = OUTPUT_BYTES_MAX
    umask: int = UMASK
    parent: str | None = (
        None  # a container that this one lives in: limits are shared, it ends with it
    )


class Started(Struct, frozen=True):
    """The program was reached. (pid, start_time in clock ticks since boot) names its process for ever."""

    container_id: str
    pid: int
    start_time: int
    notes: tuple[str, ...] = ()  # sentences on what could not be given as asked


class Exited(Struct, frozen=True):
    """The container is gone, with all its processes; `wait_status` is its main process's, as of wait(2)."""

    container_id: str
    wait_status: int
    oom: bool = False
    mem_limit_bytes: int = 0  # 0: none was enforced
    mem_peak_bytes: int = 0  # 0: not measured
    text: str = ""  # what else is to be known, e.g. that output was lost


class LaunchFailed(Struct, frozen=True):
    """The program was not reached, and nothing of the container is left; `text` says why."""

    container_id: str
    text: str


class Usage(Struct, frozen=True):
    """What a container uses now, and may use."""

    cpu_user_ms: int
    cpu_system_ms: int
    mem_rss_bytes: int
    processes: int
    threads: int
    cpus_limit_milli: int
    mem_limit_bytes: int


class Found(Struct, frozen=True):
    """A container that an earlier agent started: running, or exited while nobody listened."""

    container_id: str
    pid: int
    start_time: int
    exited: Exited | None = None


class Capabilities(Struct, frozen=True):
    """What this machine holds containers to: of 'kill', 'cpu', 'cpu-quota' and 'memory'."""

    enforced: tuple[str, ...]
    unenforced: str  # one sentence on the rest, and why; '' when there is none
