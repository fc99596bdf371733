"""Makes namespaces that outlive the process that made them: the launcher holds their descriptors.

A forked child makes them, opens them and sends the descriptors; what is held is known to others by the path
of the descriptor in /proc, as long as it is open. Source: namespaces(7), unix(7).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

from . import idmapped, terminals
from .request import Fault, bad
from .spawn import ALL_SIGNALS, describe
from .users import NAMESPACE, Users

KINDS = {  # by their names in an OCI configuration: what unshare(2) and /proc call them
    "network": (0x40000000, "net"),
    "ipc": (0x08000000, "ipc"),
    "uts": (0x04000000, "uts"),
    NAMESPACE: (0, "user"),  # made before the others, which are its own
}
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
INTERFACE = struct.Struct("=16sh22x")  # ifreq: name, flags
ERROR_BYTES_MAX = 4096
READY = b"\0"

_libc = ctypes.PyDLL(None, use_errno=True)


class Maker:
    """The child at work: `socket` is readable when it is done."""

    __slots__ = ("kinds", "pid", "socket")

    def __init__(self, kinds: list[str], hostname: str, users: Users | None = None) -> None:
        """Raises Fault."""
        if NAMESPACE in kinds and users is None:
            raise bad("users", "a user namespace needs them")
        for kind in kinds:
            if kind not in KINDS:
                known = ", ".join(KINDS)
                raise Fault("make a namespace", f"'{kind}'", f"a group has only {known}")
        self.kinds = kinds
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        was = signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _make(kinds, hostname, users, theirs)
        except OSError as error:
            self.socket.close()
            raise Fault("make", "namespaces", describe(error)) from None
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, was)

    def result(self) -> dict[str, int]:
        """Return a descriptor for each kind. Raises Fault."""
        try:
            data, fds = terminals.receive(self.socket, ERROR_BYTES_MAX)
        except OSError as error:
            raise Fault("make", "namespaces", describe(error)) from None
        if data == READY and len(fds) == len(self.kinds):
            return dict(zip(self.kinds, fds, strict=True))
        for fd in fds:
            os.close(fd)
        raise Fault("make", "namespaces", data.decode(errors="replace") or "the child was killed")

    def close(self) -> None:
        """The result is not wanted any more."""
        self.socket.close()


def path_of(fd: int) -> str:
    """Return the path by which others join the namespace."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def _make(kinds: list[str], hostname: str, users: Users | None, theirs: socket.socket) -> None:
    """In the child: make, send, end. Never returns."""
    try:
        if users is not None and NAMESPACE in kinds:
            users.open()
            idmapped.join(users.namespace_fd)
        flags = 0
        for kind in kinds:
            flags |= KINDS[kind][0]
        if _libc.unshare(flags) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if "network" in kinds:
            _bring_up("lo")
        if hostname and "uts" in kinds:
            socket.sethostname(hostname)
        fds = [os.open(f"/proc/self/ns/{KINDS[kind][1]}", os.O_RDONLY) for kind in kinds]
        terminals.send(theirs, READY, fds)
    except BaseException as error:
        theirs.send(describe(error).encode()[:ERROR_BYTES_MAX])
    finally:
        os._exit(0)


def _bring_up(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = INTERFACE.pack(name.encode(), 0)
        _, flags = INTERFACE.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, INTERFACE.pack(name.encode(), flags | IFF_UP))
