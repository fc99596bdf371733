"""Starts a container by an OCI runtime: crun, or runc.

    child: bundle and mounts made ▶ becomes `crun create` ▶ exits, 0      (or its log has the error)
    the container's first process, now the launcher's child, waits at the runtime's FIFO ▶ is let go
    ▶ becomes the program: the last copy of the error pipe closes

A session in a container is `crun exec --detach` instead: its process does not wait. The runtime never has to be
asked again: its state and the bundle are plain directories, which are removed here.
Source: OCI runtime specification; crun(1), runc(8).
"""

from __future__ import annotations

import errno
import json
import os

from . import idmapped, mounts
from .request import Fault, bad, integer_in, name_in, text_in, texts_in
from .users import NAMESPACE, users_in

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from .frames import Message
    from .spawn import Plan

BUNDLES_NAME = "bundles"  # in the runtime directory
STATE_NAME = "oci"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_BYTES_MAX = 64 << 10
PID_BYTES_MAX = 32
NO_RLIMIT = 2**64 - 1  # RLIM_INFINITY, as the kernel counts it
UMASK = 0o022
KERNEL_FILES = ("sysfs", "proc")
DEPTH_MAX = 8  # of what is removed: bundles are flat


class Volume:
    """A mount that is made before the runtime begins.

    It is of a directory or a file, or of layers merged to one, or of the host's own `kind` of kernel files.
    With `is_mapped` it has the owners that the container's users give.
    """

    __slots__ = ("is_mapped", "kind", "layers", "source")

    def __init__(self, message: Message) -> None:
        self.source = text_in(message, "source")
        self.layers = texts_in(message, "layers")
        self.kind = text_in(message, "kind") if message.get("kind") else ""
        self.is_mapped = message.get("is_mapped") is True
        if self.kind not in ("", *KERNEL_FILES):
            raise bad("kind", f"'{self.kind}' is none of {', '.join(KERNEL_FILES)}")


