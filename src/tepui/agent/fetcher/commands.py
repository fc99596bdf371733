"""Fetches by clients that the machine has: `hadoop` for most schemes, `curl` for ftp and ftps.

Which hadoop, as in Mesos: below `--hadoop_home`, else below $HADOOP_HOME, else on the PATH. A client
runs as the user of the task, in a process group of its own that is killed when nobody waits any more. It
writes into a fresh directory beside the target, which belongs to the user and goes with the client.
The agent itself never forks: it may be large, and `setpriv` becomes the user after the exec.

Source: Mesos hdfs/hdfs.cpp, launcher/fetcher.cpp.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from tepui.agent.fetcher.errors import CacheUnfit, FetchFailed, Room
from tepui.agent.fetcher.threads import in_thread

COMMANDS_MAX: Final = 8  # clients that run at once; others wait, in the time of their containers
OUTPUT_BYTES_MAX: Final = 16 * 1024  # of what a client says; what it said before is forgotten
REASON_LENGTH_MAX: Final = 500  # characters of what a client says that are told
LOOK_S: Final = 0.1  # between two looks at a client: how long it goes on when it should not

SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
BY_CURL: Final = ("ftp", "ftps")
OWN_VARIABLES: Final = ("TEPUI_", "MESOS_", "LIBPROCESS_")  # the agent's flags: not for others


class Client(Struct, frozen=True):
    """A program that fetches."""

    program: str
    home: str | None = None  # where Hadoop is, if that is known


class Clients:
    """Finds clients when they are needed, and runs them in threads of their own."""

    def __init__(
        self,
        hadoop_home: str | None,
        stall_ms: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._hadoop_home = hadoop_home
        self._stall_ms = stall_ms
        self._environment = os.environ if environment is None else environment
        # Not those that everything else works in: clients take minutes.
        self._threads = ThreadPoolExecutor(COMMANDS_MAX, thread_name_prefix="fetching")

    async def fetch(
        self, source: str, target: Path, user: str | None, room: Room, *, asks_size: bool
    ) -> None:
        """The file is at `target`, the agent's. Raises FetchFailed and OSError, KeyError for no such user.

        With `asks_size` room is made before; CacheUnfit is raised when the client cannot tell the size.
        """
        scheme = source.partition("://")[0]
        client = self._find(scheme)
        if scheme.lower() in BY_CURL:
            work = partial(self._by_curl, client, source, target, user, room)
        else:
            work = partial(self._by_hadoop, client, source, target, user, room, asks_size)
        await in_thread(work, self._threads)

    def close(self) -> None:
        """No client is started any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _find(self, scheme: str) -> Client:
        if SCHEME.fullmatch(scheme) is None:
            raise FetchFailed(f"'{scheme}' is not a scheme")
        path = self._environment.get("PATH")
        if scheme.lower() in BY_CURL:
            found = shutil.which("curl", path=path)
            if found is None:
                raise FetchFailed(f"the scheme '{scheme}' needs 'curl', which is not on the PATH")
            return Client(found)
        home = self._hadoop_home or self._environment.get("HADOOP_HOME")
        if home:
            program = os.path.join(home, "bin", "hadoop")
            if not os.access(program, os.X_OK):
                flag = "--hadoop_home" if self._hadoop_home else "HADOOP_HOME"
                raise FetchFailed(
                    f"the scheme '{scheme}' needs a Hadoop client, and {flag} is '{home}', where"
                    " there is no 'bin/hadoop' that can be run"
                )
            return Client(program, home)
        found = shutil.which("hadoop", path=path)
        if found is None:
            raise FetchFailed(
                f"the scheme '{scheme}' needs a Hadoop client: neither --hadoop_home nor HADOOP_HOME"
                " is set, and there is no 'hadoop' on the PATH"
            )
        return Client(found)

    def _by_hadoop(
        self,
        client: Client,
        source: str,
        target: Path,
        user: str | None,
        room: Room,
        asks_size: bool,
        is_stopped: threading.Event,
    ) -> None:
        with _Desk(target, user, client, self._environment) as desk:
            if asks_size:
                room(_size_of(source, client, desk, room, is_stopped))
            asked = [client.program, "fs", "-copyToLocal", source, str(desk.file)]
            desk.run(asked, room, is_stopped)
            desk.hand_over(room)

    def _by_curl(
        self,
        client: Client,
        source: str,
        target: Path,
        user: str | None,
        room: Room,
        is_stopped: threading.Event,
    ) -> None:
        asked = [
            client.program, "--silent", "--show-error", "--fail", "--globoff",
            "--speed-limit", "1", "--speed-time", str(max(1, self._stall_ms // 1000)),
            "--output",
        ]  # fmt: skip
        with _Desk(target, user, client, self._environment) as desk:
            desk.run([*asked, str(desk.file), "--", source], room, is_stopped)
            desk.hand_over(room)


class _Desk:
    """Where one client works: a directory of its user's, which is gone at the end."""

    def __init__(
        self, target: Path, user: str | None, client: Client, environment: Mapping[str, str]
    ) -> None:
        self._target = target
        self._name = os.path.basename(client.program)
        self._who = None if user is None else pwd.getpwnam(user)
        self._environment = _environment(environment, client, self._who)
        self._directory = Path(tempfile.mkdtemp(prefix=".fetching-", dir=target.parent))
        self.file = self._directory / "file"

    def __enter__(self) -> _Desk:
        if self._who is not None and self._who.pw_uid != os.geteuid():
            os.chown(self._directory, self._who.pw_uid, self._who.pw_gid)
        return self

    def __exit__(self, *raised: object) -> None:
        with contextlib.suppress(RecursionError):  # its user may have written there, too
            shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, command: Sequence[str], room: Room, is_stopped: threading.Event) -> str:
        """What it wrote to its output. Raises FetchFailed with the last that it said, when it fails."""
        told, said, status = _run(
            [*_becoming(self._who), *command],
            self._environment,
            self._directory,
            lambda: room(self._bytes()),
            is_stopped,
        )
        if status:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            reason = f": {lines[-1][:REASON_LENGTH_MAX]}" if lines else ""
            raise FetchFailed(f"the client '{self._name}' {how}{reason}")
        return told

    def hand_over(self, room: Room) -> None:
        """What the client has fetched is at the target, and the agent's."""
        if self.file.is_symlink() or not self.file.is_file():
            raise FetchFailed(f"the client '{self._name}' has fetched no file")
        room(self.file.stat().st_size)
        if self._who is not None:
            os.chown(self.file, os.geteuid(), os.getegid(), follow_symlinks=False)
        self.file.replace(self._target)

    def _bytes(self) -> int:
        """That it has written by now."""
        size_bytes = 0
        with contextlib.suppress(OSError), os.scandir(self._directory) as names:
            for one in names:
                with contextlib.suppress(OSError):  # it has another name meanwhile
                    size_bytes += one.stat(follow_symlinks=False).st_size
        return size_bytes


def _environment(
    given: Mapping[str, str], client: Client, who: pwd.struct_passwd | None
) -> dict[str, str]:
    mine = {name: text for name, text in given.items() if not name.startswith(OWN_VARIABLES)}
    if client.home is not None:
        mine["HADOOP_HOME"] = client.home
    if who is not None:
        mine |= {"USER": who.pw_name, "LOGNAME": who.pw_name, "HOME": who.pw_dir}
    return mine


def _becoming(who: pwd.struct_passwd | None) -> list[str]:
    """What goes before a command, so that it runs as the user and does not outlive the agent."""
    program = shutil.which("setpriv")
    if who is None or who.pw_uid == os.geteuid():
        return [] if program is None else [program, "--pdeathsig", "KILL", "--"]
    if program is None:
        raise FetchFailed(f"'setpriv' is not on the PATH, which becomes '{who.pw_name}'")
    return [
        program, "--reuid", str(who.pw_uid), "--regid", str(who.pw_gid), "--init-groups",
        "--pdeathsig", "KILL", "--",
    ]  # fmt: skip


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    look: Callable[[], None],
    is_stopped: threading.Event,
) -> tuple[str, str, int]:
    """The last of its output and of its errors, and its status. Nothing of its group is left.

    `look` is called now and then; what it raises ends the command.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=directory,
        start_new_session=True,
    )
    out, err = bytearray(), bytearray()
    with process, selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        assert process.stderr is not None
        for pipe, kept in ((process.stdout, out), (process.stderr, err)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, kept)
        try:
            while not _has_ended(process.pid):
                if is_stopped.is_set():
                    raise FetchFailed("stopped")
                _read(selector, LOOK_S)
                look()
        finally:
            # Before it is reaped: its number is no one else's yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        _read(selector, 0)
    return out.decode(errors="replace"), err.decode(errors="replace"), status


def _has_ended(pid: int) -> bool:
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, options) is not None


def _read(selector: selectors.BaseSelector, timeout_s: float) -> None:
    """All that waits is read; without anything to wait for, the time passes."""
    for key, _ in selector.select(timeout_s):
        pipe, kept = key.fileobj, key.data
        assert not isinstance(pipe, int)
        while True:
            try:
                data = os.read(pipe.fileno(), OUTPUT_BYTES_MAX)
            except BlockingIOError:
                break
            if not data:
                selector.unregister(pipe)
                break
            kept += data
            del kept[:-OUTPUT_BYTES_MAX]


def _size_of(
    source: str, client: Client, desk: _Desk, room: Room, is_stopped: threading.Event
) -> int:
    """As `hadoop fs -du` tells it: the size of a file, maybe with its replicas, and its name."""
    try:
        told = desk.run([client.program, "fs", "-du", source], room, is_stopped)
    except FetchFailed as failed:
        raise CacheUnfit(str(failed)) from None
    for line in reversed(told.splitlines()):
        first = line.split()[:1]
        if first and first[0].isdecimal():
            return int(first[0])
    raise CacheUnfit(f"the client '{client.program}' did not tell its size")
