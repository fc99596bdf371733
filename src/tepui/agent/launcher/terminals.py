"""Terminals of containers, and the passing of descriptors between the launcher and its agent.

A terminal's program side stays open here as long as its container lives: a program that closes all of its
streams and opens /dev/tty anew must not find it hung up, and the reader never sees an end that is none.
Source: pty(7), ioctl_tty(2), unix(7).
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
import termios

from .output import Stream
from .request import Fault

DESCRIPTORS_MAX = 16  # in one message; a launch has three
TERMINAL_MODE = 0o620  # as a login gives it: the user's own, and others may write to its group
TIOCGPTPEER = getattr(termios, "TIOCGPTPEER", 0x5441)  # Linux 4.13; not in every Python
_INT_BYTES = array.array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(DESCRIPTORS_MAX * _INT_BYTES)


class Terminal:
    """One terminal: `master_fd` is the side of whoever types, `program_fd` the container's."""

    __slots__ = ("master_fd", "program_fd")

    def __init__(self, master_fd: int, program_fd: int) -> None:
        self.master_fd = master_fd
        self.program_fd = program_fd
        os.set_blocking(master_fd, False)

    def close(self) -> None:
        """Close both sides; a program that is left is told of it by SIGHUP."""
        for fd in (self.program_fd, self.master_fd):
            if fd >= 0:
                os.close(fd)
        self.master_fd = self.program_fd = -1


def open_terminal(rows: int, columns: int, uid: int | None) -> Terminal:
    """Return a new terminal of that size, which the user may open by its name. Raises Fault."""
    try:
        master_fd, program_fd = os.openpty()
    except OSError as error:
        raise Fault("open", "a terminal", os.strerror(error.errno or 0)) from None
    terminal = Terminal(master_fd, program_fd)
    try:
        set_window(master_fd, rows, columns)
        if uid is not None:
            os.fchown(program_fd, uid, -1)
            os.fchmod(program_fd, TERMINAL_MODE)
    except OSError as error:
        terminal.close()
        raise Fault("prepare", "a terminal", os.strerror(error.errno or 0)) from None
    return terminal


def set_window(fd: int, rows: int, columns: int) -> None:
    """The terminal has this size, and its program is told by SIGWINCH when that is another."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0))


def become_controlling(fd: int) -> None:
    """In a child that leads a session: `fd` is its controlling terminal."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


class TerminalStream(Stream):
    """What a terminal's program writes, on its way to a file; the terminal itself is not the stream's."""

    __slots__ = ("_master_fd",)

    def __init__(
        self,
        directory_fd: int,
        name: str,
        bytes_max: int,
        uid: int | None,
        gid: int,
        terminal: Terminal,
    ) -> None:
        self._master_fd = terminal.master_fd
        super().__init__(directory_fd, name, bytes_max, uid, gid)
        self.splices = False  # one side would have to be a pipe

    def _open_ends(self) -> None:
        self.read_fd = os.dup(self._master_fd)

    def _read(self, bytes_max: int) -> bytes:
        try:
            return super()._read(bytes_max)
        except OSError as error:
            if error.errno == errno.EIO:  # hung up: nothing will come any more
                return b""
            raise


class ConsoleSocket:
    """Where an OCI runtime brings the terminal that it made in the container (`--console-socket`).

    `path` is to be given to it; when its `create` has ended, the terminal is there.
    """

    __slots__ = ("_listener", "path")

    def __init__(self, path: str) -> None:
        """Raises Fault."""
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            self._listener.bind(path)
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise Fault("listen on", f"'{path}'", str(error)) from None
        self._listener.setblocking(False)

    def receive(self) -> Terminal:
        """Return the terminal that was brought. Raises Fault when none was."""
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.setblocking(False)
                _, descriptors = receive(connection, 4096)
        except OSError as error:
            raise Fault("receive", "the terminal", str(error)) from None
        for fd in descriptors[1:]:
            os.close(fd)
        if not descriptors:
            raise Fault("receive", "the terminal", "the runtime sent none")
        try:
            program_fd = fcntl.ioctl(descriptors[0], TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
            os.set_inheritable(program_fd, False)
        except OSError as error:
            os.close(descriptors[0])
            raise Fault("open", "the terminal's other side", str(error)) from None
        return Terminal(descriptors[0], program_fd)

    def close(self) -> None:
        """Nothing is left of the socket."""
        self._listener.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


# Passing descriptors


def send(connection: socket.socket, data: bytes | bytearray, descriptors: list[int]) -> int:
    """Send what goes of `data`, and the descriptors with its first byte; return how much went.

    Raises BlockingIOError, and then nothing went.
    """
    if not descriptors:
        return connection.send(data)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    return connection.sendmsg([data], ancillary)


def receive(connection: socket.socket, bytes_max: int) -> tuple[bytes, list[int]]:
    """Return what has come, and the descriptors that came with it, which do not outlive an exec.

    Those of a message come with its first byte: never later than its end.
    """
    data, ancillary, _, _ = connection.recvmsg(bytes_max, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % _INT_BYTES])
    return data, list(descriptors)