class Oci:
    """What the runtime is to do: start the container of `config`, or the `process` of a session in `parent`.

    `layers`: the container's root, changed in `upper`; none are the host's. With `is_rootless` the runtime
    is at work in the user namespace of `outer_fd`, whose root is the launcher's user. `hidden` directories of the
    host are seen empty by the runtime, `guarded` ones it can only read, `bundle` and `state` are its own.
    """

    __slots__ = (
        "bundle", "config", "gid", "guarded", "hidden", "is_crun", "is_rootless", "layers", "may_gain", "name",
        "outer_fd", "parent", "process", "runtime", "state", "uid", "upper", "users", "volumes", "work",
    )  # fmt: skip

    def __init__(self, message: Message) -> None:
        self.runtime = text_in(message, "runtime")
        self.is_crun = message.get("is_crun") is True
        self.is_rootless = message.get("is_rootless") is True
        self.outer_fd = -1
        self.name = name_in(message, "name")
        self.bundle = directory_in(message, "bundle")
        self.state = directory_in(message, "state")
        self.config = object_in(message, "config")
        self.process = object_in(message, "process")
        self.parent = name_in(message, "parent") if message.get("parent") else ""
        self.layers = texts_in(message, "layers")
        self.upper = text_in(message, "upper")
        self.work = text_in(message, "work")
        self.hidden = texts_in(message, "hidden")
        self.guarded = texts_in(message, "guarded")
        self.volumes = [Volume(one) for one in objects_in(message, "volumes")]
        self.users = users_in(message, _user_namespace_in(self.config))
        program = object_in(self.config, "process") if self.config else self.process
        user = object_in(program, "user")
        self.uid, self.gid = integer_in(user, "uid"), integer_in(user, "gid")
        self.may_gain = program.get("noNewPrivileges") is not True
        if bool(self.config) == bool(self.parent):
            raise bad("oci", "it must have a config, or the parent of a session")

    @property
    def is_session(self) -> bool:
        """It runs in another container."""
        return bool(self.parent)

    @property
    def owner(self) -> tuple[int | None, int]:
        """Whose the container's files are on disk; None: the launcher's user's, who can be nobody else."""
        return (None, 0) if self.is_rootless else (self.uid, self.gid)

    @property
    def pid_file(self) -> str:
        """Where the runtime writes the pid."""
        return f"{self.bundle}/pid"

    @property
    def state_directory(self) -> str:
        """What the runtime keeps of this container."""
        return f"{self.state}/{self.name}"

    # Before: in the launcher

    def plan(
        self, plan: Plan, rlimit_names: list[str], mark: tuple[str, str], console: str
    ) -> None:
        """The child will become the runtime, after it has made the bundle.

        `mark` is the variable by which the container's processes are known; `console`, if any, the socket to
        which the runtime brings the terminal.
        """
        program = self.process if self.is_session else object_in(self.config, "process")
        environment = texts_in(program, "env")
        environment.append("=".join(mark))
        if plan.rlimits:
            program["rlimits"] = [
                {"type": "RLIMIT_" + name, "soft": _unsigned(soft), "hard": _unsigned(hard)}
                for name, (_, soft, hard) in zip(rlimit_names, plan.rlimits, strict=True)
            ]
            plan.rlimits = []
        plan.program = self.runtime
        plan.argv = self._command(console)
        plan.environment = {"PATH": PATH, mark[0]: mark[1]}
        plan.uid = None
        plan.umask = (
            UMASK  # for directories that the runtime makes; the program's is in the configuration
        )
        plan.keeps_error_pipe = True
        plan.steps = self._session_steps(plan) if self.is_session else self._steps(plan)
        plan.last_steps = [("hide directories from the runtime of", self._hide)]

    def _command(self, console: str) -> list[str]:
        words = [self.runtime, "--root", self.state, "--log", f"{self.bundle}/log"]
        words += ["--log-format", "json"]
        # The cgroups are ours. runc, told that it is without root, takes it that it cannot write there.
        words.append("--cgroup-manager=disabled" if self.is_crun else "--rootless=true")
        more = ["--pid-file", self.pid_file]
        if console:
            more += ["--console-socket", console]
        if self.is_session:
            more += ["--detach", "--process", f"{self.bundle}/process.json"]
            return [*words, "exec", *more, self.parent]
        return [*words, "create", "--bundle", self.bundle, *more, self.name]

    def forget_request(self) -> None:
        """The child has what is large in it; a copy for each container would add up."""
        self.config, self.process, self.layers, self.volumes = {}, {}, [], []

    # Before: in the child

    def _steps(self, plan: Plan) -> list[tuple[str, Callable[[], None]]]:
        trees: list[int] = []
        users = self.users
        config = json.dumps(
            self.config
        ).encode()  # here: the child copies each page that it touches

        def make_bundle() -> None:
            _make_directory(self.state, 0o700)
            _make_directory(self.bundle)
            os.mkdir(f"{self.bundle}/rootfs")
            for number in range(len(self.volumes)):
                os.makedirs(f"{self.bundle}/volumes/{number}")
            _write(f"{self.bundle}/config.json", config)

        def isolate() -> None:
            self._enter()
            if users is not None:
                users.open()
            for one in self.volumes:
                trees.append(-1 if one.layers or one.kind else mounts.tree_at(one.source))
                if users is not None and one.is_mapped and trees[-1] >= 0:
                    idmapped.map_tree_if_possible(trees[-1], users.namespace_fd)
            mounts.make_slave()

        def mount_root() -> None:
            if self.layers:
                root = f"{self.bundle}/rootfs"
                more = self.is_rootless
                mounts.overlay(self.layers, self.upper, self.work, root, users, is_rootless=more)
            else:
                mounts.host_root(f"{self.bundle}/rootfs")

        def mount_volumes() -> None:
            for number, one in enumerate(self.volumes):
                place = f"{self.bundle}/volumes/{number}"
                if one.layers:
                    mounts.overlay(one.layers, "", "", place, users, is_rootless=self.is_rootless)
                    continue
                if one.kind:
                    mounts.kernel_files(one.kind, place)
                    continue
                if trees[number] >= 0 and not _is_directory(trees[number]):
                    os.rmdir(place)
                    _write(place, b"")
                mounts.put_tree(trees[number], place)

        def open_way() -> None:
            # The runtime gives streams to the container's root: the host's null device must not be one of them.
            os.mkdir(f"{self.bundle}/null")
            self._own_null(plan, f"{self.bundle}/null")
            mounts.open_way(self.bundle, self.state)

        steps = [
            ("make the bundle of", make_bundle),
            ("give a mount namespace to", isolate),
            ("mount the root of", mount_root),
            ("mount the volumes of", mount_volumes),
        ]
        return steps if users is None else [*steps, ("open the way for the users of", open_way)]

    def _session_steps(self, plan: Plan) -> list[tuple[str, Callable[[], None]]]:
        process = json.dumps(self.process).encode()

        def make_bundle() -> None:
            _make_directory(self.bundle)
            os.mkdir(f"{self.bundle}/rootfs")
            _write(f"{self.bundle}/process.json", process)

        def isolate() -> None:
            self._enter()
            mounts.make_slave()

        def own_null() -> None:
            # The runtime gives streams to the session's user: the host's null device must not be one of them.
            self._own_null(plan, f"{self.bundle}/rootfs")

        steps = [("make the bundle of", make_bundle), ("give a mount namespace to", isolate)]
        # Without root no device is made, and none of the host's is given away.
        return steps if self.is_rootless else [*steps, ("open the streams of", own_null)]

    def _enter(self) -> None:
        if self.is_rootless:
            idmapped.join(self.outer_fd)
        mounts.enter_own_namespace()

    def _own_null(self, plan: Plan, place: str) -> None:
        null_fd = mounts.own_null(place)
        given = (plan.stdin_fd, plan.stdout_fd, plan.stderr_fd)
        for fd, source in enumerate(given):
            if source == plan.null_fd:
                os.dup2(null_fd, fd)
        os.close(null_fd)

    def _hide(self) -> None:
        for one in self.hidden:
            mounts.hide(one)
        for one in self.guarded:
            mounts.make_read_only(one)

    # After the runtime has ended

    def pid(self) -> int:
        """Return the container's first process, as the runtime wrote it. Raises Fault."""
        try:
            return int(_read(self.pid_file, PID_BYTES_MAX))
        except (OSError, ValueError) as error:
            raise Fault("read", f"'{self.pid_file}'", str(error)) from None

    def start(self) -> int:
        """Let the created container's program go. Raises Fault.

        Returns a descriptor to be read once, or -1: at runc's FIFO it is the container that writes.
        """
        path = f"{self.state_directory}/exec.fifo"
        try:
            if not self.is_crun:
                return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fd, b"\0")
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody waits there: it ended; its status will come
                return -1
            raise Fault("let go", f"'{path}'", os.strerror(error.errno or 0)) from None
        return -1

    def error(self, wait_status: int) -> str:
        """Return why the runtime ended with this status, in its own words where it left some."""
        text = ""
        try:
            for line in _read(f"{self.bundle}/log", LOG_BYTES_MAX).splitlines():
                text = _message(line) or text
        except OSError:
            pass
        if text:
            return text
        name = os.path.basename(self.runtime)
        if os.WIFSIGNALED(wait_status):
            return f"{name} was killed by signal {os.WTERMSIG(wait_status)}"
        return f"{name} ended with {os.waitstatus_to_exitcode(wait_status)} and said no reason"

    def remove(self) -> None:
        """Nothing is left of the bundle and of what the runtime kept."""
        remove_all(self.bundle)
        if not self.is_session:
            remove_all(self.state_directory)


