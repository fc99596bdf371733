"""The thread that writes a journal's files, and deletes the oldest when there is too much.

It is handed what is to be written, in order, and never waited for. When something can't be written
it says so once in the log and writes nothing more.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import zlib
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Final, TypeAlias

from msgspec import Struct

from tepui.master.daemon import journal_format as form
from tepui.master.daemon.journal_format import EVENTS, PICTURE, UNFINISHED, Header

LEVEL: Final = 1  # of zlib: messages shrink to a twentieth even so
LOCK: Final = "lock"
END_S: Final = 5.0  # for what waits to be written when the master ends

log = logging.getLogger("tepui.master")


class BeginSegment(Struct, frozen=True):
    """What follows goes into a new file."""

    name: str
    header: Header


class WriteBlock(Struct, frozen=True):
    """Batches, as `journal_format.append_batch` joins them."""

    content: bytearray
    batches: int
    events: int
    last_ms: int


class WritePicture(Struct, frozen=True):
    """A pickled state, that of the segment of this name."""

    name: str
    header: Header
    content: bytes


Job: TypeAlias = BeginSegment | WriteBlock | WritePicture


class TooSmall(Exception):
    """The journal may not be as large as it must."""


class JournalWriter:
    """From its making to `end`. Only one writes into a directory."""

    def __init__(self, directory: Path, bytes_max: int) -> None:
        """Raises OSError when the directory can't be made or another one writes into it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # tasks' environments are in it
        self._directory = directory
        self._bytes_max = bytes_max
        self._lock = _locked(directory / LOCK)
        for file in directory.glob(f"*{UNFINISHED}"):  # of a child that was killed
            if form.segment_of(file.name) is not None:
                file.unlink(missing_ok=True)
        self.failed = False
        self.written_bytes = 0  # of blocks, ever; grows
        self.taken_bytes = 0  # of those that were put, ever; grows
        self.put_bytes = 0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._segment = ""
        self._file: BinaryIO | None = None
        self._packer = zlib.compressobj(LEVEL)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """What was put and is not written yet."""
        return self.put_bytes - self.taken_bytes

    def put(self, job: Job) -> None:
        """Have it written soon."""
        if not isinstance(job, BeginSegment):
            self.put_bytes += len(job.content)
        self._jobs.put(job)

    def end(self) -> None:
        """What was put is written, and then others may write into the directory."""
        self._jobs.put(None)

    def finish(self) -> None:
        """Wait for that, after `end`, unless it takes too long."""
        self._thread.join(END_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self.failed:
                try:
                    self._do(job)
                except Exception as error:  # whatever it is: recording must not end a master
                    self.failed = True
                    log.error("journal_stopped directory=%s reason=%s", self._directory, error)
            if not isinstance(job, BeginSegment):
                self.taken_bytes += len(job.content)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        os.close(self._lock)

    def _do(self, job: Job) -> None:
        match job:
            case BeginSegment(name=name, header=header):
                if self._file is not None:
                    self._file.close()
                self._segment = name
                self._file = _new_file(self._directory / f"{name}{EVENTS}")
                self._file.write(form.header_line(header))
                self._packer = zlib.compressobj(LEVEL)
            case WriteBlock(content=content, batches=batches, events=events, last_ms=last_ms):
                assert self._file is not None, "a segment has begun"
                packed = self._packer.compress(content)
                packed += self._packer.flush(zlib.Z_SYNC_FLUSH)
                whole = form.block(packed, len(content), batches, events, last_ms)
                self._file.write(whole)
                self.written_bytes += len(whole)
            case WritePicture(name=name, header=header, content=content):
                write_picture(self._directory, name, header, content)
        self._make_room()

    def _make_room(self) -> None:
        """The oldest segments are no more, if all together are too large."""
        sizes: dict[str, int] = {}  # by the name of the segment
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name = form.segment_of(entry.name)
                if name is not None:
                    with contextlib.suppress(FileNotFoundError):  # the child has just renamed it
                        sizes[name] = sizes.get(name, 0) + entry.stat().st_size
        total = sum(sizes.values())
        for name in sorted(sizes):
            if total <= self._bytes_max:
                return
            if name == self._segment:
                raise TooSmall(
                    f"one segment has {sizes[name]} bytes already, and all together may have"
                    f" {self._bytes_max} (--journal_size)"
                )
            for suffix in (PICTURE, EVENTS, f"{PICTURE}{UNFINISHED}"):
                (self._directory / f"{name}{suffix}").unlink(missing_ok=True)
            total -= sizes[name]


def write_picture(directory: Path, name: str, header: Header, content: bytes) -> None:
    """The picture of the segment is there, whole. Raises OSError, and then nothing is."""
    packed = zlib.compress(content, LEVEL)
    said = form.header_of_picture(header, packed)
    unfinished = directory / f"{name}{PICTURE}{UNFINISHED}"
    try:
        with _new_file(unfinished) as file:
            file.write(form.header_line(said))
            file.write(packed)
        unfinished.rename(directory / f"{name}{PICTURE}")
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def _new_file(path: Path) -> BinaryIO:
    """Unbuffered: what was written is not lost with the process."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise OSError(f"another master writes into '{path.parent}'") from None
    return descriptor
