"""Moves what a container prints from its pipe to a file in its sandbox, bounded and rotated.

splice(2) moves pages inside the kernel: the bytes never enter this process, so its memory does not grow with
them. A file that reaches its limit is renamed to NAME.1 (one older is kept) and a new one is begun, so a
stream takes at most twice the limit. Where the file cannot be written (a full disk) bytes are dropped and
counted: a task is not to hang because its log has no room.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat

from .request import Fault

SLICE_BYTES = 1 << 20  # moved per turn of the loop, so that one loud task starves no other
PIPE_BYTES = 1 << 20  # asked for when the first slice filled the pipe
PIPE_BYTES_DEFAULT = 1 << 16
DRAIN_BYTES_MAX = 4 << 20  # after the tree is gone a pipe holds at most PIPE_BYTES
SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

# The sandbox belongs to the task: a link or a FIFO in the file's place must lead nowhere.
OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Stream:
    """One of a container's two streams: `read_fd` is the pipe's end here, `write_fd` the container's.

    `directory_fd`, the sandbox, is the stream's own and closed with it.
    """

    __slots__ = (
        "bytes_max", "directory_fd", "file_fd", "gid", "lost_bytes", "name", "read_fd", "size_bytes",
        "splices", "uid", "write_fd",
    )  # fmt: skip

    def __init__(
        self, directory_fd: int, name: str, bytes_max: int, uid: int | None, gid: int
    ) -> None:
        self.directory_fd = directory_fd
        self.name = name
        self.bytes_max = bytes_max
        self.uid = uid
        self.gid = gid
        self.lost_bytes = 0
        self.splices = True
        self.read_fd = self.write_fd = self.file_fd = -1
        try:
            self.file_fd, self.size_bytes = self._open()
            self._open_ends()
        except OSError as error:
            self.close()
            raise Fault("open", f"a pipe for '{name}'", os.strerror(error.errno or 0)) from None
        except Fault:
            self.close()
            raise

    def _open_ends(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        if self.uid is not None:  # or /dev/stdout could not be opened by the task
            os.fchown(self.write_fd, self.uid, self.gid)

    def _open(self) -> tuple[int, int]:
        try:
            fd = os.open(self.name, OPEN_FLAGS, 0o644, dir_fd=self.directory_fd)
        except OSError as error:
            raise Fault("open", f"'{self.name}'", os.strerror(error.errno or 0)) from None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(fd)
            raise Fault("open", f"'{self.name}'", "it is no file of its own")
        os.set_blocking(fd, True)
        os.fchmod(fd, 0o644)
        if self.uid is not None and found.st_uid != self.uid:
            os.fchown(fd, self.uid, self.gid)
        # Not O_APPEND, which splice refuses: what is there (the fetcher's lines) is kept by seeking.
        return fd, os.lseek(fd, 0, os.SEEK_END)

    def handed_over(self) -> None:
        """The container has its end of the pipe; ours of it is closed."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def pump(self) -> int:
        """Move at most one slice; return the bytes moved, 0 at the end of the stream, -1 if none wait."""
        if self.file_fd >= 0 and self.size_bytes >= self.bytes_max:
            # Only for a byte that waits: the last file of a task is not to be an empty one.
            poll = select.poll()
            poll.register(self.read_fd, select.POLLIN)
            events = poll.poll(0)
            if not events:
                return -1
            if not events[0][1] & select.POLLIN:
                return 0
            self._rotate()
        if self.file_fd < 0:
            return self._drop()
        room_bytes = min(SLICE_BYTES, self.bytes_max - self.size_bytes)
        try:
            moved = self._move(room_bytes)
        except BlockingIOError:
            return -1
        except OSError:
            os.close(self.file_fd)  # ENOSPC, EDQUOT, EIO: from here on the bytes are dropped
            self.file_fd = -1
            return self._drop()
        self.size_bytes += moved
        if moved == PIPE_BYTES_DEFAULT:
            self._enlarge()
        return moved

    def _move(self, bytes_max: int) -> int:
        if self.splices:
            try:
                return os.splice(self.read_fd, self.file_fd, bytes_max, flags=SPLICE_FLAGS)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self.splices = False  # a file system without it
        data = self._read(min(bytes_max, PIPE_BYTES_DEFAULT))
        written = 0
        while written < len(data):
            written += os.write(self.file_fd, data[written:])
        return len(data)

    def _read(self, bytes_max: int) -> bytes:
        return os.read(self.read_fd, bytes_max)

    def _enlarge(self) -> None:
        # Refused over the user's share of pipe pages: the small pipe does as well, slower.
        try:
            fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            pass

    def _rotate(self) -> None:
        os.close(self.file_fd)
        self.file_fd = -1
        try:
            try:
                os.rename(
                    self.name,
                    self.name + ".1",
                    src_dir_fd=self.directory_fd,
                    dst_dir_fd=self.directory_fd,
                )
            except FileNotFoundError:
                pass  # the task removed its own log
            self.file_fd, self.size_bytes = self._open()
        except (OSError, Fault):
            return  # the task took its own sandbox apart; what it prints has no place to go
        if self.size_bytes >= self.bytes_max:
            os.close(self.file_fd)
            self.file_fd = -1

    def _drop(self) -> int:
        try:
            dropped = len(self._read(PIPE_BYTES_DEFAULT))
        except BlockingIOError:
            return -1
        self.lost_bytes += dropped
        return dropped

    def drain(self) -> None:
        """Move what is in the pipe now; whoever still holds its other end is not waited for."""
        moved = 0
        while self.read_fd >= 0 and moved < DRAIN_BYTES_MAX:
            count = self.pump()
            if count <= 0:
                return
            moved += count

    def close(self) -> None:
        """Close all of it; a writer that is left gets SIGPIPE."""
        for fd in (self.read_fd, self.write_fd, self.file_fd, self.directory_fd):
            if fd >= 0:
                os.close(fd)
        self.read_fd = self.write_fd = self.file_fd = self.directory_fd = -1
