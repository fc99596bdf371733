"""Shows directories with other owners than they have on disk, so that root in a container is nobody outside.

The layers of an image belong to root. A container in a user namespace of its own, where its root is user 100000
of the host, would find them belong to a stranger. A mount with an id mapping shows what is root's as 100000's,
and leaves the disk as it is, so that containers with different users share the layers. An overlay takes such
mounts as its lower directories (since Linux 5.19).
Sources: mount_setattr(2), open_tree(2), user_namespaces(7), kernel document filesystems/idmappings.rst.
"""

from __future__ import annotations

import ctypes
import os
import struct

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_IDMAP = 1, 0x100000
MOUNT_ATTR = struct.Struct("=QQQQ")  # to set, to clear, propagation, user namespace
CLONE_NEWUSER = 0x10000000
IDS_MAX = 1 << 31

_libc = ctypes.CDLL(None, use_errno=True)


def user_namespace(first_id: int, count: int) -> int:
    """Return a descriptor of a user namespace whose users 0, 1, … are `first_id`, … of the host.

    It may be kept for all containers with the same users. Raises OSError.
    """
    if not 0 < count <= IDS_MAX or not 0 <= first_id <= IDS_MAX:
        raise OSError(22, f"users {first_id} and {count} from there on cannot be mapped")
    ready_read, ready_write = os.pipe()
    done_read, done_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _live_in_new_namespace(ready_write, done_read, done_write)
    os.close(ready_write)
    os.close(done_read)
    try:
        number = os.read(ready_read, 1)
        if number != b"\0":
            error = number[0] if number else 5
            raise OSError(error, os.strerror(error))
        for name in ("uid_map", "gid_map"):
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, f"0 {first_id} {count}".encode())
            finally:
                os.close(fd)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(done_write)  # it ends
        os.close(ready_read)
        os.waitpid(pid, 0)


def _live_in_new_namespace(ready_write: int, done_read: int, done_write: int) -> None:
    """In the child: be in a namespace of its own until the parent has a descriptor of it. Never returns."""
    try:
        os.close(done_write)
        answer: int = _libc.unshare(CLONE_NEWUSER)
        os.write(ready_write, bytes([ctypes.get_errno() & 0xFF if answer else 0]))
        os.read(done_read, 1)
    finally:
        os._exit(0)


def mount_mapped(directory: str, place: str, namespace_fd: int, *, read_only: bool = True) -> None:
    """What is in `directory` is seen at `place` too, with the owners that the user namespace gives.

    The mount is one of the caller's mount namespace. Raises OSError.
    """
    tree_fd = _call(
        SYS_OPEN_TREE, AT_FDCWD, directory.encode(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    )
    try:
        attributes = MOUNT_ATTR_IDMAP | (MOUNT_ATTR_RDONLY if read_only else 0)
        asked = MOUNT_ATTR.pack(attributes, 0, 0, namespace_fd)
        _call(SYS_MOUNT_SETATTR, tree_fd, b"", AT_EMPTY_PATH, asked, len(asked))
        _call(SYS_MOVE_MOUNT, tree_fd, b"", AT_FDCWD, place.encode(), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree_fd)


def _call(number: int, *arguments: int | bytes) -> int:
    answer: int = _libc.syscall(
        ctypes.c_long(number),
        *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments),
    )
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer
