"""What a container is asked to be, and what is told of it. All quantities are integers in the smallest unit."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

OUTPUT_BYTES_MAX = 100 << 20  # per file; one older file is kept beside each
UMASK = 0o022
NO_LIMIT = -1  # lifts a limit that there was

Rlimit = tuple[str, int | None, int | None]
"""Name as in the API (`RLMT_NOFILE`), soft and hard limit; None is no limit."""


class Propagation(StrEnum):
    """Whether mounts that come later on one side of a bind mount are seen on the other."""

    PRIVATE = "private"
    FROM_HOST = "rslave"
    BOTH_WAYS = "rshared"


class Users(Struct, frozen=True, kw_only=True):
    """The ids of the host that a container's users have: 0, 1, … are `first`, … there."""

    first: int
    count: int


class Mount(Struct, frozen=True, kw_only=True):
    """A file system that the container has at `destination`, besides its root.

    A missing destination is made. It is a path of the host, or directories merged to one, or else a tmpfs.
    """

    destination: str  # absolute, in the container
    source: str | None
    layers: tuple[str, ...] = ()  # of an image, the base first; they are read only
    read_only: bool = False
    propagation: Propagation = Propagation.PRIVATE
    options: tuple[str, ...] = ()  # further ones, as of mount(8): `size=65536k`, `nosuid`
    # Its files belong to the host's ids of the container's users; else to the ids that the container knows.
    has_outer_owners: bool = False


class Device(Struct, frozen=True, kw_only=True):
    """A device of the host that the container may use, at the same path."""

    path: str
    access: str = "rwm"  # read, write, make


class Isolation(Struct, frozen=True, kw_only=True):
    """What a container has for itself beyond limits: an OCI runtime gives it that."""

    layers: tuple[str, ...] = ()  # directories of its image, the base first; (): the host's root
    directory: str = "/"  # working directory, in the container
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    # By type as in the OCI runtime specification; '' is a new one, else the path of one to join.
    # What is not named is the host's. A mount namespace is always new.
    namespaces: Mapping[str, str] = {}
    users: Users | None = None  # whom a user namespace maps to, new or joined; None: it has none
    hostname: str | None = None
    mounts: tuple[Mount, ...] = ()
    capabilities: tuple[str, ...] = ()  # effective and permitted, `CAP_CHOWN` and so on
    bounding_capabilities: tuple[str, ...] = ()
    is_ambient: bool = False  # a user who is not root has these capabilities, too
    no_new_privileges: bool = True
    seccomp_bpf: bytes | None = None  # compiled; None: no filter, unless there are rules
    # The same for a runtime that compiles by itself: `linux.seccomp` of the OCI specification.
    seccomp_rules: Mapping[str, object] = {}
    devices: tuple[Device, ...] = ()
    shm_bytes: int = 64 << 20
    is_read_only: bool = False  # the root


class DockerOptions(Struct, frozen=True, kw_only=True):
    """What Docker Engine is asked for beyond what all containers have."""

    image: str
    force_pull: bool = False
    network: str = "host"  # 'host', 'bridge', 'none', or the name of a network
    port_mappings: tuple[tuple[int, int, str], ...] = ()  # host, container, 'tcp' or 'udp'
    privileged: bool = False
    parameters: tuple[tuple[str, str], ...] = ()  # flags of `docker run` by name, without '--'
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[tuple[str, str, bool], ...] = ()  # name of a Docker volume, path, read only
    volume_driver: str | None = None
    hostname: str | None = None
    # False: the image's entrypoint and command, with `argv` after them.
    has_own_command: bool = True


class Inside(Struct, frozen=True, kw_only=True):
    """The program runs in the namespaces and on the root of the container's `parent`, as a session."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    directory: str = "/"


class InsideDocker(Struct, frozen=True, kw_only=True):
    """The same in a container of Docker Engine, which knows what is not said: '' is as its container has it.

    The spec's environment is what there is beside the container's.
    """

    user: str = ""  # a name in the container, or ids: `5:6`
    directory: str = ""


class Window(Struct, frozen=True):
    """The size of a terminal, in characters."""

    rows: int = 24
    columns: int = 80


class Stdio(Struct, frozen=True):
    """Descriptors that a process gets as its streams, in place of files; the caller closes its own."""

    stdin: int
    stdout: int
    stderr: int


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """One container. Its program is executed directly: a shell is asked for with `/bin/sh -c`.

    It is a plain process unless it has `isolation`, is of `docker`, or runs `inside` another one. One without
    program is a group: limits and namespaces for the containers whose parent it is; it runs until it is
    destroyed.
    """

    container_id: str  # of a nested one: its parent's, a dot, and its own name
    program: str  # without a '/' it is looked for in the environment's PATH; '': a group
    argv: tuple[str, ...]  # begins with the name that the program is called by
    environment: dict[str, str]  # all of it: nothing is inherited from the agent
    directory: str  # the sandbox: working directory, and place of the output files
    user: str | None = None  # None: the agent's own
    rlimits: tuple[Rlimit, ...] = ()
    cpus_milli: int = 0  # its share; 0: everybody's
    cpus_limit_milli: int = 0  # it is throttled above; 0: no limit
    mem_bytes: int = 0  # it is killed above; 0: no limit
    mem_soft_bytes: int = 0  # what it has above goes first when memory is short; 0: no such limit
    pids_max: int = 0  # processes and threads; 0: the runtime's own limit, NO_LIMIT: none
    cpuset: str = ""  # the only cpus it runs on, as in `0-3,8`; '': all
    io_weight: int = 0  # its share of the disks, 1 to 10,000, where 100 is everybody's; 0: that
    # What it may use besides null, zero, random, its terminals and the like; None: with an image what
    # `isolation` names, else all devices. Of `isolation`, those are made in the container as well.
    devices: tuple[Device, ...] | None = None
    stdout: str | None = "stdout"  # a file's name in `directory`; None: /dev/null
    stderr: str | None = "stderr"
    output_bytes_max: int = OUTPUT_BYTES_MAX
    umask: int = UMASK
    # A container that this one lives in, and ends with. Limits are shared, unless it has its own.
    parent: str | None = None
    has_own_limits: bool = False  # they hold under those of its parent
    tty: Window | None = None  # its streams are a terminal; what it writes goes to `stdout`
    isolation: Isolation | None = None
    docker: DockerOptions | None = None
    inside: Inside | InsideDocker | None = None


class Started(Struct, frozen=True):
    """The program was reached. (pid, start_time in clock ticks since boot) names its process for ever."""

    container_id: str
    pid: int
    start_time: int
    notes: tuple[str, ...] = ()  # sentences on what could not be given as asked
    # Of a group, by type: paths by which containers join its namespaces, while the launcher lives.
    namespaces: Mapping[str, str] = {}
    addresses: tuple[str, ...] = ()  # its own, of networks that the runtime has made it join


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
    namespaces: Mapping[str, str] = {}  # of a group that runs, as in Started


class Capabilities(Struct, frozen=True):
    """What this machine holds containers to: of 'kill', 'cpu' (shares), 'cpu-quota', 'memory', 'pids', 'cpuset',
    'io' and 'devices'."""

    enforced: tuple[str, ...]
    unenforced: str  # one sentence on the rest, and why; '' when there is none
