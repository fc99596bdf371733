"""Runs one CNI plugin to its end (CNI specification, SPEC.md section 2).

Blocking: called in threads. A plugin is a session of its own, so that those it starts can be killed with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from tepui.agent.containers.networks.definitions import Json, program
from tepui.base.errors import HostError

OUTPUT_BYTES_MAX = 1 << 20  # of a plugin's answer, and of its complaints
SHOWN_CHARS = 600  # of them, in an error
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"  # plugins call `iptables`, which a PATH may lack


class Call(Struct, frozen=True):
    """What is the same for all plugins of a container, but for the interface."""

    container_id: str
    namespace: str  # a path; '': it is gone
    directories: tuple[str, ...]
    timeout_s: float
    inherited: int  # a descriptor: whatever it locks stays locked until the plugin has ended


class _Fault(Struct):
    """A plugin's own words (SPEC.md, "Error")."""

    msg: str = ""
    details: str = ""
    code: int = 0


def run(call: Call, command: str, network: str, interface: str, config: Json) -> bytes:
    """The plugin's answer. Raises HostError naming network, plugin and step."""
    kind = str(config["type"])
    operation, subject = f"{command} by plugin '{kind}' for", f"network '{network}'"
    path = program(kind, call.directories)
    if path is None:
        where = ", ".join(call.directories)
        raise HostError(operation, subject, f"there is no such program in {where}")
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": call.container_id,
        "CNI_NETNS": call.namespace,
        "CNI_IFNAME": interface,
        "CNI_PATH": ":".join(call.directories),
        "PATH": system_path(),
    }
    try:
        ended = execute([path], msgspec.json.encode(config), environment, call)
    except subprocess.TimeoutExpired:
        cause = f"it had not ended after {call.timeout_s:g} seconds, and was killed"
        raise HostError(operation, subject, cause) from None
    except OSError as error:
        raise HostError(operation, subject, f"cannot run '{path}': {error.strerror}") from None
    if ended.returncode:
        raise HostError(operation, subject, _reason(ended))
    return ended.stdout


def execute(
    argv: Sequence[str], given: bytes, environment: dict[str, str], call: Call
) -> subprocess.CompletedProcess[bytes]:
    """The process has ended. Raises TimeoutExpired when it had to be killed, OSError when it never ran."""
    with _file(given) as stdin, _file(None) as stdout, _file(None) as stderr:
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd="/",
            pass_fds=(call.inherited,),
            start_new_session=True,
        )
        try:
            _wait(process, call.timeout_s)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return subprocess.CompletedProcess(
            list(argv), process.returncode, _content(stdout), _content(stderr)
        )


def system_path() -> str:
    """PATH for programs that administer the machine."""
    own = os.environ.get("PATH", "")
    return f"{own}:{SYSTEM_PATH}" if own else SYSTEM_PATH


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """It has ended. `Popen.wait` with a time limit would look only every 50 ms."""
    fd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            raise subprocess.TimeoutExpired(process.args, timeout_s)
    finally:
        os.close(fd)
    process.wait()


@contextmanager
def _file(content: bytes | None) -> Iterator[int]:
    """A file in memory: to be read, or written up to a limit. No pipe: whoever inherits one keeps it open."""
    fd = os.memfd_create("cni", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        if content is None:
            os.ftruncate(fd, OUTPUT_BYTES_MAX)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        else:
            os.write(fd, content)
            os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    return os.pread(fd, OUTPUT_BYTES_MAX, 0).rstrip(b"\0")


def _reason(ended: subprocess.CompletedProcess[bytes]) -> str:
    """Why a plugin failed: its error object, else what it printed."""
    try:
        fault = msgspec.json.decode(ended.stdout, type=_Fault)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        fault = _Fault()
    if fault.msg:
        details = f": {fault.details}" if fault.details else ""
        return _shown(f"{fault.msg}{details} (code {fault.code})")
    if ended.returncode < 0:
        status = f"killed by signal {-ended.returncode}"
    else:
        status = f"exited with status {ended.returncode}"
    said = (ended.stderr or ended.stdout).decode(errors="replace").strip()
    return f"{status}: {_shown(said)}" if said else f"{status}, and said nothing"


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
