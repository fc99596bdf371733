"""Removes directories that programs we do not trust have filled: any depth, and never through a link."""

from __future__ import annotations

import errno
import os
import stat

PULLED = ".tepui-removed-"  # what lies too deep is moved up under such names
DEPTH_MAX = 100  # descriptors open at one time


def remove_tree(name: str, dir_fd: int | None = None) -> None:
    """The directory is gone, with all that is in it. Raises OSError, FileNotFoundError if it is not there.

    `name` itself may not be a link; of links within it the link is removed. `shutil.rmtree` of Python before
    3.13 goes down by recursion, which a deep directory overflows.
    """
    top = _opened(name, dir_fd)
    try:
        pulled = 0
        while True:
            pulled = _empty(top, top, 0, pulled)
            if not os.listdir(top):
                break
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=dir_fd)


def _empty(place: int, top: int, depth: int, pulled: int) -> int:
    """Nothing is left in the directory `place`; what was too deep is directly in `top`, to be removed next."""
    for name in os.listdir(place):
        try:
            os.unlink(name, dir_fd=place)
            continue
        except IsADirectoryError:
            pass
        if depth >= DEPTH_MAX:
            pulled = _pull_up(name, place, top, pulled)
            continue
        inner = _opened(name, place)
        try:
            pulled = _empty(inner, top, depth + 1, pulled)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=place)
    return pulled


def _opened(name: str, dir_fd: int | None) -> int:
    """Return a descriptor of the directory, whose owner can empty it whatever its mode was. Raises OSError."""
    flags = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if os.geteuid() == 0:  # no mode keeps root from anything
        return os.open(name, flags | os.O_RDONLY, dir_fd=dir_fd)
    path_fd = os.open(name, flags | os.O_PATH, dir_fd=dir_fd)
    try:
        if os.fstat(path_fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{path_fd}", stat.S_IRWXU)
        return os.open(f"/proc/self/fd/{path_fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(path_fd)


def _pull_up(name: str, place: int, top: int, pulled: int) -> int:
    """The directory is in `top`, under a name that nobody has; return the number of the next."""
    while True:
        try:
            os.rename(name, f"{PULLED}{pulled}", src_dir_fd=place, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return pulled + 1
        pulled += 1
