"""Starts one process with everything set as asked, and learns whether its program was reached.

The child is made by clone3(CLONE_INTO_CGROUP) where there is a cgroup2 hierarchy: entering it later by
`cgroup.procs` waits for RCU. The cgroup v1 hierarchies are entered by the child itself, by a 0 in `tasks`,
which costs 0.1 ms. What fails before the program is reached comes back through a pipe that exec closes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct

from . import terminals
from .request import Fault

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SYS_CLONE3 = 435  # the same on every architecture
CLONE_INTO_CGROUP = 0x200000000
CLONE_ARGS = struct.Struct("=11Q")
ERROR_BYTES_MAX = 4096
EXIT_BEFORE_PROGRAM = 127
CHANGED = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP,
)  # fmt: skip
CHANGED_SIGNALS = tuple(map(int, CHANGED))  # numbers alone: names cost the child time
ALL_SIGNALS = tuple(map(int, signal.valid_signals()))
DEFAULT_ACTION = int(signal.SIG_DFL)

# What is beneath the functions of `signal`: those give names to all signals of the mask before, which takes longer
# than the call itself, most of all in a child that has to copy each page of memory it touches.
_set_mask: Callable[[int, Iterable[int]], Iterable[int]] = getattr(
    signal.pthread_sigmask, "__wrapped__", signal.pthread_sigmask
)
_set_action: Callable[[int, int], object] = getattr(signal.signal, "__wrapped__", signal.signal)

# PyDLL keeps the interpreter's lock over the call: the child wakes up holding it.
_libc = ctypes.PyDLL(None, use_errno=True)


class Plan:
    """All that the child does before it becomes the program."""

    __slots__ = (
        "argv", "cgroup_fd", "directory_fd", "environment", "error_fd", "gid", "groups", "has_terminal",
        "keeps_error_pipe", "last_steps", "null_fd", "oom_score_adj", "program", "rlimits", "stderr_fd", "stdin_fd", "stdout_fd",
        "steps", "tasks_files", "uid", "umask",
    )  # fmt: skip

    program: str
    argv: list[str]
    environment: dict[str, str]
    directory_fd: int
    uid: int | None
    gid: int
    groups: list[int]
    rlimits: list[tuple[int, int, int]]
    umask: int
    stdin_fd: int
    stdout_fd: int
    stderr_fd: int
    has_terminal: bool  # the streams are one, and it is the session's own
    tasks_files: list[str]
    cgroup_fd: int  # -1: none to be born into
    oom_score_adj: str  # "": as the launcher's
    error_fd: int
    null_fd: int  # the host's null device, where it is one of the streams
    # Done before the program, each with what it is called in an error. They may import nothing.
    steps: list[tuple[str, Callable[[], None]]]
    last_steps: list[tuple[str, Callable[[], None]]]  # when the cgroups are joined
    keeps_error_pipe: (
        bool  # the program is a runtime, which passes the pipe on until another one is reached
    )


def spawn(plan: Plan) -> tuple[int, int]:
    """Start the process; return its pid and the descriptor that `launch_error` reads."""
    read_fd, plan.error_fd = os.pipe()
    # A signal before the child has its own handlers must wait, not run the launcher's.
    was = _set_mask(signal.SIG_BLOCK, ALL_SIGNALS)
    try:
        pid = _clone(plan.cgroup_fd) if plan.cgroup_fd >= 0 else os.fork()
        if pid == 0:
            _become(plan)
    except OSError as error:
        os.close(read_fd)
        raise Fault("start", "a process", describe(error)) from None
    finally:
        _set_mask(signal.SIG_SETMASK, was)
        os.close(plan.error_fd)
    os.set_blocking(read_fd, False)
    return pid, read_fd


def _clone(cgroup_fd: int) -> int:
    arguments = CLONE_ARGS.pack(
        CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup_fd
    )
    pid: int = _libc.syscall(SYS_CLONE3, arguments, len(arguments))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid


def _become(plan: Plan) -> None:
    """In the child: become the program, or write the error and end. Never returns."""
    stage = "start"
    try:
        os.setsid()
        if plan.oom_score_adj:
            fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
            os.write(fd, plan.oom_score_adj.encode())
            os.close(fd)
        stage = "open the streams of"
        os.dup2(plan.stdin_fd, 0)
        os.dup2(plan.stdout_fd, 1)
        os.dup2(plan.stderr_fd, 2)
        if plan.has_terminal:
            terminals.become_controlling(0)
        os.umask(plan.umask)
        stage = "set the rlimits of"
        for number, soft, hard in plan.rlimits:
            resource.setrlimit(number, (soft, hard))
        stage = "enter the working directory of"
        os.fchdir(plan.directory_fd)  # before the user changes: the way to it may be closed to them
        for name, step in plan.steps:
            stage = name
            step()
        # Late: from here on a container of few cpus waits for its share on a busy machine.
        stage = "join the cgroups of"
        for path in plan.tasks_files:
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"0")
            os.close(fd)
        for name, step in plan.last_steps:
            stage = name
            step()
        if plan.uid is not None:
            stage = f"become user {plan.uid} for"
            os.setgroups(plan.groups)
            os.setresgid(plan.gid, plan.gid, plan.gid)
            os.setresuid(plan.uid, plan.uid, plan.uid)
        stage = "start"
        if plan.keeps_error_pipe:
            os.set_inheritable(plan.error_fd, True)
        for number in CHANGED_SIGNALS:
            _set_action(number, DEFAULT_ACTION)
        _set_mask(signal.SIG_SETMASK, ())
        _execute(plan)
    except BaseException as error:
        cause = describe(error)
        missing = stage == "start" and isinstance(error, FileNotFoundError)
        if missing and "/" in plan.program and os.path.exists(plan.program):
            cause = f"the file is there, but its interpreter is not ({cause})"
        os.write(plan.error_fd, f"{stage}\0{cause}".encode()[:ERROR_BYTES_MAX])
    finally:
        os._exit(EXIT_BEFORE_PROGRAM)


def _execute(plan: Plan) -> None:
    """Become the program, looked for as by execvp(3). Raises OSError.

    `os.execvpe` does the same, but imports a module first.
    """
    if "/" in plan.program:
        os.execve(plan.program, plan.argv, plan.environment)
    refused: OSError | None = None
    missing: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for directory in plan.environment.get("PATH", os.defpath).split(os.pathsep):
        try:
            os.execve(os.path.join(directory, plan.program), plan.argv, plan.environment)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing


def launch_error(error_fd: int, subject: str) -> Fault | None:
    """Return what kept the child from its program, or None when it was reached.

    Raises BlockingIOError while neither is known.
    """
    data = os.read(error_fd, ERROR_BYTES_MAX)
    if not data:
        return None
    stage, _, cause = data.decode(errors="replace").partition("\0")
    return Fault(stage, f"'{subject}'", cause)


def describe(error: BaseException) -> str:
    """Return one line on `error`: the kernel's words and the number's name."""
    if isinstance(error, OSError) and error.errno is not None:
        name = errno.errorcode.get(error.errno, str(error.errno))
        return f"{os.strerror(error.errno).lower()} ({name})"
    return str(error) or type(error).__name__


def affordable_rlimits(
    asked: list[tuple[str, int, int]], *, may_raise: bool
) -> tuple[list[tuple[int, int, int]], list[str]]:
    """Return the limits that can be set, and a note on each that had to be lowered.

    Only CAP_SYS_RESOURCE (`may_raise`) lifts a limit over the hard one in force.
    """
    limits: list[tuple[int, int, int]] = []
    notes: list[str] = []
    for name, soft, hard in asked:
        number: object = getattr(resource, "RLIMIT_" + name, None)
        if not isinstance(number, int):
            raise Fault("set the rlimit", f"'{name}'", "this machine has no such limit")
        if hard != -1 and (soft == -1 or soft > hard):
            raise Fault("set the rlimit", f"'{name}'", f"soft {soft} is over hard {hard}")
        ceiling = resource.getrlimit(number)[1]
        if not may_raise and ceiling != -1 and (hard == -1 or hard > ceiling):
            notes.append(
                f"the rlimit '{name}' was lowered to {ceiling}: the agent may not raise its own"
            )
            hard = ceiling
            soft = ceiling if soft == -1 else min(soft, ceiling)
        limits.append((number, soft, hard))
    return limits, notes
