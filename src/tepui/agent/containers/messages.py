"""The launcher's messages as the agent writes and reads them."""

from __future__ import annotations

from msgspec import Struct, json

from tepui.agent.containers.spec import ContainerSpec, Exited, Found, Rlimit
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
    mem_bytes: int
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


class Rows(Struct, frozen=True):
    """The launcher's list."""

    containers: list[Row]


class Notes(Struct, frozen=True):
    """The answer to an update."""

    notes: tuple[str, ...]


class Nothing(Struct, frozen=True):
    """The answer to what has none."""


def launch_request(spec: ContainerSpec, n: int) -> Launch:
    """Return the request for `spec`. Raises HostError for a user that it cannot run as."""
    ids = ids_of(spec.user)
    return Launch(
        n=n,
        container_id=spec.container_id,
        parent=spec.parent or "",
        program=spec.program,
        argv=spec.argv,
        environment=spec.environment,
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
        mem_bytes=spec.mem_bytes,
    )


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
    return Found(row.container_id, row.pid, row.start_time, exit_)
