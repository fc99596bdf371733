"""The files and directories of control groups, read and written as the kernel wants it."""

from __future__ import annotations

import os

READ_BYTES_MAX = 1 << 20


def below(base: str) -> list[str]:
    """Return the cgroups below `base`, the innermost first."""
    found: list[str] = []
    for place, names, _ in os.walk(base, topdown=False):
        found += [f"{place}/{name}" for name in names]
    return found


def remove_directory(path: str) -> bool:
    """Remove a cgroup without processes; tell whether it is gone."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def write(path: str, text: str) -> None:
    """Write `text` in one call, as control files want it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def write_each(path: str, texts: list[str]) -> None:
    """Write each text in a call of its own."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for text in texts:
            os.write(fd, text.encode())
    finally:
        os.close(fd)


def read(path: str) -> str:
    """Return the text of a control file; '' when it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts: list[bytes] = []
        while part := os.read(fd, READ_BYTES_MAX):
            parts.append(part)
        return b"".join(parts).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)


def number_in(path: str) -> int:
    """Return the number in a control file; 0 for `max` or none."""
    text = read(path).strip()
    return int(text) if text.isdigit() else 0


def words_in(path: str) -> dict[str, int]:
    """Return the `name number` lines of a control file."""
    found: dict[str, int] = {}
    for line in read(path).splitlines():
        name, _, value = line.partition(" ")
        if value.isdigit():
            found[name] = int(value)
    return found
