"""Gives a child a mount namespace of its own, and in it the root and volumes of its container.

Nothing here changes the host's table of mounts, and nothing has to be unmounted: all ends with the namespace.
Sources: mount_namespaces(7), mount(2), open_tree(2), kernel document filesystems/overlayfs.rst.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from . import idmapped

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .users import Users

CLONE_NEWNS = 0x20000
MS_RDONLY = 1
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_SLAVE, MS_PRIVATE = 0x1000, 0x4000, 1 << 19, 1 << 18
SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, AT_RECURSIVE = 1, os.O_CLOEXEC, 0x8000
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY = 1
AT_FDCWD = -100
LAYERS_MAX = 500  # the kernel's
SMALL_TMPFS = b"size=1m,mode=0700"
SMALL_OPEN_TMPFS = b"size=1m,mode=0711"
NULL_DEVICE = os.makedev(1, 3)

_libc = ctypes.PyDLL(None, use_errno=True)


def enter_own_namespace() -> None:
    """This process has a mount namespace of its own. Raises OSError."""
    _checked(_libc.unshare(CLONE_NEWNS))


def make_slave() -> None:
    """What is mounted here is not seen outside; what is mounted outside is seen here."""
    mount("", "/", "", MS_REC | MS_SLAVE)


def mount(source: str, target: str, kind: str, flags: int, options: bytes = b"") -> None:
    """mount(2). Raises OSError."""
    names = (os.fsencode(source), os.fsencode(target), os.fsencode(kind))
    _checked(_libc.mount(*names, ctypes.c_ulong(flags), options or None))


def tree_at(source: str) -> int:
    """Return a descriptor of a copy of the mounts at `source`: what is mounted there later comes to it too."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE
    fd: int = _libc.syscall(SYS_OPEN_TREE, AT_FDCWD, os.fsencode(source), flags)
    _checked(fd)
    return fd


def put_tree(fd: int, target: str) -> None:
    """The mounts of `tree_at` are at `target`. Raises OSError."""
    place = os.fsencode(target)
    _checked(_libc.syscall(SYS_MOVE_MOUNT, fd, b"", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH))
    os.close(fd)


def make_read_only(directory: str) -> None:
    """Nothing at `directory` and in what is mounted below it can be changed by this namespace's processes."""
    attributes = struct.pack("=4Q", MOUNT_ATTR_RDONLY, 0, 0, 0)
    place = os.fsencode(directory)
    size = len(attributes)
    _checked(_libc.syscall(SYS_MOUNT_SETATTR, AT_FDCWD, place, AT_RECURSIVE, attributes, size))


def hide(directory: str) -> None:
    """`directory` is seen empty."""
    mount("tmpfs", directory, "tmpfs", MS_RDONLY)


def overlay(
    layers: list[str],
    upper: str,
    work: str,
    target: str,
    users: Users | None = None,
    *,
    is_rootless: bool = False,
) -> None:
    """The layers, the base first, are at `target`; with `upper` they can be written, and changes are there.

    What is root's in a layer belongs to the first of `users`, and so on.

    The kernel takes options of one page, and some characters mean something in them: each directory is named
    by a link of one character or two, in a file system in memory that the overlay then covers.
    """
    if len(layers) > LAYERS_MAX:
        raise ValueError(f"{len(layers)} layers are more than the kernel's {LAYERS_MAX}")
    if not upper and len(layers) == 1:
        if users is not None:
            idmapped.mount_mapped(layers[0], target, users.namespace_fd)
        else:
            mount(layers[0], target, "", MS_BIND)
        return
    for layer in layers:
        if not os.path.isdir(layer):
            raise ValueError(f"the layer '{layer}' is not there")
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, SMALL_TMPFS)
    os.chdir(target)
    lower = [format(number, "x") for number in range(len(layers))]
    for name, layer in zip(lower, reversed(layers), strict=True):
        if users is None:
            os.symlink(layer, name)
        else:
            os.mkdir(name)
            idmapped.mount_mapped(layer, name, users.namespace_fd)
    options = "lowerdir=" + ":".join(lower)
    if upper:
        _make_upper(upper, work, layers[-1], 0 if users is None else users.first)
        os.symlink(upper, "up")
        os.symlink(work, "work")
        options += ",upperdir=up,workdir=work"
    if is_rootless:  # its marks are attributes that everybody may set
        options += ",userxattr"
    mount("overlay", target, "overlay", 0, options.encode())
    os.chdir("/")


def _make_upper(upper: str, work: str, top_layer: str, first_id: int) -> None:
    os.makedirs(upper)
    os.mkdir(work)
    like = os.stat(top_layer)  # the upper one's mode and owner are those of the container's root
    os.chown(upper, first_id + like.st_uid, first_id + like.st_gid)
    os.chmod(upper, stat.S_IMODE(like.st_mode))


def kernel_files(kind: str, target: str) -> None:
    """The host's own `sysfs` or `proc` is at `target`, as nothing that is mounted there hides or shows it."""
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount(kind, target, kind, flags | MS_RDONLY if kind == "sysfs" else flags)


def open_way(directory: str, *kept: str) -> None:
    """Every user of this mount namespace can reach what is in `directory`; `kept` is where it was, too.

    The agent's directories are closed to others, and the root of a user namespace is one of them. The first
    that is closed is covered with one in memory that has nothing but these.
    """
    closed = _first_closed(directory)
    if not closed:
        return
    trees = [(tree_at(place), place) for place in (directory, *kept)]
    mount("tmpfs", closed, "tmpfs", MS_NOSUID | MS_NODEV, SMALL_OPEN_TMPFS)
    for fd, place in trees:
        os.makedirs(place, exist_ok=True)
        put_tree(fd, place)


def _first_closed(directory: str) -> str:
    """Return the first directory on the way that others may not pass; '' when there is none."""
    place = ""
    for part in directory.strip("/").split("/"):
        place = f"{place}/{part}"
        if not os.stat(place).st_mode & stat.S_IXOTH:
            return place
    return ""


def host_root(target: str) -> None:
    """All that the host has mounted is at `target`."""
    mount("/", target, "", MS_BIND | MS_REC)


def own_null(directory: str) -> int:
    """Return a descriptor of a null device in memory at `directory`, which nobody else has."""
    mount("tmpfs", directory, "tmpfs", MS_NOSUID, SMALL_TMPFS)
    path = f"{directory}/null"
    os.mknod(path, stat.S_IFCHR | 0o666, NULL_DEVICE)
    os.chmod(path, 0o666)
    return os.open(path, os.O_RDWR)


def _checked(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
