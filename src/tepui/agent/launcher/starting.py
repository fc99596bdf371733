"""Makes what a container needs and starts its first process: cgroup, streams, the child's plan.

What is made is noted on the container at once, so that whoever asked can release it when a later step raises.
"""

from __future__ import annotations

import os
import stat

from . import groups, idmapped, spawn, terminals, tree
from .console import Console
from .container import STARTING, Container
from .limits import Limits
from .output import Stream
from .request import Fault
from .sealed import Sealed

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .cgroups import Cgroup, Cgroups
    from .oci import Oci
    from .request import Launch
    from .rooms import Rooms

CAP_SYS_RESOURCE = 24


class Starter:
    """Starts containers. `directory` is a short name of the launcher's own, for sockets in it.

    `rooms` are where a runtime's files are.
    """

    def __init__(
        self,
        cgroups: Cgroups | None,
        processes: tree.Tree,
        directory: str,
        rooms: Rooms | None = None,
    ) -> None:
        self._cgroups = cgroups
        self._rooms = rooms
        self._processes = processes
        self._directory = directory
        self._consoles = 0
        self._outer_fd = -1
        self._sealed = Sealed()
        self._may_raise_limits = _has_capability(CAP_SYS_RESOURCE)
        self.null_fd = os.open("/dev/null", os.O_RDWR)
        self.oom_score_adj = ""  # which children set for themselves; '': the launcher's own

    def start(self, container: Container, asked: Launch, parent: Container | None) -> None:
        """The first process is on its way; `error_fd` tells whether it gets there. Raises Fault."""
        oci = oci_of(asked, parent)
        container.oci = oci
        container.subject = asked.program
        container.cpus_milli, container.mem_bytes = asked.limits.cpus_milli, asked.limits.mem_bytes
        plan = self._plan(container, asked)
        try:
            self._open_streams(container, asked, plan)
            early, container.late_limits = (
                (asked.limits, None) if oci is None else split(asked.limits)
            )
            cgroup = self._limit(container, asked, parent, early)
            if cgroup is not None:
                plan.tasks_files = cgroup.tasks_files()
                if cgroup.home:
                    plan.cgroup_fd = os.open(cgroup.home, os.O_RDONLY | os.O_CLOEXEC)
            if oci is not None and oci.is_rootless:
                oci.outer_fd = self._outer_namespace()
            if oci is not None:
                mark = (tree.MARK, plan.environment[tree.MARK])
                console = container.console.path if container.console is not None else ""
                oci.plan(plan, [name for name, _, _ in asked.rlimits], mark, console)
                plan.program = self._sealed.path_of(plan.program)
                if self._rooms is not None:
                    self._rooms.make()
            container.pid, container.error_fd = spawn.spawn(plan)
            if oci is not None:
                oci.forget_request()
            container.start_time = tree.start_time_of(container.pid)
        finally:
            os.close(plan.directory_fd)
            if plan.cgroup_fd >= 0:
                os.close(plan.cgroup_fd)

    def start_group(self, container: Container, asked: Launch, parent: Container | None) -> None:
        """Its limits hold; where it has namespaces of its own, its `maker` is at work on them. Raises Fault."""
        container.is_group = True
        container.cpus_milli, container.mem_bytes = asked.limits.cpus_milli, asked.limits.mem_bytes
        self._limit(container, asked, parent, asked.limits)
        if asked.namespaces:
            container.maker = groups.Maker(asked.namespaces, asked.hostname, asked.users)

    def _outer_namespace(self) -> int:
        """A descriptor of the user namespace in which runtimes work where the launcher is not root."""
        if self._outer_fd < 0:
            try:
                self._outer_fd = idmapped.own_user_namespace()
            except OSError as error:
                raise Fault("make", "a user namespace", spawn.describe(error)) from None
        return self._outer_fd

    def _limit(
        self, container: Container, asked: Launch, parent: Container | None, limits: Limits
    ) -> Cgroup | None:
        if self._cgroups is None:
            return None
        cgroup = self._cgroups.create(
            asked.container_id,
            parent.cgroup if parent is not None else None,
            has_own_limits=asked.has_own_limits,
        )
        container.cgroup = cgroup
        container.notes += cgroup.limit(limits, at_launch=True)
        cgroup.watch_oom()
        return cgroup

    def _plan(self, container: Container, asked: Launch) -> spawn.Plan:
        """What is known before anything is made; the plan's `directory_fd` is the caller's to close."""
        plan = spawn.Plan()
        has_users = container.oci is not None and container.oci.users is not None
        plan.rlimits, container.notes = spawn.affordable_rlimits(
            asked.rlimits, may_raise=self._may_raise_limits and not has_users
        )
        plan.program, plan.argv = asked.program, asked.argv
        plan.environment = asked.environment
        plan.environment[tree.MARK] = self._processes.mark(asked.container_id)
        plan.uid, plan.gid, plan.groups = asked.uid, asked.gid, asked.groups
        plan.umask = asked.umask
        plan.oom_score_adj = self.oom_score_adj
        plan.tasks_files = []
        plan.cgroup_fd = -1
        plan.stdin_fd = plan.stdout_fd = plan.stderr_fd = plan.null_fd = self.null_fd
        plan.has_terminal = False
        plan.steps = []
        plan.last_steps = []
        plan.keeps_error_pipe = False
        try:
            plan.directory_fd = os.open(
                asked.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except OSError as error:
            cause = spawn.describe(error)
            raise Fault("enter the working directory", f"'{asked.directory}'", cause) from None
        return plan

    def _open_streams(self, container: Container, asked: Launch, plan: spawn.Plan) -> None:
        """A terminal, the descriptors that were handed over, or pipes to files."""
        if asked.window is not None and container.oci is not None:
            container.console = self._console(asked, container.oci, asked.window, plan.directory_fd)
        elif asked.window is not None:
            _open_terminal(container, asked, asked.window, plan)
        elif asked.stdio:
            plan.stdin_fd, plan.stdout_fd, plan.stderr_fd = asked.stdio
            if container.oci is not None:
                _give_pipes(asked.stdio, container.oci)
        else:
            self._open_pipes(container, asked, plan)

    def _console(
        self, asked: Launch, oci: Oci, window: tuple[int, int], sandbox_fd: int
    ) -> Console:
        self._consoles += 1
        # Short, for an address has 107 bytes; but not for a runtime in a user namespace, to which it is closed.
        directory = os.path.dirname(oci.state) if oci.is_rootless else self._directory
        path = f"{directory}/tty{self._consoles}"
        owner = oci.owner
        sandbox_fd = os.dup(sandbox_fd)
        return Console(path, window, sandbox_fd, asked.stdout, asked.output_bytes_max, owner)

    def _open_pipes(self, container: Container, asked: Launch, plan: spawn.Plan) -> None:
        uid, gid = asked.uid, asked.gid
        if container.oci is not None:
            uid, gid = container.oci.owner
        for name in (asked.stdout, asked.stderr):
            if name:
                stream = Stream(os.dup(plan.directory_fd), name, asked.output_bytes_max, uid, gid)
                container.streams.append(stream)
                if container.oci is not None:
                    _give_pipes([stream.write_fd], container.oci)
        streams = iter(container.streams)
        plan.stdout_fd = next(streams).write_fd if asked.stdout else self.null_fd
        plan.stderr_fd = next(streams).write_fd if asked.stderr else self.null_fd


def _open_terminal(
    container: Container, asked: Launch, window: tuple[int, int], plan: spawn.Plan
) -> None:
    rows, columns = window
    container.terminal = terminals.open_terminal(rows, columns, asked.uid)
    if asked.stdout:
        container.streams.append(
            terminals.TerminalStream(
                os.dup(plan.directory_fd),
                asked.stdout,
                asked.output_bytes_max,
                asked.uid,
                asked.gid,
                container.terminal,
            )
        )
    plan.stdin_fd = plan.stdout_fd = plan.stderr_fd = container.terminal.program_fd
    plan.has_terminal = True


def _give_pipes(fds: list[int], oci: Oci) -> None:
    """Pipes can be opened by their names in /proc by the container's user, who is somebody else outside."""
    if oci.users is None:
        return
    for fd in fds:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.fchown(fd, oci.users.outside(oci.uid), oci.users.outside(oci.gid))


def oci_of(asked: Launch, parent: Container | None) -> Oci | None:
    """Return what an OCI runtime is to do; nothing for a session in what none started: that is a process."""
    if asked.oci is None or not asked.oci.is_session:
        return asked.oci
    if parent is None or parent.oci is None:
        return None
    if parent.state == STARTING:
        raise Fault("find", f"'{parent.container_id}'", "the container has not started")
    asked.oci.process["noNewPrivileges"] = not parent.oci.may_gain
    asked.oci.users = parent.oci.users
    return asked.oci


def split(asked: Limits) -> tuple[Limits, Limits]:
    """Return the limits for a runtime at work, and those that hold from when its program begins."""
    early = Limits(
        mem_bytes=asked.mem_bytes,
        mem_soft_bytes=asked.mem_soft_bytes,
        cpuset=asked.cpuset,
        io_weight=asked.io_weight,
        devices=asked.devices,
    )
    late = Limits(
        cpus_milli=asked.cpus_milli,
        cpus_limit_milli=asked.cpus_limit_milli,
        pids_max=asked.pids_max,
    )
    return early, late


def _has_capability(number: int) -> bool:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False
