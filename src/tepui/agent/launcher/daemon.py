"""Makes this process the launcher: in a session of its own, alone in its directory, sparing no orphan.

The starter waits for the first process, which ends with 0 when the socket is open (also when a launcher
was there already), or with 1 and the reason on stderr.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time

from . import EXITS_NAME, LOG_NAME, SOCKET_NAME, tree
from .cgroups import KINDS, Cgroups, detect, not_enforced, remove_directory, write
from .lifecycle import Lifecycle
from .loop import Loop
from .records import Records
from .rooms import Rooms
from .serve import BACKLOG, Server

LOCK_S = 30.0  # for a launcher that is ending to be gone
LOCK_RETRY_S = 0.01
SWEEP_S = 10.0  # for what an earlier launcher left to be killed
SWEEP_RETRY_S = 0.003
OOM_SCORE_ADJ = "-900"  # one small process that holds all tasks' exits must not be the victim
PR_SET_CHILD_SUBREAPER = 36
READY = b"ready"
REASON_BYTES_MAX = 4096


class Config:
    """What the agent sets. `cgroup_root` is a path below the hierarchies, the agent's own."""

    def __init__(self, text: str) -> None:
        values: dict[str, object] = json.loads(text)
        self.runtime_directory = str(values["runtime_directory"])
        self.cgroup_root = str(values["cgroup_root"])
        self.cgroups = bool(values["cgroups"])
        self.pids_max = int(str(values["pids_max"]))
        self.idle_s = float(str(values["idle_s"]))


def main(text: str) -> None:
    """Start the launcher that `text` configures and return when it serves, or end with the reason."""
    config = Config(text)
    os.closerange(3, 1024)
    read_fd, write_fd = os.pipe()
    if os.fork():
        os.close(write_fd)
        reason = os.read(read_fd, REASON_BYTES_MAX)
        if reason == READY:
            os._exit(0)
        sys.exit(reason.decode(errors="replace") or "the launcher ended before it was ready")
    os.close(read_fd)
    try:
        run(config, write_fd)
    except Exception as error:
        os.write(write_fd, f"{type(error).__name__}: {error}".encode()[:REASON_BYTES_MAX])
        raise


def run(config: Config, ready_fd: int) -> None:
    """Be the launcher until it ends; `ready_fd` is told when it serves."""
    os.setsid()
    os.umask(0o077)
    os.makedirs(config.runtime_directory, mode=0o700, exist_ok=True)
    directory_fd = os.open(config.runtime_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not lock(directory_fd):
        os.write(ready_fd, READY)
        return
    detach(directory_fd)
    # Reached through the descriptor: a path may be longer than the 107 bytes of a socket's address.
    directory = f"/proc/self/fd/{directory_fd}"
    token = config.cgroup_root.replace("/", "-")
    processes = tree.Tree(token)
    root = os.geteuid() == 0
    cgroups = (
        Cgroups(detect(), config.cgroup_root, pids_max=config.pids_max)
        if config.cgroups and root
        else None
    )
    if cgroups is not None and not cgroups.enforced():
        cgroups = None
    sweep(cgroups, processes)
    rooms = Rooms(directory, token)
    rooms.clear()
    loop = Loop()
    listener = listen(directory)
    enforced = cgroups.enforced() if cgroups is not None else []
    server = Server(loop, listener, config.idle_s, enforced, unenforced(config, cgroups))
    lifecycle = Lifecycle(
        loop,
        cgroups,
        processes,
        Records(f"{directory}/{EXITS_NAME}"),
        server.tell,
        f"/proc/{os.getpid()}/fd/{directory_fd}",
        rooms,
    )
    lifecycle.children_get_oom_score(spare_from_oom() if root else "")
    home = enter_own_cgroup(cgroups)
    gc.collect()
    gc.freeze()  # what is there now stays: no collection touches its pages, which children share
    os.write(ready_fd, READY)
    os.close(ready_fd)
    server.serve(lifecycle)
    rooms.clear()
    os.unlink(f"{directory}/{SOCKET_NAME}")
    if cgroups is not None:
        leave_own_cgroup(cgroups, home)
    server.close()


def lock(directory_fd: int) -> bool:
    """Take the directory for this launcher; False when another one serves it."""
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(directory_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                try:
                    probe.connect(f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}")
                    return False
                except OSError:
                    pass  # it is starting or ending
        if time.monotonic() >= deadline:
            raise TimeoutError("another launcher holds the directory and does not answer")
        time.sleep(LOCK_RETRY_S)


def detach(directory_fd: int) -> None:
    """Let go of what came from the starter: streams, directory, signals."""
    os.chdir("/")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    log_fd = os.open(LOG_NAME, flags, 0o600, dir_fd=directory_fd)
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd, source in ((0, null_fd), (1, log_fd), (2, log_fd)):
        os.dup2(source, fd)
    os.close(log_fd)
    os.close(null_fd)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def listen(directory: str) -> socket.socket:
    """Return the socket on which agents connect."""
    path = f"{directory}/{SOCKET_NAME}"
    if os.path.exists(path):
        os.unlink(path)  # of a launcher that was killed
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(BACKLOG)
    return listener


def unenforced(config: Config, cgroups: Cgroups | None) -> str:
    """Return one sentence on what this machine does not hold containers to; '' when nothing."""
    if cgroups is not None:
        return cgroups.unenforced()
    if not config.cgroups:
        cause = "cgroups are switched off"
    elif os.geteuid() != 0:
        cause = "the agent does not run as root"
    else:
        cause = "no cgroup hierarchy can be written"
    return not_enforced(list(KINDS), cause)


def sweep(cgroups: Cgroups | None, processes: tree.Tree) -> None:
    """Kill and remove what an earlier launcher left when it was killed: nobody supervises it any more."""
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline:
        left = cgroups.leftovers() if cgroups is not None else []
        for cgroup in left:
            cgroup.kill()
        gone = [cgroup.remove() for cgroup in left]
        if tree.kill_all(processes.left_over) and all(gone):
            return
        time.sleep(SWEEP_RETRY_S)


def spare_from_oom() -> str:
    """Keep the OOM killer off this process; return what its children must set for themselves."""
    path = "/proc/self/oom_score_adj"
    with open(path) as file:
        value = file.read().strip()
    try:
        write(path, OOM_SCORE_ADJ)
    except OSError:
        return ""
    return value


def enter_own_cgroup(cgroups: Cgroups | None) -> str:
    """Move to a cgroup of the launcher's own; return the one it came from, or ''.

    The end of the agent's service must not end the launcher, and in cgroup v2 no process may sit in a
    cgroup that passes controllers on.
    """
    if cgroups is None or not cgroups.unified:
        return ""
    with open("/proc/self/cgroup") as file:
        home = [line.rstrip("\n").partition("::")[2] for line in file if line.startswith("0::")]
    own = f"{cgroups.unified}/launcher"
    try:
        os.makedirs(own, exist_ok=True)
        write(f"{own}/cgroup.procs", "0")
    except OSError as error:
        print(f"own_cgroup_not_entered cause={error}", file=sys.stderr)
        return ""
    return home[0] if home else ""


def leave_own_cgroup(cgroups: Cgroups, home: str) -> None:
    """Leave no cgroup behind."""
    mount = cgroups.unified_mount
    for place in (f"{mount}{home}", mount) if home else ():
        try:
            write(f"{place}/cgroup.procs", "0")
            break
        except OSError:
            continue
    if cgroups.unified:
        remove_directory(f"{cgroups.unified}/launcher")
    cgroups.remove()
