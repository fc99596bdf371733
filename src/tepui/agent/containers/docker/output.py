"""One container's output: from the Engine's log to the files in its sandbox, each byte once.

The Engine writes what a container prints to a log of its own, whoever listens, and turns that over when it is
full. It is read here as a file: the Engine's request for it loses lines when the log is turned over while it
is followed (seen with 20.10), and is slow. The log's form: one JSON object a line, as `json-file` writes it.

How far it was read is kept in a file (`Position`) together with how large the sandbox's files were then. Who
goes on after a sudden end reads again from there, and skips what the files have grown by since.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
from msgspec import Struct

from tepui.agent.launcher.output import OPEN_FLAGS

SLICE_BYTES = 1 << 20  # read at once
SAVE_BYTES = 4 << 20  # read between two times the position is kept: so much is read again at most
LINE_BYTES_MAX = 1 << 20  # the Engine cuts lines at 16 KiB
OLDER_MAX = 9  # files of a log that was turned over


class Plan(Struct, frozen=True, kw_only=True):
    """Where a container's output is to be."""

    directory: str
    stdout: str | None  # a file's name; None: it is not kept
    stderr: str | None
    bytes_max: int  # of a file; one older file is kept beside it


class Mark(Struct, frozen=True):
    """A file of the sandbox as it was."""

    inode: int = 0
    size_bytes: int = 0


class Position(Struct, frozen=True):
    """How far the log was taken over: before `log_offset` all is in the files, which were as marked."""

    log_inode: int = 0  # 0: nothing was read
    log_offset: int = 0
    stdout: Mark = Mark()
    stderr: Mark = Mark()


class Saved(Struct, frozen=True):
    """What is kept of a container's output."""

    plan: Plan
    position: Position = Position()


class Line(Struct, frozen=True):
    """One line of the log."""

    log: str = ""
    stream: str = "stdout"


