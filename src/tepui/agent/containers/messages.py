"""The launcher's messages as the agent writes and reads them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType, json

from tepui.agent.containers.isolation.devices import rules_for
from tepui.agent.containers.oci.config import Config, Process
from tepui.agent.containers.spec import ContainerSpec, Exited, Found, Isolation, Rlimit, Stdio
from tepui.agent.containers.users import ids_of
from tepui.agent.launcher.frames import FRAME_BYTES_MAX
from tepui.base.errors import HostError

RLIMIT_PREFIX = "RLMT_"


class Request(Struct, frozen=True, omit_defaults=True):
    """Every request but a launch."""

    n: int
    do: str
    container_id: str = ""
    signal: int = 0
    cpus_milli: int | None = None
    mem_bytes: int | None = None
    cpus_limit_milli: int | None = None
    mem_soft_bytes: int | None = None


class Volume(Struct, frozen=True):
    """A mount that the launcher makes in the bundle: of a directory or file, of layers, of kernel files."""

    source: str
    layers: tuple[str, ...]
    kind: str = ""  # 'sysfs' or 'proc': the host's own
    is_mapped: bool = False  # it has the owners that the container's users give


class Oci(Struct, frozen=True, kw_only=True):
    """What an OCI runtime is to do: start a container, or a session in `parent`."""

    runtime: str  # its program
    is_crun: bool
    name: str
    bundle: str
    state: str
    config: Config | UnsetType = UNSET
    process: Process | UnsetType = UNSET
    parent: str = ""
    layers: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    hidden: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    is_rootless: bool = False
    volumes: tuple[Volume, ...] = ()
    users: tuple[int, int] | None = None  # of a user namespace: the first id outside, and how many


class Launch(Struct, frozen=True, kw_only=True):
    """The request of a launch, in the launcher's own terms."""

    n: int
    do: str = "launch"
    container_id: str
    parent: str
    program: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    uid: int | None
    gid: int
    groups: tuple[int, ...]
    rlimits: list[tuple[str, int, int]]
    umask: int
    stdout: str
    stderr: str
    output_bytes_max: int
    cpus_milli: int
    cpus_limit_milli: int
    mem_bytes: int
    mem_soft_bytes: int
    pids_max: int
    cpuset: str
    io_weight: int
    devices: tuple[str, ...] | None  # rules of cgroups; None: all
    has_own_limits: bool
    stdio: bool = False  # three descriptors come with it
    window: tuple[int, int] | None = None  # of a terminal: rows, columns
    bound: bool = False  # it ends with this agent
    namespaces: tuple[str, ...] = ()  # new ones, of a group
    users: tuple[int, int] | None = None  # whom its user namespace maps to
    hostname: str = ""
    oci: Oci | None = None
    again: bool = False  # asked before, on a connection that broke before the answer


class Row(Struct, frozen=True):
    """One container in the launcher's list."""

    container_id: str
    pid: int
    start_time: int
    exited: bool = True  # left out where an exit is told
    wait_status: int = 0
    oom: bool = False
    mem_limit_bytes: int = 0
    mem_peak_bytes: int = 0
    text: str = ""
    namespaces: Mapping[str, str] = {}  # paths of those that a group holds


class Rows(Struct, frozen=True):
    """The launcher's list."""

    containers: list[Row]


class Notes(Struct, frozen=True):
    """The answer to an update."""

    notes: tuple[str, ...]


class Nothing(Struct, frozen=True):
    """The answer to what has none."""


def launch_request(
    spec: ContainerSpec, n: int, stdio: Stdio | None = None, oci: Oci | None = None
) -> Launch:
    """Return the request for `spec`. Raises HostError for a user that it cannot run as.

    What writes to nobody but this agent ends with it.
    """
    has_config = oci is not None and oci.config is not UNSET
    is_group = not spec.program
    ids = ids_of(None if has_config or is_group else spec.user)
    own = spec.isolation
    if own is not None and oci is None and not is_group:
        raise HostError(
            "launch", f"'{spec.container_id}'", "it is asked for without an OCI runtime"
        )
    return Launch(
        n=n,
        container_id=spec.container_id,
        parent=spec.parent or "",
        program=spec.program,
        argv=spec.argv[:1] if has_config else spec.argv,
        environment={} if has_config else spec.environment,
        directory=spec.directory,
        uid=ids.uid if ids is not None else None,
        gid=ids.gid if ids is not None else 0,
        groups=ids.groups if ids is not None else (),
        rlimits=[_rlimit(one) for one in spec.rlimits],
        umask=spec.umask,
        stdout=spec.stdout or "",
        stderr=spec.stderr or "",
        output_bytes_max=spec.output_bytes_max,
        cpus_milli=spec.cpus_milli,
        cpus_limit_milli=spec.cpus_limit_milli,
        mem_bytes=spec.mem_bytes,
        mem_soft_bytes=spec.mem_soft_bytes,
        pids_max=spec.pids_max,
        cpuset=spec.cpuset,
        io_weight=spec.io_weight,
        devices=rules_for(spec),
        has_own_limits=spec.has_own_limits,
        stdio=stdio is not None,
        window=None if spec.tty is None else (spec.tty.rows, spec.tty.columns),
        bound=stdio is not None or (spec.tty is not None and spec.stdout is None),
        namespaces=_new_namespaces(own.namespaces) if own is not None and is_group else (),
        users=users_of(own) if is_group else None,
        hostname=(own.hostname or "") if own is not None and is_group else "",
        oci=oci,
    )


def users_of(own: Isolation | None) -> tuple[int, int] | None:
    """Return the users in the launcher's form."""
    users = None if own is None else own.users
    return None if users is None else (users.first, users.count)


def _new_namespaces(asked: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(kind for kind, path in asked.items() if not path)


def _rlimit(limit: Rlimit) -> tuple[str, int, int]:
    name, soft, hard = limit
    if not name.startswith(RLIMIT_PREFIX):
        raise HostError(
            "set the rlimit", f"'{name}'", f"its name does not begin with '{RLIMIT_PREFIX}'"
        )
    unlimited = -1  # setrlimit's RLIM_INFINITY, as Python spells it
    return (
        name.removeprefix(RLIMIT_PREFIX),
        unlimited if soft is None else soft,
        unlimited if hard is None else hard,
    )


def encode(request: Request | Launch) -> bytes:
    """Return the body of `request`'s frame. Raises HostError when no frame can hold it."""
    try:
        body = json.encode(request)
    except (UnicodeEncodeError, OverflowError) as error:
        raise HostError(
            request.do, f"'{request.container_id}'", f"it is no valid text: {error}"
        ) from None
    if len(body) > FRAME_BYTES_MAX:
        cause = f"{len(body)} bytes of arguments and environment are over the limit of {FRAME_BYTES_MAX}"
        raise HostError(request.do, f"'{request.container_id}'", cause)
    return body


def exited(row: Row) -> Exited:
    """Return the exit in `row`."""
    return Exited(
        row.container_id,
        row.wait_status,
        row.oom,
        row.mem_limit_bytes,
        row.mem_peak_bytes,
        row.text,
    )


def found(row: Row) -> Found:
    """Return `row` as what `recover` returns."""
    exit_ = exited(row) if row.exited else None
    return Found(row.container_id, row.pid, row.start_time, exit_, row.namespaces)
