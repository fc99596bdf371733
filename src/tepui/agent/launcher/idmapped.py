"""Shows directories with other owners than they have on disk, so that root in a container is nobody outside.

The layers of an image belong to root. A container in a user namespace of its own, where its root is user 100000
of the host, would find them belong to a stranger. A mount with an id mapping shows what is root's as 100000's,
and leaves the disk as it is, so that containers with different users share the layers. An overlay takes such
mounts as its lower directories (since Linux 5.19).
Sources: mount_setattr(2), open_tree(2), user_namespaces(7), kernel document filesystems/idmappings.rst.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
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
    return _mapped(first_id, first_id, count, is_alone=False)


def own_user_namespace() -> int:
    """Return a descriptor of a user namespace whose root is this process's user, and nobody else is there.

    Everybody may have one, where the machine lets them. Raises OSError.
    """
    return _mapped(os.geteuid(), os.getegid(), 1, is_alone=True)


def _mapped(first_id: int, first_gid: int, count: int, *, is_alone: bool) -> int:
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
        files = {"uid_map": f"0 {first_id} {count}", "gid_map": f"0 {first_gid} {count}"}
        if is_alone:  # who could drop a group could get what is refused to it
            files = {"setgroups": "deny", **files}
        for name, text in files.items():
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode())
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
    tree_fd = tree_of(directory)
    try:
        map_tree(tree_fd, namespace_fd, read_only=read_only)
        _call(SYS_MOVE_MOUNT, tree_fd, b"", AT_FDCWD, os.fsencode(place), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree_fd)


def tree_of(directory: str) -> int:
    """Return a descriptor of a mount of `directory` that is nowhere yet. Raises OSError."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    return _call(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(directory), flags)


def map_tree(
    tree_fd: int, namespace_fd: int, *, read_only: bool = False, with_inner: bool = False
) -> None:
    """The mount, which is nowhere yet, has the owners that the user namespace gives; also those in it, if asked.

    Raises OSError, and all are as they were: EINVAL for a file system that cannot do it.
    """
    attributes = MOUNT_ATTR_IDMAP | (MOUNT_ATTR_RDONLY if read_only else 0)
    asked = MOUNT_ATTR.pack(attributes, 0, 0, namespace_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if with_inner else 0)
    _call(SYS_MOUNT_SETATTR, tree_fd, b"", flags, asked, len(asked))


def map_tree_if_possible(tree_fd: int, namespace_fd: int) -> None:
    """As `map_tree`, with what is mounted in it; what cannot be mapped is seen as the host has it.

    There the files of the host's root belong to nobody whom the container knows.
    """
    for with_inner in (True, False):
        try:
            map_tree(tree_fd, namespace_fd, with_inner=with_inner)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise


def join(namespace_fd: int) -> None:
    """This process has all capabilities in the user namespace, and none outside. Raises OSError."""
    if _libc.setns(namespace_fd, CLONE_NEWUSER) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _call(number: int, *arguments: int | bytes) -> int:
    answer: int = _libc.syscall(
        ctypes.c_long(number),
        *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments),
    )
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer
