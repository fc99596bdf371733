"""Reads stretches of files, unpacking what is compressed; what compression it is, the first bytes say."""

from __future__ import annotations

import bz2
import lzma
import os
import stat
import subprocess
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import IO, Final, Protocol

from msgspec import Struct

from tepui.agent.containers.images.errors import Fault

CHUNK_BYTES: Final = 256 * 1024
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
XZ: Final = b"\xfd7zXZ\x00"
BZIP2: Final = b"BZh"
LZMA_MEMORY_BYTES_MAX: Final = 256 << 20
STEP: Final = "decompressing"


class Slice(Struct, frozen=True):
    """A stretch of a file: a blob, or a member of an archive that is not compressed."""

    path: str
    offset: int
    size: int


def whole(path: str) -> Slice:
    """Return all of a regular file. Raises OSError, and Fault for what is no file."""
    # Without O_NONBLOCK a pipe would hold the thread for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Fault("opening", f"'{path}' is not a regular file")
    return Slice(path, 0, status.st_size)


def read_all(part: Slice, bytes_max: int, what: str) -> bytes:
    """Return the content. Raises Fault if it is longer than `bytes_max` or cut short, and OSError."""
    if part.size > bytes_max:
        raise Fault(f"reading {what}", f"it is longer than {bytes_max} bytes")
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        content = file.read(part.size)
    if len(content) < part.size:
        raise Fault(f"reading {what}", "the file ends early")
    return content


def chunks(part: Slice, seen: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
    """Yield the content; `seen` gets each piece first. Raises Fault if it is cut short, and OSError."""
    with open(part.path, "rb", buffering=0) as file:
        file.seek(part.offset)
        left = part.size
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise Fault("reading", f"'{part.path}' ends {left} bytes early")
            left -= len(chunk)
            if seen is not None:
                seen(chunk)
            yield chunk


def is_compressed(part: Slice) -> bool:
    """Whether `unpacked` would give something else than what is there. Raises OSError."""
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        magic = file.read(min(6, part.size))
    return magic.startswith((GZIP, ZSTD, XZ, BZIP2))


def unpacked(
    part: Slice, seen: Callable[[bytes], object] | None = None
) -> Generator[bytes, None, None]:
    """Yield what the content is unpacked, in pieces of about CHUNK_BYTES. Raises Fault and OSError.

    `seen` gets all that is read, as it is. Closing the iterator ends whatever helps with it.
    """
    reading = chunks(part, seen)
    first = next(reading, b"")
    while len(first) < len(XZ) and (more := next(reading, b"")):
        first += more
    if first.startswith(GZIP):
        yield from _inflated(first, reading)
    elif first.startswith(ZSTD):
        yield from _from_zstd(first, reading)
    elif first.startswith(XZ):
        yield from _incrementally(
            lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES_MAX), first, reading
        )
    elif first.startswith(BZIP2):
        yield from _incrementally(bz2.BZ2Decompressor, first, reading)
    else:
        if first:
            yield first
        yield from reading


def _inflated(first: bytes, reading: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip: one member after the other, as files that are read in parts have them."""
    inflating = zlib.decompressobj(wbits=31)
    data = first
    try:
        while True:
            if piece := inflating.decompress(data, CHUNK_BYTES):
                yield piece
            if inflating.eof:
                data = (inflating.unused_data or next(reading, b"")).lstrip(b"\0")
                while not data and (more := next(reading, b"")):
                    data = more.lstrip(b"\0")  # padding after the last member
                if not data:
                    return
                inflating = zlib.decompressobj(wbits=31)
                continue
            data = inflating.unconsumed_tail
            if not data:
                data = next(reading, b"")
                if not data and not piece:
                    raise Fault(STEP, "the gzip stream ends early")
    except zlib.error as error:
        raise Fault(STEP, f"the gzip stream is broken: {error}") from None


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _incrementally(
    make: Callable[[], _Decompressor], first: bytes, reading: Iterator[bytes]
) -> Iterator[bytes]:
    working = make()
    data = first
    try:
        while True:
            if piece := working.decompress(data, CHUNK_BYTES):
                yield piece
            if working.eof:
                data = working.unused_data or next(reading, b"")
                if not data.strip(b"\0"):
                    return
                working = make()
                continue
            data = next(reading, b"") if working.needs_input else b""
            if not data and working.needs_input:
                raise Fault(STEP, "the stream ends early")
    except (lzma.LZMAError, OSError) as error:  # OSError is bz2's, for what is broken
        raise Fault(STEP, f"the stream is broken: {error}") from None


def _from_zstd(first: bytes, reading: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack by zstd(1), which Python of before 3.14 has no library for."""
    try:
        zstd = subprocess.Popen(
            ["zstd", "--decompress", "--stdout", "--quiet", "--single-thread"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
    except OSError as error:
        raise Fault(
            STEP, f"the layer is compressed by zstd, which cannot be run: {error}"
        ) from None
    assert zstd.stdin is not None
    assert zstd.stdout is not None
    try:
        yield from _piped(first, reading, zstd.stdin, zstd.stdout)
        if zstd.wait() != 0:
            raise Fault(STEP, "the zstd stream is broken")
    finally:
        zstd.kill()
        zstd.stdout.close()
        zstd.stdin.close()
        zstd.wait()


def _piped(
    first: bytes, reading: Iterator[bytes], stdin: IO[bytes], stdout: IO[bytes]
) -> Iterator[bytes]:
    """Write all to one side and yield what comes out of the other, whichever is ready."""
    import select

    os.set_blocking(stdin.fileno(), False)
    poll = select.poll()
    poll.register(stdout, select.POLLIN)
    poll.register(stdin, select.POLLOUT)
    waiting = memoryview(first)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == stdout.fileno():
                piece = stdout.read(CHUNK_BYTES)
                if not piece:
                    return
                yield piece
                continue
            try:
                waiting = waiting[os.write(descriptor, waiting) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                waiting = memoryview(b"")
                reading = iter(())
            if not waiting:
                waiting = memoryview(next(reading, b""))
                if not waiting:
                    poll.unregister(stdin)
                    stdin.close()