def remove_all(path: str, depth: int = 0) -> None:
    """Remove what is at `path`, if anything is; what cannot be removed stays."""
    try:
        entries = list(os.scandir(path))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and depth < DEPTH_MAX:
            remove_all(entry.path, depth + 1)
        else:
            try:
                os.unlink(entry.path)
            except OSError:
                pass
    try:
        os.rmdir(path)
    except OSError:
        pass


def _message(line: str) -> str:
    try:
        record: object = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(record, dict) or record.get("level") != "error":
        return ""
    text: object = record.get("msg")
    return text.strip() if isinstance(text, str) else ""


def _user_namespace_in(config: Message) -> str:
    """Return the path of the user namespace that the container joins; '' where it joins none."""
    linux = object_in(config, "linux")
    spaces = objects_in(linux, "namespaces") if linux else []
    return next((str(one.get("path", "")) for one in spaces if one.get("type") == NAMESPACE), "")


def _unsigned(limit: int) -> int:
    return NO_RLIMIT if limit == -1 else limit


def _is_directory(fd: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{fd}")


def _make_directory(path: str, mode: int = 0o777) -> None:
    """It is there. Most often only the last part of the path is not: then this is one call."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(path, mode, exist_ok=True)


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def _read(path: str, bytes_max: int) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, bytes_max).decode(errors="replace")
    finally:
        os.close(fd)


def directory_in(message: Message, field: str) -> str:
    """Return the absolute path in `field`."""
    value = text_in(message, field)
    if not value.startswith("/"):
        raise bad(field, f"'{value}' is not an absolute path")
    return value


def object_in(message: Message, field: str) -> Message:
    """Return the object in `field`; one that is missing is empty."""
    value = message.get(field, {})
    if not isinstance(value, dict):
        raise bad(field, "it must be an object")
    return value


def objects_in(message: Message, field: str) -> list[Message]:
    """Return the objects in `field`."""
    value = message.get(field)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise bad(field, "it must be a list of objects")
    return value