class SandboxFile:
    """A file that grows to `bytes_max`, is then renamed to NAME.1, and begun anew.

    What cannot be written is dropped and counted. Raises OSError when it cannot be begun.
    """

    def __init__(self, directory: str, name: str, bytes_max: int, mark: Mark | None = None) -> None:
        self.name = name
        self.bytes_max = bytes_max
        self.lost_bytes = 0
        self.size_bytes = 0
        self.rotations = 0
        self._file_fd = -1
        self._directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._open()
        except OSError:
            self.close()
            raise
        self.skip_bytes = 0 if mark is None else self._grown_since(mark)

    def write(self, data: bytes) -> None:
        """The bytes are in the file, but those that were there already."""
        if self.skip_bytes:
            skipped = min(self.skip_bytes, len(data))
            self.skip_bytes -= skipped
            data = data[skipped:]
        while data and self._file_fd >= 0:
            if self.size_bytes >= self.bytes_max:
                self._rotate()
                continue
            try:
                written = os.write(self._file_fd, data[: self.bytes_max - self.size_bytes])
            except OSError:
                os.close(self._file_fd)  # ENOSPC, EDQUOT, EIO: from here on the bytes are dropped
                self._file_fd = -1
                break
            self.size_bytes += written
            data = data[written:]
        self.lost_bytes += len(data)

    def mark(self) -> Mark:
        """Return the file as it is."""
        if self._file_fd < 0:
            return Mark()
        return Mark(os.fstat(self._file_fd).st_ino, self.size_bytes)

    def close(self) -> None:
        """Nothing is open; what is written is dropped."""
        for fd in (self._file_fd, self._directory_fd):
            if fd >= 0:
                os.close(fd)
        self._file_fd = self._directory_fd = -1

    def _open(self) -> None:
        # The sandbox belongs to the task: a link or a FIFO in the file's place must lead nowhere.
        fd = os.open(self.name, OPEN_FLAGS, 0o644, dir_fd=self._directory_fd)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(fd)
            raise OSError(f"'{self.name}' is no file of its own")
        os.fchmod(fd, 0o644)
        owner = os.fstat(self._directory_fd)
        if (found.st_uid, found.st_gid) != (owner.st_uid, owner.st_gid) and os.geteuid() == 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        os.set_blocking(fd, True)
        self._file_fd = fd
        self.size_bytes = os.lseek(fd, 0, os.SEEK_END)

    def _rotate(self) -> None:
        self.rotations += 1
        os.close(self._file_fd)
        self._file_fd = -1
        try:
            if self._inode(self.name):  # unless the task removed its own log
                older = f"{self.name}.1"
                os.rename(
                    self.name, older, src_dir_fd=self._directory_fd, dst_dir_fd=self._directory_fd
                )
            self._open()
        except OSError:
            return  # the task took its own sandbox apart; what it prints has no place to go
        if self.size_bytes >= self.bytes_max:
            os.close(self._file_fd)
            self._file_fd = -1

    def _grown_since(self, mark: Mark) -> int:
        if self._inode(self.name) == mark.inode:
            return max(0, self.size_bytes - mark.size_bytes)
        older = f"{self.name}.1"
        if mark.inode and self._inode(older) == mark.inode:
            grown = os.stat(older, dir_fd=self._directory_fd).st_size - mark.size_bytes
            return max(0, grown) + self.size_bytes
        return 0  # more was written than two files hold, or the task made them anew

    def _inode(self, name: str) -> int:
        try:
            return os.stat(name, dir_fd=self._directory_fd, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return 0


class Output:
    """One container's output on its way; used by one thread at a time."""

    def __init__(self, state_path: Path, saved: Saved, *, is_new: bool) -> None:
        """Begin it, or go on with it. Raises OSError."""
        plan, position = saved.plan, saved.position
        self._state_path = state_path
        self._plan = plan
        self._files: dict[str, SandboxFile] = {}
        self._log_path = ""
        self._log_fd = -1
        self._log_inode = position.log_inode
        self._log_offset = position.log_offset  # after the last whole line
        self._rest = b""
        self._unsaved_bytes = 0
        self._saved_rotations = 0
        # So no file is renamed twice between two times the position is kept: it would not be found again.
        self._slice_bytes = min(SLICE_BYTES, plan.bytes_max)
        self.is_cut = False  # the log was turned over before it was read
        self._decoder = msgspec.json.Decoder(Line)
        try:
            for stream, name, mark in (
                ("stdout", plan.stdout, position.stdout),
                ("stderr", plan.stderr, position.stderr),
            ):
                if name is not None:
                    self._files[stream] = SandboxFile(
                        plan.directory, name, plan.bytes_max, None if is_new else mark
                    )
            if is_new:
                self.save()
        except OSError:
            self.close()
            raise

    def read_from(self, log_path: str) -> None:
        """The container was started: this is the Engine's log."""
        self._log_path = log_path

    def pump(self) -> int:
        """Move at most one slice; return how much was read, 0 when there is no more for now."""
        if not self._log_path or (self._log_fd < 0 and not self._open_log()):
            return 0
        data = os.read(self._log_fd, self._slice_bytes)
        if not data and self._is_turned_over():
            # What came between our last read and the turning over is still in the old file.
            data = os.read(self._log_fd, self._slice_bytes)
            if not data:
                self._next_log()
                data = os.read(self._log_fd, self._slice_bytes) if self._log_fd >= 0 else b""
        if data:
            self._take(data)
        return len(data)

    def drain(self) -> str:
        """Move all that there is; return what is to be said of bytes that were lost."""
        while self.pump():
            pass
        lost = sum(file.lost_bytes for file in self._files.values())
        texts = []
        if lost:
            texts.append(f"{lost} bytes of its output could not be written and were lost")
        if self.is_cut:
            texts.append("part of its output was lost, for nobody took it over in time")
        return "; ".join(texts)

    def save(self) -> None:
        """The position is kept, unless what was skipped so far is not yet where it was."""
        if any(file.skip_bytes for file in self._files.values()):
            return
        marks = {stream: file.mark() for stream, file in self._files.items()}
        position = Position(
            self._log_inode,
            self._log_offset,
            marks.get("stdout", Mark()),
            marks.get("stderr", Mark()),
        )
        write_by_rename(self._state_path, msgspec.json.encode(Saved(self._plan, position)))
        self._unsaved_bytes = 0

    def close(self) -> None:
        """Nothing is open."""
        for file in self._files.values():
            file.close()
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1

    # The log

    def _take(self, data: bytes) -> None:
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if newline:
            self._write(whole)
            self._log_offset += len(whole) + 1
            self._unsaved_bytes += len(whole)
        self._rest = rest
        if len(rest) > LINE_BYTES_MAX:  # no line of the Engine's: it is passed over
            self._log_offset += len(rest)
            self._rest = b""
        rotations = sum(file.rotations for file in self._files.values())
        if self._unsaved_bytes >= SAVE_BYTES or rotations > self._saved_rotations:
            self._saved_rotations = rotations
            self.save()

    def _write(self, whole: bytes) -> None:
        parts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        for line in self._lines(whole):
            if line.stream in parts:
                parts[line.stream].append(line.log)
        for stream, texts in parts.items():
            if texts and stream in self._files:
                self._files[stream].write("".join(texts).encode(errors="replace"))

    def _lines(self, whole: bytes) -> list[Line]:
        try:
            return self._decoder.decode_lines(whole)
        except msgspec.MsgspecError:
            found: list[Line] = []
            for one in whole.split(b"\n"):
                try:
                    found.append(self._decoder.decode(one))
                except msgspec.MsgspecError:
                    continue  # torn when the Engine was killed
            return found

    def _logs(self) -> list[str]:
        """The log's files that there may be, the newest first."""
        return [self._log_path, *(f"{self._log_path}.{n}" for n in range(1, OLDER_MAX + 1))]

    def _open_log(self) -> bool:
        """Open the file that was read last, or else the oldest there is."""
        newest_first = [(path, _inode_of(path)) for path in self._logs()]
        there = [(path, inode) for path, inode in newest_first if inode]
        if not there:
            return False
        for path, inode in there:
            if inode == self._log_inode:
                return self._open_at(path, inode, self._log_offset)
        self.is_cut = self.is_cut or self._log_inode != 0
        return self._open_at(*there[-1], 0)

    def _open_at(self, path: str, inode: int, offset: int) -> bool:
        try:
            self._log_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        if os.fstat(self._log_fd).st_ino != inode:  # turned over meanwhile; the next turn finds it
            os.close(self._log_fd)
            self._log_fd = -1
            return False
        os.lseek(self._log_fd, offset, os.SEEK_SET)
        self._log_inode, self._log_offset, self._rest = inode, offset, b""
        return True

    def _is_turned_over(self) -> bool:
        inode = _inode_of(self._log_path)
        return inode not in (0, self._log_inode)

    def _next_log(self) -> None:
        """Go on with the file that was begun after the one that is read to its end."""
        inodes = [_inode_of(path) for path in self._logs()]
        if self._log_inode in inodes:
            index = inodes.index(self._log_inode) - 1
        else:
            self.is_cut = True
            index = max(index for index, inode in enumerate(inodes) if inode)
        os.close(self._log_fd)
        self._log_fd = -1
        self._open_at(self._logs()[index], inodes[index], 0)


def _inode_of(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def write_by_rename(path: Path, data: bytes) -> None:
    """The file has this content: never half of it, for who reads it after a crash of this process."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.rename(path)
