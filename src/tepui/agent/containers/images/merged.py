"""Looks into layers as if they lay upon each other, and copies them into one directory.

No symbolic link is ever followed by the kernel here: they are the image's, and may point anywhere.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

# Without root it is the other one: only root may set the first, and asks for it alone.
OPAQUE: Final = "trusted.overlay.opaque" if os.geteuid() == 0 else "user.overlay.opaque"
LINKS_MAX: Final = 40  # followed on the way to one file, as in Linux
TEXT_BYTES_MAX: Final = 4 << 20  # of /etc/passwd and the like
COPY_BYTES: Final = 1 << 20


class Found(Struct, frozen=True):
    """Something in one of the layers."""

    path: Path
    status: os.stat_result


def find(layers: Sequence[Path], path: str) -> Found | None:
    """Return what the merged layers (the base first) have at the path; its last part may be a link.

    None where there is nothing, and where a part of the way is no directory. Raises OSError.
    """
    parts = [part for part in path.split("/") if part]
    for layer in reversed(layers):
        here = layer
        status = os.lstat(here)
        is_opaque = _is_opaque(here)
        for at, part in enumerate(parts):
            here /= part
            try:
                status = os.lstat(here)
            except (FileNotFoundError, NotADirectoryError):
                if is_opaque:
                    return None
                break
            if is_whiteout(status):
                return None
            if at + 1 < len(parts):
                if not stat.S_ISDIR(status.st_mode):
                    return None
                is_opaque = is_opaque or _is_opaque(here)
        else:
            return Found(here, status)
    return None


def read_text(layers: Sequence[Path], path: str) -> str:
    """Return the text of a file as the merged layers have it, links resolved within them.

    '' where there is none, no regular file, or one larger than TEXT_BYTES_MAX. Raises OSError.
    """
    waiting = [part for part in reversed(path.split("/")) if part]
    done: list[str] = []
    links = 0
    found: Found | None = None
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        found = find(layers, "/".join([*done, part]))
        if found is None:
            return ""
        if not stat.S_ISLNK(found.status.st_mode):
            done.append(part)
            continue
        links += 1
        target = os.readlink(found.path)
        if links > LINKS_MAX:
            return ""
        if target.startswith("/"):
            done = []
        waiting += reversed(target.split("/"))
    found = find(layers, "/".join(done))
    if found is None or not stat.S_ISREG(found.status.st_mode):
        return ""
    if found.status.st_size > TEXT_BYTES_MAX:
        return ""
    return found.path.read_bytes().decode(errors="replace")


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this says that what is below is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(directory: Path) -> bool:
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def open_directory(root: int, path: str, *, make: bool = False) -> int:
    """Return a descriptor of the directory below `root`; none of the parts may be a link.

    Raises OSError: NotADirectoryError also for links.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(".", flags, dir_fd=root)
    for part in path.split("/") if path else ():
        try:
            try:
                below = os.open(part, flags, dir_fd=descriptor)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(part, 0o755, dir_fd=descriptor)
                below = os.open(part, flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def copy_attributes(source: Path, target: int | Path) -> None:
    """Extended attributes are copied, but for those of overlays and what the file system refuses."""
    follow = not isinstance(target, Path)
    for name in os.listxattr(source, follow_symlinks=False):
        if name.startswith(("trusted.", "user.overlay.", "security.selinux")):
            continue
        try:
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError:
            continue  # not every file system has them all


def copy_root(layers: Sequence[Path], destination: Path, is_stopped: threading.Event) -> None:
    """The merged layers (the base first) are in the directory, which is made if missing.

    Runs in a thread; stops early when told to. Raises OSError.
    """
    destination.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        _copy_tree(layer, destination, {}, is_stopped)


def _copy_tree(
    source: Path, target: Path, copied: dict[tuple[int, int], Path], is_stopped: threading.Event
) -> None:
    """`source`, a directory of one layer, lies upon `target`; `copied` is by device and inode."""
    if _is_opaque(source):
        for entry in list(os.scandir(target)):
            _remove(Path(entry.path))
    with os.scandir(source) as entries:
        for entry in entries:
            if is_stopped.is_set():
                return
            status = entry.stat(follow_symlinks=False)
            there = target / entry.name
            if stat.S_ISDIR(status.st_mode):
                if not _is_directory(there):
                    _remove(there)
                    there.mkdir(0o700)
                _copy_tree(Path(entry.path), there, copied, is_stopped)
                continue
            _remove(there)
            if not is_whiteout(status):
                _copy_one(Path(entry.path), status, there, copied)
    _copy_status(source, os.lstat(source), target)


def _copy_one(
    source: Path, status: os.stat_result, target: Path, copied: dict[tuple[int, int], Path]
) -> None:
    if status.st_nlink > 1:
        key = (status.st_dev, status.st_ino)
        if (other := copied.get(key)) is not None and os.path.lexists(other):
            os.link(other, target, follow_symlinks=False)
            return
        copied[key] = target
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(status.st_mode):
        _copy_content(source, status.st_size, target)
    else:
        os.mknod(target, status.st_mode, status.st_rdev)
    _copy_status(source, status, target)


def _copy_content(source: Path, size_bytes: int, target: Path) -> None:
    """The file is copied; its holes stay holes."""
    with source.open("rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
        at = 0
        while at < size_bytes:
            try:
                at = os.lseek(reading.fileno(), at, os.SEEK_DATA)
            except OSError:  # a hole up to the end
                break
            end = os.lseek(reading.fileno(), at, os.SEEK_HOLE)
            while at < end:
                count = min(COPY_BYTES, end - at)
                done = os.sendfile(_at(writing.fileno(), at), reading.fileno(), at, count)
                if not done:
                    end = size_bytes = at
                at += done
        os.ftruncate(writing.fileno(), size_bytes)


def _at(descriptor: int, offset: int) -> int:
    os.lseek(descriptor, offset, os.SEEK_SET)
    return descriptor


def _copy_status(source: Path, status: os.stat_result, target: Path) -> None:
    if os.geteuid() == 0:
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    copy_attributes(source, target)  # after the owner, whose change takes capabilities away
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
