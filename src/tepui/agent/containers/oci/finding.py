"""Which OCI runtime this machine has, and what keeps it from being used."""

from __future__ import annotations

import os
import shutil

from msgspec import Struct

PROGRAMS = ("crun", "runc")  # the faster one first
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CGROUPS = "/sys/fs/cgroup"  # runc makes cgroups of its own where it can
HYBRID = "/sys/fs/cgroup/unified"


class OciProgram(Struct, frozen=True):
    """A runtime that can be used.

    `hidden` directories it must not see: it would refuse to work. `guarded` ones it must not change.
    """

    path: str
    is_crun: bool
    hidden: tuple[str, ...] = ()
    guarded: tuple[str, ...] = ()
    is_rootless: bool = False  # the agent is not root: it works in a user namespace


def find_runtime(
    *,
    searched: str = SEARCHED,
    uid: int | None = None,
    mounts: str = "/proc/self/mounts",
    filesystems: str = "/proc/filesystems",
) -> tuple[OciProgram | None, str]:
    """Return the runtime, or None and one sentence that says what is missing."""
    own_uid = os.geteuid() if uid is None else uid
    places = [shutil.which(name, path=searched) for name in PROGRAMS]
    path = next((place for place in places if place is not None), None)
    if path is None:
        return None, f"containers with an image need an OCI runtime: {' or '.join(PROGRAMS)}"
    if "overlay" not in _words(filesystems):
        return None, "containers with an image need overlayfs, which this kernel does not have"
    is_crun = os.path.basename(path) == PROGRAMS[0]
    if own_uid != 0:
        if not is_crun:
            return None, f"without root (this agent runs as uid {own_uid}) containers need crun"
        hidden = tuple(place for place in (CGROUPS,) if _has_cgroups(mounts))
        return OciProgram(path, is_crun, hidden=hidden, is_rootless=True), ""
    if is_crun:
        return OciProgram(path, is_crun, hidden=_hidden(mounts)), ""
    return OciProgram(path, is_crun, guarded=(CGROUPS,)), ""


def _hidden(mounts: str) -> tuple[str, ...]:
    """crun refuses a machine that has both versions of cgroups when the second has any controller."""
    for line in _text(mounts).splitlines():
        _, place, kind, *_ = line.split(" ")
        if kind == "cgroup2" and place == HYBRID:
            return (HYBRID,)
    return ()


def _has_cgroups(mounts: str) -> bool:
    """The runtime without root has nothing to look for there."""
    lines = (line.split(" ") for line in _text(mounts).splitlines())
    return any(place.startswith(CGROUPS) for _, place, *_ in lines)


def _words(path: str) -> list[str]:
    return _text(path).split()


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
