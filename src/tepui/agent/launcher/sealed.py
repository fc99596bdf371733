"""Keeps a copy in memory, sealed against every change, of a program that is started often.

An OCI runtime that is started from a file copies or mounts itself anew before it does anything, and begins
again from there: a container that holds its process's `exe` must not reach the host's file. A sealed copy is
what it would make, so it goes on at once. Sources: memfd_create(2), fcntl(2), CVE-2019-5736.
"""

from __future__ import annotations

import fcntl
import os

SIZE_BYTES_MAX = 64 << 20  # runc has 10 MiB, crun a half
ELF = b"\x7fELF"
MFD_EXEC = 0x10  # refused by Linux before 6.3, where every such file can be executed
F_ADD_SEALS, F_SEAL_ALL = (
    1033,
    0xF,
)  # no further seal, and the file neither shrinks, grows nor is written


class Sealed:
    """The copies, by the paths of the files."""

    __slots__ = ("_copies",)

    def __init__(self) -> None:
        self._copies: dict[str, tuple[tuple[int, ...], int]] = {}

    def path_of(self, program: str) -> str:
        """Return the path of a copy of `program` as it is now, for this process's children; or `program` itself,
        where there can be none."""
        try:
            found = os.stat(program)
        except OSError:
            return program
        identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
        known = self._copies.get(program)
        if known is None or known[0] != identity:
            if known is not None and known[1] >= 0:
                os.close(known[1])
            self._copies[program] = known = identity, _copy(program)
        return f"/proc/self/fd/{known[1]}" if known[1] >= 0 else program


def _copy(program: str) -> int:
    """Return a descriptor of a copy that can be executed, or -1."""
    try:
        with open(program, "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > SIZE_BYTES_MAX or file.read(len(ELF)) != ELF:
                return -1  # a script's interpreter could not open it
            fd = _memory(os.path.basename(program))
            if _filled(fd, file.fileno(), size_bytes):
                return fd
            os.close(fd)
    except OSError:
        pass
    return -1


def _memory(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | MFD_EXEC)
    except OSError:
        return os.memfd_create(name, flags)


def _filled(fd: int, source: int, size_bytes: int) -> bool:
    """Tell whether `fd` is now a whole and sealed copy of `source`."""
    try:
        copied = 0
        while copied < size_bytes:
            moved = os.sendfile(fd, source, copied, size_bytes - copied)
            if moved == 0:
                return False
            copied += moved
        fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_ALL)
        return os.access(f"/proc/self/fd/{fd}", os.X_OK)
    except OSError:
        return False
